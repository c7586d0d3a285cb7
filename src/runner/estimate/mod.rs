//! Estimates what a run takes before it starts: frames, memory, disk and time of every video mode, and which modes fit.
//!
//! The probe gives the exact number of frames, and how many must be decoded to reach them. The rest is measured: every mode
//! makes a trial run over a few frames in the worker process that makes runs ([`trial`]); images of frames all over the
//! video are written and a part of the video is decoded ([`sampling`]). What grows with the length is then added
//! ([`extrapolate`]). [`disk_bound`] bounds the disk use without a trial run.

pub mod disk_bound;
mod extrapolate;
mod sampling;
mod trial;
mod workload;

use super::track::prepare_only_clip;
use super::{Project, RunnerError, TrackRequest};
use crate::experiment::Settings;
use crate::runner::job::gpu::{self, DevicePlacement};
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::weights;
use crate::runner::scheduler::execute::ExecuteOptions;
use crate::runner::supervisor::work_folder::WorkFolder;
use extrapolate::FullRun;
use posebook_core::frame::FrameSize;
use posebook_core::memory::{disk, process};
use posebook_core::person::InputBox;
use posebook_models::detect;
use posebook_models::detect::mask_rcnn::preprocess::Geometry;
use posebook_models::detect::mask_rcnn::{Footprint, Options};
use posebook_video as video;
use posebook_video::{Mode, Probe, Store};
use sampling::DecodeRate;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use trial::TrialContext;
use workload::Workload;

/// Estimated resources of a run over one video.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceEstimate {
    /// The video.
    pub source: PathBuf,
    /// Name of its codec.
    pub codec: String,
    /// Width of a frame in pixels.
    pub width: usize,
    /// Height of a frame in pixels.
    pub height: usize,
    /// Frames per second.
    pub fps: f64,
    /// Whether `fps` is a mean because the frames have different durations.
    pub fps_is_mean: bool,
    /// Number of frames that a run processes.
    pub frames: usize,
    /// Number of key frames in the range.
    pub key_frames: usize,
    /// Name of the model set.
    pub model: String,
    /// The device.
    pub device: String,
    /// Mean number of people per frame.
    pub people_mean: f64,
    /// Largest number of people in a frame.
    pub people_most: usize,
    /// Whether the number of people is assumed because no boxes are provided.
    pub people_assumed: bool,
    /// What is available.
    pub budget: ResourceBudget,
    /// One estimate per video mode.
    pub modes: Vec<ModeEstimate>,
    /// Notes for the user about these values.
    pub notes: Vec<String>,
}

/// Available resources.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourceBudget {
    /// `limits.host_mib`, or the machine's available memory.
    pub host_bytes: Option<u64>,
    /// Whether `host_bytes` is the limit that was set.
    pub is_limit: bool,
    /// `limits.device_mib`, or the GPU's memory; `None` without a GPU.
    pub device_bytes: Option<u64>,
    /// Free space for scratch files.
    pub disk_bytes: Option<u64>,
}

/// Estimated resources of a run in one video mode. Unknown values are `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModeEstimate {
    /// Name of the video mode.
    pub mode: String,
    /// Number of frames that must be decoded to reach the requested ones.
    pub frames_decoded: Option<u64>,
    /// Peak heap.
    pub heap_bytes: Option<u64>,
    /// Peak resident set of the run's process.
    pub process_bytes: Option<u64>,
    /// Peak resident set of the decoder's process.
    pub decoder_bytes: Option<u64>,
    /// Peak use of the GPU's memory pool by tensors.
    pub device_bytes: Option<u64>,
    /// Peak size of the scratch files.
    pub disk_bytes: Option<u64>,
    /// Rough wall-clock time on an otherwise idle machine, seconds.
    pub secs: Option<f64>,
    /// Whether the run fits into the budget.
    pub fits: bool,
    /// What does not fit, or why there is no estimate.
    pub why_not: Option<String>,
}

/// Frames of a trial run: a few more than the tracker needs to confirm a track.
const TRIAL_FRAMES: usize = 8;

/// Frames of a trial run with a published detector, which takes up to a minute for a frame on a CPU.
const SLOW_TRIAL_FRAMES: usize = 1;

