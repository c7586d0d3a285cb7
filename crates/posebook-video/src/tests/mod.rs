//! Tests of reading and writing videos that ffmpeg generates.
//!
//! [`clips`] makes the videos and decodes them with ffmpeg alone; what this crate reads is compared with that. This module
//! has what several groups of tests use.

pub mod clips;
mod failures;
mod image_folder;
mod modes;
mod overlay;
mod probing;
mod reading;
mod seek;
mod timestamps;

use std::fs;
use std::ops::Range;

use posebook_core::frame::Frame;

use crate::{Probe, Settings, VideoError, open_probed};
use clips::{hash, host_uploader};

/// Modes in which frames have the bytes that ffmpeg decodes.
pub const LOSSLESS: [&str; 5] =
    ["stream-sequential", "extract-memory", "extract-png", "stream-seek", "stream-indexed"];

/// Settings that select `range` in `mode`.
pub fn settings(mode: &str, range: Range<usize>) -> Settings {
    Settings {
        mode: Some(mode.parse().unwrap()),
        start_frame: Some(range.start as i64),
        end_frame: Some(range.end as i64),
        ..Settings::default()
    }
}

/// All frames that `settings` select, on the host. Checks that the source leaves no scratch files.
pub fn read(probe: &Probe, settings: &Settings) -> Result<Vec<Frame>, VideoError> {
    let scratch = tempfile::tempdir().unwrap();
    let mut source = open_probed(probe.clone(), settings, scratch.path(), host_uploader())?;
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame()? {
        let frame = frame.to_host().unwrap();
        let rgb = frame.rgb().to_vec();
        frames.push(Frame::new(frame.index, frame.time_secs, frame.width, frame.height, rgb));
    }
    assert!(source.next_frame()?.is_none(), "a source that ended stays ended");
    drop(source);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch files are left");
    Ok(frames)
}

/// The hashes of the frames in `range`, read in `mode`.
pub fn hashes(probe: &Probe, mode: &str, range: Range<usize>) -> Vec<String> {
    let frames =
        read(probe, &settings(mode, range.clone())).unwrap_or_else(|error| panic!("{mode}: {error}"));
    assert!(frames.iter().map(|frame| frame.index).eq(range));
    frames.iter().map(|frame| hash(frame.rgb())).collect()
}
