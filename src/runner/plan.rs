//! The plan: which runs an experiment asks for, which are done, and why the others are not.

use super::card::Place;
use super::clips::Clip;
use super::guess::RoughTime;
use super::key::Key;
use super::planner::{Planner, mode_of};
use super::progress::{Listener, Silence};
use super::search::Sought;
use super::watch::Program;
use super::{Project, RunnerError};
use crate::experiment::{Experiment, Settings};
use crate::provenance::{Machine, Source, sha256_of_bytes};
use std::fmt;
use std::path::PathBuf;

/// All runs of an experiment, in the order in which they are made: every point once, then again for
/// the second repeat, so that a machine that slows down slows all points alike.
#[derive(Debug, Clone)]
pub struct Plan {
    pub runs: Vec<Planned>,
    /// Searches, whose runs follow from each other.
    pub searches: Vec<Sought>,
    pub left_out: Vec<LeftOut>,
    pub source: Source,
    pub machine: Machine,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The run in words: clip, mode, size, length, repeat.
    pub label: String,
    pub settings: Settings,
    pub place: Place,
    pub repeat: u64,
    pub clip: Clip,
    /// `None` while the clip is not made, so that its hash is not known.
    pub key: Option<Key>,
    /// The detector's weights; `None` where boxes are given.
    pub detector: Option<PathBuf>,
    pub status: Status,
    /// A rough guess at how long it takes.
    pub rough: RoughTime,
}

/// Whether a run is done, or why not.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    Done,
    /// Nothing like it was ever run.
    New,
    /// It ran, but these have changed since.
    Changed(Vec<&'static str>),
    /// It ran and failed; failures are tried again.
    Failed {
        outcome: String,
        error: String,
    },
    /// Its clip is not made yet.
    ClipNotMade,
    /// Its clip, its model set or its device cannot be had: it will be a failed row.
    Broken(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Status::Done => write!(f, "done"),
            Status::New => write!(f, "to do: never run"),
            Status::Changed(what) => write!(f, "to do: {} changed since it ran", what.join(", ")),
            Status::Failed { outcome, error } => write!(f, "to do: failed before ({outcome}: {error})"),
            Status::ClipNotMade => write!(f, "to do: its clip is not made yet"),
            Status::Broken(message) => write!(f, "cannot run: {message}"),
        }
    }
}

impl Planned {
    /// Rough time until this run is done.
    pub(super) fn rough_left(&self, fresh: bool) -> RoughTime {
        if self.status == Status::Done && !fresh { RoughTime::default() } else { self.rough }
    }

    /// An id for a run that has no key: it cannot run, and is told apart from the others that cannot.
    pub(super) fn stand_in_id(&self) -> String {
        let what = format!("{} {} {}", Key::settings_of(&self.settings), self.clip.name(), self.repeat);
        format!("x{}", &sha256_of_bytes(what.as_bytes())[..14])
    }
}

