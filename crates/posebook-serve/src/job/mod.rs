//! What a job is: its request, its states, its progress, and the files that the server and a job's process exchange.

mod keep;
mod request;
mod strict;

pub use keep::parse_keep;

use posebook_core::toml_error::nearest_match;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// File of a job's folder with the [`JobFile`].
pub const JOB_FILE: &str = "job.json";
/// File of a job's folder with the [`JobOutcome`].
pub const OUTCOME_FILE: &str = "outcome.json";
/// Folder of a job's folder with the results.
pub const RESULTS: &str = "files";
/// File of a job's folder with the messages of its process.
pub const LOG_FILE: &str = "log.txt";

/// Identifies a job: a random UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl JobId {
    /// A new random id.
    #[must_use]
    pub fn random() -> JobId {
        JobId(Uuid::new_v4())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<JobId, uuid::Error> {
        Uuid::parse_str(text).map(JobId)
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Tracks the people in one video.
    Track,
    /// Reconstructs the bodies of the people in images.
    Reconstruct,
    /// Runs an experiment of the project.
    Experiment,
}

impl JobKind {
    /// The kinds with their names.
    pub const ALL: [JobKind; 3] = [JobKind::Track, JobKind::Reconstruct, JobKind::Experiment];

    /// Its name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Track => "track",
            JobKind::Reconstruct => "reconstruct",
            JobKind::Experiment => "experiment",
        }
    }
}

/// Where a file comes from, as `{"upload": "ID"}`, `{"path": "..."}` or `{"url": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A complete upload.
    Upload(String),
    /// A path on the server, as the client writes it.
    Path(String),
    /// An http(s) address.
    Url(String),
}

/// A request for a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct JobRequest {
    /// What to do.
    pub kind: JobKind,
    /// The video; for `reconstruct` the images. Absent for experiments.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub source: Vec<Source>,
    /// Boxes of the people: MOTChallenge text, or COCO results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<Source>,
    /// Name of the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Settings by dotted key, as on the command line: `{"video.every": 2}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// Jobs of higher priority start first.
    #[serde(default)]
    pub priority: i32,
    /// URL to which changes of the job are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Which events the webhook gets: `start`, `output`, `logs`, `completed`; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook_events: Vec<String>,
    /// How long results are kept, such as `7d`; absent is the server's default; `forever` keeps them until the job is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Id that a client of Cog's interface chose, if it is not the job's: webhooks name it. Not a member of the JSON that clients send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
}

/// A source, or a list of them.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Source>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(Source),
        Many(Vec<Source>),
    }
    OneOrMany::deserialize(deserializer).map(|given| match given {
        OneOrMany::One(source) => vec![source],
        OneOrMany::Many(sources) => sources,
    })
}

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a device.
    Queued,
    /// Has a device; its process is being started, or its source fetched.
    Starting,
    /// Its process runs.
    Running,
    /// Cancellation was asked for; its process has not ended yet.
    Canceling,
    /// Ended with results.
    Succeeded,
    /// Ended without success; [`Failure`] says why.
    Failed,
    /// Ended by cancellation.
    Canceled,
}

impl JobState {
    /// All states, in the order in which a job can have them.
    pub const ALL: [JobState; 7] = [
        JobState::Queued,
        JobState::Starting,
        JobState::Running,
        JobState::Canceling,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Canceled,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Starting => "starting",
            JobState::Running => "running",
            JobState::Canceling => "canceling",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Canceled => "canceled",
        }
    }

    /// Whether a job in this state never changes its state again.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Canceled)
    }
}

impl FromStr for JobState {
    type Err = String;

    /// The state of this name. The error says which names there are.
    fn from_str(text: &str) -> Result<JobState, String> {
        JobState::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names = JobState::ALL.map(JobState::as_str);
            match nearest_match(text, &names) {
                Some(nearest) => format!("no such state `{text}`; did you mean `{nearest}`?"),
                None => format!("no such state `{text}`; there are {}", names.join(", ")),
            }
        })
    }
}

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An error of the run.
    Error,
    /// Memory of the host or the device was exhausted.
    OutOfMemory,
    /// The run's time limit passed.
    TimedOut,
    /// The job's process ended without an outcome.
    Crashed,
    /// Its files are missing.
    Lost,
    /// The disk is full.
    DiskFull,
    /// The source is not a video, or could not be read or fetched.
    BadSource,
}

/// Why a job failed, and what would change that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Kind of failure.
    pub kind: FailureKind,
    /// What happened, as a sentence.
    pub message: String,
    /// What to change, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Changed settings with which a retry may succeed.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub changed_settings: Map<String, Value>,
}

/// Progress of a job's current stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Name of the stage: `fetch`, `models`, `run`, `overlay`, ...
    pub stage: String,
    /// Units (frames, bytes, runs) that are done.
    pub done: u64,
    /// Units in all; `None` if unknown.
    pub of: Option<u64>,
    /// Units a second.
    pub rate: Option<f64>,
    /// Estimated seconds until the job ends.
    pub seconds_left: Option<f64>,
}

/// The input of a job's process: `job.json` in the job's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobFile {
    /// The job.
    pub id: JobId,
    /// What to do.
    pub kind: JobKind,
    /// Local files of the sources, in order.
    pub sources: Vec<PathBuf>,
    /// Name of the source as the client gave it: for display, never a path to open.
    pub source_name: String,
    /// Names of all sources in order, as the client gave them: for display and names of results, never paths to open.
    #[serde(default)]
    pub source_names: Vec<String>,
    /// Local file of the boxes.
    pub boxes: Option<PathBuf>,
    /// Name of the experiment.
    pub experiment: Option<String>,
    /// Settings by dotted key.
    pub settings: Map<String, Value>,
    /// `cpu` or `cuda:N`.
    pub device: String,
}

/// One line that a job's process prints to standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProcessEvent {
    /// Progress of a stage.
    Progress(Progress),
    /// A message for the user.
    Note {
        /// One sentence.
        text: String,
    },
}

/// How a job's process ended: `outcome.json` in the job's folder, written last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobOutcome {
    /// `None` is success.
    pub failure: Option<Failure>,
    /// Whether the process stopped because it was asked to.
    pub interrupted: bool,
    /// Text of the summary.
    pub summary: Option<String>,
}

/// A result file, as recorded when the job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFile {
    /// Path below the results' folder, with `/`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Media type.
    pub media_type: String,
}

/// A job as the store has it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Id.
    pub id: JobId,
    /// The request.
    pub request: JobRequest,
    /// Name of the source for display: an upload's file name, the last part of a path or address, or the experiment.
    pub name: String,
    /// The source's path after conversion, as the server opens it.
    pub resolved: Option<String>,
    /// State.
    pub state: JobState,
    /// Number of the current or last attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Number of attempts during which the server crashed.
    pub server_crashes: u32,
    /// The device of the current or last attempt.
    pub device: Option<String>,
    /// Progress of the current attempt.
    pub progress: Option<Progress>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The results.
    pub files: Vec<ResultFile>,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// When it was accepted.
    pub created: i64,
    /// When the current or last attempt started.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// When its results are removed; `None` before the end, or never.
    pub expires: Option<i64>,
    /// Whether its results have been removed.
    pub expired: bool,
    /// Increases with every change: the `ETag`.
    pub revision: i64,
}

/// Bytes as hexadecimal text in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A time as RFC 3339 in UTC, such as `2026-01-31T12:00:00.000Z`.
#[must_use]
pub fn rfc3339(milliseconds: i64) -> String {
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    // beyond the year 9999 there is no such text
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59.999Z".to_string())
}
