//! What the service needs of the program it serves: checks of jobs, job processes, and readers of results.

use crate::job::{JobKind, JobRequest};
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program behind the service. Methods block; the service calls them on threads for blocking work.
pub trait Backend: Send + Sync + 'static {
    /// Version of the program, and the commit it was built from.
    fn version(&self) -> String;

    /// The command that executes the job in `folder`, which has a [`JobFile`](crate::job::JobFile). The process prints
    /// [`ProcessEvent`](crate::job::ProcessEvent)s, one JSON object a line, to standard output and messages to standard error,
    /// writes results below `files`, and writes the [`JobOutcome`](crate::job::JobOutcome) last. SIGTERM interrupts it.
    fn job_command(&self, folder: &Path) -> Command;

    /// Checks kind, settings and experiment of a request, without reading its source.
    ///
    /// # Errors
    /// If a setting is unknown or invalid (with the pointer `/settings/KEY` and the nearest right name), or the experiment
    /// does not exist.
    fn check(&self, request: &JobRequest) -> Result<(), Problem>;

    /// Checks that the sources can be read as the request's kind needs, and predicts the size of what the job writes.
    ///
    /// # Errors
    /// If a source is not a video (or an image), with the type `not-a-video`.
    fn predict(&self, request: &JobRequest, sources: &[PathBuf]) -> Result<Prediction, Problem>;

    /// Devices that jobs can run on, such as `cpu`, `cuda:0`.
    fn devices(&self) -> Vec<DeviceInfo>;

    /// The experiments of the project.
    fn experiments(&self) -> Vec<ExperimentInfo>;

    /// Settings of a request in full, as TOML.
    ///
    /// # Errors
    /// As [`Backend::check`].
    fn settings_toml(&self, request: &JobRequest) -> Result<String, Problem>;

    /// Writes the people of an ended job to `out`.
    ///
    /// # Errors
    /// If the table cannot be read, or `out` cannot be written.
    fn write_people(
        &self,
        results: &Path,
        filter: &PeopleFilter,
        format: PeopleFormat,
        out: &mut dyn Write,
    ) -> io::Result<()>;

    /// Tracks over time of an ended job, for the player's timeline.
    ///
    /// # Errors
    /// If the tables cannot be read.
    fn timeline(&self, results: &Path) -> io::Result<Timeline>;

    /// Memory over time of an ended job.
    ///
    /// # Errors
    /// If the table cannot be read.
    fn memory(&self, results: &Path) -> io::Result<Vec<MemorySample>>;

    /// Times of the stages of an ended job.
    ///
    /// # Errors
    /// If the table cannot be read.
    fn stages(&self, results: &Path) -> io::Result<Vec<StageTime>>;

    /// People of an ended job by frame as one JSON value, for the older interfaces (`/pose/video`, `/predictions`).
    ///
    /// # Errors
    /// If the tables cannot be read.
    fn frames_json(&self, results: &Path) -> io::Result<serde_json::Value>;
}

/// Size of a job, predicted from its sources and settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Prediction {
    /// Bytes that it writes: scratch files and results together.
    pub disk_bytes: u64,
    /// Frames to process.
    pub frames: Option<u64>,
    /// Width of a frame in pixels.
    pub width: Option<u64>,
    /// Height of a frame in pixels.
    pub height: Option<u64>,
    /// Duration of the video, seconds.
    pub seconds: Option<f64>,
}

/// A device that jobs can run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// `cpu` or `cuda:N`.
    pub name: String,
    /// The model, such as `NVIDIA H100`; empty if unknown.
    pub model: String,
    /// UUID of the GPU.
    pub uuid: Option<String>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
}

/// An experiment of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExperimentInfo {
    /// Name.
    pub name: String,
    /// Its question.
    pub question: String,
}

/// Which people to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeopleFilter {
    /// Only this frame.
    pub frame: Option<u64>,
    /// Only this track.
    pub track: Option<u64>,
    /// From this frame.
    pub from: Option<u64>,
    /// Up to this frame, exclusive.
    pub to: Option<u64>,
}

/// Format of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeopleFormat {
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// CSV with a header.
    Csv,
    /// Parquet.
    Parquet,
}

/// Tracks over time, in frames of the overlay, which are counted from 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// Frames of the overlay a second.
    pub fps: f64,
    /// Number of frames.
    pub frames: u64,
    /// Frame of the video that the overlay starts with.
    pub first_frame: u64,
    /// Step between frames of the overlay in frames of the video: frame `n` of the overlay is `first_frame + n * every`.
    pub every: u64,
    /// First frames of shots after the first.
    pub cuts: Vec<u64>,
    /// The tracks, by id.
    pub tracks: Vec<TrackRow>,
}

/// One track over time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrackRow {
    /// Id.
    pub id: u64,
    /// Color of the overlay, `#rrggbb`.
    pub color: String,
    /// Frame ranges in which the person was detected: first, end (exclusive).
    pub observed: Vec<(u64, u64)>,
    /// Frame ranges in which the person was predicted only.
    pub predicted: Vec<(u64, u64)>,
}

/// Memory at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MemorySample {
    /// Seconds since the start.
    pub seconds: f64,
    /// Heap of the run's process.
    pub heap_bytes: Option<u64>,
    /// Resident set of the run's process.
    pub process_bytes: Option<u64>,
    /// Memory of the device.
    pub device_bytes: Option<u64>,
    /// Scratch files.
    pub disk_bytes: Option<u64>,
}

/// Time of one stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTime {
    /// Name.
    pub stage: String,
    /// Seconds of work.
    pub busy_seconds: f64,
    /// Seconds of waiting for another stage.
    pub waiting_seconds: Option<f64>,
    /// The stage it waits for.
    pub waits_for: Option<String>,
    /// Units that it processed.
    pub units: Option<u64>,
}

/// The kinds of jobs that name a source.
#[must_use]
pub fn needs_source(kind: JobKind) -> bool {
    matches!(kind, JobKind::Track | JobKind::Reconstruct)
}
