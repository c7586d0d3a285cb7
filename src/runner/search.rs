//! Searches: at one point of the sweep, over one clip, the largest value of a setting with which the run
//! still ends well. Every try is an ordinary run.
//!
//! Must not know how a value is chosen ([`super::bisect`]), nor how a run is made.

use super::RunnerError;
use super::bisect::Bisection;
use super::death::Outcome;
use super::guess::RoughTime;
use super::plan::Planned;
use super::planner::Planner;
use super::progress::{Listener, Silence};
use super::store::Kept;
use crate::experiment::{Experiment, Point, Search};
use crate::tables::RunRow;
use std::fmt;

/// A search at one point, over one clip, in one repeat.
#[derive(Debug, Clone)]
pub struct Sought {
    search: Search,
    point: Point,
    /// Which of the dataset's clips: each value may make another clip of it.
    clip: usize,
    repeat: u64,
    /// The run at the search's smallest value, in words.
    label: String,
    /// Tries that are done already.
    pub done: usize,
    /// Tries that are still to be made, at most.
    pub left_at_most: usize,
    /// A rough guess at how long they take.
    pub rough: RoughTime,
}

/// What a try says about the value that it tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Fits,
    TooLarge,
    /// The run failed for another reason: the search cannot go on.
    Neither,
}

impl Answer {
    /// What an outcome says. Memory and time are what a value can be too large for.
    pub fn of(row: &RunRow) -> Answer {
        let is = |outcome: Outcome| row.outcome == outcome.name();
        match () {
            () if is(Outcome::Ok) => Answer::Fits,
            () if is(Outcome::OutOfMemory) || is(Outcome::TimedOut) => Answer::TooLarge,
            () => Answer::Neither,
        }
    }
}

/// Whether a kept run answers a try, so that it need not be made again: a failure for want of memory or
/// time is an answer here, and not a mishap.
pub fn answers(kept: &Kept) -> bool {
    Answer::of(&kept.row) != Answer::Neither
}

impl Sought {
    /// The searches of `experiment` at `point` with `search`, one for each clip, as far as kept runs bring them.
    ///
    /// # Errors
    /// If the dataset is unknown or wrong.
    pub(super) fn at(
        planner: &mut Planner,
        experiment: &Experiment,
        search: &Search,
        point: &Point,
        repeat: u64,
    ) -> Result<Vec<Sought>, RunnerError> {
        let smallest = experiment.point_at(search, point, search.from)?;
        let clips = planner.clips_of(&smallest.settings, false, &mut Silence)?;
        let each = clips.into_iter().enumerate().map(|(clip, first)| {
            let label = planner.planned(&smallest.settings, first, repeat).label;
            let (search, point) = (search.clone(), point.clone());
            let mut sought = Sought {
                search,
                point,
                clip,
                repeat,
                label,
                done: 0,
                left_at_most: 0,
                rough: RoughTime::default(),
            };
            sought.replay(planner, experiment)?;
            Ok(sought)
        });
        each.collect()
    }

    /// Goes on with what is kept until a value comes that was not tried.
    fn replay(&mut self, planner: &mut Planner, experiment: &Experiment) -> Result<(), RunnerError> {
        let mut bisection = self.begin();
        while let Some(value) = bisection.next() {
            let planned = self.planned(planner, experiment, value, false, &mut Silence)?;
            let answer = planner.kept(&planned).map(|kept| Answer::of(&kept.row));
            match answer {
                Some(Answer::Fits | Answer::TooLarge) => {
                    bisection.tell(value, answer == Some(Answer::Fits));
                    self.done += 1;
                }
                Some(Answer::Neither) | None => break,
            }
        }
        self.left_at_most = bisection.at_most();
        if self.left_at_most > 0 {
            let about = self.planned(planner, experiment, bisection.about(), false, &mut Silence)?;
            self.rough = about.rough.times(self.left_at_most);
        }
        Ok(())
    }

    /// The search with nothing tried.
    pub fn begin(&self) -> Bisection {
        Bisection::new(&self.search)
    }

    /// The run that tries `value`. With `make` its clip is made where it is missing.
    ///
    /// # Errors
    /// If the dataset is unknown or wrong with that value.
    pub(super) fn planned(
        &self,
        planner: &mut Planner,
        experiment: &Experiment,
        value: f64,
        make: bool,
        listener: &mut dyn Listener,
    ) -> Result<Planned, RunnerError> {
        let settings = experiment.point_at(&self.search, &self.point, value)?.settings;
        let clips = planner.clips_of(&settings, make, listener)?;
        let clip = clips.into_iter().nth(self.clip);
        let clip = clip.ok_or_else(|| {
            RunnerError::NoVideo(format!("with {} = {value} the dataset has fewer clips", self.search.key))
        })?;
        let mut planned = planner.planned(&settings, clip, self.repeat);
        planned.label = format!("{}, {} = {value}", planned.label, self.search.key);
        Ok(planned)
    }

    /// Writes into a try's row what it tried.
    pub fn mark(&self, row: &mut RunRow, value: f64) {
        row.search_key = Some(self.search.key.clone());
        row.search_value = Some(value);
        row.search_edge = None;
    }

    /// Writes into the rows of all tries which of them are the edge, once there is one.
    pub fn mark_edge<'r>(bisection: &Bisection, rows: impl Iterator<Item = &'r mut RunRow>) {
        for row in rows {
            row.search_edge = row.search_value.and_then(|value| bisection.edge(value)).map(str::to_string);
        }
    }
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Search { key, from, to, .. } = &self.search;
        write!(f, "{}; {key} from {from} to {to}: ", self.label)?;
        match (self.done, self.left_at_most) {
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
        let answer =
            |outcome: Outcome| Answer::of(&RunRow { outcome: outcome.name().into(), ..RunRow::default() });
        assert_eq!(answer(Outcome::Ok), Answer::Fits);
        assert_eq!([Outcome::OutOfMemory, Outcome::TimedOut].map(answer), [Answer::TooLarge; 2]);
        assert_eq!([Outcome::Error, Outcome::Crashed].map(answer), [Answer::Neither; 2]);
    }
}
