//! What may be chosen about the fit.

use super::FitError;
use crate::body::SKELETON;
use serde::{Deserialize, Serialize};

/// How much each observation and each prior weighs in the fit. Deviations are standard deviations of Gaussians:
/// a residual as large as its deviation costs 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Gauss-Newton steps at most, 0 to 50; 0 keeps the closed-form pose.
    pub steps: usize,
    /// The steps end early where one lowers the cost by less than this share.
    pub tolerance: f64,
    /// Deviation of a fully visible world point relative to the middle of the hips, meters.
    pub world_deviation_m: f64,
    /// Deviation of a fully visible point in the picture, in meters at the body's scale.
    pub picture_deviation_m: f64,
    /// Residuals in the picture beyond this many meters cost linearly and not quadratically (Huber 1964).
    pub picture_soft_m: f64,
    /// Weight of heels and toes relative to the other points.
    pub feet_weight: f64,
    /// Visibility below this counts as this: what a hidden point is worth.
    pub least_visibility: f64,
    /// Deviation of hips, knees, ankles, shoulders and elbows from the closed-form pose, radians.
    pub limb_deviation_rad: f64,
    /// The same of the three joints of the spine and the collars.
    pub spine_deviation_rad: f64,
    /// The same of neck and wrists.
    pub neck_deviation_rad: f64,
    /// The same of the head.
    pub head_deviation_rad: f64,
    /// The same of hands and toes, which no point tells anything about.
    pub tip_deviation_rad: f64,
    /// Deviation of each shape coefficient from zero, the mean shape.
    pub betas_deviation: f64,
    /// Deviation of each shape coefficient from the track's mean, where one is given.
    pub track_betas_deviation: f64,
    /// What one step turns a joint by at most, radians.
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
    /// Checks that every number is one that the fit can work with.
    ///
    /// # Errors
    /// [`FitError::Setting`], naming the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        const DEVIATION: &str = "a number above 0 and at most 1000";
        const SHARE: &str = "a number above 0 and at most 1";
        let in_range = |value: f64, most: f64| value > 0.0 && value <= most;
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
            // a deviation of nothing makes a weight of infinity
            if !in_range(value, 1000.0) || value < 1e-4 {
                return Err(FitError::Setting { name, value, allowed: DEVIATION });
            }
        }
        for (name, value) in [("feet_weight", self.feet_weight), ("least_visibility", self.least_visibility)]
        {
            if !in_range(value, 1.0) {
                return Err(FitError::Setting { name, value, allowed: SHARE });
            }
        }
        if !in_range(self.step_limit_rad, std::f64::consts::PI) {
            let (name, value) = ("step_limit_rad", self.step_limit_rad);
            return Err(FitError::Setting { name, value, allowed: "a number above 0 and at most pi" });
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            let (name, value) = ("tolerance", self.tolerance);
            return Err(FitError::Setting { name, value, allowed: "at least 0 and below 1" });
        }
        if self.steps > 50 {
            let (name, value) = ("steps", self.steps as f64);
            return Err(FitError::Setting { name, value, allowed: "at most 50" });
        }
        Ok(())
    }

    /// One over the square of each joint's deviation (24); 0 for the pelvis, which may turn freely.
    pub(super) fn turn_weights(&self) -> [f64; SKELETON] {
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
    fn the_defaults_pass_and_nonsense_does_not() {
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
