//! What a person may choose about BlazePose.

use super::BlazePoseError;
use candle_core::DType;
use serde::{Deserialize, Serialize};

/// The `[blazepose]` table of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often a person is looked at where no earlier region is known, 1 to 4: first in the square of the box, then
    /// in the region that the network itself gave.
    pub passes: u8,
    /// Side of the first square, in longer sides of the box.
    pub box_scale: f64,
    /// Presence below which nobody counts as seen, 0 to 1.
    pub least_presence: f32,
    /// Intersection over union of the points' box with the detection below which the network is taken to have looked
    /// at somebody else, 0 to 1.
    pub least_overlap: f32,
    /// What the network computes in on a graphics card; on the CPU it is always f32.
    pub precision: Precision,
}

/// Floating-point formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
}

impl Precision {
    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            passes: 2,
            box_scale: 1.5,
            least_presence: 0.5,
            least_overlap: 0.3,
            precision: Precision::F32,
        }
    }
}

impl Settings {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), BlazePoseError> {
        let rules = [
            ("passes", f64::from(self.passes), [1.0, 4.0], "between 1 and 4"),
            ("box_scale", self.box_scale, [0.5, 4.0], "between 0.5 and 4"),
            ("least_presence", f64::from(self.least_presence), [0.0, 1.0], "between 0 and 1"),
            ("least_overlap", f64::from(self.least_overlap), [0.0, 1.0], "between 0 and 1"),
        ];
        for (name, value, [least, most], range) in rules {
            if !(least..=most).contains(&value) {
                return Err(BlazePoseError::Setting { name, value: value.to_string(), range });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(Settings::default().check().is_ok());
        for (text, name) in [
            ("passes = 0", "blazepose.passes"),
            ("box_scale = nan", "blazepose.box_scale"),
            ("least_presence = 1.5", "blazepose.least_presence"),
            ("least_overlap = -0.1", "blazepose.least_overlap"),
        ] {
            let settings: Settings = toml::from_str(text).unwrap();
            assert!(settings.check().unwrap_err().to_string().starts_with(name));
        }
        assert!(toml::from_str::<Settings>("pass = 1").is_err());
        assert_eq!(toml::from_str::<Settings>("precision = \"f16\"").unwrap().precision, Precision::F16);
    }
}