/// Refuses an experiment none of whose runs has a device to run on.
///
/// # Errors
/// If so, why the first has none. Where others have one, theirs are run and the rest are failed rows.
pub(super) fn refuse_without_device(experiment: &Experiment) -> Result<(), RunnerError> {
    let mut refused = None;
    for point in experiment.points()? {
        match Place::of(&point.settings).refused {
            None => return Ok(()),
            Some(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Plans the runs of `experiment`.
///
/// With `make_clips` the clips that are missing are made first, but for those that a search may come to;
/// without, nothing is written.
///
/// # Errors
/// If a dataset is unknown or wrong, or nothing can be run here. What concerns one run alone is that run's
/// [`Status`].
pub fn plan(
    project: &Project,
    experiment: &Experiment,
    program: &Program,
    make_clips: bool,
    listener: &mut dyn Listener,
) -> Result<Plan, RunnerError> {
    Plan::of(&mut Planner::new(project, program)?, experiment, make_clips, listener)
}

impl Plan {
    /// As [`plan`], with a planner that can plan on.
    ///
    /// # Errors
    /// As [`plan`].
    pub(super) fn of(
        planner: &mut Planner,
        experiment: &Experiment,
        make_clips: bool,
        listener: &mut dyn Listener,
    ) -> Result<Plan, RunnerError> {
        let (source, machine) = (planner.source.clone(), planner.machine.clone());
        let mut plan = Plan { runs: Vec::new(), searches: Vec::new(), left_out: Vec::new(), source, machine };
        if experiment.searches.is_empty() {
            plan.add_points(planner, experiment, make_clips, listener)?;
        } else {
            if make_clips {
                planner.fetch_weights([&experiment.defaults], listener)?;
            }
            plan.add_searches(planner, experiment)?;
        }
        if plan.runs.is_empty() && plan.searches.is_empty() && !plan.left_out.is_empty() {
            return Err(RunnerError::NothingToRun { left_out: plan.left_out_in_words().join("; ") });
        }
        Ok(plan)
    }

    fn add_points(
        &mut self,
        planner: &mut Planner,
        experiment: &Experiment,
        make_clips: bool,
        listener: &mut dyn Listener,
    ) -> Result<(), RunnerError> {
        let points = experiment.points()?;
        if make_clips {
            let all: Vec<&Settings> = points.iter().map(|point| &point.settings).collect();
            let run_here: Vec<&Settings> =
                all.into_iter().filter(|settings| planner.left_out(settings).is_none()).collect();
            planner.fetch_weights(run_here, listener)?;
        }
        let repeats = points.iter().map(|point| point.settings.repeats).max().unwrap_or(0);
        for repeat in 1..=repeats {
            for point in points.iter().filter(|point| point.settings.repeats >= repeat) {
                let settings = &point.settings;
                let left_out = planner.left_out(settings);
                for clip in planner.clips_of(settings, make_clips && left_out.is_none(), listener)? {
                    match left_out {
                        Some(why) => self.leave_out(settings, why),
                        None => self.runs.push(planner.planned(settings, clip, repeat)),
                    }
                }
            }
        }
        Ok(())
    }

    fn add_searches(&mut self, planner: &mut Planner, experiment: &Experiment) -> Result<(), RunnerError> {
        for search in &experiment.searches {
            for point in experiment.points_of(search)? {
                for repeat in 1..=point.settings.repeats {
                    let left_out = planner.left_out(&point.settings);
                    let sought = Sought::at(planner, experiment, search, &point, repeat)?;
                    match left_out {
                        Some(why) => sought.iter().for_each(|_| self.leave_out(&point.settings, why)),
                        None => self.searches.extend(sought),
                    }
                }
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, settings: &Settings, why: &'static str) {
        let mode = mode_of(settings);
        match self.left_out.iter_mut().find(|left_out| left_out.mode == mode && left_out.why == why) {
            Some(left_out) => left_out.count += 1,
            None => self.left_out.push(LeftOut { mode, why, count: 1 }),
        }
    }

    /// What is left out, a phrase for each mode.
    pub fn left_out_in_words(&self) -> Vec<String> {
        self.left_out.iter().map(LeftOut::to_string).collect()
    }

    /// How many runs there are, at most.
    pub fn runs_at_most(&self) -> usize {
        self.runs.len() + self.searches.iter().map(|sought| sought.done + sought.left_at_most).sum::<usize>()
    }

    /// Rough time until all are done; of all runs, those that are done included, where they are made `fresh`.
    pub fn rough_left(&self, fresh: bool) -> RoughTime {
        let runs = self.runs.iter().map(|run| run.rough_left(fresh));
        runs.chain(self.searches.iter().map(|sought| sought.rough)).sum()
    }

    /// How many runs are done.
    pub fn done(&self) -> usize {
        let tries: usize = self.searches.iter().map(|sought| sought.done).sum();
        self.runs.iter().filter(|run| run.status == Status::Done).count() + tries
    }
}

/// Runs of one mode that this machine cannot make, which is not their fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub mode: String,
    /// What they would need, as what follows "which".
    pub why: &'static str,
    pub count: usize,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let LeftOut { mode, why, count } = self;
        let runs = if *count == 1 { "run" } else { "runs" };
        write!(f, "{mode}: {count} {runs} that would {why}")
    }
}

/// How large an experiment is, roughly.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rough {
    pub runs: usize,
    /// Whether fewer may do, because a search may end early.
    pub at_most: bool,
    /// Of all runs, those that are done included.
    pub time: RoughTime,
    /// Runs that cannot be made here: without their device, say. They take no time.
    pub cannot: usize,
}

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let at_most = if self.at_most { "at most " } else { "" };
        let word = if self.runs == 1 { "run" } else { "runs" };
        match self.cannot {
            0 => write!(f, "{at_most}{} {word}, {}", self.runs, self.time),
            cannot if cannot == self.runs => write!(f, "{} {word}, none of which can run here", self.runs),
            cannot => {
                write!(f, "{at_most}{} {word}, {} ({cannot} cannot run here)", self.runs, self.time)
            }
        }
    }
}

/// Says how large experiments are. What is looked up or measured for one serves the next.
pub struct Estimator<'p>(Planner<'p>);

impl Estimator<'_> {
    /// # Errors
    /// If the program cannot be read.
    pub fn new<'p>(project: &'p Project, program: &Program) -> Result<Estimator<'p>, RunnerError> {
        Ok(Estimator(Planner::new(project, program)?))
    }

    /// How large `experiment` is, without making anything.
    ///
    /// # Errors
    /// As [`plan`], but for nothing that can be run here: that is no runs.
    pub fn rough(&mut self, experiment: &Experiment) -> Result<Rough, RunnerError> {
        let plan = match Plan::of(&mut self.0, experiment, false, &mut Silence) {
            Err(RunnerError::NothingToRun { .. }) => return Ok(Rough::default()),
            plan => plan?,
        };
        let (runs, time) = (plan.runs_at_most(), plan.rough_left(true));
        let cannot = plan.runs.iter().filter(|run| matches!(run.status, Status::Broken(_))).count();
        Ok(Rough { runs, at_most: !plan.searches.is_empty(), time, cannot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_is_said() {
        let rough = |cannot| Rough { runs: 18, at_most: false, time: Some(420.0).into(), cannot };
        assert_eq!(rough(0).to_string(), "18 runs, about 7 min");
        assert_eq!(rough(3).to_string(), "18 runs, about 7 min (3 cannot run here)");
        assert_eq!(rough(18).to_string(), "18 runs, none of which can run here");
        assert_eq!(Rough { time: None.into(), ..rough(0) }.to_string(), "18 runs, time unknown");
    }
}
