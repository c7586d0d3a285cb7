//! Tracks one video outside of any experiment.
//!
//! Input: a [`TrackRequest`]. Output: a folder with tables, an overlay video and a summary. The video is processed by the
//! same worker process as a run of an experiment, so that both give the same results.

pub mod detections;

mod cues;
mod detection;
mod request;
mod summary;

pub use request::{OpenChoices, TrackRequest, TrackRequestError};

use super::{Project, RunnerError, export};
use crate::runner::drawing::overlay;
use crate::runner::job::clips::{self, Clip, ReadyClip};
use crate::runner::job::gpu;
use crate::runner::job::gpu::DevicePlacement;
use crate::runner::job::planned::mode_name;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::weights;
use crate::runner::scheduler::execute::ExecuteOptions;
use crate::runner::scheduler::planner::Planner;
use crate::runner::store::report_folder;
use crate::runner::supervisor::record;
use crate::runner::supervisor::run_job::{self, RunContext};
use crate::runner::supervisor::work_folder::WorkFolder;

use posebook_core::files::AtomicFile;
use posebook_core::labels::Outcome;
use posebook_models::recovery::ModelSet;
use posebook_notebook::tables::RunRow;
use posebook_video as video;
use posebook_video::Probe;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Result of tracking one video.
#[derive(Debug)]
pub struct TrackResult {
    /// The folder with people.parquet, overlay.mp4, summary.md and the other results.
    pub folder: PathBuf,
    /// The run's row.
    pub row: RunRow,
    /// The summary's text.
    pub summary: String,
}

