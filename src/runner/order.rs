//! What passes between the runner and the process of a run: the order, and the report.

use super::death::Outcome;
use crate::experiment::Settings;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All that a run's process needs to know. Lies in the run's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub run_id: String,
    pub settings: Settings,
    /// Where the network runs: what `auto` became.
    pub device: String,
    /// What the driver knows the card by; `None` for the CPU.
    pub card_uuid: Option<String>,
    /// The clip's file, or its folder of pictures.
    pub video: PathBuf,
    /// Frames a second of the clip, which a folder of pictures does not tell itself.
    #[serde(default)]
    pub fps: f64,
    /// Where it is read who to look at; `None` finds nobody.
    pub boxes: Option<PathBuf>,
    /// The model set's file.
    pub model: PathBuf,
    /// The detector's weights; `None` where boxes are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<PathBuf>,
    /// Where scratch files may be put.
    pub scratch: PathBuf,
}

/// What the run's process reports at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub outcome: Outcome,
    pub error: Option<String>,
    #[serde(default)]
    pub facts: Facts,
}

/// What the process knows better than its watcher. What it did not come to is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    pub first_frame: Option<u64>,
    pub frames: Option<u64>,
    /// By the frames' own times; a mean where they are uneven.
    pub fps: Option<f64>,
    /// What the decoder complained about although it went on, and who else was on the card.
    pub remarks: Option<String>,
    pub people: Option<u64>,
    pub setup_secs: Option<f64>,
    pub open_secs: Option<f64>,
    pub first_frame_secs: Option<f64>,
    pub decode_secs: Option<f64>,
    pub detect_secs: Option<f64>,
    pub recover_secs: Option<f64>,
    pub track_secs: Option<f64>,
    pub write_secs: Option<f64>,
    /// Summed over the frames.
    pub latency_secs: Option<f64>,
    pub heap_setup_peak_bytes: Option<u64>,
    pub heap_base_bytes: Option<u64>,
    pub heap_peak_bytes: Option<u64>,
    pub heap_weights_bytes: Option<u64>,
    pub heap_scratch_bytes: Option<u64>,
    pub heap_frames_bytes: Option<u64>,
    pub heap_activations_bytes: Option<u64>,
    pub heap_tracks_bytes: Option<u64>,
    pub heap_results_bytes: Option<u64>,
    pub process_peak_bytes: Option<u64>,
    pub disk_peak_bytes: Option<u64>,
    pub disk_written_bytes: Option<u64>,
    pub device_setup_peak_bytes: Option<u64>,
    pub device_base_bytes: Option<u64>,
    pub device_peak_bytes: Option<u64>,
    pub device_reserved_peak_bytes: Option<u64>,
    pub device_process_peak_bytes: Option<u64>,
    pub device_context_bytes: Option<u64>,
    pub device_workspace_bytes: Option<u64>,
    pub device_ballast_bytes: Option<u64>,
}

/// The order in a run's folder.
pub fn order_in(folder: &Path) -> PathBuf {
    folder.join("order.json")
}

/// The account in a run's folder.
pub fn account_in(folder: &Path) -> PathBuf {
    folder.join("account.json")
}

/// The live record in a run's folder.
pub fn live_in(folder: &Path) -> PathBuf {
    folder.join("live")
}

/// What the process wrote to its standard error, in a run's folder.
pub fn words_in(folder: &Path) -> PathBuf {
    folder.join("stderr.txt")
}
