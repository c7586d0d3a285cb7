//! Times of decoded frames that run on, where the file's own times do not.
//!
//! A joined recording has a clock that starts again, goes back or jumps; other files leave times out, or count in ticks
//! that are longer than a frame. Frames stay in the order in which they are decoded. Must not know where the times come
//! from.

/// Stands for a missing time: lower than any time that is accepted.
pub(super) const NO_TIME: i64 = -(1 << 60);
/// The latest time that is given, and less its sign the earliest.
const LATEST: i64 = 1 << 59;
/// Parts of a tick where ticks are longer than frames.
const PARTS: i64 = 1000;

/// What was done to the times of a list of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RunOn {
    /// Discontinuities of the clock: how many, and the first frame behind the first of them.
    pub breaks: usize,
    pub first_break: Option<usize>,
    /// Ticks from one frame to the next: the median.
    pub step: i64,
}

/// Whether times rise from frame to frame in steps of at most `longest`. The last frames may lack times.
///
/// `packed` holds `ticks * 2 + key`.
pub(super) fn are_in_order(packed: &[i64], longest: Option<i64>) -> bool {
    let timed = packed.iter().rposition(|&packed| packed >> 1 != NO_TIME).map_or(0, |last| last + 1);
    packed[..timed].windows(2).all(|pair| {
        let (before, after) = (pair[0] >> 1, pair[1] >> 1);
        before != NO_TIME && after > before && longest.is_none_or(|longest| after - before <= longest)
    })
}

/// The longest step that is none of the clock's jumps: `longest`, and more where frames lie far apart anyway.
pub(super) fn longest_between(packed: &[i64], longest: Option<i64>) -> Option<i64> {
    longest.map(|longest| longest.max(median_step(packed, None).saturating_mul(10)))
}

/// Makes the times of frames in their order of presentation run on. Where a time is missing, lies before the last one, or
/// lies more than `longest` ticks behind it, the frame follows the one before at the median step, and the frames behind it
/// keep their distances from it. Equal times are left alone.
pub(super) fn run_on(packed: &mut [i64], longest: Option<i64>) -> RunOn {
    let step = median_step(packed, longest);
    let mut done = RunOn { step, ..RunOn::default() };
    let first_timed = packed.iter().position(|&packed| packed >> 1 != NO_TIME);
    // frames without a time at the start are counted back from the first that has one
    let start = first_timed.map_or(0, |n| (packed[n] >> 1).saturating_sub(step.saturating_mul(n as i64)));
    let (mut last, mut last_told, mut offset) = (start.saturating_sub(step), None, 0i64);
    for (n, packed) in packed.iter_mut().enumerate() {
        let (told, key) = (*packed >> 1, *packed & 1);
        let next = last.saturating_add(step);
        let ticks = if told == NO_TIME {
            next
        } else {
            let forward = last_told.map_or(0, |before| told - before);
            let breaks = forward < 0 || longest.is_some_and(|longest| forward > longest);
            if breaks {
                done.breaks += 1;
                done.first_break.get_or_insert(n);
            }
            if breaks || told.saturating_add(offset) < last {
                offset = next.saturating_sub(told);
            }
            last_told = Some(told);
            told.saturating_add(offset)
        };
        last = ticks.clamp(-LATEST, LATEST);
        *packed = last * 2 + key;
    }
    done
}

fn median_step(packed: &[i64], longest: Option<i64>) -> i64 {
    let mut steps: Vec<i64> = packed
        .windows(2)
        .filter(|pair| pair.iter().all(|&packed| packed >> 1 != NO_TIME))
        .map(|pair| (pair[1] >> 1) - (pair[0] >> 1))
        .filter(|&step| step > 0 && longest.is_none_or(|longest| step <= longest))
        .collect();
    let middle = steps.len() / 2;
    if steps.is_empty() { 1 } else { *steps.select_nth_unstable(middle).1 }
}

/// Spreads frames of equal time evenly over their tick where the next frame follows one tick later: the ticks are too long
/// for the frame rate. Returns into how many parts ticks were divided: 1 where there was nothing to spread.
pub(super) fn spread(packed: &mut [i64], largest: i64) -> i64 {
    let shared = |pair: &[i64]| pair[0] >> 1 == pair[1] >> 1;
    let coarse = packed.windows(3).any(|three| shared(&three[..2]) && three[2] >> 1 == (three[1] >> 1) + 1);
    let fits = packed.iter().all(|&packed| (packed >> 1).abs() < largest / PARTS);
    if !coarse || !fits {
        return 1;
    }
    let (mut first, mut most) = (0, 1);
    while first < packed.len() {
        let run = run_length(packed, first);
        let is_one_tick = packed.get(first + run).is_some_and(|&next| next >> 1 == (packed[first] >> 1) + 1);
        most = if is_one_tick { run.max(most) } else { most };
        first += run;
    }
    first = 0;
    while first < packed.len() {
        let (tick, run) = (packed[first] >> 1, run_length(packed, first));
        let (is_last, most) = (first + run == packed.len(), most.max(run) as i64);
        let spreads = packed.get(first + run).is_none_or(|&next| next >> 1 == tick + 1);
        for (place, packed) in (0i64..).zip(&mut packed[first..first + run]) {
            let part = match spreads {
                false => 0,
                // the first tick and the last may be cut: their frames are as far apart as those of a full one
                true if is_last => PARTS * place / most,
                true if first == 0 => PARTS - PARTS * (run as i64 - place) / most,
                true => PARTS * place / run as i64,
            };
            *packed = (tick * PARTS + part) * 2 + (*packed & 1);
        }
        first += run;
    }
    PARTS
}

