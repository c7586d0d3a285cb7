//! Encoder settings of drawn clips.

use serde::{Deserialize, Serialize};

/// Encoder settings of drawn clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encoding {
    /// Key frame interval, frames.
    pub gop: u32,
    /// Consecutive B-frames at most.
    pub b_frames: u32,
    /// x264's constant rate factor, 0 (lossless) to 51; ignored if a bit rate is given.
    pub crf: u32,
    /// Target bit rate instead of constant quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_rate_kbps: Option<u32>,
}

impl Default for Encoding {
    fn default() -> Encoding {
        Encoding { gop: 48, b_frames: 3, crf: 0, bit_rate_kbps: None }
    }
}
