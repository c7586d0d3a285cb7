//! Predicts a track's location: three ridge regressions over time (`forward_for_tracking`, "L").

use super::features::{FOCAL_PER_SIDE, Location, Observation, Prediction};

/// Largest number of frames since the last match, plus one, for which the prediction is extrapolated further.
const MAX_HORIZON: usize = 48;
/// Regularization of the slope, for log depth, x and y.
const DEPTH_ALPHA: f64 = 5.0;
const X_ALPHA: f64 = 1.2;
const Y_ALPHA: f64 = 2.0;

/// 97.5% quantiles of Student's t-distribution for 1, 2, ... degrees of freedom.
const STUDENT_T_975: [f64; 14] = [
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
/// Bounds of the number of observations that a prediction can be made from.
pub const MIN_HISTORY: usize = 3;
pub const MAX_HISTORY: usize = STUDENT_T_975.len() + 2;

/// A line fitted to values over time, and its uncertainty.
struct Fit {
    value: f64,
    /// Half the width of the 95% prediction interval.
    interval: f64,
}

/// Ridge regression with an unpenalized intercept: the slope is `sum(t y) / (sum(t^2) + alpha)` about the means;
/// evaluated at `time`.
fn fit(times: &[f64], values: &[f64], alpha: f64, time: f64) -> Fit {
    let n = times.len() as f64;
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / n;
    let (time_mean, value_mean) = (mean(times), mean(values));
    let spread: f64 = times.iter().map(|time| (time - time_mean).powi(2)).sum();
    let covariance: f64 = times.iter().zip(values).map(|(t, v)| (t - time_mean) * (v - value_mean)).sum();
    let slope = covariance / (spread + alpha);
    let on_line = |time: f64| value_mean + slope * (time - time_mean);
    let squares: f64 = times.iter().zip(values).map(|(time, value)| (value - on_line(*time)).powi(2)).sum();
    let error = (squares / (n - 2.0)).sqrt();
    let quantile = STUDENT_T_975[times.len() - MIN_HISTORY];
    // with all times equal the spread is 0 and the interval infinite, or NaN if the values are equal too
    let interval = quantile * error * (1.0 + 1.0 / n + (time - time_mean).powi(2) / spread).sqrt();
    Fit { value: on_line(time), interval }
}

/// Predicts a track `misses + 1` frames after its last match; the pose is that of the last match. Without appearance.
///
/// The horizon is limited to 48 misses. Intervals are divided by one plus the number of repeated times in `history`
/// (a young track's history repeats its first observation), which makes young tracks look more certain than they
/// are; the interval of the depth is a factor, divided likewise, and can fall below 1. All of this is as in the
/// reference.
///
/// # Panics
/// If `history` holds fewer than 3 or more than 16 observations.
pub fn predict<'a>(
    history: impl ExactSizeIterator<Item = &'a Observation> + Clone,
    misses: usize,
) -> Prediction {
    assert!((MIN_HISTORY..=MAX_HISTORY).contains(&history.len()), "a history of {}", history.len());
    let times: Vec<f64> = history.clone().map(|observation| observation.frame_index as f64).collect();
    let read = |value: fn(&Location) -> f32| -> Vec<f64> {
        history.clone().map(|observation| f64::from(value(&observation.location))).collect()
    };
    let last = history.clone().last().expect("a history is never empty");
    let time = last.frame_index as f64 + misses.min(MAX_HORIZON) as f64 + 1.0;
    let repeats = times.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let narrowed = 1.0 + repeats as f64;

    let log_depth = fit(&times, &read(|location| location.in_camera[2].ln()), DEPTH_ALPHA, time);
    let x = fit(&times, &read(|location| location.in_square[0]), X_ALPHA, time);
    let y = fit(&times, &read(|location| location.in_square[1]), Y_ALPHA, time);
    let depth = log_depth.value.exp();
    let in_meters = |value: f64| ((value - 0.5) * depth / FOCAL_PER_SIDE) as f32;
    Prediction {
        pose: last.pose.clone(),
        location: Location {
            in_square: [x.value as f32, y.value as f32],
            in_camera: [in_meters(x.value), in_meters(y.value), depth as f32],
        },
        texture: None,
        embedding: None,
        interval: [x.interval, y.interval, log_depth.interval.exp()].map(|width| (width / narrowed) as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phalp::{Pose, PoseDistance};

    fn observation(frame_index: usize, x: f32) -> Observation {
        let location = Location { in_square: [x, 0.5], in_camera: [0.0, 0.0, 30.0] };
        Observation::at(frame_index, Pose::zero(PoseDistance::Smpl), location)
    }

    #[test]
    fn a_constant_speed_is_extrapolated_with_shrinkage() {
        let history: Vec<_> = (0..7).map(|t| observation(t, 0.1 * t as f32)).collect();
        let next = predict(history.iter(), 0);
        // slope 0.1 * 28 / (28 + 1.2), read 4 frames after the mean
        assert!((f64::from(next.location.in_square[0]) - (0.3 + 0.4 * 28.0 / 29.2)).abs() < 1e-6);
        assert!((next.location.in_camera[2] - 30.0).abs() < 1e-4);
        assert_eq!(next.interval[1], 0.0);
    }

    #[test]
    fn the_horizon_is_limited() {
        let history: Vec<_> = (0..7).map(|t| observation(t, 0.01 * (t * t) as f32)).collect();
        assert_eq!(predict(history.iter(), 48), predict(history.iter(), 500));
    }
}
