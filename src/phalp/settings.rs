//! What can be asked of the tracker. Names and defaults are PHALP's own (`phalp/configs/base.py`).

use super::cost::Equation;
use super::ridge;
use serde::{Deserialize, Serialize};

/// The tracker's settings; the defaults are the reference's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Observations that a track remembers, and that its location is foretold from.
    pub track_history: usize,
    /// Sightings in a row that confirm a track.
    pub n_init: usize,
    /// Frames in a row without a sighting that a confirmed track survives.
    pub max_age_track: usize,
    /// Pairings that cost more than this are not made; costs are clipped to it before pairing.
    pub hungarian_th: f64,
    /// How the cues become one cost.
    pub distance_type: Equation,
    pub cues: Cues,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            track_history: 7,
            n_init: 5,
            max_age_track: 50,
            hungarian_th: 100.0,
            distance_type: Equation::Eq019,
            cues: Cues::default(),
        }
    }
}

/// Which cues enter the cost, and how each is foretold. A cue that is off counts as distance zero.
///
/// The defaults are what PHALP does when its setting `predict` is `L`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cues {
    pub location: LocationCue,
    pub pose: PoseCue,
    pub texture: TextureCue,
}

/// Where a track's person is expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationCue {
    /// Location plays no part.
    Off,
    /// Where it was seen last.
    Last,
    /// On the straight line that a ridge regression lays through the history.
    #[default]
    Ridge,
}

/// How the body of a track's person is expected to be posed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoseCue {
    /// The pose plays no part.
    Off,
    /// As it was seen last: what the reference falls back to without its pose transformer.
    #[default]
    Last,
}

/// How the looks of a track's person are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextureCue {
    /// The looks play no part.
    #[default]
    Off,
}

/// A setting that the tracker cannot work with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error("phalp.track_history is {got}; set it to {} to {}", ridge::SHORTEST, ridge::LONGEST)]
    History { got: usize },
    #[error("phalp.n_init is {got}; set it to 1 to {history} (phalp.track_history)")]
    Confirmation { got: usize, history: usize },
    #[error("phalp.hungarian_th is {got}; set it to a number above 0")]
    Threshold { got: f64 },
}

impl Settings {
    /// # Errors
    /// If a number is outside of what the tracker can work with.
    pub fn check(&self) -> Result<(), SettingsError> {
        let history = self.track_history;
        if !(ridge::SHORTEST..=ridge::LONGEST).contains(&history) {
            return Err(SettingsError::History { got: history });
        }
        if !(1..=history).contains(&self.n_init) {
            return Err(SettingsError::Confirmation { got: self.n_init, history });
        }
        if !(self.hungarian_th.is_finite() && self.hungarian_th > 0.0) {
            return Err(SettingsError::Threshold { got: self.hungarian_th });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phalps_words_are_understood_and_others_refused() {
        let settings: Settings =
            toml::from_str("n_init = 3\ndistance_type = \"EQ_010\"\n[cues]\nlocation = \"last\"").unwrap();
        assert_eq!((settings.n_init, settings.distance_type), (3, Equation::Eq010));
        assert_eq!(settings.cues.location, LocationCue::Last);
        assert!(toml::from_str::<Settings>("ninit = 3").is_err());
        let again: Settings = toml::from_str(&toml::to_string(&Settings::default()).unwrap()).unwrap();
        assert_eq!(again, Settings::default());
    }

    #[test]
    fn impossible_settings_say_what_to_do() {
        let wrong = Settings { n_init: 9, ..Settings::default() };
        assert_eq!(
            wrong.check().unwrap_err().to_string(),
            "phalp.n_init is 9; set it to 1 to 7 (phalp.track_history)"
        );
        assert!(Settings { track_history: 2, ..Settings::default() }.check().is_err());
        assert!(Settings { hungarian_th: f64::NAN, ..Settings::default() }.check().is_err());
    }
}
