//! Plans an experiment: which runs it has, which of them are done, and which cannot run on this machine.
//!
//! Input: an experiment, the stored runs and this machine. Output: a [`Plan`]. Without `make_clips` nothing is written.

use super::planner::Planner;
use super::search::LimitSearch;
use crate::experiment::{Experiment, Settings};
use crate::runner::job::gpu::DevicePlacement;
use crate::runner::job::planned::{PlannedRun, RunStatus, mode_name};
use crate::runner::project::progress::{NoProgress, ProgressListener};
use crate::runner::project::time_estimate::TimeEstimate;
use crate::runner::supervisor::Program;
use crate::runner::{Project, RunnerError};
use posebook_core::provenance::{Machine, SourceVersion};
use std::fmt;

/// All runs of an experiment in the order of execution: every point once, then every point again for the second
/// repeat, so that a machine that slows down slows all points alike.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The runs of the sweep.
    pub runs: Vec<PlannedRun>,
    /// Searches for a limit; each value to try follows from the results before it.
    pub searches: Vec<LimitSearch>,
    /// Runs that this machine cannot make, by mode.
    pub skipped: Vec<SkippedRuns>,
    /// Revision of the source.
    pub source: SourceVersion,
    /// This machine.
    pub machine: Machine,
}

/// Checks that at least one run of the experiment has a device to run on.
///
/// # Errors
/// If none has, the reason of the first. Where some have one, these run and the others become failed rows.
pub fn require_device(experiment: &Experiment) -> Result<(), RunnerError> {
    let mut unavailable = None;
    for point in experiment.points()? {
        match DevicePlacement::resolve(&point.settings).unavailable {
            None => return Ok(()),
            Some(error) => unavailable = unavailable.or(Some(error)),
        }
    }
    unavailable.map_or(Ok(()), |error| Err(error.into()))
}

/// Plans the runs of `experiment`.
///
/// With `make_clips` missing clips are generated first, except those of searches; without, nothing is written.
///
/// # Errors
/// If a dataset is unknown or invalid, or no run can be made on this machine. Problems of a single run are its
/// [`RunStatus`].
pub fn plan(
    project: &Project,
    experiment: &Experiment,
    program: &Program,
    make_clips: bool,
    listener: &mut dyn ProgressListener,
) -> Result<Plan, RunnerError> {
    Plan::build(&mut Planner::new(project, program)?, experiment, make_clips, listener)
}

impl Plan {
    /// Like [`plan`], with a planner that can be used further.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn build(
        planner: &mut Planner,
        experiment: &Experiment,
        make_clips: bool,
        listener: &mut dyn ProgressListener,
    ) -> Result<Plan, RunnerError> {
        let (source, machine) = (planner.source.clone(), planner.machine.clone());
        let mut plan = Plan { runs: Vec::new(), searches: Vec::new(), skipped: Vec::new(), source, machine };
        if experiment.searches.is_empty() {
            plan.add_points(planner, experiment, make_clips, listener)?;
        } else {
            if make_clips {
                planner.fetch_weights([&experiment.defaults], listener)?;
            }
            plan.add_searches(planner, experiment)?;
        }
        if plan.runs.is_empty() && plan.searches.is_empty() && !plan.skipped.is_empty() {
            return Err(RunnerError::NothingToRun { skipped: plan.describe_skipped().join("; ") });
        }
        Ok(plan)
    }

    fn add_points(
        &mut self,
        planner: &mut Planner,
        experiment: &Experiment,
        make_clips: bool,
        listener: &mut dyn ProgressListener,
    ) -> Result<(), RunnerError> {
        let points = experiment.points()?;
        if make_clips {
            let all: Vec<&Settings> = points.iter().map(|point| &point.settings).collect();
            let runnable: Vec<&Settings> =
                all.into_iter().filter(|settings| planner.skip_reason(settings).is_none()).collect();
            planner.fetch_weights(runnable, listener)?;
        }
        let repeats = points.iter().map(|point| point.settings.repeats).max().unwrap_or(0);
        for repeat in 1..=repeats {
            for point in points.iter().filter(|point| point.settings.repeats >= repeat) {
                let settings = &point.settings;
                let skip_reason = planner.skip_reason(settings);
                for clip in planner.dataset_clips(settings, make_clips && skip_reason.is_none(), listener)? {
                    match skip_reason {
                        Some(reason) => self.add_skipped(settings, reason),
                        None => self.runs.push(planner.plan_run(settings, clip, repeat)?),
                    }
                }
            }
        }
        Ok(())
    }

    fn add_searches(&mut self, planner: &mut Planner, experiment: &Experiment) -> Result<(), RunnerError> {
        for search in &experiment.searches {
            for point in experiment.points_for_search(search)? {
                for repeat in 1..=point.settings.repeats {
                    let skip_reason = planner.skip_reason(&point.settings);
                    let searches = LimitSearch::plan_all(planner, experiment, search, &point, repeat)?;
                    match skip_reason {
                        Some(reason) => {
                            searches.iter().for_each(|_| self.add_skipped(&point.settings, reason))
                        }
                        None => self.searches.extend(searches),
                    }
                }
            }
        }
        Ok(())
    }

    fn add_skipped(&mut self, settings: &Settings, reason: &'static str) {
        let mode = mode_name(settings);
        match self.skipped.iter_mut().find(|skipped| skipped.mode == mode && skipped.reason == reason) {
            Some(skipped) => skipped.count += 1,
            None => self.skipped.push(SkippedRuns { mode, reason, count: 1 }),
        }
    }

    /// One phrase per mode with skipped runs.
    pub fn describe_skipped(&self) -> Vec<String> {
        self.skipped.iter().map(SkippedRuns::to_string).collect()
    }

    /// Maximum number of runs: searches may end early.
    pub fn max_runs(&self) -> usize {
        let tries = self.searches.iter().map(|search| search.done + search.remaining_at_most);
        self.runs.len() + tries.sum::<usize>()
    }

    /// Estimated time until all runs are done; with `fresh`, of all runs, finished ones included.
    pub fn time_left(&self, fresh: bool) -> TimeEstimate {
        let runs = self.runs.iter().map(|run| run.time_left(fresh));
        runs.chain(self.searches.iter().map(|search| search.time_left)).sum()
    }

    /// Number of runs that are done.
    pub fn done_count(&self) -> usize {
        let tries: usize = self.searches.iter().map(|search| search.done).sum();
        self.runs.iter().filter(|run| run.status == RunStatus::Done).count() + tries
    }
}

