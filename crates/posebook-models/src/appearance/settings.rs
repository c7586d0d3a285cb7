//! Settings of appearance.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Name of the encoder that the program contains.
pub const TINY_ENCODER: &str = "tiny";
/// Name of the encoder without weights.
pub const RAW_ENCODER: &str = "raw";

/// Settings of the table `[appearance]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `tiny`: the small encoder that the program contains. `raw`: mean colors of a grid, without weights. Else the path of a
    /// `.safetensors` file, or the name of an imported set of PHALP's files.
    pub encoder: String,
    /// Which planes the encoder reads (PHALP's `phalp.encode_type`); `None`: those that its weights are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode_type: Option<EncodeType>,
    /// Whether embeddings are written to the table of people.
    pub results: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { encoder: TINY_ENCODER.to_string(), encode_type: None, results: false }
    }
}

/// Planes of a UV map that an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncodeType {
    /// Colors and mask (`conv1x`; PHALP's default).
    #[serde(rename = "4c")]
    FourChannels,
    /// Colors (`conv1`).
    #[serde(rename = "3c")]
    ThreeChannels,
}

impl EncodeType {
    /// Number of planes.
    pub fn channels(self) -> usize {
        match self {
            EncodeType::FourChannels => 4,
            EncodeType::ThreeChannels => 3,
        }
    }
}

/// An encoder, as [`Settings::encoder`] names it, with its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncoderSource {
    /// The small encoder that the program contains.
    Tiny,
    /// Mean colors, without weights.
    Raw,
    /// A safetensors file.
    File(PathBuf),
}

/// The files that appearance is computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The encoder.
    pub encoder: EncoderSource,
    /// Which planes the encoder reads; `None`: those that its weights are for.
    pub encode_type: Option<EncodeType>,
    /// UV maps of the body's mesh (see [`super::maps::UvMaps::load`]); `None`: they are baked from the body's atlas.
    pub maps: Option<PathBuf>,
}
