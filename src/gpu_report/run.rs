//! Measures the parts of a GPU report one after the other.
//!
//! In: a [`GpuRequest`]. Out: the written [`GpuReport`]. A part that fails is reported as missing with its reason, and
//! the next one starts.

use super::{ExperimentSummary, GpuReport, Section, folder_name};
use crate::experiment::{Experiment, ExperimentError, Override, OverrideError};
use crate::parity::{self, Check, GoldenSet, NetworkSize, ParityError};
use crate::runner::progress::ProgressListener;
use crate::runner::{self, ExecuteOptions, Project, RunnerError, interrupt};
use crate::speed::{self, SpeedReport, SpeedRequest, SpeedRow};
use candle_core::Device;
use posebook_core::provenance::{Machine, SourceVersion};
use posebook_models::device::kernels::KernelGroup;
use posebook_models::device::memory::open;
use posebook_models::device::{self, DeviceError};
use posebook_models::hmr2::{Config, Precision, formula};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use thiserror::Error;
use time::OffsetDateTime;
use time::macros::format_description;

/// Number of timed passes per measurement of speed.
const PASSES: usize = 7;
/// No measurement of speed starts after this time, so that all parts together take at most ten minutes.
const SPEED_SECS: f64 = 120.0;
/// The experiments that run on the GPU, and their part.
const EXPERIMENTS: [(&str, Part); 4] = [
    ("gpu-agreement", Part::Pipeline),
    ("gpu-memory", Part::Memory),
    ("gpu-budget", Part::Memory),
    ("published-claims", Part::Memory),
];

/// A part of the report that can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Comparison of the network with the original's outputs.
    Parity,
    /// The experiment that compares the GPU with the CPU.
    Pipeline,
    /// The experiments about GPU memory.
    Memory,
    /// Crops per second of this implementation.
    Speed,
    /// Crops per second of PyTorch.
    Torch,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 5] = [Part::Parity, Part::Pipeline, Part::Memory, Part::Speed, Part::Torch];

    /// The part's name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Parity => "parity",
            Part::Pipeline => "pipeline",
            Part::Memory => "memory",
            Part::Speed => "speed",
            Part::Torch => "torch",
        }
    }
}

/// What to measure, and where the inputs are.
#[derive(Debug, Clone)]
pub struct GpuRequest {
    /// The device, such as `cuda:0`; `cpu` leaves the experiments out.
    pub device: String,
    /// The parts to measure.
    pub parts: Vec<Part>,
    /// Precisions of the network.
    pub precisions: Vec<Precision>,
    /// Batch sizes of the measurement of speed, 1 or more.
    pub batches: Vec<usize>,
    /// Measures the small test network instead of ViT-H.
    pub small: bool,
    /// Folder of the recorded outputs, with `hmr2/<set>`.
    pub goldens: PathBuf,
    /// The script that measures PyTorch.
    pub torch_script: PathBuf,
    /// Folder of the reports; this one is written to `<gpu>/<date>` in it.
    pub out: PathBuf,
    /// A folder of the project with the experiments.
    pub folder: PathBuf,
    /// How the experiments are executed.
    pub options: ExecuteOptions,
}

