//! What a person may choose about mesh recovery.

use super::Hmr2Error;
use candle_core::DType;
use serde::{Deserialize, Serialize};

/// The `[hmr2]` table of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Crops that go through the network at once: what the peak of memory grows with.
    pub batch: usize,
    /// What the network computes in.
    pub precision: Precision,
}

/// Floating-point formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    Bf16,
    F16,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { batch: 8, precision: Precision::F32 }
    }
}

impl Settings {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// If the batch is 0.
    pub fn validate(&self) -> Result<(), Hmr2Error> {
        if self.batch == 0 {
            return Err(Hmr2Error::Config { what: "hmr2.batch is 0; it has to be 1 or more".into() });
        }
        Ok(())
    }
}

impl Precision {
    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
            Precision::F16 => DType::F16,
        }
    }
}
