//! One planned run and its status: the types that planning, searching and executing share.

use super::clips::Clip;
use super::gpu::DevicePlacement;
use crate::experiment::Settings;
use crate::runner::project::time_estimate::TimeEstimate;
use crate::runner::project::weights::RunDetectors;
use crate::runner::store::key::RunKey;
use posebook_core::labels::Outcome;
use posebook_core::provenance::sha256_of_bytes;
use std::fmt;

/// One run of an experiment: settings, clip and repeat.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Clip, mode, frame size, length and repeat, for messages.
    pub label: String,
    /// The run's id: that of its key, or a placeholder while there is no key.
    pub run_id: String,
    /// The settings of the run.
    pub settings: Settings,
    /// The settings with defaults filled in, as the key and the table of runs hold them.
    pub settings_json: serde_json::Value,
    /// The device that the run is assigned to.
    pub placement: DevicePlacement,
    /// Number of the repeat, from 1.
    pub repeat: u64,
    /// The clip that the run reads.
    pub clip: Clip,
    /// Hashes of everything that determines the run; `None` while the clip is not generated, or if the run is blocked.
    pub key: Option<RunKey>,
    /// Weights of the detectors; none where boxes are provided.
    pub detectors: RunDetectors,
    /// Whether the run is done, or why not.
    pub status: RunStatus,
    /// Estimated wall-clock time of the run.
    pub time: TimeEstimate,
}

/// Whether a run is done, or why not.
#[derive(Debug, Clone, PartialEq)]
pub enum RunStatus {
    /// A finished run with the same key is stored.
    Done,
    /// No run of this point is stored.
    New,
    /// A run of this point is stored, but these inputs have changed since.
    Changed(Vec<&'static str>),
    /// The run failed before; failed runs are repeated.
    Failed {
        /// How it ended.
        outcome: Outcome,
        /// Its error message.
        error: String,
    },
    /// The clip is not generated yet.
    ClipNotGenerated,
    /// The clip, the model set or the device is unavailable (message): the run becomes a failed row.
    Blocked(String),
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            RunStatus::Done => write!(f, "done"),
            RunStatus::New => write!(f, "to do: never run"),
            RunStatus::Changed(what) => write!(f, "to do: {} changed since it ran", what.join(", ")),
            RunStatus::Failed { outcome, error } => write!(f, "to do: failed before ({outcome}: {error})"),
            RunStatus::ClipNotGenerated => write!(f, "to do: its clip is not generated yet"),
            RunStatus::Blocked(message) => write!(f, "cannot run: {message}"),
        }
    }
}

impl PlannedRun {
    /// Estimated time until this run is done; zero if it is done already, unless all runs are repeated (`fresh`).
    pub fn time_left(&self, fresh: bool) -> TimeEstimate {
        if self.status == RunStatus::Done && !fresh { TimeEstimate::default() } else { self.time }
    }
}

/// Id of a run without a key. It cannot run; the id only distinguishes its row from those of other such runs.
pub fn placeholder_id(settings: &serde_json::Value, clip: &str, repeat: u64) -> String {
    let identity = format!("{settings} {clip} {repeat}");
    format!("x{}", &sha256_of_bytes(identity.as_bytes())[..14])
}

/// Name of the video mode; `unknown` if the settings contradict each other.
pub fn mode_name(settings: &Settings) -> String {
    settings.video.mode().map_or_else(|_| "unknown".to_string(), |mode| mode.name().to_string())
}
