//! The summary of a reconstruction, which `summary.json` holds, and the events during it.

use super::boxes::BoxOrigin;
use super::serialize::{serialize_path, serialize_paths};
use posebook_core::provenance::SourceVersion;
use serde::Serialize;
use std::path::PathBuf;

/// An image whose people were reconstructed.
#[derive(Debug, Clone, Serialize)]
pub struct ReconstructedImage {
    /// The image's path.
    #[serde(serialize_with = "serialize_path")]
    pub picture: PathBuf,
    /// Base name of its results.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Number of reconstructed people.
    pub people: usize,
    /// Origin of the boxes.
    pub boxes: BoxOrigin,
    /// Names of the result files in the folder.
    pub files: Vec<String>,
    /// Notes for the user about the boxes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An image that could not be reconstructed.
#[derive(Debug, Clone, Serialize)]
pub struct FailedImage {
    /// The image's path.
    #[serde(serialize_with = "serialize_path")]
    pub picture: PathBuf,
    /// Error message without the path.
    pub error: String,
}

/// Wall-clock time by stage, summed over all images, seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct StageTimes {
    /// Loading the model set and the body.
    pub load_secs: f64,
    /// Reading and decoding image files.
    pub read_secs: f64,
    /// Detecting people.
    pub detect_secs: f64,
    /// Cropping people.
    pub crop_secs: f64,
    /// Recovering bodies from crops.
    pub network_secs: f64,
    /// Drawing images and making meshes and arrays.
    pub draw_secs: f64,
    /// Writing files.
    pub write_secs: f64,
}

impl StageTimes {
    /// The times rounded to 0.1 ms.
    pub(super) fn rounded(self) -> StageTimes {
        let round = |secs: f64| (secs * 1e4).round() / 1e4;
        StageTimes {
            load_secs: round(self.load_secs),
            read_secs: round(self.read_secs),
            detect_secs: round(self.detect_secs),
            crop_secs: round(self.crop_secs),
            network_secs: round(self.network_secs),
            draw_secs: round(self.draw_secs),
            write_secs: round(self.write_secs),
        }
    }
}

/// Result of a reconstruction; the content of `summary.json`.
#[derive(Debug, Clone, Serialize)]
pub struct ReconstructionSummary {
    /// The folder of the results.
    #[serde(serialize_with = "serialize_path")]
    pub folder: PathBuf,
    /// Images that were reconstructed.
    pub pictures: Vec<ReconstructedImage>,
    /// Images that could not be reconstructed.
    pub failed: Vec<FailedImage>,
    /// Images that were not started before Ctrl-C.
    #[serde(serialize_with = "serialize_paths")]
    pub not_begun: Vec<PathBuf>,
    /// Name of the model set.
    pub model: String,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// License of the weights.
    pub licence: String,
    /// The device.
    pub device: String,
    /// Number format of the network.
    pub precision: String,
    /// Maximum number of crops per forward pass.
    pub batch: usize,
    /// Revision of the source.
    pub source: SourceVersion,
    /// Where the time went.
    pub times: StageTimes,
}

/// Progress of a reconstruction.
#[derive(Debug, Clone, Copy)]
pub enum ReconstructionEvent<'a> {
    /// An image was reconstructed.
    Done {
        /// Number of the image, from 1.
        number: usize,
        /// Number of images.
        total: usize,
        /// The image.
        image: &'a ReconstructedImage,
    },
    /// An image could not be reconstructed.
    Failed {
        /// Number of the image, from 1.
        number: usize,
        /// Number of images.
        total: usize,
        /// The image and the error.
        image: &'a FailedImage,
    },
    /// A message for the user, one sentence.
    Note(&'a str),
}
