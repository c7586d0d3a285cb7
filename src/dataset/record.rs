//! `clip.json`: the record in a clip's cache folder that describes the clip and what it was made from.

use super::DatasetError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(super) const RECORD: &str = "clip.json";
pub(super) const TRUTH: &str = "truth.jsonl";
pub(super) const BOXES: &str = "boxes.jsonl";
pub(super) const TABLE: &str = "truth.parquet";

/// Called with the number of frames (or bytes) done and the total.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

/// Content of `clip.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The clip's name.
    pub name: String,
    /// The video: a name within the folder, or the path of a file or a folder of images of the user's.
    pub video: PathBuf,
    /// SHA-256 of the video file, or of the folder of images.
    pub video_sha256: String,
    /// SHA-256 of the decoded frames' RGB bytes.
    pub decoded_sha256: Option<String>,
    /// Size of the video.
    pub video_bytes: u64,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Number of frames.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// SHA-256 of `truth.jsonl`.
    pub truth_sha256: Option<String>,
    /// SHA-256 of `boxes.jsonl`.
    pub boxes_sha256: Option<String>,
    /// SHA-256 of `truth.parquet`.
    pub table_sha256: Option<String>,
    /// SHA-256 of the drawn frames' RGB bytes before encoding.
    pub drawn_sha256: Option<String>,
    /// The first line of `ffmpeg -version`.
    pub ffmpeg: Option<String>,
    /// Everything it was made from.
    pub made_from: serde_json::Value,
    /// Notes for the user on how ground truth and boxes were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// See [`super::Clip::view`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// See [`super::Clip::views_truth`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views_truth: Option<PathBuf>,
    /// See [`super::Clip::truth_origin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth_origin: Option<String>,
}

impl Record {
    /// The record in a clip's folder; `None` if there is none.
    pub fn read(folder: &Path) -> Result<Option<Record>, DatasetError> {
        let path = folder.join(RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DatasetError::io("read", &path, source)),
        };
        let damaged = |error: serde_json::Error| {
            DatasetError::at_line(
                &path,
                error.line(),
                format!("{error}; remove the folder and create the clip again"),
            )
        };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Writes the record into a folder, atomically.
    pub fn write(&self, folder: &Path) -> Result<(), DatasetError> {
        let path = folder.join(RECORD);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        text.and_then(|bytes| posebook_core::files::write_atomically(&path, &bytes))
            .map_err(|source| DatasetError::io("write", &path, source))
    }
}
