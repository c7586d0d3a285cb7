//! When frames are shown, in seconds and in the ticks of the file that an overlay is written to; and the one
//! way in which a frame rate is told.
//!
//! Must not know who draws or encodes.

use std::fmt;

use super::probe::Probe;
use super::range::Selection;

/// Clocks of an overlay in ticks a second, the finest first. MP4 keeps a frame's length in 31 bits: at
/// 90,000 ticks a second 6.6 hours, at 1,000 ticks 24 days.
const CLOCKS: [u32; 3] = [90_000, 1_000, 1];
/// Longest frame in ticks.
const MOST_TICKS: i64 = i32::MAX as i64 - 1;

/// When the frames of a video are shown, counted from the start of the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Where each frame starts and, last, where the last one ends; in seconds, never descending.
    bounds: Vec<f64>,
}

impl Timeline {
    /// The times of the selected frames. A frame is shown until the next one of the selection would start;
    /// the last one until the video's end if there is no such frame.
    ///
    /// # Panics
    /// If the selection is empty or reaches beyond the probed video.
    pub fn of(probe: &Probe, selection: &Selection) -> Timeline {
        let origin = probe.time_secs(selection.range.start);
        let mut bounds = Vec::with_capacity(selection.frames() + 1);
        bounds.extend(selection.numbers().map(|n| probe.time_secs(n) - origin));
        let last = selection.range.start + (selection.frames() - 1) * selection.every;
        let next = last.saturating_add(selection.every);
        let end = if next < probe.frames() { probe.time_secs(next) } else { probe.duration_secs };
        bounds.push((end - origin).max(bounds[bounds.len() - 1]));
        Timeline { bounds }
    }

    /// `frames` frames at `fps` frames a second.
    pub fn constant(fps: f64, frames: usize) -> Timeline {
        Timeline { bounds: (0..=frames).map(|n| n as f64 / fps).collect() }
    }

    pub fn frames(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Seconds from the start of the first frame to the end of the last frame.
    pub fn duration_secs(&self) -> f64 {
        self.bounds[self.frames()]
    }

    /// The finest clock that can count every frame's length, in ticks a second.
    pub(super) fn clock(&self) -> u32 {
        let longest = self.bounds.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        let counts = |clock: &u32| longest * f64::from(*clock) < MOST_TICKS as f64;
        CLOCKS.into_iter().find(counts).unwrap_or(1)
    }

    /// The bounds in ticks of `clock`: each one tick or more after the one before, since no two frames of an
    /// overlay can share a time.
    pub(super) fn ticks(&self, clock: u32) -> Vec<i64> {
        let mut ticks: Vec<i64> = Vec::with_capacity(self.bounds.len());
        for secs in &self.bounds {
            let wanted = (secs * f64::from(clock)).round() as i64;
            let within = |last: &i64| wanted.clamp(last + 1, last + MOST_TICKS);
            ticks.push(ticks.last().map_or(0, within));
        }
        ticks
    }
}

/// Frames a second, as they are told everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub fps: f64,
    /// Whether frames last differently long, so that the number is a mean.
    pub is_mean: bool,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} frames/s{}", self.fps, if self.is_mean { " (mean)" } else { "" })
    }
}

impl Probe {
    /// The rate of the file's frames. It is a mean where a frame lies more than a tick off the even
    /// distance between the first and the last: containers round times to their ticks.
    pub fn rate(&self) -> Rate {
        let last = self.file_frames() - 1;
        let span = i128::from(self.ticks(last) - self.ticks(0));
        let is_even = |n: usize| {
            let off = i128::from(self.ticks(n) - self.ticks(0)) * last as i128 - span * n as i128;
            off.abs() <= last as i128
        };
        Rate { fps: self.fps, is_mean: !(0..=last).all(is_even) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ticks: &[i64], range: std::ops::Range<usize>, every: usize) -> Timeline {
        Timeline::of(&Probe::of_ticks(ticks, (1, 10)), &Selection { range, every })
    }

    #[test]
    fn frames_are_shown_until_the_next_one_of_the_selection() {
        let ticks = [50, 51, 53, 54, 60, 61];
        let whole = of(&ticks, 0..6, 1);
        assert_eq!((whole.frames(), whole.ticks(10)[..6].to_vec()), (6, vec![0, 1, 3, 4, 10, 11]));
        assert_eq!(of(&ticks, 1..4, 1).ticks(10), [0, 2, 3, 9]);
        assert_eq!(of(&ticks, 1..2, 2).ticks(10), [0, 3]);
        let (every_second, thinned) = (of(&ticks, 0..6, 2), of(&ticks, 0..5, 2));
        assert_eq!(every_second.ticks(10)[..3], [0, 3, 10]);
        assert_eq!(every_second, thinned);
        assert_eq!(every_second.duration_secs(), whole.duration_secs());
        let steady = of(&[0, 1, 2, 3], 0..4, 1);
        assert_eq!((steady.ticks(90_000), steady.clock()), (vec![0, 9_000, 18_000, 27_000, 36_000], 90_000));
        assert_eq!(steady, Timeline::constant(10.0, 4));
    }

    #[test]
    fn no_two_frames_share_a_tick_and_no_frame_is_too_long() {
        assert_eq!(of(&[0, 0, 2, 2, 4], 0..4, 1).ticks(10), [0, 1, 2, 3, 4]);
        let daily = of(&[0, 864_000, 1_728_000], 0..3, 1);
        assert_eq!((daily.clock(), daily.ticks(1_000)[2]), (1_000, 172_800_000));
        let forever = of(&[0, 1 << 50], 0..1, 1);
        assert_eq!((forever.clock(), forever.ticks(1)), (1, vec![0, MOST_TICKS]));
    }

    #[test]
    fn a_rate_is_a_mean_where_frames_differ_by_more_than_rounding() {
        let rate = |ticks: &[i64]| Probe::of_ticks(ticks, (1, 1000)).rate().to_string();
        assert_eq!(rate(&[0, 33, 67, 100, 133, 167, 200]), "30.000 frames/s");
        assert_eq!(rate(&[7, 40, 74, 110, 140, 174, 207]), "30.000 frames/s (mean)");
        assert_eq!(rate(&[0, 40]), "25.000 frames/s");
        assert_eq!(rate(&[5]), "25.000 frames/s");
        assert!(!Probe::of_ticks(&[0, 33, 67], (1, 1000)).looped(3).rate().is_mean);
    }
}
