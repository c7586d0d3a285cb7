//! What is measured of the video itself: how fast it is decoded, and how large pictures of it are.
//!
//! Must not know people nor networks.

use super::super::RunnerError;
use crate::experiment::Settings;
use crate::memory::process::Watch;
use crate::video::{self, Access, Mode, Probe, Store, VideoError};
use candle_core::Device;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// Frames that pictures are written of.
const PICTURES: usize = 8;
/// Frames of the stretch that is decoded.
const STRETCH: usize = 60;
/// How often the decoder's memory is looked at meanwhile, in frames.
const LOOK_EVERY: u32 = 8;
/// A frame farther than this from the key frame before it takes too long to get at: a nearer one stands for it.
const FAR: usize = 240;

/// How fast a video is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// From the start of a decoder to its first frame.
    pub start_secs: f64,
    /// From frame to frame after that.
    pub frame_secs: f64,
    /// Largest resident set of the decoder; `None` where it cannot be seen.
    pub decoder_bytes: Option<u64>,
}

impl Pace {
    /// Decodes the beginning of the range.
    ///
    /// # Errors
    /// If the video cannot be decoded.
    pub fn of(probe: &Probe, range: &Range<usize>, scratch: &Path) -> Result<Pace, RunnerError> {
        // of a looped file, its first time
        let start = probe.file_frame(range.start);
        let stretch = start..probe.file_frames().min(start + range.len().min(STRETCH));
        let started = Instant::now();
        let mode = Mode::stream(Access::Sequential);
        let mut source = video::open_probed(probe.clone(), &part(mode, stretch), scratch, &Device::Cpu)?;
        let (mut frames, mut first) = (0u32, None);
        let (mut family, mut decoder_bytes) = (Watch::new(std::process::id()), None);
        while let Some(frame) = source.next_frame()? {
            drop(frame);
            first.get_or_insert_with(|| started.elapsed().as_secs_f64());
            if frames % LOOK_EVERY == 0 {
                decoder_bytes = decoder_bytes.max(family.sample().children_bytes);
            }
            frames += 1;
        }
        let start_secs = first.unwrap_or(0.0);
        let rest = started.elapsed().as_secs_f64() - start_secs;
        Ok(Pace { start_secs, frame_secs: rest / f64::from(frames.max(2) - 1), decoder_bytes })
    }
}

/// Settings of the video room for a part of a video.
fn part(mode: Mode, range: Range<usize>) -> video::Settings {
    video::Settings {
        mode: Some(mode),
        start_frame: Some(range.start as i64),
        end_frame: Some(range.end as i64),
        ..video::Settings::default()
    }
}

/// How many frames a run would give out.
///
/// # Errors
/// If the settings do not fit the video.
pub fn frames(probe: &Probe, settings: &Settings, scratch: &Path) -> Result<usize, VideoError> {
    let mut lazy = settings.video.clone();
    if lazy.preset.is_none() {
        // a mode that decodes nothing until it is asked to
        lazy.mode = Some(Mode::extract(Store::Png));
    }
    Ok(video::open_probed(probe.clone(), &lazy, scratch, &Device::Cpu)?.frames())
}

/// Which frames are given out: every so many.
pub fn every(settings: &Settings) -> usize {
    let table = toml::Table::try_from(&settings.video).unwrap_or_default();
    let every = table.get("every").and_then(toml::Value::as_integer);
    every.and_then(|every| usize::try_from(every).ok()).unwrap_or(1).max(1)
}

/// Bytes of a picture as the mode writes it, in the mean of a few; `None` where it writes none.
///
/// # Errors
/// If the video cannot be decoded or the disk refuses.
pub fn picture_bytes(
    probe: &Probe,
    range: &Range<usize>,
    mode: Mode,
    scratch: &Path,
) -> Result<Option<f64>, RunnerError> {
    if !matches!(mode, Mode::Extract(video::Extract { store: Store::Jpeg | Store::Png, .. })) {
        return Ok(None);
    }
    let places = spread(probe, range);
    let mut bytes = 0;
    for n in places.iter().map(|&n| probe.file_frame(n)) {
        let mut source = video::open_probed(probe.clone(), &part(mode, n..n + 1), scratch, &Device::Cpu)?;
        source.prepare()?;
        bytes += source.disk_bytes();
    }
    Ok(Some(bytes as f64 / places.len() as f64))
}

/// Frames all over the range that can be got at.
fn spread(probe: &Probe, range: &Range<usize>) -> Vec<usize> {
    let count = PICTURES.min(range.len());
    let middle = |at: usize| range.start + (2 * at + 1) * range.len() / (2 * count);
    let reachable = |(at, n): (usize, usize)| {
        let key = (range.start.min(n)..=n).rev().find(|&n| probe.is_key(n)).unwrap_or(range.start);
        // frames that all hang on one key frame are not to be the same one
        if n - key > FAR { key + FAR * (at + 1) / count } else { n }
    };
    (0..count).map(|at| reachable((at, middle(at)))).collect()
}

/// Frames to decode for a decoder of its own for every frame: from the key frame before each to itself.
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
        // 7 hangs on 5, and so on: 3 + 4 + 5 + 1
        assert_eq!(decoded_by_seeking(keys(5), &(7..11), 1), 13);
        assert_eq!(decoded_by_seeking(keys(100), &(0..10), 3), 1 + 4 + 7 + 10);
    }
}
