//! Runs one planned run in a process of its own.
//!
//! Input: the planned run and its clip, or a job. Output: the completed row and the run's tables, or the process' report.

use super::record;
use super::work_folder::WorkFolder;
use crate::dataset::TruthFile;
use crate::experiment::ExperimentError;
use crate::runner::job::clips::ReadyClip;
use crate::runner::job::planned::PlannedRun;
use crate::runner::job::{self, JobSpec};
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::scoring::accuracy::Truth;
use crate::runner::store::write_json;
use crate::runner::supervisor::{self, Program, RunResult, SupervisedRun};
use crate::runner::{Project, RunnerError};
use posebook_core::memory::live::LiveRecord;
use posebook_models::recovery::ModelSet;
use posebook_notebook::tables::RunRow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// What the runs of one command share.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// The project.
    pub project: &'a Project,
    /// The program that runs the worker process.
    pub program: &'a Program,
    /// Set by Ctrl-C.
    pub interrupt: &'a AtomicBool,
}

/// Runs `planned` over `clip` in `work`, where its tables are written, and returns `row` completed with the report and
/// the accuracy; `None` if the user interrupted it. An overlay video is written to `overlay`, if given.
///
/// # Errors
/// If the run cannot be started, its model or ground truth cannot be read, or its tables cannot be written. A failed run
/// is a row.
pub fn run_and_record(
    context: RunContext,
    planned: &PlannedRun,
    clip: &ReadyClip,
    work: &WorkFolder,
    mut row: RunRow,
    overlay: Option<PathBuf>,
    listener: &mut dyn ProgressListener,
) -> Result<Option<RunRow>, RunnerError> {
    let RunContext { project, program, interrupt } = context;
    let job = JobSpec { overlay, ..job_spec(project, &row.run_id, planned, clip, work)? };
    let Some(result) = run_job(&job, work, program, interrupt, listener)? else { return Ok(None) };
    record::add_report(&mut row, result.report);
    work.remove_temporary_files();
    let body = ModelSet::load(&job.model)?.load_body()?;
    let people = clip.truth.as_ref().map(TruthFile::read_all).transpose()?;
    let ignored = clip.truth.as_ref().map(TruthFile::read_ignored_boxes).transpose()?.unwrap_or_default();
    let boxes_have_truth_ids = clip.boxes.is_none();
    let truth = people.as_ref().map(|people| Truth { people, ignored: &ignored, boxes_have_truth_ids });
    let smoothing = &planned.settings.smoothing;
    record::tables(&work.folder, &mut row, &body, truth, clip.views.as_deref(), smoothing)?;
    Ok(Some(row))
}

/// The job of a planned run over `clip`. Where the clip's ground truth provides the input boxes, it is converted to a
/// file in `work`.
///
/// # Errors
/// If the settings are invalid, or boxes cannot be converted.
fn job_spec(
    project: &Project,
    run_id: &str,
    planned: &PlannedRun,
    clip: &ReadyClip,
    work: &WorkFolder,
) -> Result<JobSpec, RunnerError> {
    let PlannedRun { settings, placement, .. } = planned;
    // detectors need no boxes
    let input_boxes = clip.input_boxes().filter(|_| settings.detect.model.needs_boxes());
    Ok(JobSpec {
        run_id: run_id.to_string(),
        settings: settings.with_defaults().map_err(ExperimentError::from)?,
        device: placement.device.clone(),
        gpu_uuid: placement.gpu.as_ref().map(|gpu| gpu.uuid.clone()),
        video: clip.path.clone(),
        fps: clip.fps,
        boxes: input_boxes.map(|source| source.to_box_file(work.boxes())).transpose()?,
        model: project.model(&settings.model),
        models: project.models(),
        detector: planned.detectors.main.clone(),
        fallback: planned.detectors.fallback.clone(),
        scratch: work.scratch(),
        overlay: None,
    })
}

/// Runs `job` in a process of `program` and waits for its end; `None` if the user interrupted it.
///
/// # Errors
/// See [`supervisor::run`].
pub fn run_job(
    job: &JobSpec,
    work: &WorkFolder,
    program: &Program,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<Option<RunResult>, RunnerError> {
    write_json(&job::job_path(&work.folder), job)?;
    let mut on_sample = |live: &LiveRecord| {
        if let (Some(frame), Some(number), Some(of)) = (live.frame, live.frames_begun, live.frames) {
            listener.on_event(ProgressEvent::Frame { frame, number, total: of });
        }
    };
    let run = SupervisedRun {
        run_id: &job.run_id,
        limits: &job.settings.limits,
        gpu_uuid: job.gpu_uuid.as_deref(),
    };
    let result = supervisor::run(program, &work.folder, &run, interrupt, &mut on_sample)?;
    Ok((!result.interrupted).then_some(result))
}
