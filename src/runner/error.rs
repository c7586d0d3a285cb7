//! Why an experiment, a video or an image could not be processed.

use super::export::ResultsError;
use super::images::{BoxesError, ReconstructRequestError};
use super::store::key::KeyError;
use super::track::TrackRequestError;
use crate::dataset::DatasetError;
use crate::experiment::ExperimentError;
use posebook_models::hmr2::mask::MaskError;
use posebook_models::recovery::{PhalpSetError, RecoveryError};
use posebook_notebook::report::ReportError;
use posebook_notebook::tables::TableError;
use posebook_video::VideoError;
use std::path::{Path, PathBuf};

/// Why an experiment, a video or an image could not be processed. A failed run of an experiment is a row, not an error.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The command was not started inside a project.
    #[error("no folder `experiments` here or above {start}; run this inside a checkout of posebook")]
    NoProject {
        /// The folder where the search started.
        start: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The folder for results is not writable.
    #[error(
        "results cannot be written to the folder {}: {source}; give another one, such as out=results",
        folder.display()
    )]
    Output {
        /// The folder.
        folder: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The worker process cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The thread that waits for the worker process ended without its exit status.
    #[error("lost track of the worker process of the run in {folder}")]
    Supervision {
        /// The run's folder.
        folder: PathBuf,
    },
    /// The program was rebuilt during the experiment.
    #[error(
        "{program} changed while the experiment ran, so that its runs could not be compared; run it again"
    )]
    ProgramChanged {
        /// The program.
        program: PathBuf,
    },
    /// The job file of a worker process is invalid.
    #[error("the job in {path} cannot be read: {message}")]
    Job {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The request to track a video is invalid.
    #[error(transparent)]
    TrackRequest(#[from] TrackRequestError),
    /// The request to reconstruct images is invalid.
    #[error(transparent)]
    ReconstructRequest(#[from] ReconstructRequestError),
    /// Imported files of PHALP are missing or invalid.
    #[error(transparent)]
    Phalp(#[from] PhalpSetError),
    /// The mask of a person cannot be drawn.
    #[error(
        "frame {frame}, person {person}: {source}; draw the overlay without masks: render.type=HUMAN_MESH"
    )]
    Mask {
        /// The frame.
        frame: u64,
        /// The person's number in the frame.
        person: u64,
        /// Cause.
        source: MaskError,
    },
    /// Boxes for images are invalid.
    #[error(transparent)]
    Boxes(#[from] BoxesError),
    /// The run cannot start.
    #[error("{status}")]
    Blocked {
        /// The run's status as text.
        status: String,
    },
    /// A dataset of a single video has another number of clips.
    #[error("a single video has {found} clips instead of one; this is a bug of posebook")]
    NotOneClip {
        /// Number of clips.
        found: usize,
    },
    /// A searched setting changes the number of clips.
    #[error(
        "with {key} = {value} the dataset has fewer clips; a search needs the same clips for every value"
    )]
    ClipVanished {
        /// The searched setting.
        key: String,
        /// The tried value.
        value: f64,
    },
    /// A run has no identity.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An image cannot be encoded as PNG.
    #[error(transparent)]
    Png(#[from] posebook_synth::render::EncodeError),
    /// An image cannot be encoded as JPEG.
    #[error(transparent)]
    Jpeg(#[from] posebook_video::JpegSizeError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {source}")]
    Thread {
        /// Cause.
        source: std::io::Error,
    },
    /// A model set that should use fetched weights has others.
    #[error("the model set {model} has no fetched weights")]
    NoFetchedWeights {
        /// The model set.
        model: String,
    },
    /// The thread that writes results panicked.
    #[error("the thread that writes results died; this is a bug of posebook")]
    WriterDied,
    /// No run of the experiment is possible on this machine.
    #[error("nothing can be run here: {skipped}")]
    NothingToRun {
        /// The skipped runs and why.
        skipped: String,
    },
    /// Ctrl-C was pressed.
    #[error("interrupted; nothing of this run is stored")]
    Interrupted,
    /// GPU memory is exhausted.
    #[error("out of memory on {device}{held}: lower hmr2.batch, or allow more ({reason})")]
    GpuOutOfMemory {
        /// The device.
        device: String,
        /// What was allocated, and the limit.
        held: String,
        /// The driver's message.
        reason: String,
    },
    /// The GPU no longer responds.
    #[error(
        "{device} is lost to this process: it fell off the bus, or a kernel broke its context ({reason}); the system's \
         log has the driver's reason (`dmesg | grep Xid`)"
    )]
    GpuLost {
        /// The device.
        device: String,
        /// The driver's message.
        reason: String,
    },
    /// A device is unavailable or fails.
    #[error(transparent)]
    Device(#[from] posebook_models::device::DeviceError),
    /// An experiment is invalid.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// A dataset is invalid.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A model set is invalid, or its network fails.
    #[error(transparent)]
    Model(#[from] RecoveryError),
    /// The detector is requested without its weights.
    #[error("a detector is requested and no weights are named; this is a bug of posebook")]
    NoDetector,
    /// The detector cannot be loaded, or fails.
    #[error(transparent)]
    Detector(Box<super::project::detector::DetectorError>),
    /// People cannot be detected, or the file of detections cannot be written.
    #[error(transparent)]
    Detections(Box<super::detections::DetectionsError>),
    /// The set of a published detector is missing or invalid.
    #[error(transparent)]
    DetectorSet(Box<posebook_models::recovery::DetectorSetError>),
    /// A detector set is that of another detector.
    #[error(
        "{path} is a set of {found}, and detect.model is {model}; set detect.model={found}, or name another set"
    )]
    OtherDetector {
        /// The set's file.
        path: PathBuf,
        /// Its detector.
        found: &'static str,
        /// The requested detector.
        model: &'static str,
    },
    /// Ground truth from calibrated views is invalid.
    #[error(transparent)]
    Views(#[from] posebook_track::metrics::views::ViewsError),
    /// A package cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] posebook_core::fetch::FetchError),
    /// Fetched weights cannot be converted.
    #[error(transparent)]
    Import(#[from] posebook_models::import::ImportError),
    /// Settings of the detector are invalid.
    #[error(transparent)]
    DetectSettings(#[from] posebook_models::detect::SettingsError),
    /// Detection fails.
    #[error(transparent)]
    Detect(#[from] posebook_models::detect::DetectError),
    /// Settings of the tracker are invalid.
    #[error(transparent)]
    TrackSettings(#[from] posebook_track::phalp::SettingsError),
    /// Tracking fails.
    #[error(transparent)]
    Track(#[from] posebook_track::phalp::TrackError),
    /// A video cannot be read or written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A source cannot be fetched or read.
    #[error(transparent)]
    Source(#[from] posebook_video::sources::SourceError),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Results cannot be exported, or a `.pkl` cannot be read.
    #[error(transparent)]
    Export(#[from] posebook_export::ExportError),
    /// There are no results, or not the ones that are needed.
    #[error(transparent)]
    Results(#[from] ResultsError),
}

impl RunnerError {
    /// Whether memory of the host, as far as it is known, or of the GPU was exhausted.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            RunnerError::GpuOutOfMemory { .. } => true,
            RunnerError::Device(error) => error.is_out_of_memory(),
            RunnerError::Video(error) => error.is_out_of_memory(),
            _ => false,
        }
    }

    /// Maps an I/O error at `path`.
    pub(in crate::runner) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> RunnerError + '_ {
        |source| RunnerError::File { path: path.to_path_buf(), source }
    }
}

impl From<super::project::detector::DetectorError> for RunnerError {
    fn from(error: super::project::detector::DetectorError) -> RunnerError {
        RunnerError::Detector(Box::new(error))
    }
}

impl From<super::detections::DetectionsError> for RunnerError {
    fn from(error: super::detections::DetectionsError) -> RunnerError {
        RunnerError::Detections(Box::new(error))
    }
}

impl From<posebook_models::recovery::DetectorSetError> for RunnerError {
    fn from(error: posebook_models::recovery::DetectorSetError) -> RunnerError {
        RunnerError::DetectorSet(Box::new(error))
    }
}
