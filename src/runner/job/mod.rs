//! What one run is, and the files by which the runner and the run's process communicate.
//!
//! In: settings, a dataset and this machine. Out: the run's clip ([`clips`]), its device ([`gpu`]), and the run with key
//! and status ([`planned`]). The runner writes a [`JobSpec`] into the run's folder, the process answers with a
//! [`WorkerReport`].

pub mod clips;
pub mod gpu;
pub mod phalp_files;
pub mod planned;

use crate::experiment::Settings;
use crate::runner::project::weights::DetectorWeights;
use posebook_core::labels::Outcome;
use posebook_notebook::tables::metrics::RunMetrics;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that a run's process needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The run's id.
    pub run_id: String,
    /// All settings, defaults filled in.
    pub settings: Settings,
    /// Where the network runs; `auto` is resolved.
    pub device: String,
    /// The driver's id of the GPU; `None` on the CPU.
    pub gpu_uuid: Option<String>,
    /// The clip's file, or its folder of images.
    pub video: PathBuf,
    /// Frames per second of a folder of images; not used for video files.
    #[serde(default)]
    pub fps: f64,
    /// File of input boxes; `None` means no detections unless a detector runs.
    pub boxes: Option<PathBuf>,
    /// The model set's file.
    pub model: PathBuf,
    /// Folder of the model sets, which has the imported files of PHALP.
    #[serde(default)]
    pub models: PathBuf,
    /// The detector's weights; `None` where boxes are provided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<DetectorWeights>,
    /// Weights of the detector of frames without provided boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<DetectorWeights>,
    /// Folder for scratch files.
    pub scratch: PathBuf,
    /// Where an overlay video is written; `None` writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<PathBuf>,
}

/// What a run's process reports when it ends. What it did not reach or cannot know is `None`; the supervisor
/// completes the metrics with what it measured from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerReport {
    /// How the run ended.
    pub outcome: Outcome,
    /// Error message; `None` if the run finished.
    pub error: Option<String>,
    /// Warnings, one per line: of the decoder, and about other processes on the GPU.
    pub remarks: Option<String>,
    /// First frame of the range that was read.
    pub first_frame: Option<u64>,
    /// Number of frames in that range.
    pub frames: Option<u64>,
    /// Frames per second by the frames' own times; the mean where they are uneven.
    pub fps: Option<f64>,
    /// What was measured.
    pub metrics: RunMetrics,
}

impl WorkerReport {
    /// Appends a warning to [`WorkerReport::remarks`]; empty text is ignored.
    pub fn add_remark(&mut self, remark: &str) {
        if !remark.is_empty() {
            let remarks = self.remarks.get_or_insert_default();
            if !remarks.is_empty() {
                remarks.push('\n');
            }
            remarks.push_str(remark);
        }
    }
}

/// Environment variable of a run's process with the process id of its supervisor.
pub const SUPERVISOR: &str = "POSEBOOK_SUPERVISOR";

/// Path of the [`JobSpec`] in a run's folder.
pub fn job_path(folder: &Path) -> PathBuf {
    folder.join("job.json")
}

/// Path of the [`WorkerReport`] in a run's folder.
pub fn report_path(folder: &Path) -> PathBuf {
    folder.join("report.json")
}

/// Path of the live record in a run's folder: what [`posebook_core::memory::live`] publishes while the run goes on.
pub fn live_path(folder: &Path) -> PathBuf {
    folder.join("live")
}

/// Path of the process' standard error in a run's folder.
pub fn stderr_path(folder: &Path) -> PathBuf {
    folder.join("stderr.txt")
}
