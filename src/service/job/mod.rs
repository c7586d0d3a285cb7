//! The process of one job: `posebook job FOLDER`.
//!
//! In: a folder with a [`JobFile`]. Out: results in its subfolder `files`; progress on standard output, one JSON [`ProcessEvent`] per
//! line; and at the end a file with the [`JobOutcome`]. SIGTERM interrupts it; an interrupted experiment keeps its finished runs.
//!
//! Runs are made by the same worker processes as those of `posebook track`, `posebook reconstruct` and `posebook experiment run`, so
//! that rows and files are the same. Results name sources as the client did, and no folder of the server.
//!
//! | kind | files |
//! |---|---|
//! | `track` | `people.parquet`, `frames.parquet`, `memory.parquet`, `runs.parquet`, `runs.csv`, `overlay.mp4`, `summary.md`, `detections.txt`, `results/demo_NAME.pkl` |
//! | `reconstruct` | `people.parquet`, `summary.json`, for every image `NAME_all.png`, for every person `NAME_0.png`, `NAME_0.obj`, `NAME_0.npz` |
//! | `experiment` | `report.html`, `report.md`, figures, `experiment.toml` and the tables of all runs |
//!
//! [`ProcessEvent`]: posebook_serve::job::ProcessEvent

mod failure;
mod progress;
mod shown;

use super::predict;
use super::settings::{self, Given, Work, WrongSetting};
use crate::experiment::Experiment;
use crate::runner::images::{ReconstructRequest, ReconstructionEvent, ReconstructionSummary, reconstruct};
use crate::runner::progress::{ProgressEvent, ProgressListener};
use crate::runner::{self, ExecuteOptions, Outcome, Project, RunnerError, TrackRequest, interrupt};
use posebook_core::files::write_atomically;
use posebook_models::device;
use posebook_serve::job::{Failure, FailureKind, JOB_FILE, JobFile, JobOutcome, OUTCOME_FILE, RESULTS};
use progress::Reporter;
use serde_json::Map;
use shown::ShownNames;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Folder of a job's folder for files that are no results; removed at the end.
const SCRATCH: &str = "scratch";
/// Exit status of a job that was interrupted.
const INTERRUPTED: u8 = 130;
/// Exit status of a job whose folder has no valid job.
const NO_JOB: u8 = 2;

/// Executes the job in `folder` for the project around the folder `project`. The exit status is 0 for success, 1 for a failure that
/// the outcome describes, 130 after an interrupt and 2 if there is no outcome.
pub fn run(folder: &Path, project: &Path) -> ExitCode {
    let stop = interrupt::install();
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| format!("the folder {}: {error}", path.display()))
    };
    let result = absolute(folder).and_then(|folder| {
        let job = read(&folder)?;
        let outcome = match absolute(project).and_then(|project| enter(&project)) {
            Ok(project) => execute(project, &folder, &job, stop),
            Err(message) => JobOutcome {
                failure: Some(failure::plain(FailureKind::Error, message)),
                interrupted: false,
                summary: None,
            },
        };
        // what cannot be removed only takes space
        let _ = fs::remove_dir_all(folder.join(SCRATCH));
        let path = folder.join(OUTCOME_FILE);
        let bytes = serde_json::to_vec_pretty(&outcome).map_err(|error| error.to_string())?;
        write_atomically(&path, &bytes)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(outcome)
    });
    match result {
        Ok(JobOutcome { interrupted: true, .. }) => ExitCode::from(INTERRUPTED),
        Ok(JobOutcome { failure: Some(failure), .. }) => {
            eprintln!("error: {}", failure.message);
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(NO_JOB)
        }
    }
}

/// Finds the project around `start` and makes it the current folder, as it is for the commands whose runs are made.
fn enter(start: &Path) -> Result<Project, String> {
    let project = Project::find(start).map_err(|error| error.to_string())?;
    std::env::set_current_dir(&project.root)
        .map_err(|error| format!("the project {}: {error}", project.root.display()))?;
    Ok(project)
}

fn read(folder: &Path) -> Result<JobFile, String> {
    let path = folder.join(JOB_FILE);
    let bytes =
        fs::read(&path).map_err(|error| format!("cannot read the job {}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{} is not a job: {error}", path.display()))
}

/// What all kinds of jobs need.
struct Context<'a> {
    project: Project,
    job: &'a JobFile,
    results: PathBuf,
    shown: ShownNames,
    interrupt: &'a AtomicBool,
}

fn execute(project: Project, folder: &Path, job: &JobFile, interrupt: &AtomicBool) -> JobOutcome {
    let shown = ShownNames::new(job, folder);
    let hide = shown.clone();
    let failed = |failure: Failure| JobOutcome {
        failure: Some(Failure { message: hide.text(&failure.message), ..failure }),
        interrupted: false,
        summary: None,
    };
    if job.sources.iter().any(|source| predict::is_pickle(source)) {
        return failed(failure::plain(FailureKind::BadSource, predict::PICKLE.into()));
    }
    let work = match parse(&project, job) {
        Ok(work) => work,
        Err(wrong) => return failed(failure::plain(FailureKind::Error, wrong.message)),
    };
    // the project's own folder is for what jobs share: generated clips and stored runs of experiments
    let project = match &work {
        Work::Experiment(_) => project,
        Work::Track(_) | Work::Reconstruct(_) => project.with_cache(folder.join(SCRATCH)),
    };
    let context = Context { project, job, results: folder.join(RESULTS), shown, interrupt };
    let mut reporter = Reporter::new(std::io::stdout(), job.kind, context.shown.clone());
    let outcome = match work {
        Work::Track(request) => track(&context, *request, &mut reporter),
        Work::Reconstruct(request) => images(&context, *request, &mut reporter),
        Work::Experiment(experiment) => experiment_runs(&context, &experiment, &mut reporter),
    };
    match outcome {
        Ok(outcome) => match outcome.failure {
            Some(failure) => JobOutcome { summary: outcome.summary, ..failed(failure) },
            None => outcome,
        },
        Err(RunnerError::Interrupted) => JobOutcome { failure: None, interrupted: true, summary: None },
        Err(error) => failed(failure::of_error(&error, &job.sources, &job.settings)),
    }
}

