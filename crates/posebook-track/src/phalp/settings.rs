//! The tracker's settings. Names and defaults are PHALP's (`phalp/configs/base.py`).

use super::cost::CostEquation;
use super::cues::{Cues, PoseCue, PoseDistance, TextureCue};
use super::features::{POSE_LENGTH, Prediction};
use super::ridge;
use posebook_core::appearance::{EMBEDDING_LENGTH, UV_TEXELS};
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
    /// Share of a new texture in a track's texture map, times the detection's squared score: 0 to 1. Only used with
    /// `cues.texture = "uv"`.
    #[serde(skip_serializing_if = "is_default_alpha")]
    pub alpha: f64,
    /// Predictions stored of each track, one a frame; the cost of a pair is the least over them.
    #[serde(skip_serializing_if = "is_default_lookback")]
    pub past_lookback: usize,
    /// Whether people are paired with tracks by the identity of their ground truth instead of by an assignment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_gt: bool,
    /// What the pose cue compares.
    #[serde(skip_serializing_if = "is_default_pose_distance")]
    pub pose_distance: PoseDistance,
}

const DEFAULT_ALPHA: f64 = 0.1;
const DEFAULT_LOOKBACK: usize = 1;

// serde passes references
fn is_default_alpha(alpha: &f64) -> bool {
    *alpha == DEFAULT_ALPHA
}

fn is_default_lookback(lookback: &usize) -> bool {
    *lookback == DEFAULT_LOOKBACK
}

fn is_default_pose_distance(pose_distance: &PoseDistance) -> bool {
    *pose_distance == PoseDistance::default()
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
            alpha: DEFAULT_ALPHA,
            past_lookback: DEFAULT_LOOKBACK,
            use_gt: false,
            pose_distance: PoseDistance::Smpl,
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
    /// `alpha` is not a share.
    #[error("phalp.alpha is {got}; set it to a number from 0 to 1")]
    Alpha {
        /// The given value.
        got: f64,
    },
    /// `past_lookback` is 0, with which the reference stores every prediction of the video.
    #[error("phalp.past_lookback is 0; set it to 1 or more")]
    PastLookback,
    /// The learned pose predictor predicts SMPL's parameters, not joints.
    #[error(
        "phalp.cues.pose is \"predictor\", which cannot predict phalp.pose_distance \"joints\"; set one of them to \
         another value (\"last\", \"smpl\")"
    )]
    PredictedJoints,
    /// A cue needs a network that the tracker was not given.
    #[error("phalp.cues.{cue} needs {network}; load its weights or set phalp.cues.{cue} to \"{without}\"")]
    MissingNetwork {
        /// The cue's setting.
        cue: &'static str,
        /// What the network does.
        network: &'static str,
        /// The setting that needs no network.
        without: &'static str,
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
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(SettingsError::Alpha { got: self.alpha });
        }
        if self.past_lookback == 0 {
            return Err(SettingsError::PastLookback);
        }
        if self.cues.pose == PoseCue::Predictor && self.pose_distance == PoseDistance::Joints {
            return Err(SettingsError::PredictedJoints);
        }
        Ok(())
    }

    /// The part of a person's appearance that the tracker needs; `shots` says whether
    /// [`Tracker::begin_shot`](super::Tracker::begin_shot) will be called.
    ///
    /// `EQ_010` compares embeddings in the first frame of a shot, whatever the texture cue is.
    pub fn appearance_needed(&self, shots: bool) -> AppearanceNeeded {
        match self.cues.texture {
            TextureCue::Uv => AppearanceNeeded::Texture,
            TextureCue::Embedding => AppearanceNeeded::Embedding,
            TextureCue::Off if shots && self.distance_type == CostEquation::Eq010 => {
                AppearanceNeeded::Embedding
            }
            TextureCue::Off => AppearanceNeeded::Nothing,
        }
    }

    /// The most bytes that a tracker stores per track, allocations alone: what
    /// [`Track::state_bytes`](super::Track::state_bytes) can reach; `shots` as for [`Settings::appearance_needed`].
    ///
    /// With the default settings these are 9 KiB, of which the history takes most. An embedding adds 16 KiB, a texture map 1 MiB, each times
    /// `past_lookback`.
    pub fn bytes_per_track(&self, shots: bool) -> usize {
        let appearance = match self.appearance_needed(shots) {
            AppearanceNeeded::Nothing => 0,
            AppearanceNeeded::Embedding => EMBEDDING_BYTES,
            AppearanceNeeded::Texture => EMBEDDING_BYTES + TEXTURE_BYTES,
        };
        let poses = self.track_history + self.past_lookback;
        poses * POSE_BYTES + self.past_lookback * appearance
    }
}

/// Bytes of one embedding, texture map and observation or prediction without either.
pub(super) const EMBEDDING_BYTES: usize = 4 * EMBEDDING_LENGTH;
pub(super) const TEXTURE_BYTES: usize = 4 * 4 * UV_TEXELS;
/// Pose vector with its reference counts, and the rest.
pub(super) const POSE_BYTES: usize = 4 * POSE_LENGTH + 16 + 2 * size_of::<Prediction>();

/// The part of a person's appearance that a tracker needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppearanceNeeded {
    /// None; [`Person::appearance`](posebook_core::person::Person::appearance) may be `None`.
    Nothing,
    /// The embedding. The texture is dropped.
    Embedding,
    /// Texture and embedding.
    Texture,
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
        for alpha in [-0.1, 1.5, f64::NAN] {
            assert!(Settings { alpha, ..Settings::default() }.check().is_err());
        }
        assert!(Settings { past_lookback: 0, ..Settings::default() }.check().is_err());
        let settings = Settings {
            cues: Cues { pose: PoseCue::Predictor, ..Cues::default() },
            pose_distance: PoseDistance::Joints,
            ..Settings::default()
        };
        assert!(settings.check().unwrap_err().to_string().starts_with("phalp.cues.pose is \"predictor\""));
    }

    #[test]
    fn defaults_are_not_written_where_they_are_new() {
        let text = toml::to_string(&Settings::default()).unwrap();
        for new in ["alpha", "past_lookback", "use_gt", "pose_distance"] {
            assert!(!text.contains(new), "{text}");
        }
        let settings = Settings { alpha: 0.2, past_lookback: 3, use_gt: true, ..Settings::default() };
        let settings = Settings { pose_distance: PoseDistance::Joints, ..settings };
        let again: Settings = toml::from_str(&toml::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }
}
