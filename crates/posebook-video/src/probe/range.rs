//! Resolves the range of the settings, in frames or seconds, to a half-open range of frame indices.
//!
//! Either bound may be a frame index or a time. A frame belongs to a time range if it starts in it. Ranges that are
//! empty or end beyond the video are errors, so that a table never silently compares different lengths. PHALP's rules
//! differ and apply with its presets:
//!
//! - frames (`FrameExtractor.extract_frames`): an end beyond the video is clamped to the video's end;
//! - seconds (`IO_Manager.get_frames_from_source`): times are the container's timestamps, in whole seconds. Each
//!   bound becomes the frame with the *nearest* time (the earlier of two equally near), and the end frame is
//!   excluded, so a video shorter than the end loses its last frame. If both bounds are the first frame, that frame
//!   is read; if both are the last, the one before it; any other pair of equal bounds is empty, which is an error
//!   here.

use std::ops::Range;

use crate::error::VideoErrorKind;
use crate::probe::Probe;
use crate::settings::Settings;
use crate::settings::mode::Preset;
use crate::settings::seconds::Seconds;

/// Tolerance when comparing times: less than a tick of any video, more than a decimal's rounding error.
const TIME_TOLERANCE_SECS: f64 = 1e-6;

/// Every N-th frame of a range of the clip, the first included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Frame indices in the clip, from 0; the end is exclusive.
    pub range: Range<usize>,
    /// Distance between selected frames, at least 1.
    pub every: usize,
}

impl Selection {
    /// All frames of a range.
    pub fn all(range: Range<usize>) -> Selection {
        Selection { range, every: 1 }
    }

    /// Number of selected frames.
    pub fn frame_count(&self) -> usize {
        self.range.len().div_ceil(self.every)
    }

    /// Indices of the selected frames, ascending.
    pub fn frame_indices(&self) -> impl Iterator<Item = usize> + use<> {
        self.range.clone().step_by(self.every)
    }
}

/// The frames that `settings` select of the probed video: at least one, none beyond its end.
pub fn resolve_selection(settings: &Settings, probe: &Probe) -> Result<Selection, VideoErrorKind> {
    let full = settings.with_defaults()?;
    let range = match full.preset {
        Some(Preset::PhalpExtract) => phalp_frame_range(&full, probe.frames()),
        Some(Preset::PhalpStream) => phalp_time_range(&full, probe),
        None => exact_range(&full, probe)?,
    };
    if range.is_empty() {
        return Err(VideoErrorKind::EmptyRange { requested: describe_range(&full) });
    }
    Ok(Selection { range, every: full.every() })
}

fn exact_range(settings: &Settings, probe: &Probe) -> Result<Range<usize>, VideoErrorKind> {
    let frames = probe.frames();
    let beyond_end = || {
        let (requested, duration_secs) = (describe_range(settings), probe.duration_secs);
        Err(VideoErrorKind::RangeBeyondEnd { requested, frames, duration_secs })
    };
    let first_frame_from = |Seconds(secs): Seconds| {
        (0..frames).find(|&n| probe.time_secs(n) >= secs - TIME_TOLERANCE_SECS).unwrap_or(frames)
    };
    let is_within = |Seconds(secs): Seconds| secs <= probe.duration_secs + TIME_TOLERANCE_SECS;
    let start = match (settings.start_frame, settings.start_time) {
        (Some(frame @ 0..), _) if frame as u64 >= frames as u64 => return beyond_end(),
        (Some(frame @ 0..), _) => frame as usize,
        (_, Some(time)) if first_frame_from(time) == frames => return beyond_end(),
        (_, Some(time)) => first_frame_from(time),
        _ => 0,
    };
    let end = match (settings.end_frame, settings.end_time) {
        (Some(frame @ 0..), _) if frame as u64 > frames as u64 => return beyond_end(),
        (Some(frame @ 0..), _) => frame as usize,
        (_, Some(time)) if !is_within(time) => return beyond_end(),
        (_, Some(time)) => first_frame_from(time),
        _ => frames,
    };
    Ok(start..end)
}

/// PHALP's rule for ranges of frames; see the module's documentation.
fn phalp_frame_range(settings: &Settings, frames: usize) -> Range<usize> {
    let start = settings.start_frame.unwrap_or(-1).max(0) as usize;
    let end = match settings.end_frame {
        Some(end @ 0..) => (end as usize).min(frames),
        _ => frames,
    };
    start..end
}

/// PHALP's rule for ranges of seconds; see the module's documentation.
fn phalp_time_range(settings: &Settings, probe: &Probe) -> Range<usize> {
    let nearest = |time: Option<Seconds>| {
        let secs = time.map_or(0.0, |time| time.0);
        let distance = |n: usize| (probe.container_secs(n) - secs).abs();
        // the first minimum, as Python's `min` gives it
        (1..probe.frames()).fold(0, |best, n| if distance(n) < distance(best) { n } else { best })
    };
    let (start, end) = (nearest(settings.start_time), nearest(settings.end_time));
    match start == end {
        true if start == 0 => 0..1,
        true if start == probe.frames() - 1 => start - 1..end,
        _ => start..end,
    }
}

