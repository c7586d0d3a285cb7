//! Searches for a limit: at one point of the sweep and over one clip, the largest value of a setting with which the
//! run still finishes. Every try is an ordinary run; [`super::bisect`] chooses the values.

use super::bisect::Bisection;
use super::planner::Planner;
use crate::experiment::{Experiment, Search, SweepPoint};
use crate::runner::RunnerError;
use crate::runner::job::planned::PlannedRun;
use crate::runner::project::progress::{NoProgress, ProgressListener};
use crate::runner::project::time_estimate::TimeEstimate;
use crate::runner::store::StoredRun;
use posebook_core::labels::Outcome;
use posebook_notebook::tables::RunRow;
use std::fmt;

/// A search at one point, over one clip, in one repeat.
#[derive(Debug, Clone)]
pub struct LimitSearch {
    search: Search,
    point: SweepPoint,
    /// Index of the clip in the dataset: every tried value may generate a different clip.
    clip: usize,
    repeat: u64,
    /// Label of the run with the smallest value.
    label: String,
    /// Tries that are done already.
    pub done: usize,
    /// Maximum number of tries that remain.
    pub remaining_at_most: usize,
    /// Estimated time of the remaining tries.
    pub time_left: TimeEstimate,
}

/// What a run says about the value that it tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run finished: the value fits.
    Fits,
    /// The run exhausted memory or time: the value is too large.
    TooLarge,
    /// The run failed for another reason: the search cannot continue.
    Inconclusive,
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Ok => Verdict::Fits,
            Outcome::OutOfMemory | Outcome::TimedOut => Verdict::TooLarge,
            Outcome::Crashed | Outcome::Error => Verdict::Inconclusive,
        }
    }
}

/// Whether a stored run decides a try, so that it need not be repeated. Exhausted memory or time is a result here.
pub fn is_conclusive(stored: &StoredRun) -> bool {
    Verdict::from(stored.row.outcome) != Verdict::Inconclusive
}

impl LimitSearch {
    /// The searches of `experiment` at `point` with `search`, one for each clip, advanced by the stored runs.
    ///
    /// # Errors
    /// If the dataset is unknown or invalid.
    pub fn plan_all(
        planner: &mut Planner,
        experiment: &Experiment,
        search: &Search,
        point: &SweepPoint,
        repeat: u64,
    ) -> Result<Vec<LimitSearch>, RunnerError> {
        let smallest = experiment.point_with_search_value(search, point, search.from)?;
        let clips = planner.dataset_clips(&smallest.settings, false, &mut NoProgress)?;
        let searches = clips.into_iter().enumerate().map(|(clip, first)| {
            let label = planner.plan_run(&smallest.settings, first, repeat)?.label;
            let (search, point) = (search.clone(), point.clone());
            let mut search = LimitSearch {
                search,
                point,
                clip,
                repeat,
                label,
                done: 0,
                remaining_at_most: 0,
                time_left: TimeEstimate::default(),
            };
            search.replay(planner, experiment)?;
            Ok(search)
        });
        searches.collect()
    }

    /// Replays stored runs until a value comes that was not tried.
    fn replay(&mut self, planner: &mut Planner, experiment: &Experiment) -> Result<(), RunnerError> {
        let mut bisection = self.new_bisection();
        while let Some(value) = bisection.next() {
            let planned = self.plan_run(planner, experiment, value, false, &mut NoProgress)?;
            let verdict = planner.find_stored(&planned).map(|stored| Verdict::from(stored.row.outcome));
            match verdict {
                Some(Verdict::Fits | Verdict::TooLarge) => {
                    bisection.record(value, verdict == Some(Verdict::Fits));
                    self.done += 1;
                }
                Some(Verdict::Inconclusive) | None => break,
            }
        }
        self.remaining_at_most = bisection.remaining_at_most();
        if self.remaining_at_most > 0 {
            let value = bisection.typical_value();
            let typical = self.plan_run(planner, experiment, value, false, &mut NoProgress)?;
            self.time_left = typical.time.times(self.remaining_at_most);
        }
        Ok(())
    }

    /// The bisection before any try.
    pub fn new_bisection(&self) -> Bisection {
        Bisection::new(&self.search)
    }

    /// The run that tries `value`. With `make` its clip is generated if it is missing.
    ///
    /// # Errors
    /// If the dataset is unknown, invalid, or has fewer clips with that value.
    pub fn plan_run(
        &self,
        planner: &mut Planner,
        experiment: &Experiment,
        value: f64,
        make: bool,
        listener: &mut dyn ProgressListener,
    ) -> Result<PlannedRun, RunnerError> {
        let settings = experiment.point_with_search_value(&self.search, &self.point, value)?.settings;
        let clips = planner.dataset_clips(&settings, make, listener)?;
        let clip = clips.into_iter().nth(self.clip);
        let clip = clip.ok_or_else(|| RunnerError::ClipVanished { key: self.search.key.clone(), value })?;
        let mut planned = planner.plan_run(&settings, clip, self.repeat)?;
        planned.label = format!("{}, {} = {value}", planned.label, self.search.key);
        Ok(planned)
    }

    /// Records in a try's row which value it tried.
    pub fn mark_row(&self, row: &mut RunRow, value: f64) {
        row.search_key = Some(self.search.key.clone());
        row.search_value = Some(value);
        row.search_edge = None;
    }

    /// Marks the largest value that fits and the smallest that fails in the rows of a finished search.
    pub fn mark_edges<'r>(bisection: &Bisection, rows: impl Iterator<Item = &'r mut RunRow>) {
        for row in rows {
            row.search_edge = row.search_value.and_then(|value| bisection.edge(value)).map(str::to_string);
        }
    }
}

impl fmt::Display for LimitSearch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Search { key, from, to, .. } = &self.search;
        write!(f, "{}; {key} from {from} to {to}: ", self.label)?;
        match (self.done, self.remaining_at_most) {
            (done, 0) => write!(f, "done in {done} tries"),
            (0, left) => write!(f, "to do: at most {left} tries"),
            (done, left) => write!(f, "to do: {done} tries done, at most {left} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_and_time_are_limits() {
        assert_eq!(Verdict::from(Outcome::Ok), Verdict::Fits);
        assert_eq!([Outcome::OutOfMemory, Outcome::TimedOut].map(Verdict::from), [Verdict::TooLarge; 2]);
        assert_eq!([Outcome::Error, Outcome::Crashed].map(Verdict::from), [Verdict::Inconclusive; 2]);
    }
}
