//! The name of a run: the hash of all that goes into it.
//!
//! Two runs with one key would give the same rows but for times and memory, so that one of them need
//! not run. The parts are kept beside the run, so that it can be said which of them changed.

use crate::experiment::Settings;
use crate::provenance::sha256_of_bytes;
use serde::{Deserialize, Serialize};

/// Digits of the hash that make a run's id: 60 bits, where a project has thousands of runs.
const ID_DIGITS: usize = 15;

/// All that goes into a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Every setting, spelled out, but for how often the run is repeated.
    pub settings: serde_json::Value,
    pub repeat: u64,
    pub clip: String,
    /// SHA-256 of the clip's file.
    pub clip_sha256: String,
    /// SHA-256 of the clip's decoded frames, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_decoded_sha256: Option<String>,
    /// SHA-256 of the clip's truth; `None` without one.
    pub truth_sha256: Option<String>,
    /// SHA-256 of the boxes to start from, where they are not the truth's.
    pub boxes_sha256: Option<String>,
    /// SHA-256 of the model set's file, sizes included.
    pub model_sha256: String,
    pub weights_sha256: String,
    /// SHA-256 of the detector's weights; `None` where boxes are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_sha256: Option<String>,
    pub body_sha256: Option<String>,
    /// The device that `auto` became.
    pub device: String,
    /// The graphics card and its driver; `None` on the CPU, where the key is as if there were no such part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// SHA-256 of the program.
    pub program_sha256: String,
    pub cpu: Option<String>,
    pub cores: usize,
    pub ffmpeg: Option<String>,
}

impl Key {
    /// The settings as a key has them.
    pub fn settings_of(settings: &Settings) -> serde_json::Value {
        let mut value = serde_json::to_value(settings.spelled_out()).unwrap_or_default();
        if let Some(table) = value.as_object_mut() {
            table.remove("repeats");
        }
        value
    }

    /// The run's id.
    pub fn run_id(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        sha256_of_bytes(&text)[..ID_DIGITS].to_string()
    }

    /// Whether both are the same run of possibly different makings: settings, clip and repeat agree.
    pub fn is_same_point(&self, other: &Key) -> bool {
        self.settings == other.settings && self.repeat == other.repeat && self.clip == other.clip
    }

    /// Whether both were made on machines that look the same: processor, cores, device.
    pub fn is_same_machine(&self, other: &Key) -> bool {
        let machine = |key: &Key| (key.cpu.clone(), key.cores, key.device.clone(), key.card.clone());
        machine(self) == machine(other)
    }

    /// Whether both take about the same time: the same point, network, device and machine.
    pub fn costs_the_same(&self, other: &Key) -> bool {
        let cost = |key: &Key| {
            let (model, weights) = (key.model_sha256.clone(), key.weights_sha256.clone());
            (
                model,
                weights,
                key.detector_sha256.clone(),
                key.device.clone(),
                key.card.clone(),
                key.cpu.clone(),
                key.cores,
            )
        };
        self.settings == other.settings && self.clip == other.clip && cost(self) == cost(other)
    }

    /// What differs from `other`, in words.
    pub fn changes_since(&self, other: &Key) -> Vec<&'static str> {
        let machine = |key: &Key| (key.cpu.clone(), key.cores);
        let parts = [
            ("the settings", self.settings != other.settings),
            ("the clip", self.clip_sha256 != other.clip_sha256),
            ("the clip's decoded frames", self.clip_decoded_sha256 != other.clip_decoded_sha256),
            ("the clip's truth", self.truth_sha256 != other.truth_sha256),
            ("the boxes", self.boxes_sha256 != other.boxes_sha256),
            ("the model set", self.model_sha256 != other.model_sha256),
            ("the weights", self.weights_sha256 != other.weights_sha256),
            ("the detector's weights", self.detector_sha256 != other.detector_sha256),
            ("the body", self.body_sha256 != other.body_sha256),
            ("the program", self.program_sha256 != other.program_sha256),
            ("the device", self.device != other.device),
            ("the graphics card or its driver", self.card != other.card),
            ("the machine", machine(self) != machine(other)),
            ("ffmpeg", self.ffmpeg != other.ffmpeg),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}
