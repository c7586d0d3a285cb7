//! An experiment carried out: one run after the other, rows laid down as they come, then the report.

use super::accuracy::Truth;
use super::clips::Clip;
use super::death::Outcome;
use super::guess::RoughTime;
use super::plan::{Plan, Planned, Status, refuse_without_device};
use super::planner::Planner;
use super::progress::{Event, Listener};
use super::search::{Answer, Sought};
use super::store::{Kept, Store};
use super::watch::Program;
use super::work::{Pinned, Work};
use super::{Project, RunnerError, agreement, carry, finish, folder, search, strips};
use crate::dataset::TruthFile;
use crate::experiment::Experiment;
use crate::recovery::ModelSet;
use crate::report::{self, Notebook, Page};
use crate::tables::RunRow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How an experiment is to be carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program whose `worker` carries out a run.
    pub program: Program,
    /// Runs what is done already again.
    pub fresh: bool,
}

impl Options {
    /// This very program.
    ///
    /// # Errors
    /// If the system does not say where it lies.
    pub fn this_program() -> std::io::Result<Options> {
        let path = std::env::current_exe()?;
        Ok(Options { program: Program { path, arguments: vec!["worker".to_string()] }, fresh: false })
    }
}

/// What came of an experiment.
#[derive(Debug)]
pub struct Finished {
    /// The report's folder.
    pub folder: PathBuf,
    pub rows: Vec<RunRow>,
    /// Runs that the plan had, those not come to included.
    pub planned: usize,
    /// How many rows were found as ended before.
    pub again: usize,
    /// The page; `None` if Ctrl-C ended the experiment.
    pub page: Option<Page>,
}

impl Finished {
    /// Runs that did not end well.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome != Outcome::Ok.name()).count()
    }
}

/// Carries out `experiment`. With a raised `interrupt` it stops between or within runs: what is
/// finished is kept and goes into the report's tables, and the next invocation goes on from there.
///
/// # Errors
/// If the experiment cannot be planned, no run has a device, or the disk refuses rows. A run that fails is a row.
pub fn execute(
    project: &Project,
    experiment: &Experiment,
    options: &Options,
    interrupt: &AtomicBool,
    listener: &mut dyn Listener,
) -> Result<Finished, RunnerError> {
    refuse_without_device(experiment)?;
    let program = Pinned::new(&options.program)?;
    let mut planner = Planner::new(project, &options.program)?;
    let plan = Plan::of(&mut planner, experiment, true, listener)?;
    let left_out = plan.left_out_in_words();
    for words in &left_out {
        listener.hear(Event::Note(&format!("left out: {words}")));
    }
    let mut experiment = experiment.clone();
    experiment.left_out = left_out;
    let experiment = &experiment;
    let report = folder::create(&project.reports(&experiment.name), &plan.source)?;
    folder::write_text(&report, "experiment.toml", &experiment.to_toml())?;

    let work = Making { project, experiment, options, program: &program, plan: &plan, interrupt };
    let mut made = Made { report, of: plan.runs_at_most(), ..Made::default() };
    work.make_all(&mut planner, &mut made, listener)?;
    let Made { report, of, mut runs, again, .. } = made;

    listener.hear(Event::Then("joining the tables"));
    agreement::fill(&mut runs)?;
    let rows = rows_of(&runs);
    folder::write_runs(&report, &rows)?;
    folder::join_tables(&report, each_once(&runs).into_iter())?;
    let mut page = None;
    if !interrupt.load(Relaxed) {
        listener.hear(Event::Then("drawing film strips"));
        strips::draw(project, experiment, &report, &runs)?;
        listener.hear(Event::Then("writing the report"));
        page = Some(report::write(&Notebook::from(experiment), &report)?);
        folder::link_latest(&report)?;
    }
    Ok(Finished { folder: report, rows, planned: of, again, page })
}

/// The folders of runs with tables. Two searches may try the same run: its tables are there once.
fn each_once(runs: &[Ended]) -> Vec<&Path> {
    let mut folders: Vec<&Path> = Vec::new();
    let mut seen = HashSet::new();
    folders.extend(runs.iter().filter_map(|run| run.tables.as_deref()).filter(|folder| seen.insert(*folder)));
    folders
}

/// What the runs of an experiment are made with.
struct Making<'a> {
    project: &'a Project,
    experiment: &'a Experiment,
    options: &'a Options,
    program: &'a Pinned,
    plan: &'a Plan,
    interrupt: &'a AtomicBool,
}

/// What has been made so far.
#[derive(Default)]
struct Made {
    report: PathBuf,
    runs: Vec<Ended>,
    /// How many of them were found as ended before.
    again: usize,
    /// How many there will be, at most.
    of: usize,
    left: RoughTime,
}

