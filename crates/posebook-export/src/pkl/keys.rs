//! The keys of frames in a `.pkl`.

use crate::frames::{ExportFrame, VideoInfo};
use std::fmt;
use std::str::FromStr;

/// The kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The path that the frame's picture has where PHALP extracts frames: `OUTPUT/_DEMO/VIDEO/img/000001.jpg`.
    Path,
    /// The video's path and the frame's presentation timestamp, as where 4D-Humans streams: `(PATH, 512)`. Several programs
    /// that read these files need text instead.
    Pts,
    /// A text without folders: `VIDEO_000001.jpg`.
    Text,
}

impl FromStr for KeyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyKind, String> {
        match text {
            "path" => Ok(KeyKind::Path),
            "pts" => Ok(KeyKind::Pts),
            "text" => Ok(KeyKind::Text),
            _ => Err(format!("`{text}` is no kind of keys; give path, pts or text")),
        }
    }
}

/// The key of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameKey {
    /// A path or another text.
    Text(String),
    /// Path of the video, and the timestamp in units of its time base.
    Stream(String, i64),
}

impl fmt::Display for FrameKey {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            FrameKey::Text(text) => out.write_str(text),
            FrameKey::Stream(path, pts) => write!(out, "({path}, {pts})"),
        }
    }
}

/// The key of a frame of `video`. Pictures are counted from 1. `output_dir` is the folder in whose `_DEMO` PHALP would have
/// extracted them. Where a timestamp is not known, it is counted in frames.
pub fn frame_key(kind: KeyKind, frame: &ExportFrame, video: &VideoInfo, output_dir: &str) -> FrameKey {
    let picture = frame.number + 1;
    match kind {
        KeyKind::Path => FrameKey::Text(format!("{output_dir}/_DEMO/{}/img/{picture:06}.jpg", video.name)),
        KeyKind::Pts => {
            FrameKey::Stream(video.source.clone(), frame.pts.unwrap_or_else(|| frame.index.cast_signed()))
        }
        KeyKind::Text => FrameKey::Text(format!("{}_{picture:06}.jpg", video.name)),
    }
}
