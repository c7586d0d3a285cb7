//! NanoDet's settings.

use super::architecture::SIZE_MULTIPLE;
use crate::detect::SettingsError;
use serde::{Deserialize, Serialize};

/// Maximum of [`Settings::long_side`]; memory grows with its square.
const MAX_LONG_SIDE: usize = 4096;

/// Settings of NanoDet (`[detect.nanodet]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Length of the longer side of scaled frames, pixels, a multiple of 32. Smaller values miss people (a runner with half
    /// the height of a frame has a score of at least 0.70 at 672, and 0.35 at 416); larger values detect smaller people and
    /// may miss large ones. Time and memory grow with its square.
    pub long_side: usize,
    /// Minimum score of a person, 0 to 1. Upright people often have scores of 0.25 to 0.35, as do some objects: BlazePose
    /// confirms or rejects detections below 0.35; they are removed for HMR2, which cannot reject them.
    pub score: f64,
    /// Non-maximum suppression: of two boxes with at least this intersection over union the one with the lower score is
    /// removed.
    pub overlap: f64,
    /// Minimum width of a box, pixels of the frame.
    pub smallest_width: f64,
    /// Minimum height of a box, pixels of the frame.
    pub smallest_height: f64,
    /// Maximum number of people per frame; those with the highest scores are used.
    pub most_people: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            long_side: 672,
            score: 0.25,
            overlap: 0.6,
            smallest_width: 0.0,
            smallest_height: 0.0,
            most_people: 100,
        }
    }
}

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// If a number is outside of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let sides = "a multiple of 32 from 32 to 4096";
        if !self.long_side.is_multiple_of(SIZE_MULTIPLE) {
            return Err(SettingsError::OutOfRange {
                name: "long_side",
                value: self.long_side as f64,
                range: sides,
            });
        }
        let max_side = MAX_LONG_SIDE as f64;
        let not_negative = "a number from 0 on";
        let checks = [
            ("long_side", self.long_side as f64, SIZE_MULTIPLE as f64..=max_side, sides),
            ("score", self.score, 0.0..=1.0, "a number from 0 to 1"),
            ("overlap", self.overlap, 0.0..=1.0, "a number from 0 to 1"),
            ("smallest_width", self.smallest_width, 0.0..=f64::MAX, not_negative),
            ("smallest_height", self.smallest_height, 0.0..=f64::MAX, not_negative),
            ("most_people", self.most_people as f64, 1.0..=f64::MAX, "a whole number from 1 on"),
        ];
        let invalid = checks.into_iter().find(|(_, value, range, _)| !range.contains(value));
        invalid
            .map_or(Ok(()), |(name, value, _, range)| Err(SettingsError::OutOfRange { name, value, range }))
    }
}
