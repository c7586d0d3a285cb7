//! Presentation timestamps (PTS) of a video's frames, and repairs where the file's own timestamps are not usable.
//!
//! A concatenated recording has timestamps that reset, go back or jump; other files leave timestamps out, or have a time
//! base whose ticks are longer than a frame. [`make_continuous`] and [`spread_equal_pts`] give such frames increasing
//! timestamps in the order in which they are decoded.

/// Value of a missing PTS: lower than any PTS that is accepted.
pub const NO_PTS: i64 = -(1 << 60);
/// Bound of repaired timestamps, in ticks, in both directions.
const MAX_PTS: i64 = 1 << 59;
/// Parts of a tick where ticks are longer than frames.
const TICK_PARTS: i64 = 1000;

/// A frame's PTS in ticks and whether it is a key frame, in eight bytes. Ordered by PTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PtsAndKeyFlag(i64);

impl PtsAndKeyFlag {
    /// Largest PTS that can be stored, in both directions; others are clamped.
    const MAX: i64 = i64::MAX >> 1;

    /// A frame with a PTS of `pts` ticks, or [`NO_PTS`].
    pub fn new(pts: i64, is_key: bool) -> PtsAndKeyFlag {
        PtsAndKeyFlag(pts.clamp(-Self::MAX, Self::MAX) * 2 + i64::from(is_key))
    }

    /// The PTS in ticks; [`NO_PTS`] where it is missing.
    pub fn pts(self) -> i64 {
        self.0 >> 1
    }

    /// Whether a decoder can start at this frame.
    pub fn is_key(self) -> bool {
        self.0 & 1 == 1
    }

    /// The same frame at another PTS.
    pub fn with_pts(self, pts: i64) -> PtsAndKeyFlag {
        PtsAndKeyFlag::new(pts, self.is_key())
    }
}

/// Breaks that [`make_continuous`] found in the timestamps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discontinuities {
    /// Number of breaks.
    pub count: usize,
    /// The frame after the first break.
    pub first_frame: Option<usize>,
    /// Median of the ticks from one frame to the next.
    pub median_step: i64,
}

/// Whether the PTS increase from frame to frame by at most `max_step` ticks. The last frames may lack a PTS.
pub fn is_increasing(frames: &[PtsAndKeyFlag], max_step: Option<i64>) -> bool {
    let with_pts = frames.iter().rposition(|frame| frame.pts() != NO_PTS).map_or(0, |last| last + 1);
    frames[..with_pts].windows(2).all(|pair| {
        let (before, after) = (pair[0].pts(), pair[1].pts());
        before != NO_PTS && after > before && max_step.is_none_or(|most| after - before <= most)
    })
}

/// The longest step in ticks that does not count as a break: `least`, or ten times the median step if that is more.
pub fn max_step(frames: &[PtsAndKeyFlag], least: Option<i64>) -> Option<i64> {
    least.map(|least| least.max(median_step(frames, None).saturating_mul(10)))
}

/// Makes the PTS of frames in presentation order continuous. A frame whose PTS is missing, lies before the previous one or
/// more than `max_step` ticks after it, is placed one median step after the previous frame; the frames after it keep their
/// distances from it. Equal PTS are left alone.
pub fn make_continuous(frames: &mut [PtsAndKeyFlag], max_step: Option<i64>) -> Discontinuities {
    let step = median_step(frames, max_step);
    let mut found = Discontinuities { median_step: step, ..Discontinuities::default() };
    let first_with_pts = frames.iter().position(|frame| frame.pts() != NO_PTS);
    // frames without a PTS at the start are counted back from the first frame that has one
    let start = first_with_pts.map_or(0, |n| frames[n].pts().saturating_sub(step.saturating_mul(n as i64)));
    let (mut last, mut last_in_file, mut offset) = (start.saturating_sub(step), None, 0i64);
    for (n, frame) in frames.iter_mut().enumerate() {
        let in_file = frame.pts();
        let next = last.saturating_add(step);
        let pts = if in_file == NO_PTS {
            next
        } else {
            let forward = last_in_file.map_or(0, |before: i64| in_file.saturating_sub(before));
            let is_break = forward < 0 || max_step.is_some_and(|most| forward > most);
            if is_break {
                found.count += 1;
                found.first_frame.get_or_insert(n);
            }
            if is_break || in_file.saturating_add(offset) < last {
                offset = next.saturating_sub(in_file);
            }
            last_in_file = Some(in_file);
            in_file.saturating_add(offset)
        };
        last = pts.clamp(-MAX_PTS, MAX_PTS);
        *frame = frame.with_pts(last);
    }
    found
}

