//! Display times of the selected frames, in seconds and in ticks of the overlay file's time base; and the frame rate as it is
//! reported to users.

use std::fmt;

use super::range::Selection;
use crate::probe::Probe;

/// Time bases of an overlay in ticks per second, the finest first. MP4 stores a frame's duration in 31 bits: 6.6 hours at
/// 90,000 ticks per second, 24 days at 1,000.
const CLOCKS: [u32; 3] = [90_000, 1_000, 1];
/// Longest duration of a frame in ticks.
const MAX_TICKS: i64 = i32::MAX as i64 - 1;

/// Display times of a video's frames, relative to the start of the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Start of each frame, then the end of the last one; in seconds, non-decreasing.
    bounds: Vec<f64>,
}

impl Timeline {
    /// The times of the selected frames. A frame is displayed until the next frame of the selection would start, the last one
    /// at most until the video's end.
    ///
    /// # Panics
    /// If the selection is empty or reaches beyond the probed video.
    pub fn from_selection(probe: &Probe, selection: &Selection) -> Timeline {
        let origin = probe.time_secs(selection.range.start);
        let mut bounds = Vec::with_capacity(selection.frame_count() + 1);
        bounds.extend(selection.frame_indices().map(|n| probe.time_secs(n) - origin));
        let last = selection.range.start + (selection.frame_count() - 1) * selection.every;
        let next = last.saturating_add(selection.every);
        let end = if next < probe.frames() { probe.time_secs(next) } else { probe.duration_secs };
        bounds.push((end - origin).max(bounds[bounds.len() - 1]));
        Timeline { bounds }
    }

    /// `frames` frames at a constant `fps` frames per second.
    pub fn constant(fps: f64, frames: usize) -> Timeline {
        Timeline { bounds: (0..=frames).map(|n| n as f64 / fps).collect() }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Seconds from the start of the first frame to the end of the last frame.
    pub fn duration_secs(&self) -> f64 {
        self.bounds[self.frames()]
    }

    /// The finest time base that can represent every frame's duration, in ticks per second.
    pub fn clock(&self) -> u32 {
        let longest = self.bounds.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        let counts = |clock: &u32| longest * f64::from(*clock) < MAX_TICKS as f64;
        CLOCKS.into_iter().find(counts).unwrap_or(1)
    }

    /// Starts of the frames and the end of the last one in ticks, `clock` ticks per second. Each is at least one tick after
    /// the previous one, since no two frames of a file can have the same PTS.
    pub fn ticks(&self, clock: u32) -> Vec<i64> {
        let mut ticks: Vec<i64> = Vec::with_capacity(self.bounds.len());
        for secs in &self.bounds {
            let exact = (secs * f64::from(clock)).round() as i64;
            let within = |last: &i64| exact.clamp(last + 1, last + MAX_TICKS);
            ticks.push(ticks.last().map_or(0, within));
        }
        ticks
    }
}

/// A frame rate as it is reported to users.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameRate {
    /// Frames per second.
    pub fps: f64,
    /// Whether frames have different durations, so that the rate is a mean.
    pub is_mean: bool,
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} frames/s{}", self.fps, if self.is_mean { " (mean)" } else { "" })
    }
}

impl Probe {
    /// The rate of the file's frames. It is a mean where the PTS of a frame differs by more than a tick from an even spacing
    /// between the first and the last frame: containers round timestamps to their ticks.
    pub fn rate(&self) -> FrameRate {
        let last = self.file_frames() - 1;
        let span = i128::from(self.pts(last) - self.pts(0));
        let is_even = |n: usize| {
            let deviation = i128::from(self.pts(n) - self.pts(0)) * last as i128 - span * n as i128;
            deviation.abs() <= last as i128
        };
        FrameRate { fps: self.fps, is_mean: !(0..=last).all(is_even) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline_of(ticks: &[i64], range: std::ops::Range<usize>, every: usize) -> Timeline {
        Timeline::from_selection(&Probe::from_pts(ticks, (1, 10)), &Selection { range, every })
    }

    #[test]
    fn frames_are_displayed_until_the_next_selected_frame() {
        let ticks = [50, 51, 53, 54, 60, 61];
        let whole = timeline_of(&ticks, 0..6, 1);
        assert_eq!((whole.frames(), whole.ticks(10)[..6].to_vec()), (6, vec![0, 1, 3, 4, 10, 11]));
        assert_eq!(timeline_of(&ticks, 1..4, 1).ticks(10), [0, 2, 3, 9]);
        assert_eq!(timeline_of(&ticks, 1..2, 2).ticks(10), [0, 3]);
        let (every_second, thinned) = (timeline_of(&ticks, 0..6, 2), timeline_of(&ticks, 0..5, 2));
        assert_eq!(every_second.ticks(10)[..3], [0, 3, 10]);
        assert_eq!(every_second, thinned);
        assert_eq!(every_second.duration_secs(), whole.duration_secs());
        let steady = timeline_of(&[0, 1, 2, 3], 0..4, 1);
        assert_eq!((steady.ticks(90_000), steady.clock()), (vec![0, 9_000, 18_000, 27_000, 36_000], 90_000));
        assert_eq!(steady, Timeline::constant(10.0, 4));
    }

    #[test]
    fn no_two_frames_share_a_tick_and_no_frame_is_too_long() {
        assert_eq!(timeline_of(&[0, 0, 2, 2, 4], 0..4, 1).ticks(10), [0, 1, 2, 3, 4]);
        let daily = timeline_of(&[0, 864_000, 1_728_000], 0..3, 1);
        assert_eq!((daily.clock(), daily.ticks(1_000)[2]), (1_000, 172_800_000));
        let forever = timeline_of(&[0, 1 << 50], 0..1, 1);
        assert_eq!((forever.clock(), forever.ticks(1)), (1, vec![0, MAX_TICKS]));
    }

    #[test]
    fn a_rate_is_a_mean_where_frames_differ_by_more_than_rounding() {
        let rate = |ticks: &[i64]| Probe::from_pts(ticks, (1, 1000)).rate().to_string();
        assert_eq!(rate(&[0, 33, 67, 100, 133, 167, 200]), "30.000 frames/s");
        assert_eq!(rate(&[7, 40, 74, 110, 140, 174, 207]), "30.000 frames/s (mean)");
        assert_eq!(rate(&[0, 40]), "25.000 frames/s");
        assert_eq!(rate(&[5]), "25.000 frames/s");
        assert!(!Probe::from_pts(&[0, 33, 67], (1, 1000)).looped(3).rate().is_mean);
    }
}