/// Estimates the resources of a run of `request` in each video mode, or in the requested one. Without boxes `people`
/// people per frame are assumed.
///
/// # Errors
/// If the video, its boxes or the model set cannot be read, the device is unavailable, or Ctrl-C is pressed. A mode whose
/// trial run fails has no values and says why.
pub fn estimate_resources(
    project: &Project,
    request: &TrackRequest,
    people: usize,
    options: &ExecuteOptions,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<ResourceEstimate, RunnerError> {
    let settings = &request.settings;
    let placement = DevicePlacement::resolve(settings);
    if let Some(error) = placement.unavailable {
        return Err(error.into());
    }
    let request = &request.with_defaults(project, listener)?.with_local_source(project, listener)?;
    let settings = &request.settings;
    weights::fetch_model(project, &settings.model, listener)?;
    let detectors = weights::prepare_detectors(project, &settings.detect, listener)?;
    let probe = video::probe_with_fps(&request.source, request.fps)?.looped(settings.video.loops());
    let range = video::select_frames(&settings.video, &probe)?.range;
    let work = WorkFolder::create(&project.work(), "plan")?;
    let frames = sampling::count_frames(&probe, settings, &work.scratch())?;
    let every = settings.video.every().max(1);
    let slow_detector = settings.detect.models().find(|model| model.published().is_some());
    let wanted_frames = match slow_detector {
        Some(_) => SLOW_TRIAL_FRAMES.max(settings.detect.batch),
        None => TRIAL_FRAMES,
    };
    let trial_frames = wanted_frames.max(settings.hmr2.frames).min(frames.min(range.len().div_ceil(every)));
    if let Some(model) = slow_detector {
        let (model, modes) = (model.name(), requested_modes(settings).len());
        listener.on_event(ProgressEvent::Note(&format!(
            "a trial run in each of {modes} modes loads {model} and detects {trial_frames} frame{}: minutes on a CPU; \
             video.mode=NAME tries one mode",
            if trial_frames == 1 { "" } else { "s" }
        )));
    }
    let workload = match input_boxes(project, request, listener)? {
        Some(boxes) => Workload::from_boxes(&boxes, range.clone(), trial_frames),
        None => Workload::assumed(people, trial_frames, probe.width, probe.height),
    };
    let decode_rate = DecodeRate::measure(&probe, &range, &work.scratch())?;
    let context = TrialContext {
        project,
        settings,
        placement: &placement,
        probe: &probe,
        first: range.start,
        every,
        workload: &workload,
        program: &options.program,
        detectors: &detectors,
        interrupt,
    };
    let budget = ResourceBudget::available(settings, &placement, &work);
    let full_run = FullRun { frames, range: range.clone(), probe: &probe, workload: &workload, decode_rate };
    let mut modes = Vec::new();
    for mode in requested_modes(settings) {
        listener.on_event(ProgressEvent::Phase(mode.name()));
        modes.push(estimate_mode(&context, &full_run, mode, &budget, &work)?);
    }
    let mut notes = notes(&probe, &workload, &placement, trial_frames);
    for model in settings.detect.models().filter(|model| model.published().is_some()) {
        notes.push(detector_note(project, settings, model, FrameSize::new(probe.width, probe.height))?);
    }
    Ok(ResourceEstimate {
        source: request.source.clone(),
        codec: probe.codec.clone(),
        width: probe.width,
        height: probe.height,
        fps: probe.fps,
        fps_is_mean: probe.rate().is_mean,
        frames,
        key_frames: range.clone().filter(|&index| probe.is_key(index)).count(),
        model: settings.model.clone(),
        device: placement.device.clone(),
        people_mean: workload.mean,
        people_most: workload.most,
        people_assumed: workload.assumed,
        budget,
        modes,
        notes,
    })
}

/// The mode that the settings request, or all.
fn requested_modes(settings: &Settings) -> Vec<Mode> {
    match (settings.video.mode, settings.video.preset) {
        (None, None) => Mode::all().to_vec(),
        // the settings were validated when they were read
        _ => settings.video.mode().into_iter().collect(),
    }
}

fn estimate_mode(
    context: &TrialContext,
    full_run: &FullRun,
    mode: Mode,
    budget: &ResourceBudget,
    work: &WorkFolder,
) -> Result<ModeEstimate, RunnerError> {
    let settings = context.run_settings(mode);
    let name = mode.name().to_string();
    let stores_on_gpu = matches!(mode, Mode::Extract(video::Extract { store: Store::Device, .. }));
    let needs_gpu = gpu::gpu_requirement(&settings, context.placement).is_some();
    if needs_gpu || stores_on_gpu && context.placement.gpu.is_none() {
        let why_not = Some("needs a GPU".to_string());
        return Ok(ModeEstimate { mode: name, why_not, ..ModeEstimate::default() });
    }
    let trial = context.run(mode, work)?;
    let image_bytes = sampling::mean_image_bytes(full_run.probe, &full_run.range, mode, &work.scratch())?;
    let mut estimate = match &trial.problem {
        Some(problem) => ModeEstimate {
            why_not: Some(format!("its trial run failed: {problem}")),
            frames_decoded: Some(full_run.frames_decoded(mode)),
            ..ModeEstimate::default()
        },
        None => full_run.extrapolate(mode, &trial, image_bytes),
    };
    estimate.mode = name;
    if estimate.why_not.is_none() {
        estimate.why_not = budget.describe_excess(&estimate);
        estimate.fits = estimate.why_not.is_none();
    }
    Ok(estimate)
}

/// The input boxes of the video, by frame; `None` if there are none.
fn input_boxes(
    project: &Project,
    request: &TrackRequest,
    listener: &mut dyn ProgressListener,
) -> Result<Option<Vec<Vec<InputBox>>>, RunnerError> {
    if request.boxes.is_none() && request.truth.is_none() {
        return Ok(None);
    }
    let clip = prepare_only_clip(project, request, listener)?;
    let Some(source) = clip.input_boxes() else { return Ok(None) };
    let mut frames = Vec::new();
    source.for_each_frame(|boxes| frames.push(boxes))?;
    Ok(Some(frames))
}

/// A note on the memory of a published detector, predicted from its sizes: it can be the largest part of a run's memory.
fn detector_note(
    project: &Project,
    settings: &Settings,
    model: detect::Model,
    size: FrameSize,
) -> Result<String, RunnerError> {
    let set = weights::published_set(project, &settings.detect, model)?;
    let Options { precision, budget, batch, .. } = settings.detect.options(model);
    let footprint = Footprint::new(&set.config, precision);
    let padded = Geometry::new(&set.config.input, size).padded;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let peak = mib(footprint.peak_bytes(padded.height, padded.width, batch, budget));
    let weights = mib(footprint.weights_bytes);
    let advice = match settings.detect.budget_mib {
        Some(budget) => format!("with detect.budget_mib={budget}"),
        None => "detect.budget_mib=N lowers the buffers".to_string(),
    };
    let name = &set.name;
    Ok(format!(
        "the detector {name} takes up to {peak} MiB of the heap, {weights} MiB of them for weights ({advice})"
    ))
}

fn notes(
    probe: &Probe,
    workload: &Workload,
    placement: &DevicePlacement,
    trial_frames: usize,
) -> Vec<String> {
    let mut notes = probe.notes.clone();
    notes.push(format!(
        "every mode made a trial run over {trial_frames} frames; what grows with the length was added"
    ));
    if workload.assumed {
        let people = workload.most;
        notes.push(format!("no boxes are given: {people} people in every frame are assumed (--people)"));
    }
    if placement.gpu.is_none() {
        notes.push("there is no GPU: its memory is not estimated".into());
    }
    notes
}

impl ResourceBudget {
    fn available(settings: &Settings, placement: &DevicePlacement, work: &WorkFolder) -> ResourceBudget {
        let bytes = |mib: u64| mib * 1024 * 1024;
        let limit = settings.limits.host_mib.map(bytes);
        let gpu_bytes = placement.gpu.as_ref().map(|gpu| gpu.total_bytes);
        ResourceBudget {
            host_bytes: limit.or_else(process::available_bytes),
            is_limit: limit.is_some(),
            device_bytes: settings.limits.device_mib.map(bytes).or(gpu_bytes),
            disk_bytes: disk::free_bytes(&work.scratch()),
        }
    }

    /// The resources of which the run needs more than is available, as text; `None` if it fits.
    fn describe_excess(&self, estimate: &ModeEstimate) -> Option<String> {
        let process_bytes = estimate.heap_bytes.max(estimate.process_bytes);
        // a limit applies to the run's process; the machine's memory is shared with the decoder
        let decoder_bytes = if self.is_limit { None } else { estimate.decoder_bytes };
        let host_bytes = process_bytes.map(|bytes| bytes + decoder_bytes.unwrap_or(0));
        let resources = [
            ("host memory", host_bytes, self.host_bytes),
            ("device memory", estimate.device_bytes, self.device_bytes),
            ("disk", estimate.disk_bytes, self.disk_bytes),
        ];
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let excess: Vec<String> = resources
            .into_iter()
            .filter_map(|(name, needed, available)| Some((name, needed?, available?)))
            .filter(|(_, needed, available)| needed > available)
            .map(|(name, needed, available)| format!("{name}: {} MiB of {}", mib(needed), mib(available)))
            .collect();
        (!excess.is_empty()).then(|| excess.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_that_do_not_fit_are_named() {
        let mib = |mib: u64| Some(mib << 20);
        let machine =
            ResourceBudget { host_bytes: mib(100), is_limit: false, device_bytes: None, disk_bytes: mib(50) };
        let limited = ResourceBudget { is_limit: true, ..machine.clone() };
        let estimate = ModeEstimate {
            heap_bytes: mib(60),
            process_bytes: mib(80),
            decoder_bytes: mib(40),
            disk_bytes: mib(51),
            ..ModeEstimate::default()
        };
        let all = "host memory: 120 MiB of 100; disk: 51 MiB of 50";
        assert_eq!(machine.describe_excess(&estimate).as_deref(), Some(all));
        assert_eq!(limited.describe_excess(&estimate).as_deref(), Some("disk: 51 MiB of 50"));
        // unknown values never exceed the budget
        assert_eq!(machine.describe_excess(&ModeEstimate::default()), None);
    }
}
