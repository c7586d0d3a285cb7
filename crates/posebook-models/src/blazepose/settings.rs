//! BlazePose's settings.

use super::BlazePoseError;
use posebook_core::labels::Precision;
use serde::{Deserialize, Serialize};

/// The `[blazepose]` table of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Network passes per person without a region from the previous frame, 1 to 4: first on the square around the box, then
    /// on the region that the previous pass returned.
    pub passes: u8,
    /// Side of the first square as a multiple of the box's longer side.
    pub box_scale: f64,
    /// Minimum presence of a detected person, 0 to 1.
    pub least_presence: f32,
    /// Minimum intersection over union of the box around the landmarks and the detection, 0 to 1; below it the landmarks are
    /// taken to be another person's.
    pub least_overlap: f32,
    /// Floating-point format on a GPU; on the CPU it is always f32.
    pub precision: Precision,
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
    /// Validates the settings.
    ///
    /// # Errors
    /// [`BlazePoseError::InvalidSetting`] with the first setting out of range.
    pub fn check(&self) -> Result<(), BlazePoseError> {
        let rules = [
            ("passes", f64::from(self.passes), [1.0, 4.0], "between 1 and 4"),
            ("box_scale", self.box_scale, [0.5, 4.0], "between 0.5 and 4"),
            ("least_presence", f64::from(self.least_presence), [0.0, 1.0], "between 0 and 1"),
            ("least_overlap", f64::from(self.least_overlap), [0.0, 1.0], "between 0 and 1"),
        ];
        for (name, value, [min, max], range) in rules {
            if !(min..=max).contains(&value) {
                return Err(BlazePoseError::InvalidSetting { name, value: value.to_string(), range });
            }
        }
        if self.precision == Precision::Bf16 {
            let (name, value) = ("precision", self.precision.to_string());
            return Err(BlazePoseError::InvalidSetting { name, value, range: "f32 or f16" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_errors() {
        assert!(Settings::default().check().is_ok());
        for (text, name) in [
            ("passes = 0", "blazepose.passes"),
            ("box_scale = nan", "blazepose.box_scale"),
            ("least_presence = 1.5", "blazepose.least_presence"),
            ("least_overlap = -0.1", "blazepose.least_overlap"),
            ("precision = \"bf16\"", "blazepose.precision"),
        ] {
            let settings: Settings = toml::from_str(text).unwrap();
            assert!(settings.check().unwrap_err().to_string().starts_with(name));
        }
        assert!(toml::from_str::<Settings>("pass = 1").is_err());
        assert_eq!(toml::from_str::<Settings>("precision = \"f16\"").unwrap().precision, Precision::F16);
    }
}