/// Tracks one video.
///
/// # Errors
/// If the video, its boxes or the model set cannot be read, the device is unavailable, or results cannot be written. If
/// the worker process itself fails, [`TrackResult::row`] says so and there is no overlay. Ctrl-C is
/// [`RunnerError::Interrupted`].
pub fn track(
    project: &Project,
    request: &TrackRequest,
    options: &ExecuteOptions,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<TrackResult, RunnerError> {
    let placement = DevicePlacement::resolve(&request.settings);
    if let Some(reason) = gpu::gpu_requirement(&request.settings, &placement) {
        let skipped = format!("{} would {reason}", mode_name(&request.settings));
        return Err(RunnerError::NothingToRun { skipped });
    }
    if let Some(error) = placement.unavailable {
        return Err(error.into());
    }
    if let Some(out) = &request.out {
        report_folder::check_writable(out)?;
    }
    // the summary names the source as the user did
    let (original_source, pkl_name) = (request.shown_source(), request.pkl_name());
    let request = &request.with_defaults(project, listener)?;
    request.check_boxes()?;
    let request = &request.with_local_source(project, listener)?;
    let (clip, probe) = prepare_clip(project, request, listener)?;
    weights::fetch_model(project, &request.settings.model, listener)?;
    weights::prepare_detectors(project, &request.settings.detect, listener)?;
    let mut planner = Planner::new(project, &options.program)?;
    let planned = planner.plan_run(&request.settings, Clip::Ready(clip.clone()), 1)?;
    if planned.key.is_none() {
        return Err(RunnerError::Blocked { status: planned.status.to_string() });
    }
    let mut row = record::row_before(&planned, &planner.source, &planner.machine);
    row.experiment = "track".to_string();

    let work = WorkFolder::create(&project.work(), &planned.run_id)?;
    let (number, total, label) = (1, 1, planned.label.as_str());
    listener.on_event(ProgressEvent::RunStarted { number, total, label, time_left: planned.time });
    let context = RunContext { project, program: &options.program, interrupt };
    let draws = request.options.render;
    let overlay_path = draws.then(|| work.folder.join(overlay::FILE_NAME));
    let row = run_job::run_and_record(context, &planned, &clip, &work, row, overlay_path, listener)?;
    let row = row.ok_or(RunnerError::Interrupted)?;
    listener.on_event(ProgressEvent::RunEnded { number, total, label, row: &row, reused: false });

    let default_folder = || project.reports("track").join(folder_name(&clip.name));
    let folder = report_folder::create_or_use(request.folder.as_deref(), &planner.source, || {
        request.out.clone().unwrap_or_else(default_folder)
    })?;
    report_folder::write_runs(&folder, std::slice::from_ref(&row))?;
    report_folder::join_tables(&folder, std::iter::once(work.folder.as_path()))?;
    detections::write(&folder)?;
    let mut notes = probe.notes.clone();
    if row.outcome == Outcome::Ok && draws {
        let reported = notes.len();
        notes.extend(overlay::notes(&probe, &row, &request.settings)?);
        if !overlay::move_to(&folder, &work.folder)? {
            listener.on_event(ProgressEvent::Phase("drawing the overlay"));
            let body = ModelSet::load(&project.model(&request.settings.model))?.load_body()?;
            notes.extend(overlay::draw_again(&folder, &probe, &row, &request.settings, &body)?);
        }
        notes[reported..].iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
    }
    if row.outcome == Outcome::Ok {
        let problem = write_pkl(&folder, request, &pkl_name, interrupt, listener)?;
        problem.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
        notes.extend(problem);
    }
    let summary = summary::summary(&folder, original_source, &row, &probe, &notes)?;
    report_folder::write_text(&folder, "summary.md", &summary)?;
    if request.folder.is_none() {
        report_folder::link_latest(&folder)?;
    }
    Ok(TrackResult { folder, row, summary })
}

/// Writes PHALP's .pkl into the report folder and, if the user gave a folder, a copy where PHALP has it: in `results` of that
/// folder. Returns why that failed, because the other results are complete without it.
///
/// # Errors
/// If Ctrl-C is pressed.
fn write_pkl(
    folder: &Path,
    request: &TrackRequest,
    name: &str,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<Option<String>, RunnerError> {
    let shown = request.shown.as_ref().map(Path::new);
    let written = export::write_phalp_pkl(folder, &request.source, shown, name, interrupt, listener);
    let copied = written.and_then(|_| {
        let Some(out) = &request.out else { return Ok(()) };
        let results = out.join("results");
        std::fs::create_dir_all(&results).map_err(RunnerError::file(&results))?;
        let (from, to) = (folder.join("results").join(name), results.join(name));
        let file = AtomicFile::create(&to).map_err(RunnerError::file(&to))?;
        std::fs::copy(&from, file.temporary_path()).map_err(RunnerError::file(&to))?;
        file.finish().map_err(RunnerError::file(&to))
    });
    match copied {
        Ok(()) => Ok(None),
        Err(RunnerError::Interrupted) => Err(RunnerError::Interrupted),
        Err(error) => Ok(Some(format!("results/{name} could not be written: {error}"))),
    }
}

/// Probes the video and reads its boxes.
fn prepare_clip(
    project: &Project,
    request: &TrackRequest,
    listener: &mut dyn ProgressListener,
) -> Result<(ReadyClip, Probe), RunnerError> {
    // probed first: the prober's errors about an unreadable video are the most precise
    let probe = video::probe_with_fps(&request.source, request.fps)?;
    probe.notes.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
    Ok((prepare_only_clip(project, request, listener)?, probe))
}

/// Prepares the one clip of the request's dataset: reads boxes and ground truth.
///
/// # Errors
/// If they cannot be read.
pub(super) fn prepare_only_clip(
    project: &Project,
    request: &TrackRequest,
    listener: &mut dyn ProgressListener,
) -> Result<ReadyClip, RunnerError> {
    let dataset = request.dataset();
    let [spec] = dataset.clips() else {
        return Err(RunnerError::NotOneClip { found: dataset.clips().len() });
    };
    let name = &spec.name;
    let mut progress = |done, total| listener.on_event(ProgressEvent::Clip { name, done, total });
    let clip = spec.prepare(&project.clips(), &mut progress)?;
    clip.notes.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
    clips::to_ready_clip(clip)
}

/// The clip's name as a folder name. A video called `...mp4` has the clip name `..`.
fn folder_name(clip: &str) -> &str {
    if matches!(clip, "" | "." | "..") { "video" } else { clip }
}
