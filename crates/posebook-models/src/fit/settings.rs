//! Settings of the fit (`[fit]`).

use super::FitError;
use crate::body::NUM_JOINTS;
use serde::{Deserialize, Serialize};

/// Weights of the observations and priors. Deviations are standard deviations of Gaussians: a residual equal to its
/// deviation costs 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Maximum number of Gauss-Newton steps, 0 to 50; 0 uses the closed-form pose.
    pub steps: usize,
    /// Stops when a step reduces the cost by less than this fraction.
    pub tolerance: f64,
    /// Deviation of a fully visible world point relative to the midpoint of the hips, meters.
    pub world_deviation_m: f64,
    /// Deviation of a fully visible image point, in meters at the body's scale.
    pub picture_deviation_m: f64,
    /// Residuals of image points above this many meters have a linear cost (Huber 1964).
    pub picture_soft_m: f64,
    /// Weight of heels and toes relative to the other points.
    pub feet_weight: f64,
    /// Lower limit of the visibility: the weight of a hidden point.
    pub least_visibility: f64,
    /// Deviation of hips, knees, ankles, shoulders and elbows from the closed-form pose, radians.
    pub limb_deviation_rad: f64,
    /// The same for the three joints of the spine and the collars.
    pub spine_deviation_rad: f64,
    /// The same for neck and wrists.
    pub neck_deviation_rad: f64,
    /// The same for the head.
    pub head_deviation_rad: f64,
    /// The same for hands and toes, for which there are no observations.
    pub tip_deviation_rad: f64,
    /// Deviation of each shape coefficient from zero, the mean shape.
    pub betas_deviation: f64,
    /// Deviation of each shape coefficient from the track's mean, if there is one.
    pub track_betas_deviation: f64,
    /// Maximum rotation of a joint in one step, radians.
    pub step_limit_rad: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            steps: 4,
            tolerance: 1e-3,
            world_deviation_m: 0.05,
            picture_deviation_m: 0.012,
            picture_soft_m: 0.06,
            feet_weight: 0.7,
            least_visibility: 0.25,
            limb_deviation_rad: 0.35,
            spine_deviation_rad: 0.12,
            neck_deviation_rad: 0.2,
            head_deviation_rad: 0.25,
            tip_deviation_rad: 0.02,
            betas_deviation: 1.0,
            track_betas_deviation: 0.5,
            step_limit_rad: 0.5,
        }
    }
}

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// [`FitError::InvalidSetting`], with the first setting out of range.
    pub fn check(&self) -> Result<(), FitError> {
        const DEVIATION: &str = "a number above 0 and at most 1000";
        const FRACTION: &str = "a number above 0 and at most 1";
        let in_range = |value: f64, max: f64| value > 0.0 && value <= max;
        let deviations = [
            ("world_deviation_m", self.world_deviation_m),
            ("picture_deviation_m", self.picture_deviation_m),
            ("picture_soft_m", self.picture_soft_m),
            ("limb_deviation_rad", self.limb_deviation_rad),
            ("spine_deviation_rad", self.spine_deviation_rad),
            ("neck_deviation_rad", self.neck_deviation_rad),
            ("head_deviation_rad", self.head_deviation_rad),
            ("tip_deviation_rad", self.tip_deviation_rad),
            ("betas_deviation", self.betas_deviation),
            ("track_betas_deviation", self.track_betas_deviation),
        ];
        for (name, value) in deviations {
            // a deviation near zero results in an infinite weight
            if !in_range(value, 1000.0) || value < 1e-4 {
                return Err(FitError::InvalidSetting { name, value, allowed: DEVIATION });
            }
        }
        for (name, value) in [("feet_weight", self.feet_weight), ("least_visibility", self.least_visibility)]
        {
            if !in_range(value, 1.0) {
                return Err(FitError::InvalidSetting { name, value, allowed: FRACTION });
            }
        }
        if !in_range(self.step_limit_rad, std::f64::consts::PI) {
            let (name, value) = ("step_limit_rad", self.step_limit_rad);
            return Err(FitError::InvalidSetting { name, value, allowed: "a number above 0 and at most pi" });
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            let (name, value) = ("tolerance", self.tolerance);
            return Err(FitError::InvalidSetting { name, value, allowed: "at least 0 and below 1" });
        }
        if self.steps > 50 {
            let (name, value) = ("steps", self.steps as f64);
            return Err(FitError::InvalidSetting { name, value, allowed: "at most 50" });
        }
        Ok(())
    }

    /// The weight of each joint's rotation prior (24): one over its squared deviation; 0 for the pelvis, which is free.
    pub(super) fn rotation_weights(&self) -> [f64; NUM_JOINTS] {
        std::array::from_fn(|joint| {
            let deviation = match joint {
                0 => return 0.0,
                3 | 6 | 9 | 13 | 14 => self.spine_deviation_rad,
                12 | 20 | 21 => self.neck_deviation_rad,
                15 => self.head_deviation_rad,
                10 | 11 | 22 | 23 => self.tip_deviation_rad,
                _ => self.limb_deviation_rad,
            };
            1.0 / (deviation * deviation)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_values_out_of_range_are_errors() {
        Settings::default().check().unwrap();
        let broken = [
            Settings { world_deviation_m: 0.0, ..Settings::default() },
            Settings { picture_soft_m: f64::NAN, ..Settings::default() },
            Settings { feet_weight: 1.5, ..Settings::default() },
            Settings { steps: 51, ..Settings::default() },
            Settings { step_limit_rad: -0.1, ..Settings::default() },
            Settings { tolerance: 1.0, ..Settings::default() },
        ];
        for settings in broken {
            let message = settings.check().unwrap_err().to_string();
            assert!(message.starts_with("fit."), "{message}");
        }
    }
}