impl Making<'_> {
    /// Makes the plan's runs, then its searches, until all is done or Ctrl-C.
    fn make_all(
        &self,
        planner: &mut Planner,
        made: &mut Made,
        listener: &mut dyn Listener,
    ) -> Result<(), RunnerError> {
        let fresh = self.options.fresh;
        made.left = self.plan.rough_left(fresh);
        for planned in &self.plan.runs {
            let Some(ended) = self.make(planned, Kept::is_ok, made, listener)? else { return Ok(()) };
            made.left -= planned.rough_left(fresh);
            self.lay_down(ended, made)?;
        }
        for sought in &self.plan.searches {
            if !self.search(sought, planner, made, listener)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes the tries of a search; false if Ctrl-C ended it.
    fn search(
        &self,
        sought: &Sought,
        planner: &mut Planner,
        made: &mut Made,
        listener: &mut dyn Listener,
    ) -> Result<bool, RunnerError> {
        let mut bisection = sought.begin();
        let first = made.runs.len();
        while let Some(value) = bisection.next() {
            made.of = made.of.max(made.runs.len() + bisection.at_most());
            let mut planned = sought.planned(planner, self.experiment, value, true, listener)?;
            let (number, at_most) = (made.runs.len() - first + 1, bisection.at_most());
            planned.label = format!("{} (try {number}, at most {} more)", planned.label, at_most - 1);
            let ended = self.make(&planned, search::answers, made, listener)?;
            let Some(mut ended) = ended else { return Ok(false) };
            sought.mark(&mut ended.row, value);
            let answer = Answer::of(&ended.row);
            self.lay_down(ended, made)?;
            if answer == Answer::Neither {
                listener.hear(Event::Note(&format!("this search cannot go on: {}", planned.label)));
                break;
            }
            bisection.tell(value, answer == Answer::Fits);
        }
        // what a search needs less than it might have needed
        made.of -= (sought.done + sought.left_at_most).saturating_sub(made.runs.len() - first).min(made.of);
        made.left -= sought.rough;
        Sought::mark_edge(&bisection, made.runs[first..].iter_mut().map(|ended| &mut ended.row));
        folder::write_runs(&made.report, &rows_of(&made.runs))?;
        Ok(true)
    }

    /// One run, made or found as made before; `None` if Ctrl-C ended it.
    fn make(
        &self,
        planned: &Planned,
        is_done: fn(&Kept) -> bool,
        made: &mut Made,
        listener: &mut dyn Listener,
    ) -> Result<Option<Ended>, RunnerError> {
        if self.interrupt.load(Relaxed) {
            return Ok(None);
        }
        let (number, label) = (made.runs.len() + 1, planned.label.as_str());
        let of = made.of.max(number);
        listener.hear(Event::Begin { number, of, label, left: made.left });
        let store = Store::of(self.project.runs());
        let kept = planned.key.as_ref().and_then(|key| store.find(&key.run_id()));
        let kept = kept.filter(|kept| is_done(kept) && !self.options.fresh);
        let found = kept.is_some();
        let ended = match kept {
            Some(kept) => Some(Ended { row: kept.row, tables: Some(kept.folder) }),
            None => {
                self.program.check()?;
                let Making { project, plan, program, interrupt, .. } = self;
                one(project, plan, planned, &store, &program.program, interrupt, listener)?
            }
        };
        let Some(ended) = ended else { return Ok(None) };
        made.again += usize::from(found);
        listener.hear(Event::End { number, of, label, row: &ended.row, again: found });
        Ok(Some(ended))
    }

    /// Adds a run to the report's table.
    fn lay_down(&self, mut ended: Ended, made: &mut Made) -> Result<(), RunnerError> {
        ended.row.experiment = self.experiment.name.clone();
        made.runs.push(ended);
        folder::write_runs(&made.report, &rows_of(&made.runs))
    }
}

/// A run that has ended, well or not.
#[derive(Debug, Clone)]
pub struct Ended {
    pub row: RunRow,
    /// Where its other tables lie; `None` for a run that could not even start.
    pub tables: Option<PathBuf>,
}

fn rows_of(runs: &[Ended]) -> Vec<RunRow> {
    runs.iter().map(|run| run.row.clone()).collect()
}

/// One run from its order to its place in the store; `None` if Ctrl-C ended it.
fn one(
    project: &Project,
    plan: &Plan,
    planned: &Planned,
    store: &Store,
    program: &Program,
    interrupt: &AtomicBool,
    listener: &mut dyn Listener,
) -> Result<Option<Ended>, RunnerError> {
    let mut row = finish::row_before(planned, &plan.source, &plan.machine);
    let (Clip::Ready(clip), Some(key)) = (&planned.clip, &planned.key) else {
        row.outcome = Outcome::Error.name().to_string();
        row.error = Some(match &planned.status {
            Status::Broken(message) => message.clone(),
            other => other.to_string(),
        });
        return Ok(Some(Ended { row, tables: None }));
    };
    let work = Work::create(&project.work(), &row.run_id)?;
    let order = carry::order(project, &row.run_id, planned, clip, &work);
    let Some(seen) = carry::watched(&order, &work, program, interrupt, listener)? else { return Ok(None) };
    finish::add_seen(&mut row, seen);
    work.tidy();
    let body = ModelSet::load(&order.model)?.load_body()?;
    let truth = clip.truth.as_ref().map(TruthFile::read_all).transpose()?;
    let passed_over = clip.truth.as_ref().map(TruthFile::read_passed_over).transpose()?.unwrap_or_default();
    let same_ids = clip.boxes.is_none();
    let truth = truth.as_ref().map(|people| Truth { people, passed_over: &passed_over, same_ids });
    finish::tables(&work.folder, &mut row, &body, truth, clip.views.as_deref(), &planned.settings.smoothing)?;
    let place = store.keep(&work.folder, key, &row)?;
    Ok(Some(Ended { row, tables: Some(place) }))
}
