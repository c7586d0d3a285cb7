//! The cues by which a track and a detected person are compared, and how each is predicted.

use serde::{Deserialize, Serialize};

/// The cues that enter the cost, and how each is predicted. A cue that is off has distance zero.
///
/// The defaults are those of PHALP with `predict = L`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cues {
    /// Predicted location.
    pub location: LocationCue,
    /// Predicted pose.
    pub pose: PoseCue,
    /// Appearance.
    pub texture: TextureCue,
}

/// How the location of a track's person is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationCue {
    /// Location is ignored.
    Off,
    /// The location of the last match.
    Last,
    /// Extrapolated by ridge regression over the track's history.
    #[default]
    Ridge,
}

/// How the body pose of a track's person is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoseCue {
    /// Pose is ignored.
    Off,
    /// The pose of the last match, which is the reference's fallback without its pose transformer.
    #[default]
    Last,
}

/// How the appearance of a track's person is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextureCue {
    /// Appearance is ignored.
    #[default]
    Off,
}
