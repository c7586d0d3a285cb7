//! From the settings' bounds to one half-open range of frame numbers.
//!
//! Frames and seconds mix freely, one bound each. A frame belongs to a range of seconds if it starts in
//! it. Ranges that hold nothing or reach beyond the end are errors, so that a table never silently
//! compares different lengths. PHALP's own rules differ, and hold where its presets are asked for:
//!
//! - frames (`FrameExtractor.extract_frames`): the end may lie beyond the video, and is cut there;
//! - seconds (`IO_Manager.get_frames_from_source`): on the container's clock, whole seconds only; each
//!   bound becomes the frame with the *nearest* time (the earlier of two equally near), and the end frame
//!   is left out. A video shorter than the end so loses its last frame. When both bounds fall on the first
//!   frame, that frame is given; when both fall on the last, the one before it; any other pair of equal
//!   bounds gives nothing, which is an error here.
//!
//! Must not know files or decoders.

use std::ops::Range;

use super::error::Fault;
use super::probe::Probe;
use super::settings::{Preset, Seconds, Settings};

/// Times closer than this are one: less than any tick, more than what a decimal loses.
const SAME_TIME_SECS: f64 = 1e-6;

/// Every so many frames of a range: numbers in the clip, the first included, the end excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub range: Range<usize>,
    /// The distance from one frame to the next, at least 1.
    pub every: usize,
}

impl Selection {
    /// All frames of a range.
    pub fn all(range: Range<usize>) -> Selection {
        Selection { range, every: 1 }
    }

    /// How many frames are selected.
    pub fn frames(&self) -> usize {
        self.range.len().div_ceil(self.every)
    }

    /// Their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        self.range.clone().step_by(self.every)
    }
}

/// The frames that `settings` select of the probed video; never none, never beyond its end.
pub(super) fn resolve(settings: &Settings, probe: &Probe) -> Result<Selection, Fault> {
    let full = settings.spelled_out()?;
    let range = match full.preset {
        Some(Preset::PhalpExtract) => by_phalps_frames(&full, probe.frames()),
        Some(Preset::PhalpStream) => by_nearest_times(&full, probe),
        None => by_bounds(&full, probe)?,
    };
    if range.is_empty() {
        return Err(Fault::EmptyRange { asked: asked(&full) });
    }
    Ok(Selection { range, every: full.every() })
}

fn by_bounds(settings: &Settings, probe: &Probe) -> Result<Range<usize>, Fault> {
    let frames = probe.frames();
    let beyond = || {
        let (asked, duration_secs) = (asked(settings), probe.duration_secs);
        Err(Fault::RangeBeyondEnd { asked, frames, duration_secs })
    };
    let first_at = |Seconds(secs): Seconds| {
        (0..frames).find(|&n| probe.time_secs(n) >= secs - SAME_TIME_SECS).unwrap_or(frames)
    };
    let lasts = |Seconds(secs): Seconds| secs <= probe.duration_secs + SAME_TIME_SECS;
    let start = match (settings.start_frame, settings.start_time) {
        (Some(frame @ 0..), _) if frame as u64 >= frames as u64 => return beyond(),
        (Some(frame @ 0..), _) => frame as usize,
        (_, Some(time)) if first_at(time) == frames => return beyond(),
        (_, Some(time)) => first_at(time),
        _ => 0,
    };
    let end = match (settings.end_frame, settings.end_time) {
        (Some(frame @ 0..), _) if frame as u64 > frames as u64 => return beyond(),
        (Some(frame @ 0..), _) => frame as usize,
        (_, Some(time)) if !lasts(time) => return beyond(),
        (_, Some(time)) => first_at(time),
        _ => frames,
    };
    Ok(start..end)
}

fn by_phalps_frames(settings: &Settings, frames: usize) -> Range<usize> {
    let start = settings.start_frame.unwrap_or(-1).max(0) as usize;
    let end = match settings.end_frame {
        Some(end @ 0..) => (end as usize).min(frames),
        _ => frames,
    };
    start..end
}

fn by_nearest_times(settings: &Settings, probe: &Probe) -> Range<usize> {
    let nearest = |time: Option<Seconds>| {
        let secs = time.map_or(0.0, |time| time.0);
        let distance = |n: usize| (probe.container_secs(n) - secs).abs();
        // the first of the least, as Python's min gives it
        (1..probe.frames()).fold(0, |best, n| if distance(n) < distance(best) { n } else { best })
    };
    let (start, end) = (nearest(settings.start_time), nearest(settings.end_time));
    match start == end {
        true if start == 0 => 0..1,
        true if start == probe.frames() - 1 => start - 1..end,
        _ => start..end,
    }
}

/// The range as the settings say it, for messages.
fn asked(settings: &Settings) -> String {
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
        Probe::of_ticks(&(0..180).map(|n| n * 512).collect::<Vec<_>>(), (1, 15360))
    }

    fn resolve_toml(toml: &str, probe: &Probe) -> Result<Range<usize>, String> {
        let selected = resolve(&toml::from_str(toml).unwrap(), probe);
        selected.map(|selection| selection.range).map_err(|fault| fault.to_string())
    }

    #[test]
    fn one_half_open_range() {
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

    /// Measured with the reference on its demo clip.
    #[test]
    fn phalps_presets() {
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
    fn every_so_many_frames() {
        let settings = toml::from_str("start_frame = 3\nend_frame = 14\nevery = 5").unwrap();
        let selection = resolve(&settings, &demo()).unwrap();
        assert_eq!((selection.frames(), selection.numbers().collect::<Vec<_>>()), (3, vec![3, 8, 13]));
        assert_eq!(Selection::all(2..5).numbers().collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_single_frame_and_a_clock_that_starts_late() {
        let one = Probe::of_ticks(&[900], (1, 90));
        assert_eq!(resolve_toml("", &one), Ok(0..1));
        assert_eq!(resolve_toml("preset = \"phalp-stream\"", &one), Ok(0..1));
        let late = Probe::of_ticks(&[900, 990, 1080], (1, 90));
        assert_eq!(resolve_toml("start_time = 1\nend_time = 2", &late), Ok(1..2));
        // PHALP's clock is the container's: 0 s to 10 s is nothing but the first frame
        assert_eq!(resolve_toml("preset = \"phalp-stream\"", &late), Ok(0..1));
    }
}