/// How many frames on end, from frame `first` on, have its time.
fn run_length(packed: &[i64], first: usize) -> usize {
    packed[first..].iter().take_while(|&&other| other >> 1 == packed[first] >> 1).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran_on(ticks: &[i64], longest: Option<i64>) -> (Vec<i64>, usize, Option<usize>) {
        let mut packed: Vec<i64> = ticks.iter().map(|ticks| ticks * 2).collect();
        let done = run_on(&mut packed, longest);
        (packed.iter().map(|packed| packed >> 1).collect(), done.breaks, done.first_break)
    }

    #[test]
    fn a_clock_that_starts_again_or_goes_back_runs_on() {
        assert_eq!(ran_on(&[0, 4, 8, 0, 4, 8], None), (vec![0, 4, 8, 12, 16, 20], 1, Some(3)));
        assert_eq!(
            ran_on(&[500, 504, 508, 4, 8, 13], None),
            (vec![500, 504, 508, 512, 516, 521], 1, Some(3))
        );
        assert_eq!(ran_on(&[0, 4, 8, 2, 6, 10, 2], None), (vec![0, 4, 8, 12, 16, 20, 24], 2, Some(3)));
    }

    #[test]
    fn a_jump_is_a_break_only_where_the_clock_may_jump() {
        assert_eq!(ran_on(&[0, 4, 8, 900, 904], Some(100)), (vec![0, 4, 8, 12, 16], 1, Some(3)));
        assert_eq!(ran_on(&[0, 4, 8, 900, 904], None), (vec![0, 4, 8, 900, 904], 0, None));
    }

    #[test]
    fn missing_times_follow_at_the_step_and_equal_ones_stay() {
        assert_eq!(ran_on(&[NO_TIME, NO_TIME, 10, 14, NO_TIME, 22], None).0, [2, 6, 10, 14, 18, 22]);
        assert_eq!(ran_on(&[0, 0, 4, 4, 8], None), (vec![0, 0, 4, 4, 8], 0, None));
        assert_eq!(ran_on(&[NO_TIME, NO_TIME], None).0, [0, 1]);
    }

    #[test]
    fn order_is_known() {
        let in_order = |ticks: &[i64], longest| {
            are_in_order(&ticks.iter().map(|ticks| ticks * 2 + 1).collect::<Vec<_>>(), longest)
        };
        assert!(in_order(&[-4, 0, 4, 9], None) && in_order(&[0, 4, NO_TIME, NO_TIME], None));
        assert!(in_order(&[], None) && in_order(&[NO_TIME], None));
        assert!(!in_order(&[0, 4, 4], None) && !in_order(&[4, 0], None) && !in_order(&[NO_TIME, 0], None));
        assert!(in_order(&[0, 50], Some(50)) && !in_order(&[0, 51], Some(50)));
    }

    #[test]
    fn frames_share_a_tick_that_is_too_long_for_them() {
        let spread_of = |ticks: &[i64]| {
            let mut packed: Vec<i64> = ticks.iter().map(|ticks| ticks * 2).collect();
            let parts = spread(&mut packed, 1 << 56);
            (parts, packed.iter().map(|packed| packed >> 1).collect::<Vec<_>>())
        };
        assert_eq!(spread_of(&[0, 0, 1, 1, 2]), (1000, vec![0, 500, 1000, 1500, 2000]));
        assert_eq!(spread_of(&[0, 0, 33, 33, 66]), (1, vec![0, 0, 33, 33, 66]));
        assert_eq!(spread_of(&[0, 33, 66]), (1, vec![0, 33, 66]));
        assert_eq!(spread_of(&[4, 4, 5, 5]), (1000, vec![4000, 4500, 5000, 5500]));
        assert_eq!(spread_of(&[0, 1, 1, 1, 2, 2]), (1000, vec![667, 1000, 1333, 1666, 2000, 2333]));
        assert_eq!(spread_of(&[5, 5]), (1, vec![5, 5]));
        assert_eq!(spread_of(&[]), (1, vec![]));
    }
}
