//! An experiment carried out: one run after the other, rows laid down as they come, then the report.

use super::accuracy::Truth;
use super::clips::Clip;
use super::death::Outcome;
use super::plan::{Plan, Planned, Status, plan, refuse_without_device};
use super::progress::{Event, Listener};
use super::store::Store;
use super::watch::Program;
use super::work::{Pinned, Work};
use super::{Project, RunnerError, agreement, carry, finish, folder, strips};
use crate::dataset::TruthFile;
use crate::experiment::Experiment;
use crate::hmr2::ModelSet;
use crate::report::{self, Notebook, Page};
use crate::tables::RunRow;
use std::path::PathBuf;
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
    let plan = plan(project, experiment, &options.program, true, listener)?;
    let report = folder::create(&project.reports(&experiment.name), &plan.source)?;
    folder::write_text(&report, "experiment.toml", &experiment.to_toml())?;

    let store = Store::of(project.runs());
    let of = plan.runs.len();
    let mut left_secs: f64 = plan.runs.iter().map(|run| run.cost_secs(options.fresh)).sum();
    let mut runs: Vec<Ended> = Vec::with_capacity(of);
    let mut again = 0;
    for (at, planned) in plan.runs.iter().enumerate() {
        if interrupt.load(Relaxed) {
            break;
        }
        let (number, label) = (at + 1, planned.label.as_str());
        listener.hear(Event::Begin { number, of, label, left_secs });
        left_secs -= planned.cost_secs(options.fresh);
        let kept = planned.key.as_ref().and_then(|key| store.find(&key.run_id()));
        let kept = kept.filter(|kept| kept.is_ok() && !options.fresh);
        let found = kept.is_some();
        let mut ended = match kept {
            Some(kept) => Ended { row: kept.row, tables: Some(kept.folder) },
            None => {
                program.check()?;
                match one(project, &plan, planned, &store, &program.program, interrupt, listener)? {
                    Some(ended) => ended,
                    None => break,
                }
            }
        };
        ended.row.experiment = experiment.name.clone();
        again += usize::from(found);
        listener.hear(Event::End { number, of, label, row: &ended.row, again: found });
        runs.push(ended);
        folder::write_runs(&report, &rows_of(&runs))?;
    }

    listener.hear(Event::Then("joining the tables"));
    agreement::fill(&mut runs)?;
    let rows = rows_of(&runs);
    folder::write_runs(&report, &rows)?;
    folder::join_tables(&report, runs.iter().filter_map(|run| run.tables.as_deref()))?;
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

impl Planned {
    /// Rough seconds until this run is done.
    fn cost_secs(&self, fresh: bool) -> f64 {
        if self.status == Status::Done && !fresh { 0.0 } else { self.rough_secs }
    }
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
    let truth = truth.as_ref().map(|people| Truth { people, same_ids: clip.boxes.is_none() });
    finish::tables(&work.folder, &mut row, &body, truth)?;
    let place = store.keep(&work.folder, key, &row)?;
    Ok(Some(Ended { row, tables: Some(place) }))
}