/// The range in the units of the settings, for messages.
fn describe_range(settings: &Settings) -> String {
    let bound = |frame: Option<i64>, time: Option<Seconds>, side: &str| match (frame, time) {
        (Some(frame @ 0..), _) => format!("frame {frame}"),
        (_, Some(Seconds(secs))) => format!("{secs} s"),
        _ => side.to_string(),
    };
    let start = bound(settings.start_frame, settings.start_time, "the start");
    let end = bound(settings.end_frame, settings.end_time, "the end");
    format!("from {start} to {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PHALP's demo clip: 180 frames, 30 a second, ticks of 1/15360 s.
    fn demo() -> Probe {
        Probe::from_pts(&(0..180).map(|n| n * 512).collect::<Vec<_>>(), (1, 15360))
    }

    fn resolve_toml(toml: &str, probe: &Probe) -> Result<Range<usize>, String> {
        let selected = resolve_selection(&toml::from_str(toml).unwrap(), probe);
        selected.map(|selection| selection.range).map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_are_half_open_and_within_the_video() {
        let probe = demo();
        for (toml, range) in [
            ("", 0..180),
            ("start_frame = -1\nend_frame = -1", 0..180),
            ("start_frame = 3\nend_frame = 7", 3..7),
            ("end_frame = 180", 0..180),
            ("start_time = 1\nend_time = \"3s\"", 30..90),
            ("start_time = 0.1\nend_time = 0.2", 3..6),
            ("start_time = 0.101\nend_time = 0.201", 4..7),
            ("end_time = 6", 0..180),
            ("start_frame = 170\nend_time = 5.9", 170..177),
        ] {
            assert_eq!(resolve_toml(toml, &probe), Ok(range), "{toml}");
        }
        for (toml, hint) in [
            ("end_frame = 181", "beyond the end"),
            ("start_frame = 180", "beyond the end"),
            ("end_time = 6.01", "beyond the end"),
            ("start_time = 5.97", "beyond the end"),
            ("start_frame = 7\nend_frame = 7", "holds no frame"),
            ("start_frame = 8\nend_frame = 7", "holds no frame"),
            ("start_frame = 0\nend_frame = 0", "holds no frame"),
        ] {
            let message = resolve_toml(toml, &probe).unwrap_err();
            assert!(message.contains(hint), "{toml}: {message}");
        }
    }

    /// Expected ranges were measured with PHALP on its demo clip.
    #[test]
    fn presets_select_the_frames_that_phalp_selects() {
        let probe = demo();
        for (start, end, range) in
            [(-1, 1300, 0..180), (0, 10, 0..10), (15, 18, 15..18), (150, -1, 150..180), (178, 500, 178..180)]
        {
            let toml = format!("preset = \"phalp-extract\"\nstart_frame = {start}\nend_frame = {end}");
            assert_eq!(resolve_toml(&toml, &probe), Ok(range), "{toml}");
        }
        for (start, end, range) in
            [(0, 10, 0..179), (0, 2, 0..60), (1, 3, 30..90), (0, 0, 0..1), (9, 10, 178..179)]
        {
            let toml = format!("preset = \"phalp-stream\"\nstart_time = \"{start}s\"\nend_time = \"{end}s\"");
            assert_eq!(resolve_toml(&toml, &probe), Ok(range), "{toml}");
        }
        assert_eq!(resolve_toml("preset = \"phalp-extract\"", &probe), Ok(0..180));
        assert_eq!(resolve_toml("preset = \"phalp-stream\"", &probe), Ok(0..179));
        for toml in [
            "preset = \"phalp-extract\"\nstart_frame = 200\nend_frame = 300",
            "preset = \"phalp-stream\"\nstart_time = 2\nend_time = 2",
        ] {
            assert!(resolve_toml(toml, &probe).unwrap_err().contains("holds no frame"));
        }
    }

    #[test]
    fn every_nth_frame_of_a_range_is_selected() {
        let settings = toml::from_str("start_frame = 3\nend_frame = 14\nevery = 5").unwrap();
        let selection = resolve_selection(&settings, &demo()).unwrap();
        assert_eq!(
            (selection.frame_count(), selection.frame_indices().collect::<Vec<_>>()),
            (3, vec![3, 8, 13])
        );
        assert_eq!(Selection::all(2..5).frame_indices().collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn ranges_of_a_single_frame_and_of_timestamps_that_start_late() {
        let one = Probe::from_pts(&[900], (1, 90));
        assert_eq!(resolve_toml("", &one), Ok(0..1));
        assert_eq!(resolve_toml("preset = \"phalp-stream\"", &one), Ok(0..1));
        let late = Probe::from_pts(&[900, 990, 1080], (1, 90));
        assert_eq!(resolve_toml("start_time = 1\nend_time = 2", &late), Ok(1..2));
        // PHALP compares with the container's timestamps, so 0 s to 10 s is only the first frame
        assert_eq!(resolve_toml("preset = \"phalp-stream\"", &late), Ok(0..1));
    }
}
