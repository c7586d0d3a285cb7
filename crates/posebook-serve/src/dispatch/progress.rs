//! Rate and time left of a job's stage, where its process does not give them. In: progress as it comes. Out: the same, completed.

use crate::job::Progress;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Rates are means over this window.
const WINDOW: Duration = Duration::from_secs(10);
/// Minimum time between the samples of a rate.
const MIN_TIME: Duration = Duration::from_millis(400);
/// Samples are at least this far apart.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Longest name of a stage, characters.
const MAX_STAGE: usize = 64;

/// The last samples of the current stage.
#[derive(Debug, Default)]
pub(super) struct Estimator {
    stage: String,
    samples: VecDeque<(Instant, u64)>,
}

impl Estimator {
    /// Completes progress that was given at `now`.
    pub(super) fn complete(&mut self, given: Progress, now: Instant) -> Progress {
        let stage: String =
            given.stage.chars().filter(|letter| !letter.is_control()).take(MAX_STAGE).collect();
        let went_back = self.samples.back().is_some_and(|(_, done)| given.done < *done);
        if stage != self.stage || went_back {
            self.samples.clear();
            self.stage.clone_from(&stage);
        }
        if self.samples.back().is_none_or(|(time, _)| now.duration_since(*time) >= SAMPLE_INTERVAL) {
            self.samples.push_back((now, given.done));
        }
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(time, _)| now.duration_since(*time) > WINDOW)
        {
            self.samples.pop_front();
        }
        let is_number = |value: &f64| value.is_finite() && *value >= 0.0;
        let rate = given.rate.filter(is_number).or_else(|| self.rate(given.done, now));
        let left = given.of.map(|of| of.saturating_sub(given.done));
        let computed = rate.filter(|rate| *rate > 0.0).zip(left).map(|(rate, left)| left as f64 / rate);
        Progress { stage, rate, seconds_left: given.seconds_left.filter(is_number).or(computed), ..given }
    }

    fn rate(&self, done: u64, now: Instant) -> Option<f64> {
        let (time, before) = self.samples.front()?;
        let passed = now.duration_since(*time);
        (passed >= MIN_TIME).then(|| done.saturating_sub(*before) as f64 / passed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(stage: &str, done: u64) -> Progress {
        Progress { stage: stage.into(), done, of: Some(100), rate: None, seconds_left: None }
    }

    #[test]
    fn rate_and_time_left_follow_from_the_last_seconds() {
        let mut estimator = Estimator::default();
        let began = Instant::now();
        let at = |seconds: f64| began + Duration::from_secs_f64(seconds);
        assert_eq!(estimator.complete(given("run", 0), at(0.0)).rate, None);
        let progress = estimator.complete(given("run", 10), at(1.0));
        assert_eq!((progress.rate, progress.seconds_left), (Some(10.0), Some(9.0)));
        // slow from here: after the window only the slow part counts
        for second in 2_u32..=30 {
            estimator.complete(given("run", 10 + u64::from(second)), at(second.into()));
        }
        let progress = estimator.complete(given("run", 41), at(31.0));
        assert!((progress.rate.unwrap() - 1.0).abs() < 0.01, "{progress:?}");
    }

    #[test]
    fn a_new_stage_begins_without_a_rate() {
        let mut estimator = Estimator::default();
        let began = Instant::now();
        estimator.complete(given("run", 0), began);
        estimator.complete(given("run", 50), began + Duration::from_secs(1));
        let progress = estimator.complete(given("overlay", 1), began + Duration::from_secs(2));
        assert_eq!((progress.rate, progress.seconds_left), (None, None));
        // the same stage from its beginning
        let progress = estimator.complete(given("overlay", 0), began + Duration::from_secs(4));
        assert_eq!(progress.rate, None);
    }

    #[test]
    fn values_of_the_process_are_taken_if_they_are_numbers() {
        let mut estimator = Estimator::default();
        let own = Progress { rate: Some(3.0), seconds_left: Some(7.0), ..given("run", 1) };
        assert_eq!(estimator.complete(own.clone(), Instant::now()), own);
        let broken = Progress { rate: Some(f64::NAN), seconds_left: Some(-1.0), ..given("r\u{1b}un", 1) };
        assert_eq!(estimator.complete(broken, Instant::now()), given("run", 1));
        let long = estimator.complete(given(&"x".repeat(1000), 1), Instant::now());
        assert_eq!(long.stage.len(), MAX_STAGE);
    }
}
