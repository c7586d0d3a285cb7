//! Frame -> boxes: by a network ([`nanodet`]), or given (PHALP's `use_gt`) from the truth or a file, made worse on
//! purpose by seeded jitter, misses and false alarms.
//!
//! A frame's detections do not depend on the frames before: given ones depend on the seed, the frame's number and
//! its truth, a network's on the pixels. Must not know tracks, nor where given boxes come from.

mod given;
pub mod nanodet;
mod nms;

pub use given::{DetectError, Detected, Given};

use serde::{Deserialize, Serialize};

/// What finds people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Nothing: boxes are given.
    #[default]
    Given,
    /// NanoDet-g, fetched by `posebook model fetch nanodet`.
    Nanodet,
}

impl Model {
    /// As it is written in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Model::Given => "given",
            Model::Nanodet => "nanodet",
        }
    }

    fn is_given(&self) -> bool {
        *self == Model::Given
    }
}

/// What finds people, how given boxes are made worse, and which are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `given` or `nanodet`. `posebook track` chooses `nanodet` where no boxes are given.
    #[serde(skip_serializing_if = "Model::is_given")]
    pub model: Model,
    /// Where the model is `nanodet`; the settings below concern given boxes.
    #[serde(skip_serializing_if = "is_default")]
    pub nanodet: nanodet::Settings,
    /// Standard deviation of a box's centre, and of the logarithm of its size, as a share of its size.
    pub jitter: f64,
    /// Share of boxes that are missed.
    pub misses: f64,
    /// Frames that a miss lasts: whether a person is missed is drawn anew every so many frames.
    pub miss_frames: u64,
    /// False alarms per frame, on average.
    pub false_alarms: f64,
    /// Boxes narrower or lower than this many pixels are left out. PHALP leaves out what is narrower
    /// than 50 or lower than 100 (`small_w`, `small_h`), which loses people in small pictures.
    pub smallest_width: f64,
    pub smallest_height: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            model: Model::Given,
            nanodet: nanodet::Settings::default(),
            jitter: 0.0,
            misses: 0.0,
            miss_frames: 1,
            false_alarms: 0.0,
            smallest_width: 0.0,
            smallest_height: 0.0,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("detect.{name} is {value}; set it to {range}")]
pub struct SettingsError {
    name: &'static str,
    value: f64,
    range: &'static str,
}

impl Settings {
    /// # Errors
    /// If a number is outside of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let not_negative = "a number from 0 on";
        let checks = [
            ("jitter", self.jitter, 0.0..=1.0, "a number from 0 to 1"),
            ("misses", self.misses, 0.0..=1.0, "a number from 0 to 1"),
            ("miss_frames", self.miss_frames as f64, 1.0..=f64::MAX, "a whole number from 1 on"),
            ("false_alarms", self.false_alarms, 0.0..=100.0, "a number from 0 to 100"),
            ("smallest_width", self.smallest_width, 0.0..=f64::MAX, not_negative),
            ("smallest_height", self.smallest_height, 0.0..=f64::MAX, not_negative),
        ];
        let wrong = checks.into_iter().find(|(_, value, range, _)| !range.contains(value));
        wrong.map_or(Ok(()), |(name, value, _, range)| Err(SettingsError { name, value, range }))
    }
}
