//! Computes how many frames a run processes, before its video is probed.
//!
//! Used for labels and estimates; once the video is open the reader's own count is used.

use posebook_video::{Preset, Settings};
use std::ops::Range;

/// Times that differ by less than this many frames are equal.
const TIME_TOLERANCE_FRAMES: f64 = 1e-4;

/// Number of frames that `settings` select from a clip of `frames`: range, step and loops applied.
///
/// `fps` is the rate of a clip whose frames are evenly spaced. `None` if a bound is in seconds and the frames' times are
/// unknown.
pub fn selected_frames(settings: &Settings, frames: usize, fps: Option<f64>) -> Option<usize> {
    // settings were checked when they were read
    let settings = settings.with_defaults().ok()?;
    let all = frames.saturating_mul(settings.loops());
    let range = match settings.preset {
        Some(Preset::PhalpStream) => range_by_nearest_times(&settings, all, fps?),
        Some(Preset::PhalpExtract) | None => range_by_bounds(&settings, all, fps)?,
    };
    Some(range.len().div_ceil(settings.every()))
}

fn range_by_bounds(settings: &Settings, frames: usize, fps: Option<f64>) -> Option<Range<usize>> {
    let bound = |frame: Option<i64>, secs: Option<f64>, default: usize| match (frame, secs) {
        (Some(frame @ 0..), _) => Some(frame as usize),
        (_, Some(secs)) => Some((secs * fps? - TIME_TOLERANCE_FRAMES).ceil().max(0.0) as usize),
        _ => Some(default),
    };
    let start = bound(settings.start_frame, settings.start_time.map(|time| time.0), 0)?;
    let end = bound(settings.end_frame, settings.end_time.map(|time| time.0), frames)?;
    Some(start.min(frames)..end.min(frames))
}

/// PHALP's rule: each bound is the frame with the nearest time, the earlier one of two, and the end is exclusive.
fn range_by_nearest_times(settings: &Settings, frames: usize, fps: f64) -> Range<usize> {
    let last = frames.saturating_sub(1);
    let nearest = |secs: Option<f64>| {
        let index = (secs.unwrap_or(0.0) * fps - 0.5 - TIME_TOLERANCE_FRAMES).ceil().max(0.0) as usize;
        index.min(last)
    };
    let start = nearest(settings.start_time.map(|time| time.0));
    let end = nearest(settings.end_time.map(|time| time.0));
    match start == end {
        true if start == 0 => 0..1.min(frames),
        true if start == last => last - 1..last,
        _ => start..end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(toml: &str) -> Option<usize> {
        selected_frames(&toml::from_str(toml).unwrap(), 180, Some(30.0))
    }

    /// The cases of `video::range`, which computes them from the frames' times.
    #[test]
    fn range_step_and_loops_are_counted() {
        for (toml, frames) in [
            ("", 180),
            ("start_frame = 3\nend_frame = 7", 4),
            ("start_frame = -1\nend_frame = -1", 180),
            ("start_frame = 3\nend_frame = 14\nevery = 5", 3),
            ("start_time = 1\nend_time = \"3s\"", 60),
            ("start_time = 0.1\nend_time = 0.2", 3),
            ("start_time = 0.101\nend_time = 0.201", 3),
            ("start_frame = 170\nend_time = 5.9", 7),
            ("loops = 3", 540),
            ("loops = 3\nevery = 2\nstart_frame = 200", 170),
            ("preset = \"phalp-extract\"", 180),
            ("preset = \"phalp-extract\"\nstart_frame = 178\nend_frame = 500", 2),
            ("preset = \"phalp-stream\"", 179),
            ("preset = \"phalp-stream\"\nend_time = \"2s\"", 60),
            ("preset = \"phalp-stream\"\nstart_time = \"9s\"", 1),
            ("preset = \"phalp-stream\"\nend_time = \"0s\"", 1),
        ] {
            assert_eq!(count(toml), Some(frames), "{toml}");
        }
    }

    #[test]
    fn bounds_in_seconds_need_evenly_spaced_frames() {
        let settings = |toml: &str| toml::from_str::<Settings>(toml).unwrap();
        assert_eq!(selected_frames(&settings("end_time = 2"), 180, None), None);
        assert_eq!(selected_frames(&settings("end_frame = 2"), 180, None), Some(2));
    }
}
