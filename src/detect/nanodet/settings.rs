//! What a person may set about NanoDet.

use super::architecture::MULTIPLE;
use crate::detect::SettingsError;
use serde::{Deserialize, Serialize};

/// The longest side that a picture may be scaled to; memory grows with its square.
const LONGEST_SIDE: usize = 4096;

/// Which boxes NanoDet gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Pixels that the longer side of every picture is scaled to, a multiple of 32. Smaller ones lose people (a runner
    /// of half a filmed picture's height: a score of at least 0.70 at 672, and 0.35 at 416); larger ones find smaller people
    /// and may lose large ones. Time and memory grow with its square.
    pub long_side: usize,
    /// The least score (0 to 1) of a person. People who stand straight often score 0.25 to 0.35, and so do some things:
    /// BlazePose confirms or rejects detections below 0.35; they are left out where HMR2, which cannot, recovers bodies.
    pub score: f64,
    /// Of two boxes whose intersection over union is at least this, the one with the lower score is left out.
    pub overlap: f64,
    /// Boxes narrower or lower than this many pixels of the frame are left out.
    pub smallest_width: f64,
    pub smallest_height: f64,
    /// The most people of a frame: those with the highest scores.
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
    /// # Errors
    /// If a number is outside of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let sides = "a multiple of 32 from 32 to 4096";
        if !self.long_side.is_multiple_of(MULTIPLE) {
            return Err(SettingsError { name: "long_side", value: self.long_side as f64, range: sides });
        }
        let longest = LONGEST_SIDE as f64;
        let not_negative = "a number from 0 on";
        let checks = [
            ("long_side", self.long_side as f64, MULTIPLE as f64..=longest, sides),
            ("score", self.score, 0.0..=1.0, "a number from 0 to 1"),
            ("overlap", self.overlap, 0.0..=1.0, "a number from 0 to 1"),
            ("smallest_width", self.smallest_width, 0.0..=f64::MAX, not_negative),
            ("smallest_height", self.smallest_height, 0.0..=f64::MAX, not_negative),
            ("most_people", self.most_people as f64, 1.0..=f64::MAX, "a whole number from 1 on"),
        ];
        let wrong = checks.into_iter().find(|(_, value, range, _)| !range.contains(value));
        wrong.map_or(Ok(()), |(name, value, _, range)| Err(SettingsError { name, value, range }))
    }
}