/// Parses the job's settings. Its runs are on its device: where `device = "auto"` selects that, the settings stay as they are, so
/// that rows are those of the command line.
fn parse(project: &Project, job: &JobFile) -> Result<Work, WrongSetting> {
    let given = Given {
        kind: job.kind,
        experiment: job.experiment.as_deref(),
        settings: &job.settings,
        sources: &job.sources,
        boxes: job.boxes.as_deref(),
        device: None,
    };
    let auto = device::resolve("auto").map_or_else(|_| String::new(), |(choice, _)| choice.to_string());
    let is_own = |device: &str| {
        let resolved = if device == "auto" { auto.as_str() } else { device };
        resolved == job.device || resolved == "cpu" && device != "auto"
    };
    let work = settings::parse(project, &given)?;
    let fits = match &work {
        Work::Track(request) => is_own(&request.settings.device),
        Work::Reconstruct(request) => is_own(&request.device),
        Work::Experiment(experiment) => {
            experiment.points().is_ok_and(|points| points.iter().all(|point| is_own(&point.settings.device)))
        }
    };
    if fits { Ok(work) } else { settings::parse(project, &Given { device: Some(&job.device), ..given }) }
}

fn succeeded(summary: String) -> JobOutcome {
    JobOutcome { failure: None, interrupted: false, summary: Some(summary) }
}

fn track(
    context: &Context,
    request: TrackRequest,
    reporter: &mut Reporter,
) -> Result<JobOutcome, RunnerError> {
    let Context { project, job, results, shown, interrupt } = context;
    request.notes.iter().for_each(|note| reporter.on_event(ProgressEvent::Note(note)));
    let name = shown.names().first().cloned();
    let request = TrackRequest { folder: Some(results.clone()), shown: name, ..request };
    let options = options(context)?;
    let tracked = runner::track(project, &request, &options, interrupt, reporter)?;
    if tracked.row.outcome == Outcome::Ok {
        return Ok(succeeded(shown.text(&tracked.summary)));
    }
    let failure = failure::of_row(&tracked.row, &job.sources, &job.settings);
    Ok(JobOutcome { failure: Some(failure), interrupted: false, summary: Some(shown.text(&tracked.summary)) })
}

fn options(context: &Context) -> Result<ExecuteOptions, RunnerError> {
    let options = ExecuteOptions::this_program()
        .map_err(|source| RunnerError::Start { program: "posebook".into(), source })?;
    Ok(ExecuteOptions { folder: Some(context.results.clone()), ..options })
}

fn experiment_runs(
    context: &Context,
    experiment: &Experiment,
    reporter: &mut Reporter,
) -> Result<JobOutcome, RunnerError> {
    let options = options(context)?;
    let result = runner::execute(&context.project, experiment, &options, context.interrupt, reporter)?;
    let (runs, failed) = (result.rows.len(), result.failed());
    let counts = format!("{runs} of {} runs ({} reused), {failed} failed", result.planned, result.reused);
    let Some(page) = &result.page else {
        return Ok(JobOutcome { failure: None, interrupted: true, summary: Some(counts) });
    };
    let summary = format!("{counts}\n{}\n", page.claims_summary());
    // a failed run is a result of an experiment, unless there is no other
    let first = result.rows.iter().find(|row| row.outcome != Outcome::Ok).filter(|_| failed == runs);
    let failure = first.map(|row| failure::of_row(row, &[], &Map::new()));
    Ok(JobOutcome { failure, interrupted: false, summary: Some(summary) })
}

fn images(
    context: &Context,
    request: ReconstructRequest,
    reporter: &mut Reporter,
) -> Result<JobOutcome, RunnerError> {
    let Context { project, results, shown, interrupt, .. } = context;
    request.notes.iter().for_each(|note| reporter.on_event(ProgressEvent::Note(note)));
    let names = shown.names().iter().map(PathBuf::from).collect();
    let request = ReconstructRequest { folder: Some(results.clone()), shown: Some(names), ..request };
    let mut on_event = |event: ReconstructionEvent| match event {
        ReconstructionEvent::Note(text) => reporter.on_event(ProgressEvent::Note(text)),
        ReconstructionEvent::Done { number, total, image } => {
            reporter.image(number, total);
            image.notes.iter().for_each(|note| reporter.on_event(ProgressEvent::Note(note)));
        }
        ReconstructionEvent::Failed { number, total, image } => {
            reporter.image(number, total);
            let note = format!("{}: {}", image.picture.display(), image.error);
            reporter.on_event(ProgressEvent::Note(&note));
        }
    };
    let summary = reconstruct(project, &request, interrupt, &mut on_event)?;
    let ReconstructionSummary { pictures, failed, not_begun, model, device, precision, .. } = &summary;
    let people: usize = pictures.iter().map(|image| image.people).sum();
    let text = format!("{people} people in {} images; {model} on {device} ({precision})\n", pictures.len());
    let failure = failed.first().map(|first| {
        let all = pictures.len() + failed.len() + not_begun.len();
        let message =
            format!("{} of {all} images failed; {}: {}", failed.len(), first.picture.display(), first.error);
        failure::plain(FailureKind::BadSource, message)
    });
    let interrupted = !not_begun.is_empty();
    Ok(JobOutcome { failure: failure.filter(|_| !interrupted), interrupted, summary: Some(text) })
}
