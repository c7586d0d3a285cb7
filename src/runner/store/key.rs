//! The key of a run: hashes of everything that determines its results.
//!
//! Two runs with the same key give the same rows except for times and memory, so that one of them need not run. The key
//! is stored with the run, so that [`RunKey::changes_since`] can name what changed.

use crate::experiment::{Settings, SettingsError};
use posebook_core::provenance::sha256_of_bytes;
use serde::{Deserialize, Serialize};

/// Hexadecimal digits of the hash that make a run's id: 60 bits, where a project has thousands of runs.
const ID_DIGITS: usize = 15;

/// Why the key of a run cannot be computed, so that the run has no identity.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The settings or the key cannot be serialized.
    #[error("the settings of a run cannot be hashed: {0}; this is a bug of posebook")]
    Json(#[from] serde_json::Error),
    /// The settings are invalid.
    #[error("the settings of a run cannot be hashed: {0}")]
    Settings(#[from] SettingsError),
}

/// Everything that determines a run's results. Stored as `key.json` with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunKey {
    /// All settings with defaults filled in, except the number of repeats.
    pub settings: serde_json::Value,
    /// Number of the repeat, from 1.
    pub repeat: u64,
    /// The clip's name.
    pub clip: String,
    /// SHA-256 of the clip's file.
    pub clip_sha256: String,
    /// SHA-256 of the clip's decoded frames, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_decoded_sha256: Option<String>,
    /// SHA-256 of the clip's ground truth; `None` without one.
    pub truth_sha256: Option<String>,
    /// SHA-256 of the provided boxes, where they are not those of the ground truth.
    pub boxes_sha256: Option<String>,
    /// SHA-256 of the model set's file, which includes the network's dimensions.
    pub model_sha256: String,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// What identifies the detector's weights, such as their SHA-256; `None` where boxes are provided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_sha256: Option<String>,
    /// SHA-256 of the detector set's file; `None` for NanoDet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_set_sha256: Option<String>,
    /// Of the detector for frames without provided boxes: SHA-256 of its weights, a space, SHA-256 of its set's file
    /// (empty for NanoDet). `None` without such a detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_sha256: Option<String>,
    /// Hash of the imported files of PHALP's networks; `None` where none is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phalp_sha256: Option<String>,
    /// SHA-256 of the body model's file; `None` for the built-in body.
    pub body_sha256: Option<String>,
    /// The device: what `auto` resolved to.
    pub device: String,
    /// GPU and driver; `None` on the CPU, where the key has no such part.
    #[serde(default, rename = "card", skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// SHA-256 of the program.
    pub program_sha256: String,
    /// The processor.
    pub cpu: Option<String>,
    /// Number of available processors.
    pub cores: usize,
    /// Version of ffmpeg.
    pub ffmpeg: Option<String>,
}

impl RunKey {
    /// The settings as a key holds them.
    ///
    /// # Errors
    /// If they cannot be serialized.
    pub fn settings_json(settings: &Settings) -> Result<serde_json::Value, KeyError> {
        let mut value = serde_json::to_value(settings.with_defaults()?)?;
        if let Some(table) = value.as_object_mut() {
            table.remove("repeats");
        }
        Ok(value)
    }

    /// The run's id: the first digits of the key's SHA-256.
    ///
    /// # Errors
    /// If the key cannot be serialized.
    pub fn run_id(&self) -> Result<String, KeyError> {
        let json = serde_json::to_vec(self)?;
        Ok(sha256_of_bytes(&json)[..ID_DIGITS].to_string())
    }

    /// Whether settings, clip and repeat agree; program, weights and machine may differ.
    pub fn is_same_point(&self, other: &RunKey) -> bool {
        self.settings == other.settings && self.repeat == other.repeat && self.clip == other.clip
    }

    /// Whether processor, number of cores and device agree.
    pub fn is_same_machine(&self, other: &RunKey) -> bool {
        let machine = |key: &RunKey| (key.cpu.clone(), key.cores, key.device.clone(), key.gpu.clone());
        machine(self) == machine(other)
    }

    /// Whether both runs take about the same time: same settings, clip, network, device and machine.
    pub fn has_same_cost(&self, other: &RunKey) -> bool {
        let network = |key: &RunKey| {
            let detector = (key.detector_sha256.clone(), key.detector_set_sha256.clone());
            (key.model_sha256.clone(), key.weights_sha256.clone(), detector, key.fallback_sha256.clone())
        };
        self.settings == other.settings
            && self.clip == other.clip
            && network(self) == network(other)
            && self.is_same_machine(other)
    }

    /// Names of the parts that differ from `other`.
    pub fn changes_since(&self, other: &RunKey) -> Vec<&'static str> {
        let machine = |key: &RunKey| (key.cpu.clone(), key.cores);
        let parts = [
            ("the settings", self.settings != other.settings),
            ("the clip", self.clip_sha256 != other.clip_sha256),
            ("the clip's decoded frames", self.clip_decoded_sha256 != other.clip_decoded_sha256),
            ("the clip's truth", self.truth_sha256 != other.truth_sha256),
            ("the boxes", self.boxes_sha256 != other.boxes_sha256),
            ("the model set", self.model_sha256 != other.model_sha256),
            ("the weights", self.weights_sha256 != other.weights_sha256),
            ("the detector's weights", self.detector_sha256 != other.detector_sha256),
            ("the detector's set", self.detector_set_sha256 != other.detector_set_sha256),
            ("the fallback's weights", self.fallback_sha256 != other.fallback_sha256),
            ("PHALP's imported files", self.phalp_sha256 != other.phalp_sha256),
            ("the body", self.body_sha256 != other.body_sha256),
            ("the program", self.program_sha256 != other.program_sha256),
            ("the device", self.device != other.device),
            ("the GPU or its driver", self.gpu != other.gpu),
            ("the machine", machine(self) != machine(other)),
            ("ffmpeg", self.ffmpeg != other.ffmpeg),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_serialized_have_no_identity() {
        // JSON has no map whose keys are sequences
        let error = serde_json::to_value(std::collections::BTreeMap::from([(vec![1], 2)])).unwrap_err();
        let message = KeyError::from(error).to_string();
        assert!(message.starts_with("the settings of a run cannot be hashed: "), "{message}");
    }
}
