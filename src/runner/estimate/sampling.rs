//! Measures the video itself: how fast it is decoded, and how large images of its frames are.

use super::super::RunnerError;
use crate::experiment::Settings;
use candle_core::Device;
use posebook_core::memory::process::ProcessSampler;
use posebook_models::device::uploader;
use posebook_video as video;
use posebook_video::{Access, Mode, Probe, Store, VideoError};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// Number of frames that are written as images.
const IMAGES: usize = 8;
/// Number of frames that are decoded to measure the rate.
const DECODED: usize = 60;
/// Number of frames between two samples of the decoder's memory.
const SAMPLE_EVERY: u32 = 8;
/// A frame farther than this from its key frame takes too long to decode: a nearer one is used instead.
const MAX_KEY_DISTANCE: usize = 240;

/// Decoding rate of a video and memory of the decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeRate {
    /// Time from the start of a decoder to its first frame, seconds.
    pub start_secs: f64,
    /// Time per frame after that, seconds.
    pub frame_secs: f64,
    /// Peak resident set of the decoder's process; `None` where it cannot be measured.
    pub decoder_bytes: Option<u64>,
}

impl DecodeRate {
    /// Measures the rate on the beginning of the range.
    ///
    /// # Errors
    /// If the video cannot be decoded.
    pub fn measure(probe: &Probe, range: &Range<usize>, scratch: &Path) -> Result<DecodeRate, RunnerError> {
        // of a looped file only the first pass is decoded
        let start = probe.file_frame(range.start);
        let decoded = start..probe.file_frames().min(start + range.len().min(DECODED));
        let started = Instant::now();
        let mode = Mode::stream(Access::Sequential);
        let mut source =
            video::open_probed(probe.clone(), &part(mode, decoded), scratch, Some(uploader(&Device::Cpu)))?;
        let (mut frames, mut first) = (0u32, None);
        let (mut sampler, mut decoder_bytes) = (ProcessSampler::new(std::process::id()), None);
        while let Some(frame) = source.next_frame()? {
            drop(frame);
            first.get_or_insert_with(|| started.elapsed().as_secs_f64());
            if frames % SAMPLE_EVERY == 0 {
                decoder_bytes = decoder_bytes.max(sampler.sample().children_bytes);
            }
            frames += 1;
        }
        let start_secs = first.unwrap_or(0.0);
        let rest = started.elapsed().as_secs_f64() - start_secs;
        Ok(DecodeRate { start_secs, frame_secs: rest / f64::from(frames.max(2) - 1), decoder_bytes })
    }
}

/// Video settings for a part of a video.
fn part(mode: Mode, range: Range<usize>) -> video::Settings {
    video::Settings {
        mode: Some(mode),
        start_frame: Some(range.start as i64),
        end_frame: Some(range.end as i64),
        ..video::Settings::default()
    }
}

/// Number of frames that a run processes.
///
/// # Errors
/// If the settings do not fit the video.
pub fn count_frames(probe: &Probe, settings: &Settings, scratch: &Path) -> Result<usize, VideoError> {
    let mut lazy = settings.video.clone();
    if lazy.preset.is_none() {
        // this mode decodes nothing before `prepare`
        lazy.mode = Some(Mode::extract(Store::Png));
    }
    Ok(video::open_probed(probe.clone(), &lazy, scratch, Some(uploader(&Device::Cpu)))?.frame_count())
}

/// Mean size of an image as the mode writes it, bytes; `None` if it writes none.
///
/// # Errors
/// If the video cannot be decoded or an image cannot be written.
pub fn mean_image_bytes(
    probe: &Probe,
    range: &Range<usize>,
    mode: Mode,
    scratch: &Path,
) -> Result<Option<f64>, RunnerError> {
    if !matches!(mode, Mode::Extract(video::Extract { store: Store::Jpeg | Store::Png, .. })) {
        return Ok(None);
    }
    let indices = spread(probe, range);
    let mut bytes = 0;
    for n in indices.iter().map(|&n| probe.file_frame(n)) {
        let mut source =
            video::open_probed(probe.clone(), &part(mode, n..n + 1), scratch, Some(uploader(&Device::Cpu)))?;
        source.prepare()?;
        bytes += source.disk_bytes();
    }
    Ok(Some(bytes as f64 / indices.len() as f64))
}

/// Frames spread over the range that can be decoded quickly.
fn spread(probe: &Probe, range: &Range<usize>) -> Vec<usize> {
    let count = IMAGES.min(range.len());
    let middle = |index: usize| range.start + (2 * index + 1) * range.len() / (2 * count);
    let reachable = |index: usize| {
        let n = middle(index);
        let key = (range.start.min(n)..=n).rev().find(|&n| probe.is_key(n)).unwrap_or(range.start);
        // frames that depend on the same key frame must still differ
        if n - key > MAX_KEY_DISTANCE { key + MAX_KEY_DISTANCE * (index + 1) / count } else { n }
    };
    (0..count).map(reachable).collect()
}

/// Number of frames to decode when every frame is reached by seeking: from its key frame to the frame itself.
pub fn decoded_by_seeking(is_key: impl Fn(usize) -> bool, range: &Range<usize>, every: usize) -> u64 {
    let mut key = (0..=range.start).rev().find(|&n| is_key(n)).unwrap_or(0);
    let mut decoded = 0;
    for n in range.clone() {
        if is_key(n) {
            key = n;
        }
        if (n - range.start).is_multiple_of(every) {
            decoded += (n - key + 1) as u64;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeking_decodes_from_the_key_frame_before_each_frame() {
        let keys = |every: usize| move |n: usize| n.is_multiple_of(every);
        assert_eq!(decoded_by_seeking(keys(1), &(0..10), 1), 10);
        // one key frame: 1 + 2 + .. + 10
        assert_eq!(decoded_by_seeking(keys(100), &(0..10), 1), 55);
        assert_eq!(decoded_by_seeking(keys(5), &(0..10), 1), 30);
        // frames 7 to 10 with key frames 5 and 10: 3 + 4 + 5 + 1
        assert_eq!(decoded_by_seeking(keys(5), &(7..11), 1), 13);
        assert_eq!(decoded_by_seeking(keys(100), &(0..10), 3), 1 + 4 + 7 + 10);
    }
}