/// What happens while a report is made.
#[derive(Debug)]
pub enum GpuEvent<'a> {
    /// The device is open.
    Started {
        /// Name of the GPU, or `cpu`.
        device: &'a str,
        /// The folder of the report.
        folder: &'a Path,
    },
    /// A sentence about other processes that use the GPU.
    OtherProcesses(&'a str),
    /// A part starts: its name.
    PartStarted(&'a str),
    /// A comparison of the part [`Part::Parity`].
    Check(&'a Check),
    /// A measurement of the part [`Part::Speed`].
    Speed(&'a SpeedRow),
    /// A part has been measured.
    PartDone {
        /// Its name.
        name: &'a str,
        /// Its duration, seconds.
        secs: f64,
    },
    /// A part could not be measured.
    PartFailed {
        /// Its name.
        name: &'a str,
        /// Why, with all causes.
        message: &'a str,
    },
}

/// Receives what happens while a report is made.
pub trait GpuListener {
    /// Called for every event, in order.
    fn on_event(&mut self, event: GpuEvent);

    /// The listener for one experiment; dropped when the experiment ends.
    fn experiment_listener(&mut self) -> Box<dyn ProgressListener>;
}

/// Why there is no report. A part that fails is a [`Section::Missing`] instead.
#[derive(Debug, Error)]
pub enum GpuReportError {
    /// The device is unknown or cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The date cannot be formatted.
    #[error(transparent)]
    Date(#[from] time::error::Format),
    /// The report cannot be written.
    #[error("cannot write the report into {}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Why a part could not be measured.
#[derive(Debug, Error)]
enum PartError {
    #[error(transparent)]
    Parity(#[from] ParityError),
    #[error(transparent)]
    Speed(#[from] candle_core::Error),
    #[error("{0}")]
    Torch(String),
    #[error("{0} needs a GPU")]
    NeedsGpu(&'static str),
    #[error(transparent)]
    Project(Box<RunnerError>),
    #[error(transparent)]
    Override(#[from] OverrideError),
    #[error("{name}")]
    Load { name: &'static str, source: Box<ExperimentError> },
    #[error("{name}")]
    Execute { name: &'static str, source: Box<RunnerError> },
    #[error("{0} was interrupted")]
    Interrupted(&'static str),
    #[error("cannot copy the report into {}", folder.display())]
    Copy { folder: PathBuf, source: io::Error },
}

/// Measures the requested parts, writes the report, and returns it with its folder.
///
/// The experiments install the handler of [`runner::interrupt`]: Ctrl-C ends the current one.
///
/// # Errors
/// If the device cannot be opened, or the report not be written.
pub fn run(
    request: &GpuRequest,
    listener: &mut dyn GpuListener,
) -> Result<(GpuReport, PathBuf), GpuReportError> {
    let started = Instant::now();
    let (choice, gpu) = device::resolve(&request.device)?;
    let opened = open(&choice, gpu.as_ref())?;
    let name = gpu.as_ref().map_or_else(|| choice.to_string(), |gpu| gpu.name.clone());
    let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
    let folder = request.out.join(folder_name(&name)).join(&date);
    listener.on_event(GpuEvent::Started { device: &name, folder: &folder });
    if let Some(others) = &opened.other_processes {
        listener.on_event(GpuEvent::OtherProcesses(others));
    }

    let mut parts = Parts { request, listener };
    let parity = parts.section(Part::Parity, "parity", |listener| compare(request, &opened.device, listener));
    let speed =
        parts.section(Part::Speed, "speed", |listener| measure(request, &opened.device, &name, listener));
    // free the memory of this process before the experiments and PyTorch
    let context_bytes = opened.context_bytes;
    drop(opened);
    let torch = parts.section(Part::Torch, "PyTorch", |_| measure_torch(request));
    let experiments = EXPERIMENTS
        .map(|(name, part)| parts.section(part, name, |listener| execute(name, request, &folder, listener)))
        .into();

    let report = GpuReport {
        date,
        device: name,
        gpu,
        context_bytes,
        machine: Machine::current(),
        source: SourceVersion::from_checkout(&request.folder),
        kernels: KernelGroup::ALL
            .iter()
            .map(|kernels| (kernels.name().to_string(), kernels.is_built()))
            .collect(),
        parity,
        experiments,
        speed,
        torch,
        secs: started.elapsed().as_secs_f64(),
    };
    match report.write(&folder) {
        Ok(()) => Ok((report, folder)),
        Err(source) => Err(GpuReportError::Write { folder, source }),
    }
}

/// Measures parts and reports how they end.
struct Parts<'a> {
    request: &'a GpuRequest,
    listener: &'a mut dyn GpuListener,
}

impl Parts<'_> {
    /// The section `name` of `part`: its results, or why there are none.
    fn section<T>(
        &mut self,
        part: Part,
        name: &str,
        work: impl FnOnce(&mut dyn GpuListener) -> Result<T, PartError>,
    ) -> Section<T> {
        if !self.request.parts.contains(&part) {
            return Section::Missing(format!("{name} was not requested"));
        }
        self.listener.on_event(GpuEvent::PartStarted(name));
        let start = Instant::now();
        match work(self.listener) {
            Ok(done) => {
                self.listener.on_event(GpuEvent::PartDone { name, secs: start.elapsed().as_secs_f64() });
                Section::Done(done)
            }
            Err(error) => {
                let message = with_causes(&error);
                self.listener.on_event(GpuEvent::PartFailed { name, message: &message });
                Section::Missing(message)
            }
        }
    }
}

/// The message of an error followed by those of its causes.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"))
}

/// Compares both network sizes with the original in every precision.
fn compare(
    request: &GpuRequest,
    device: &Device,
    listener: &mut dyn GpuListener,
) -> Result<Vec<Check>, PartError> {
    let mut checks = Vec::new();
    let sizes: &[NetworkSize] =
        if request.small { &[NetworkSize::Small] } else { &[NetworkSize::Small, NetworkSize::Full] };
    let mut on_check = |check: &Check| listener.on_event(GpuEvent::Check(check));
    for set in GoldenSet::find_all(&request.goldens)? {
        checks.extend(parity::check_components(&set, device, &mut on_check)?);
        for &size in sizes {
            for &precision in &request.precisions {
                checks.extend(parity::check_network(&set, size, device, precision, &mut on_check)?.0);
            }
        }
    }
    Ok(checks)
}

/// Measures crops per second.
fn measure(
    request: &GpuRequest,
    device: &Device,
    name: &str,
    listener: &mut dyn GpuListener,
) -> Result<SpeedReport, PartError> {
    let request = SpeedRequest {
        network: if request.small { "small" } else { "vit-h" }.to_string(),
        config: if request.small { formula::small_config() } else { Config::hmr2() },
        precisions: request.precisions.clone(),
        batches: request.batches.clone(),
        passes: PASSES,
        deadline_secs: SPEED_SECS,
    };
    let mut on_row = |row: &SpeedRow| listener.on_event(GpuEvent::Speed(row));
    Ok(speed::measure(&request, device, name, &mut on_row)?)
}

/// Measures PyTorch on the same GPU.
fn measure_torch(request: &GpuRequest) -> Result<SpeedReport, PartError> {
    let names: Vec<&str> = request.precisions.iter().map(|precision| precision.name()).collect();
    let batches: Vec<String> = request.batches.iter().map(usize::to_string).collect();
    let mut arguments = vec!["--quick".to_string(), "--device".into(), request.device.clone()];
    arguments.extend(["--precisions".to_string(), names.join(","), "--batches".into(), batches.join(",")]);
    if request.small {
        arguments.extend(["--network".to_string(), "tiny".into()]);
    }
    speed::torch::run_script(&request.torch_script, &arguments).map_err(PartError::Torch)
}

/// Runs an experiment on the GPU and copies its report into the GPU report.
fn execute(
    name: &'static str,
    request: &GpuRequest,
    folder: &Path,
    listener: &mut dyn GpuListener,
) -> Result<ExperimentSummary, PartError> {
    if request.device == "cpu" {
        return Err(PartError::NeedsGpu(name));
    }
    let project = Project::find(&request.folder).map_err(|error| PartError::Project(Box::new(error)))?;
    let device = Override::parse_all(&[format!("device={}", request.device)])?;
    // this experiment sweeps the device
    let device = if name == "gpu-agreement" { Vec::new() } else { device };
    let experiment = Experiment::load(&project.experiment(name), &device)
        .map_err(|source| PartError::Load { name, source: Box::new(source) })?;
    let mut progress = listener.experiment_listener();
    let interrupt = interrupt::install();
    let finished = runner::execute(&project, &experiment, &request.options, interrupt, progress.as_mut())
        .map_err(|source| PartError::Execute { name, source: Box::new(source) })?;
    drop(progress);
    let page = finished.page.as_ref().ok_or(PartError::Interrupted(name))?;
    let copy_folder = folder.join(name);
    copy(&finished.folder, &copy_folder).map_err(|source| PartError::Copy { folder: copy_folder, source })?;
    let verdicts = page.claims.iter().map(|judged| {
        let number = judged.number.map_or("no number".to_string(), |number| format!("{number}"));
        format!(
            "{}: {} ({number}; expected {})",
            judged.verdict_name(),
            judged.claim.statement,
            judged.claim.holds.describe()
        )
    });
    Ok(ExperimentSummary {
        name: name.to_string(),
        question: experiment.question.clone(),
        runs: finished.rows.len(),
        failed: finished.failed(),
        verdicts: verdicts.collect(),
        as_expected: page.is_as_expected(),
    })
}

/// Copies the Markdown page, the figures and the table of runs of a report.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to.join("figures"))?;
    for name in ["report.md", "runs.csv", "experiment.toml"] {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    for figure in std::fs::read_dir(from.join("figures"))? {
        let figure = figure?;
        std::fs::copy(figure.path(), to.join("figures").join(figure.file_name()))?;
    }
    Ok(())
}