/// Median of the positive steps of at most `max_step` ticks; 1 where there are none.
fn median_step(frames: &[PtsAndKeyFlag], max_step: Option<i64>) -> i64 {
    let mut steps: Vec<i64> = frames
        .windows(2)
        .filter(|pair| pair.iter().all(|frame| frame.pts() != NO_PTS))
        .map(|pair| pair[1].pts().saturating_sub(pair[0].pts()))
        .filter(|&step| step > 0 && max_step.is_none_or(|most| step <= most))
        .collect();
    let middle = steps.len() / 2;
    if steps.is_empty() { 1 } else { *steps.select_nth_unstable(middle).1 }
}

/// Spreads frames of equal PTS evenly over their tick where the next frame follows one tick later: the ticks of the time
/// base are too long for the frame rate. Returns the number of parts into which ticks were divided: 1 where nothing had to
/// be spread, or where PTS times that number would reach `limit`.
pub fn spread_equal_pts(frames: &mut [PtsAndKeyFlag], limit: i64) -> i64 {
    let is_coarse = frames
        .windows(3)
        .any(|three| three[0].pts() == three[1].pts() && three[2].pts() == three[1].pts() + 1);
    let fits = frames.iter().all(|frame| frame.pts().abs() < limit / TICK_PARTS);
    if !is_coarse || !fits {
        return 1;
    }
    let (mut first, mut most) = (0, 1);
    while first < frames.len() {
        let run = equal_pts_run(frames, first);
        let is_one_tick = frames.get(first + run).is_some_and(|next| next.pts() == frames[first].pts() + 1);
        most = if is_one_tick { run.max(most) } else { most };
        first += run;
    }
    first = 0;
    while first < frames.len() {
        let (tick, run) = (frames[first].pts(), equal_pts_run(frames, first));
        let (is_last, most) = (first + run == frames.len(), most.max(run) as i64);
        let spreads = frames.get(first + run).is_none_or(|next| next.pts() == tick + 1);
        for (index, frame) in (0i64..).zip(&mut frames[first..first + run]) {
            let part = match spreads {
                false => 0,
                // the first and the last tick may have only some of their frames: those are as far apart as in a full tick
                true if is_last => TICK_PARTS * index / most,
                true if first == 0 => TICK_PARTS - TICK_PARTS * (run as i64 - index) / most,
                true => TICK_PARTS * index / run as i64,
            };
            *frame = frame.with_pts(tick * TICK_PARTS + part);
        }
        first += run;
    }
    TICK_PARTS
}

