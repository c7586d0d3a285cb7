//! What a person may choose about mesh recovery.

use super::Hmr2Error;
use candle_core::DType;
use serde::{Deserialize, Serialize};

/// Crops or frames at once beyond which a setting is a slip of the pen.
const MOST: usize = 4096;

/// The `[hmr2]` table of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Crops that go through the network at once: what the peak of memory grows with.
    pub batch: usize,
    /// Frames whose people go through the network together. More fill a graphics card better; the first of
    /// them waits for the last.
    pub frames: usize,
    /// What the network computes in.
    pub precision: Precision,
    /// How the backbone's attention is computed.
    pub attention: Attention,
}

/// Ways to compute attention; the same in the reals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// Products and a softmax, one after the other: everywhere, in every precision.
    Plain,
    /// One kernel that never writes the scores down (Dao et al. 2022): on a graphics card, in half
    /// precision, in a build with the feature `flash-attn`.
    Flash,
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
        Settings { batch: 8, frames: 1, precision: Precision::F32, attention: Attention::Plain }
    }
}

impl Settings {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// If a number of crops or frames is 0 or absurd.
    pub fn validate(&self) -> Result<(), Hmr2Error> {
        for (name, value) in [("batch", self.batch), ("frames", self.frames)] {
            if !(1..=MOST).contains(&value) {
                let what = format!("hmr2.{name} is {value}; it has to be between 1 and {MOST}");
                return Err(Hmr2Error::Config { what });
            }
        }
        if self.attention == Attention::Flash && self.precision == Precision::F32 {
            let what = "hmr2.attention = \"flash\" is for half precision; set hmr2.precision to bf16 or f16";
            return Err(Hmr2Error::Config { what: what.into() });
        }
        Ok(())
    }
}

impl Attention {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Attention::Plain => "plain",
            Attention::Flash => "flash",
        }
    }
}

impl Precision {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }

    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
            Precision::F16 => DType::F16,
        }
    }
}
