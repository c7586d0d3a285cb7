//! Parameters of the One-Euro filter.

use crate::fit::error::FitError;
use serde::{Deserialize, Serialize};

/// Parameters of the One-Euro filter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smoothing {
    /// Cut-off frequency at rest, hertz.
    pub min_cutoff_hz: f64,
    /// Increase of the cut-off frequency with speed: hertz per meter per second.
    pub beta: f64,
    /// Cut-off frequency of the speed estimate, hertz.
    pub derivative_cutoff_hz: f64,
    /// Converts a joint's rotation to meters for the speed, meters per radian: about the length of a bone.
    pub radian_m: f64,
    /// If two frames of a track are further apart than this, smoothing restarts; seconds.
    pub max_gap_secs: f64,
}

impl Default for Smoothing {
    fn default() -> Smoothing {
        Smoothing {
            min_cutoff_hz: 1.0,
            beta: 10.0,
            derivative_cutoff_hz: 1.0,
            radian_m: 0.3,
            max_gap_secs: 0.25,
        }
    }
}

impl Smoothing {
    /// Validates the parameters.
    ///
    /// # Errors
    /// [`FitError::InvalidSetting`], with the first parameter out of range.
    pub fn check(&self) -> Result<(), FitError> {
        let above_zero = [
            ("smoothing.min_cutoff_hz", self.min_cutoff_hz),
            ("smoothing.derivative_cutoff_hz", self.derivative_cutoff_hz),
            ("smoothing.max_gap_secs", self.max_gap_secs),
        ];
        for (name, value) in above_zero {
            if !(value > 0.0 && value.is_finite()) {
                return Err(FitError::InvalidSetting { name, value, allowed: "a finite number above 0" });
            }
        }
        for (name, value) in [("smoothing.beta", self.beta), ("smoothing.radian_m", self.radian_m)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(FitError::InvalidSetting { name, value, allowed: "a finite number, 0 or more" });
            }
        }
        Ok(())
    }

    /// The weight of a new value after `dt_secs` at the filtered speed `speed` (meters per second).
    pub(super) fn weight(&self, speed: f64, dt_secs: f64) -> f64 {
        low_pass_weight(self.min_cutoff_hz + self.beta * speed, dt_secs)
    }
}

/// The weight of a new sample in a first-order low-pass filter.
pub(super) fn low_pass_weight(cutoff_hz: f64, dt_secs: f64) -> f64 {
    let time_constant = 1.0 / (std::f64::consts::TAU * cutoff_hz);
    1.0 / (1.0 + time_constant / dt_secs)
}
