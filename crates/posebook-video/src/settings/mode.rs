//! The modes of reading a video, with their parameters and names, and PHALP's presets.

use std::fmt;
use std::str::FromStr;

use posebook_core::labels::VideoMode;
use serde::{Deserialize, Serialize};

use crate::error::VideoErrorKind;

/// Default JPEG quality: OpenCV's, with which PHALP writes its files.
pub const DEFAULT_JPEG_QUALITY: u8 = 95;
/// Default size of the sequential stream's frame buffers in MiB.
pub const DEFAULT_QUEUE_MIB: u32 = 16;

/// How frames are decoded and stored before they are delivered; see the table in the documentation of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All selected frames are decoded and stored first.
    Extract(Extract),
    /// Frames are decoded when they are needed.
    Stream(Stream),
}

/// Decodes and stores all selected frames before it delivers the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// Where the frames are stored.
    pub store: Store,
    /// JPEG quality, 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
}

/// Where extracted frames are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// JPEG files.
    Jpeg,
    /// PNG files.
    Png,
    /// Host memory.
    Memory,
    /// Memory of the GPU.
    Device,
}

/// Decodes frames when they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// How a frame is reached in the file.
    pub access: Access,
    /// Size of the sequential stream's frame buffers in MiB; at least two frames are buffered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_mib: Option<u32>,
}

/// How a stream reaches a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Opens the file for every frame, seeks to the preceding key frame, and decodes up to the frame.
    Seek,
    /// One decoder runs through the range, in parallel with the consumer.
    Sequential,
    /// One decoder runs forward, and is restarted at a key frame where that is faster: for frames far apart.
    Indexed,
}

/// PHALP's defaults (`phalp/configs/base.py`, `VideoConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `extract_video=True`: JPEG files, frames -1 to 1300, clamped to the video's end.
    PhalpExtract,
    /// `extract_video=False`: a seek for each frame, 0 s to 10 s by nearest timestamps, the end exclusive.
    PhalpStream,
}

impl Preset {
    /// The mode of the preset.
    pub fn mode(self) -> Mode {
        match self {
            Preset::PhalpExtract => {
                Mode::Extract(Extract { store: Store::Jpeg, quality: Some(DEFAULT_JPEG_QUALITY) })
            }
            Preset::PhalpStream => Mode::Stream(Stream { access: Access::Seek, queue_mib: None }),
        }
    }
}

impl Mode {
    /// A short name without parameters, used in tables and on the command line: `extract-jpeg`, `stream-sequential`.
    pub fn name(self) -> &'static str {
        self.label().name()
    }

    /// The mode without its parameters.
    pub fn label(self) -> VideoMode {
        match self {
            Mode::Extract(Extract { store: Store::Jpeg, .. }) => VideoMode::ExtractJpeg,
            Mode::Extract(Extract { store: Store::Png, .. }) => VideoMode::ExtractPng,
            Mode::Extract(Extract { store: Store::Memory, .. }) => VideoMode::ExtractMemory,
            Mode::Extract(Extract { store: Store::Device, .. }) => VideoMode::ExtractDevice,
            Mode::Stream(Stream { access: Access::Seek, .. }) => VideoMode::StreamSeek,
            Mode::Stream(Stream { access: Access::Sequential, .. }) => VideoMode::StreamSequential,
            Mode::Stream(Stream { access: Access::Indexed, .. }) => VideoMode::StreamIndexed,
        }
    }

    /// Every mode with its default parameters, in the order of the table.
    pub fn all() -> [Mode; 7] {
        [
            Mode::extract(Store::Jpeg),
            Mode::extract(Store::Png),
            Mode::extract(Store::Memory),
            Mode::extract(Store::Device),
            Mode::stream(Access::Seek),
            Mode::stream(Access::Sequential),
            Mode::stream(Access::Indexed),
        ]
    }

    /// Extraction into `store` with default parameters.
    pub fn extract(store: Store) -> Mode {
        Mode::Extract(Extract { store, quality: None })
    }

    /// A stream with default parameters.
    pub fn stream(access: Access) -> Mode {
        Mode::Stream(Stream { access, queue_mib: None })
    }

    /// The same mode with every default parameter written out.
    ///
    /// # Errors
    /// If a parameter does not belong to the mode or lies outside its bounds.
    pub fn with_defaults(self) -> Result<Mode, VideoErrorKind> {
        let invalid = |message: String| Err(VideoErrorKind::InvalidSettings(message));
        match self {
            Mode::Extract(Extract { store: Store::Jpeg, quality }) => {
                match quality.unwrap_or(DEFAULT_JPEG_QUALITY) {
                    quality @ 1..=100 => {
                        Ok(Mode::Extract(Extract { store: Store::Jpeg, quality: Some(quality) }))
                    }
                    other => {
                        invalid(format!("video.mode: a JPEG quality of {other} is not between 1 and 100"))
                    }
                }
            }
            Mode::Extract(Extract { quality: Some(_), .. }) => {
                invalid("video.mode: quality belongs to store = \"jpeg\"; leave it out".into())
            }
            Mode::Stream(Stream { access: Access::Sequential, queue_mib }) => {
                match queue_mib.unwrap_or(DEFAULT_QUEUE_MIB) {
                    0 => invalid("video.mode: queue_mib = 0 has no space for a frame; give 1 or more".into()),
                    mib => Ok(Mode::Stream(Stream { access: Access::Sequential, queue_mib: Some(mib) })),
                }
            }
            Mode::Stream(Stream { queue_mib: Some(_), .. }) => {
                invalid("video.mode: queue_mib belongs to access = \"sequential\"; leave it out".into())
            }
            other => Ok(other),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = VideoErrorKind;

    /// Parses a mode's short name.
    fn from_str(name: &str) -> Result<Mode, VideoErrorKind> {
        Mode::all().into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            let names = Mode::all().map(Mode::name).join(", ");
            VideoErrorKind::InvalidSettings(format!(
                "video.mode: there is no mode `{name}`; choose one of {names}"
            ))
        })
    }
}
