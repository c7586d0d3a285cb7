//! Where a track's person will be: three ridge regressions over time (`forward_for_tracking`, "L").

use super::features::{Expected, Observation, Place};

/// Focal length of PHALP's camera over the side of its picture, both in pixels.
const FOCAL_IN_SIDES: f64 = 5000.0 / 256.0;
/// The farthest ahead, in frames beyond the last sighting plus one, that the line is followed.
const FARTHEST_AHEAD: usize = 48;
/// Regularisation of the slope, for the logarithm of the depth, for x and for y.
const DEPTH_ALPHA: f64 = 5.0;
const X_ALPHA: f64 = 1.2;
const Y_ALPHA: f64 = 2.0;

/// 97.5% quantiles of Student's distribution for 1, 2, ... degrees of freedom.
const STUDENT: [f64; 14] = [
    12.706204736432095,
    4.302652729911275,
    3.182446305284263,
    2.7764451051977987,
    2.570581835636314,
    2.446911848791681,
    2.3646242510102993,
    2.306004135204166,
    2.2621571628540993,
    2.2281388519649385,
    2.200985160082949,
    2.1788128296634177,
    2.1603686564610127,
    2.1447866879169273,
];
/// Fewest and most observations a prediction can be made from.
pub(super) const SHORTEST: usize = 3;
pub(super) const LONGEST: usize = STUDENT.len() + 2;

/// A line through values over time, and how far a new value may lie from it.
struct Line {
    value: f64,
    /// Half the width of the interval that holds a new value with 95% probability.
    interval: f64,
}

/// Ridge regression with an unpenalised intercept: the slope is `sum(t y) / (sum(t^2) + alpha)` about
/// the means; read at `at`.
fn fit(times: &[f64], values: &[f64], alpha: f64, at: f64) -> Line {
    let n = times.len() as f64;
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / n;
    let (time_mean, value_mean) = (mean(times), mean(values));
    let spread: f64 = times.iter().map(|time| (time - time_mean).powi(2)).sum();
    let together: f64 = times.iter().zip(values).map(|(t, v)| (t - time_mean) * (v - value_mean)).sum();
    let slope = together / (spread + alpha);
    let on_line = |time: f64| value_mean + slope * (time - time_mean);
    let squares: f64 = times.iter().zip(values).map(|(time, value)| (value - on_line(*time)).powi(2)).sum();
    let error = (squares / (n - 2.0)).sqrt();
    let quantile = STUDENT[times.len() - SHORTEST];
    // with all times equal the spread is 0 and the interval infinite, or NaN if the values are equal too
    let interval = quantile * error * (1.0 + 1.0 / n + (at - time_mean).powi(2) / spread).sqrt();
    Line { value: on_line(at), interval }
}

/// What a track expects `misses + 1` frames after its last sighting, pose left as it was last.
///
/// The horizon is cut at 48 misses. Intervals are divided by one more than the number of times that
/// repeat in `history` (a young track's history repeats its first sighting), which makes young tracks
/// look surer than they are; the interval of the depth is a factor, divided likewise, and can fall
/// below 1. So the reference has it.
///
/// # Panics
/// If `history` holds fewer than 3 or more than 16 observations.
pub fn foretell<'a>(
    history: impl ExactSizeIterator<Item = &'a Observation> + Clone,
    misses: usize,
) -> Expected {
    assert!((SHORTEST..=LONGEST).contains(&history.len()), "a history of {}", history.len());
    let times: Vec<f64> = history.clone().map(|seen| seen.frame_index as f64).collect();
    let read = |value: fn(&Place) -> f32| -> Vec<f64> {
        history.clone().map(|seen| f64::from(value(&seen.place))).collect()
    };
    let last = history.clone().last().expect("a history is never empty");
    let at = last.frame_index as f64 + misses.min(FARTHEST_AHEAD) as f64 + 1.0;
    let repeats = times.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let narrowed = 1.0 + repeats as f64;

    let log_depth = fit(&times, &read(|place| place.in_camera[2].ln()), DEPTH_ALPHA, at);
    let x = fit(&times, &read(|place| place.in_square[0]), X_ALPHA, at);
    let y = fit(&times, &read(|place| place.in_square[1]), Y_ALPHA, at);
    let depth = log_depth.value.exp();
    let in_metres = |value: f64| ((value - 0.5) * depth / FOCAL_IN_SIDES) as f32;
    Expected {
        pose: last.pose.clone(),
        place: Place {
            in_square: [x.value as f32, y.value as f32],
            in_camera: [in_metres(x.value), in_metres(y.value), depth as f32],
        },
        interval: [x.interval, y.interval, log_depth.interval.exp()].map(|wide| (wide / narrowed) as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phalp::POSE_LENGTH;

    fn seen(frame_index: usize, x: f32) -> Observation {
        let place = Place { in_square: [x, 0.5], in_camera: [0.0, 0.0, 30.0] };
        Observation { frame_index, pose: Box::new([0.0; POSE_LENGTH]), place, annotated: false }
    }

    #[test]
    fn a_walk_goes_on_but_less_eagerly() {
        let history: Vec<_> = (0..7).map(|t| seen(t, 0.1 * t as f32)).collect();
        let next = foretell(history.iter(), 0);
        // slope 0.1 * 28 / (28 + 1.2), read 4 frames after the mean
        assert!((f64::from(next.place.in_square[0]) - (0.3 + 0.4 * 28.0 / 29.2)).abs() < 1e-6);
        assert!((next.place.in_camera[2] - 30.0).abs() < 1e-4);
        assert_eq!(next.interval[1], 0.0);
    }

    #[test]
    fn the_horizon_ends() {
        let history: Vec<_> = (0..7).map(|t| seen(t, 0.01 * (t * t) as f32)).collect();
        assert_eq!(foretell(history.iter(), 48), foretell(history.iter(), 500));
    }
}