/// Number of consecutive frames, from frame `first` on, that have its PTS.
fn equal_pts_run(frames: &[PtsAndKeyFlag], first: usize) -> usize {
    frames[first..].iter().take_while(|other| other.pts() == frames[first].pts()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pts: &[i64]) -> Vec<PtsAndKeyFlag> {
        pts.iter().map(|&pts| PtsAndKeyFlag::new(pts, false)).collect()
    }

    fn pts(frames: &[PtsAndKeyFlag]) -> Vec<i64> {
        frames.iter().map(|frame| frame.pts()).collect()
    }

    fn continuous(in_file: &[i64], max_step: Option<i64>) -> (Vec<i64>, usize, Option<usize>) {
        let mut frames = frames(in_file);
        let found = make_continuous(&mut frames, max_step);
        (pts(&frames), found.count, found.first_frame)
    }

    #[test]
    fn pts_and_key_flag_fit_into_eight_bytes() {
        assert_eq!(size_of::<PtsAndKeyFlag>(), 8);
        for pts in [0, 7, -7, NO_PTS, 1 << 61] {
            for is_key in [false, true] {
                let frame = PtsAndKeyFlag::new(pts, is_key);
                assert_eq!((frame.pts(), frame.is_key()), (pts, is_key));
            }
        }
        assert!(PtsAndKeyFlag::new(i64::MAX, true) > PtsAndKeyFlag::new(i64::MIN, true));
    }

    #[test]
    fn timestamps_that_reset_or_go_back_become_continuous() {
        assert_eq!(continuous(&[0, 4, 8, 0, 4, 8], None), (vec![0, 4, 8, 12, 16, 20], 1, Some(3)));
        assert_eq!(
            continuous(&[500, 504, 508, 4, 8, 13], None),
            (vec![500, 504, 508, 512, 516, 521], 1, Some(3))
        );
        assert_eq!(continuous(&[0, 4, 8, 2, 6, 10, 2], None), (vec![0, 4, 8, 12, 16, 20, 24], 2, Some(3)));
    }

    #[test]
    fn a_jump_is_a_break_only_where_steps_are_limited() {
        assert_eq!(continuous(&[0, 4, 8, 900, 904], Some(100)), (vec![0, 4, 8, 12, 16], 1, Some(3)));
        assert_eq!(continuous(&[0, 4, 8, 900, 904], None), (vec![0, 4, 8, 900, 904], 0, None));
    }

    #[test]
    fn missing_pts_follow_at_the_median_step_and_equal_ones_stay() {
        assert_eq!(continuous(&[NO_PTS, NO_PTS, 10, 14, NO_PTS, 22], None).0, [2, 6, 10, 14, 18, 22]);
        assert_eq!(continuous(&[0, 0, 4, 4, 8], None), (vec![0, 0, 4, 4, 8], 0, None));
        assert_eq!(continuous(&[NO_PTS, NO_PTS], None).0, [0, 1]);
    }

    #[test]
    fn increasing_pts_are_recognized() {
        let increases = |pts: &[i64], max_step| is_increasing(&frames(pts), max_step);
        assert!(increases(&[-4, 0, 4, 9], None) && increases(&[0, 4, NO_PTS, NO_PTS], None));
        assert!(increases(&[], None) && increases(&[NO_PTS], None));
        assert!(!increases(&[0, 4, 4], None) && !increases(&[4, 0], None) && !increases(&[NO_PTS, 0], None));
        assert!(increases(&[0, 50], Some(50)) && !increases(&[0, 51], Some(50)));
    }

    #[test]
    fn frames_of_one_tick_are_spread_over_it() {
        let spread = |in_file: &[i64]| {
            let mut frames = frames(in_file);
            (spread_equal_pts(&mut frames, 1 << 56), pts(&frames))
        };
        assert_eq!(spread(&[0, 0, 1, 1, 2]), (1000, vec![0, 500, 1000, 1500, 2000]));
        assert_eq!(spread(&[0, 0, 33, 33, 66]), (1, vec![0, 0, 33, 33, 66]));
        assert_eq!(spread(&[0, 33, 66]), (1, vec![0, 33, 66]));
        assert_eq!(spread(&[4, 4, 5, 5]), (1000, vec![4000, 4500, 5000, 5500]));
        assert_eq!(spread(&[0, 1, 1, 1, 2, 2]), (1000, vec![667, 1000, 1333, 1666, 2000, 2333]));
        assert_eq!(spread(&[5, 5]), (1, vec![5, 5]));
        assert_eq!(spread(&[]), (1, vec![]));
    }
}
