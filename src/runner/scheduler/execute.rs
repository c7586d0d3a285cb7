//! Executes an experiment: runs what is missing, one run at a time, and writes the report.
//!
//! Input: an experiment. Output: a report folder with tables, contact sheets and the page. Rows are written after every
//! run, and finished runs are stored, so that an interrupted experiment continues where it stopped.

use super::plan::{Plan, require_device};
use super::planner::Planner;
use super::search;
use super::search::{LimitSearch, Verdict};
use crate::experiment::Experiment;
use crate::runner::drawing::contact_sheets;
use crate::runner::job::clips::Clip;
use crate::runner::job::planned::{PlannedRun, RunStatus};
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::time_estimate::TimeEstimate;
use crate::runner::scoring::agreement;
use crate::runner::store::ended::EndedRun;
use crate::runner::store::report_folder;
use crate::runner::store::{RunStore, StoredRun};
use crate::runner::supervisor::Program;
use crate::runner::supervisor::record;
use crate::runner::supervisor::run_job::{self, RunContext};
use crate::runner::supervisor::work_folder::{PinnedProgram, WorkFolder};
use crate::runner::{Project, RunnerError};
use posebook_core::labels::Outcome;
use posebook_notebook::report::{self, Notebook, RenderedReport};
use posebook_notebook::tables::RunRow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Options of an execution.
#[derive(Debug, Clone)]
pub struct ExecuteOptions {
    /// The program that runs the worker process of each run.
    pub program: Program,
    /// Repeats runs that are done already.
    pub fresh: bool,
    /// Folder of an experiment's report, where no new one shall be made in `reports/NAME`.
    pub folder: Option<PathBuf>,
}

impl ExecuteOptions {
    /// Options with the running executable as the program.
    ///
    /// # Errors
    /// If the system does not report the executable's path.
    pub fn this_program() -> std::io::Result<ExecuteOptions> {
        let path = std::env::current_exe()?;
        let program = Program { path, arguments: vec!["worker".to_string()] };
        Ok(ExecuteOptions { program, fresh: false, folder: None })
    }
}

/// Result of an experiment.
#[derive(Debug)]
pub struct ExperimentResult {
    /// The report's folder.
    pub folder: PathBuf,
    /// One row per ended run.
    pub rows: Vec<RunRow>,
    /// Number of planned runs, including those not started after Ctrl-C.
    pub planned: usize,
    /// Number of rows that come from stored runs.
    pub reused: usize,
    /// The page; `None` if Ctrl-C ended the experiment.
    pub page: Option<RenderedReport>,
}

impl ExperimentResult {
    /// Number of runs that did not finish.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome != Outcome::Ok).count()
    }
}

/// Executes `experiment`. Once `interrupt` is set it stops between or within runs: finished runs stay stored and are
/// written into the report's tables, and the next invocation continues from there.
///
/// # Errors
/// If the experiment cannot be planned, no run has a device, or a file cannot be written. A failed run is a row.
pub fn execute(
    project: &Project,
    experiment: &Experiment,
    options: &ExecuteOptions,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<ExperimentResult, RunnerError> {
    require_device(experiment)?;
    let program = PinnedProgram::new(&options.program)?;
    let mut planner = Planner::new(project, &options.program)?;
    let plan = Plan::build(&mut planner, experiment, true, listener)?;
    let skipped = plan.describe_skipped();
    for phrase in &skipped {
        listener.on_event(ProgressEvent::Note(&format!("left out: {phrase}")));
    }
    let mut experiment = experiment.clone();
    experiment.left_out = skipped;
    let experiment = &experiment;
    let folder = options.folder.as_deref();
    let reports = || project.reports(&experiment.name);
    let report = report_folder::create_or_use(folder, &plan.source, reports)?;
    report_folder::write_text(&report, "experiment.toml", &experiment.to_toml()?)?;

    let executor = Executor { project, experiment, options, program: &program, plan: &plan, interrupt };
    let mut state = ExecutionState { report, total: plan.max_runs(), ..ExecutionState::default() };
    executor.run_all(&mut planner, &mut state, listener)?;
    let ExecutionState { report, total, mut runs, reused, .. } = state;

    listener.on_event(ProgressEvent::Phase("joining the tables"));
    agreement::fill_columns(&mut runs)?;
    let rows = rows_of(&runs);
    report_folder::write_runs(&report, &rows)?;
    report_folder::join_tables(&report, unique_table_folders(&runs).into_iter())?;
    let mut page = None;
    if !interrupt.load(Relaxed) {
        listener.on_event(ProgressEvent::Phase("drawing contact sheets"));
        contact_sheets::draw(project, experiment, &report, &runs)?;
        listener.on_event(ProgressEvent::Phase("writing the report"));
        page = Some(report::write(&Notebook::from(experiment), &report)?);
        if folder.is_none() {
            report_folder::link_latest(&report)?;
        }
    }
    Ok(ExperimentResult { folder: report, rows, planned: total, reused, page })
}

/// Folders of runs with tables, each once: two searches may try the same run.
fn unique_table_folders(runs: &[EndedRun]) -> Vec<&Path> {
    let mut known = HashSet::new();
    runs.iter().filter_map(|run| run.tables.as_deref()).filter(|folder| known.insert(*folder)).collect()
}

/// What all runs of an experiment share.
struct Executor<'a> {
    project: &'a Project,
    experiment: &'a Experiment,
    options: &'a ExecuteOptions,
    program: &'a PinnedProgram,
    plan: &'a Plan,
    interrupt: &'a AtomicBool,
}