/// Runs of one mode that this machine cannot make. They are not failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRuns {
    /// Name of the video mode.
    pub mode: String,
    /// What they need, as a phrase that follows "runs that would".
    pub reason: &'static str,
    /// Number of runs.
    pub count: usize,
}

impl fmt::Display for SkippedRuns {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let SkippedRuns { mode, reason, count } = self;
        let runs = if *count == 1 { "run" } else { "runs" };
        write!(f, "{mode}: {count} {runs} that would {reason}")
    }
}

/// Number of runs of an experiment and their estimated time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PlanSize {
    /// Number of runs.
    pub runs: usize,
    /// Whether fewer runs may suffice because a search may end early.
    pub at_most: bool,
    /// Estimated time of all runs, finished ones included.
    pub time: TimeEstimate,
    /// Runs that cannot be made on this machine, for instance without their device. They take no time.
    pub blocked: usize,
}

impl fmt::Display for PlanSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let at_most = if self.at_most { "at most " } else { "" };
        let word = if self.runs == 1 { "run" } else { "runs" };
        match self.blocked {
            0 => write!(f, "{at_most}{} {word}, {}", self.runs, self.time),
            blocked if blocked == self.runs => {
                write!(f, "{} {word}, none of which can run here", self.runs)
            }
            blocked => {
                write!(f, "{at_most}{} {word}, {} ({blocked} cannot run here)", self.runs, self.time)
            }
        }
    }
}

/// Estimates sizes of experiments. What is looked up or measured for one experiment is reused for the next.
pub struct SizeEstimator<'p>(Planner<'p>);

impl SizeEstimator<'_> {
    /// An estimator for experiments of `project`.
    ///
    /// # Errors
    /// If the program's file cannot be read.
    pub fn new<'p>(project: &'p Project, program: &Program) -> Result<SizeEstimator<'p>, RunnerError> {
        Ok(SizeEstimator(Planner::new(project, program)?))
    }

    /// The size of `experiment`. Writes nothing.
    ///
    /// # Errors
    /// As [`plan`], except that an experiment without any possible run has size zero.
    pub fn estimate(&mut self, experiment: &Experiment) -> Result<PlanSize, RunnerError> {
        let plan = match Plan::build(&mut self.0, experiment, false, &mut NoProgress) {
            Err(RunnerError::NothingToRun { .. }) => return Ok(PlanSize::default()),
            plan => plan?,
        };
        let (runs, time) = (plan.max_runs(), plan.time_left(true));
        let blocked = plan.runs.iter().filter(|run| matches!(run.status, RunStatus::Blocked(_))).count();
        Ok(PlanSize { runs, at_most: !plan.searches.is_empty(), time, blocked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_names_runs_that_cannot_run() {
        let size = |blocked| PlanSize { runs: 18, at_most: false, time: Some(420.0).into(), blocked };
        assert_eq!(size(0).to_string(), "18 runs, about 7 min");
        assert_eq!(size(3).to_string(), "18 runs, about 7 min (3 cannot run here)");
        assert_eq!(size(18).to_string(), "18 runs, none of which can run here");
        assert_eq!(PlanSize { time: None.into(), ..size(0) }.to_string(), "18 runs, time unknown");
    }
}
