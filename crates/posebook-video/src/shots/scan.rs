//! Shots of a whole file, in a pass of its own.
//!
//! In: a probed video. Out: the frames with which shots start. The file is decoded once, in order, and one frame is held at a
//! time.

use posebook_core::frame::FrameSize;

use super::{Settings, ShotDetector};
use crate::decode::decoder::DecodeOptions;
use crate::decode::frame_decoder::FrameDecoder;
use crate::error::{VideoError, VideoErrorKind};
use crate::ffmpeg::hardware;
use crate::modes::reader::ReaderContext;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Decodes the whole video and returns the clip indices of the frames with which a shot starts, ascending. The first frame
/// is not among them. `hwaccel` is ffmpeg's name of the hardware that decodes; `None` is the CPU. `progress` is called after
/// every frame with the number of frames that are done; scanning stops with an empty list when it returns false.
///
/// # Errors
/// If the video cannot be decoded, or memory for one frame is not available.
pub fn scan_file(
    probe: &Probe,
    settings: Settings,
    hwaccel: Option<&str>,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Vec<usize>, VideoError> {
    let wrong = |kind| VideoError::new(&probe.path, kind);
    if let Some(name) = hwaccel {
        hardware::check(name).map_err(wrong)?;
    }
    let size = FrameSize::new(probe.width, probe.height);
    let Some(mut detector) = ShotDetector::new(settings, size) else { return Ok(Vec::new()) };
    let mut rgb = Vec::new();
    let bytes = probe.frame_bytes();
    rgb.try_reserve_exact(bytes).map_err(|_| wrong(VideoErrorKind::OutOfMemory { bytes }))?;
    rgb.resize(bytes, 0);
    let selection = Selection::all(0..probe.frames());
    let context = ReaderContext::new(probe.clone(), selection.clone());
    let options = DecodeOptions::new(hwaccel);
    let mut decoder = FrameDecoder::start(&context.probe, &options, selection, context.child.clone())?;
    let (mut starts, mut done) = (Vec::new(), 0);
    while let Some(index) = decoder.read(&mut rgb)? {
        starts.extend(detector.push(&rgb, index).filter(|frame| frame.starts_shot).map(|frame| frame.index));
        done += 1;
        if !progress(done) {
            return Ok(Vec::new());
        }
    }
    decoder.finish()?;
    Ok(starts)
}
