//! Trial runs: a video mode over a few frames, by the same worker process that makes runs, sampled in the same way.

use super::super::job::{JobSpec, WorkerReport};
use super::super::supervisor::Program;
use super::super::{Project, RunnerError};
use super::workload::Workload;
use crate::experiment::{ExperimentError, Limits, Settings};
use crate::runner::drawing::overlay;
use crate::runner::job::gpu::DevicePlacement;
use crate::runner::project::progress::NoProgress;
use crate::runner::project::weights::RunDetectors;
use crate::runner::supervisor::run_job;
use crate::runner::supervisor::work_folder::WorkFolder;
use posebook_core::labels::Outcome;
use posebook_video::{Mode, Probe};
use std::sync::atomic::AtomicBool;

/// What all trial runs share.
pub(super) struct TrialContext<'a> {
    pub project: &'a Project,
    pub settings: &'a Settings,
    pub placement: &'a DevicePlacement,
    pub probe: &'a Probe,
    /// First frame of the range.
    pub first: usize,
    /// Step between frames: 1 reads all.
    pub every: usize,
    pub workload: &'a Workload,
    pub program: &'a Program,
    /// Weights of the detectors; none where boxes are provided.
    pub detectors: &'a RunDetectors,
    pub interrupt: &'a AtomicBool,
}

/// Result of a trial run.
pub(super) struct Trial {
    /// What the process reported and the supervisor measured.
    pub report: WorkerReport,
    /// Error message of a failed trial run.
    pub problem: Option<String>,
}

impl TrialContext<'_> {
    /// The settings of a full run in `mode`.
    pub fn run_settings(&self, mode: Mode) -> Settings {
        let mut settings = self.settings.clone();
        if settings.video.preset.is_none() {
            settings.video.mode = Some(mode);
        }
        settings
    }

    /// The settings of a run in `mode` over the first `frames` frames of the range, without limits: a trial run shall
    /// measure memory, not fail for it.
    fn trial_settings(&self, mode: Mode, frames: usize) -> Settings {
        let mut settings = self.settings.clone();
        let end = (self.first + frames * self.every).min(self.probe.frames());
        let video = &mut settings.video;
        (video.preset, video.start_time, video.end_time, video.loops) = (None, None, None, None);
        (video.start_frame, video.end_frame) = (Some(self.first as i64), Some(end as i64));
        video.mode = Some(mode);
        settings.limits = Limits::default();
        settings
    }

    /// Makes a trial run in `mode`.
    ///
    /// # Errors
    /// If it cannot be started, or Ctrl-C is pressed. A failed run is [`Trial::problem`].
    pub fn run(&self, mode: Mode, work: &WorkFolder) -> Result<Trial, RunnerError> {
        let own = WorkFolder::create(&work.folder, mode.name())?;
        let boxes = own.boxes();
        self.workload.write(&boxes, self.first, self.every)?;
        let job = JobSpec {
            run_id: format!("plan-{}", mode.name()),
            settings: self
                .trial_settings(mode, self.workload.trial_frames())
                .with_defaults()
                .map_err(ExperimentError::from)?,
            device: self.placement.device.clone(),
            gpu_uuid: self.placement.gpu.as_ref().map(|gpu| gpu.uuid.clone()),
            video: self.probe.path.clone(),
            fps: self.probe.fps,
            boxes: Some(boxes),
            model: self.project.model(&self.settings.model),
            models: self.project.models(),
            detector: self.detectors.main.clone(),
            fallback: self.detectors.fallback.clone(),
            scratch: own.scratch(),
            // `track` draws one: its copies of frames are part of what a run takes
            overlay: Some(own.folder.join(overlay::FILE_NAME)),
        };
        let result = run_job::run_job(&job, &own, self.program, self.interrupt, &mut NoProgress)?;
        let report = result.ok_or(RunnerError::Interrupted)?.report;
        let failed = report.outcome != Outcome::Ok;
        let message = || report.error.clone().unwrap_or_else(|| report.outcome.name().to_string());
        let problem = failed.then(message);
        Ok(Trial { report, problem })
    }
}
