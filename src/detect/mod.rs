//! Frame -> boxes. Until detectors that look at pixels join, boxes are given (PHALP's `use_gt`): from
//! the truth or from a file, made worse on purpose by seeded jitter, misses and false alarms.
//!
//! A frame's detections depend on the seed, the frame's number and its truth alone, and not on which
//! frames were asked for before. Must not know tracks, nor where the given boxes come from.

mod given;

pub use given::{DetectError, Detected, Given};

use serde::{Deserialize, Serialize};

/// How given boxes are made worse, and which are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
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
            jitter: 0.0,
            misses: 0.0,
            miss_frames: 1,
            false_alarms: 0.0,
            smallest_width: 0.0,
            smallest_height: 0.0,
        }
    }
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
