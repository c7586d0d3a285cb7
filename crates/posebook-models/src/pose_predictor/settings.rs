//! The `[pose_predictor]` settings of an experiment.

use serde::{Deserialize, Serialize};

/// The `[pose_predictor]` table of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of the imported set of PHALP's files in `models/`; empty: `phalp`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The time at which the tracks of one frame are predicted.
    pub batch_time: BatchTime,
    /// What is done with a history that spans more frames than the network has positions.
    pub long_span: LongSpan,
}

/// Name of the imported set that is used if the settings name none.
pub const DEFAULT_MODEL: &str = "phalp";

impl Settings {
    /// Name of the imported set in `models/`.
    pub fn model_name(&self) -> &str {
        if self.model.is_empty() { DEFAULT_MODEL } else { &self.model }
    }
}

/// The time at which the tracks of one frame are predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchTime {
    /// Every track at the first track's position, as PHALP does (`predict_next` takes element 0 of a stack in which only
    /// the first track's position was meant).
    #[default]
    FirstTrack,
    /// Each track at its own position: one frame after its last match and the frames missed since.
    EachTrack,
}

/// What is done with a history that spans more frames than the network has positions. PHALP raises an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongSpan {
    /// The oldest observations are left out until the rest fits; `PoseTransformer::shortened_histories` counts it.
    #[default]
    Shorten,
    /// An error that names the track.
    Error,
}