/// Progress of an execution.
#[derive(Default)]
struct ExecutionState {
    report: PathBuf,
    runs: Vec<EndedRun>,
    /// How many of `runs` come from the store.
    reused: usize,
    /// Maximum number of runs.
    total: usize,
    time_left: TimeEstimate,
}

impl Executor<'_> {
    /// Makes the plan's runs, then its searches, until all are done or Ctrl-C is pressed.
    fn run_all(
        &self,
        planner: &mut Planner,
        state: &mut ExecutionState,
        listener: &mut dyn ProgressListener,
    ) -> Result<(), RunnerError> {
        let fresh = self.options.fresh;
        state.time_left = self.plan.time_left(fresh);
        for planned in &self.plan.runs {
            let Some(run) = self.run_or_reuse(planned, StoredRun::is_ok, state, listener)? else {
                return Ok(());
            };
            state.time_left -= planned.time_left(fresh);
            self.add_run(run, state)?;
        }
        for search in &self.plan.searches {
            if !self.search(search, planner, state, listener)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes the tries of a search; false if Ctrl-C ended it.
    fn search(
        &self,
        search: &LimitSearch,
        planner: &mut Planner,
        state: &mut ExecutionState,
        listener: &mut dyn ProgressListener,
    ) -> Result<bool, RunnerError> {
        let mut bisection = search.new_bisection();
        let first = state.runs.len();
        while let Some(value) = bisection.next() {
            state.total = state.total.max(state.runs.len() + bisection.remaining_at_most());
            let mut planned = search.plan_run(planner, self.experiment, value, true, listener)?;
            let (number, at_most) = (state.runs.len() - first + 1, bisection.remaining_at_most());
            planned.label = format!("{} (try {number}, at most {} more)", planned.label, at_most - 1);
            let run = self.run_or_reuse(&planned, search::is_conclusive, state, listener)?;
            let Some(mut run) = run else { return Ok(false) };
            search.mark_row(&mut run.row, value);
            let verdict = Verdict::from(run.row.outcome);
            self.add_run(run, state)?;
            if verdict == Verdict::Inconclusive {
                let note = format!("this search cannot continue: {}", planned.label);
                listener.on_event(ProgressEvent::Note(&note));
                break;
            }
            bisection.record(value, verdict == Verdict::Fits);
        }
        // the search may have needed fewer tries than its maximum
        let unused = (search.done + search.remaining_at_most).saturating_sub(state.runs.len() - first);
        state.total -= unused.min(state.total);
        state.time_left -= search.time_left;
        LimitSearch::mark_edges(&bisection, state.runs[first..].iter_mut().map(|run| &mut run.row));
        report_folder::write_runs(&state.report, &rows_of(&state.runs))?;
        Ok(true)
    }

    /// Makes one run, or takes it from the store if it is done there; `None` if Ctrl-C ended it.
    fn run_or_reuse(
        &self,
        planned: &PlannedRun,
        is_done: fn(&StoredRun) -> bool,
        state: &mut ExecutionState,
        listener: &mut dyn ProgressListener,
    ) -> Result<Option<EndedRun>, RunnerError> {
        if self.interrupt.load(Relaxed) {
            return Ok(None);
        }
        let (number, label) = (state.runs.len() + 1, planned.label.as_str());
        let total = state.total.max(number);
        listener.on_event(ProgressEvent::RunStarted { number, total, label, time_left: state.time_left });
        let store = RunStore::new(self.project.runs());
        let stored = planned.key.as_ref().and_then(|_| store.find(&planned.run_id));
        let stored = stored.filter(|stored| is_done(stored) && !self.options.fresh);
        let reused = stored.is_some();
        let run = match stored {
            Some(stored) => Some(EndedRun { row: stored.row, tables: Some(stored.folder) }),
            None => {
                self.program.check()?;
                self.run(planned, &store, listener)?
            }
        };
        let Some(run) = run else { return Ok(None) };
        state.reused += usize::from(reused);
        listener.on_event(ProgressEvent::RunEnded { number, total, label, row: &run.row, reused });
        Ok(Some(run))
    }

    /// Makes one run and stores it; `None` if Ctrl-C ended it.
    fn run(
        &self,
        planned: &PlannedRun,
        store: &RunStore,
        listener: &mut dyn ProgressListener,
    ) -> Result<Option<EndedRun>, RunnerError> {
        let Executor { project, plan, interrupt, .. } = self;
        let mut row = record::row_before(planned, &plan.source, &plan.machine);
        let (Clip::Ready(clip), Some(key)) = (&planned.clip, &planned.key) else {
            row.outcome = Outcome::Error;
            row.error = Some(match &planned.status {
                RunStatus::Blocked(message) => message.clone(),
                other => other.to_string(),
            });
            return Ok(Some(EndedRun { row, tables: None }));
        };
        let work = WorkFolder::create(&project.work(), &row.run_id)?;
        let context = RunContext { project, program: &self.program.program, interrupt };
        let row = run_job::run_and_record(context, planned, clip, &work, row, None, listener)?;
        let Some(row) = row else { return Ok(None) };
        let folder = store.insert(&work.folder, key, &row)?;
        Ok(Some(EndedRun { row, tables: Some(folder) }))
    }

    /// Adds a run to the report's table.
    fn add_run(&self, mut run: EndedRun, state: &mut ExecutionState) -> Result<(), RunnerError> {
        run.row.experiment = self.experiment.name.clone();
        state.runs.push(run);
        report_folder::write_runs(&state.report, &rows_of(&state.runs))
    }
}

fn rows_of(runs: &[EndedRun]) -> Vec<RunRow> {
    runs.iter().map(|run| run.row.clone()).collect()
}
