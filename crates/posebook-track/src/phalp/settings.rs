//! The tracker's settings. Names and defaults are PHALP's (`phalp/configs/base.py`).

use super::cost::CostEquation;
use super::cues::Cues;
use super::ridge;
use serde::{Deserialize, Serialize};

/// The tracker's settings; the defaults are the reference's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Observations that a track stores and predicts its location from.
    pub track_history: usize,
    /// Consecutive matches that confirm a track.
    pub n_init: usize,
    /// Most consecutive frames without a match before a confirmed track is deleted.
    pub max_age_track: usize,
    /// Gate: assignments that cost more are not made; costs are clipped to it before the assignment.
    pub hungarian_th: f64,
    /// How the cues are combined into one cost.
    pub distance_type: CostEquation,
    /// Which cues are compared, and how each is predicted.
    pub cues: Cues,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            track_history: 7,
            n_init: 5,
            max_age_track: 50,
            hungarian_th: 100.0,
            distance_type: CostEquation::Eq019,
            cues: Cues::default(),
        }
    }
}

/// A setting that the tracker cannot work with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// `track_history` is too small or too large.
    #[error("phalp.track_history is {got}; set it to {} to {}", ridge::MIN_HISTORY, ridge::MAX_HISTORY)]
    TrackHistory {
        /// The given value.
        got: usize,
    },
    /// `n_init` is 0 or more than `track_history`.
    #[error("phalp.n_init is {got}; set it to 1 to {history} (phalp.track_history)")]
    NInit {
        /// The given value.
        got: usize,
        /// The value of `track_history`.
        history: usize,
    },
    /// `hungarian_th` is not positive or not finite.
    #[error("phalp.hungarian_th is {got}; set it to a number above 0")]
    HungarianThreshold {
        /// The given value.
        got: f64,
    },
}

impl Settings {
    /// Checks all values against the tracker's limits.
    ///
    /// # Errors
    /// If a value is outside the tracker's limits.
    pub fn check(&self) -> Result<(), SettingsError> {
        let history = self.track_history;
        if !(ridge::MIN_HISTORY..=ridge::MAX_HISTORY).contains(&history) {
            return Err(SettingsError::TrackHistory { got: history });
        }
        if !(1..=history).contains(&self.n_init) {
            return Err(SettingsError::NInit { got: self.n_init, history });
        }
        if !(self.hungarian_th.is_finite() && self.hungarian_th > 0.0) {
            return Err(SettingsError::HungarianThreshold { got: self.hungarian_th });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phalp::LocationCue;

    #[test]
    fn phalps_names_are_accepted_and_others_refused() {
        let settings: Settings =
            toml::from_str("n_init = 3\ndistance_type = \"EQ_010\"\n[cues]\nlocation = \"last\"").unwrap();
        assert_eq!((settings.n_init, settings.distance_type), (3, CostEquation::Eq010));
        assert_eq!(settings.cues.location, LocationCue::Last);
        assert!(toml::from_str::<Settings>("ninit = 3").is_err());
        let again: Settings = toml::from_str(&toml::to_string(&Settings::default()).unwrap()).unwrap();
        assert_eq!(again, Settings::default());
    }

    #[test]
    fn impossible_settings_say_what_to_do() {
        let settings = Settings { n_init: 9, ..Settings::default() };
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "phalp.n_init is 9; set it to 1 to 7 (phalp.track_history)"
        );
        assert!(Settings { track_history: 2, ..Settings::default() }.check().is_err());
        assert!(Settings { hungarian_th: f64::NAN, ..Settings::default() }.check().is_err());
    }
}
