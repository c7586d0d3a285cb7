//! Person detection: boxes in a frame, from a network ([`nanodet`]) or provided by the user or the ground truth
//! ([`ProvidedBoxes`], PHALP's `use_gt`), optionally degraded by seeded jitter, misses and false alarms.
//!
//! Input: a frame or its provided boxes. Output: detections. They do not depend on earlier frames: those of a network
//! depend on the pixels, provided ones on the seed, the frame index and the boxes.

pub mod nanodet;
mod nms;
mod provided_boxes;
mod settings_error;

pub use provided_boxes::{DetectError, FrameDetections, ProvidedBoxes};
pub use settings_error::SettingsError;

use posebook_core::person::Detection;
use serde::{Deserialize, Serialize};

/// The source of detections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Boxes provided by the user or the ground truth.
    #[default]
    #[serde(rename = "given")]
    Provided,
    /// The NanoDet-g network, fetched by `posebook model fetch nanodet`.
    Nanodet,
}

impl Model {
    /// Name in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Model::Provided => "given",
            Model::Nanodet => "nanodet",
        }
    }

    fn is_provided(&self) -> bool {
        *self == Model::Provided
    }
}

/// Settings of the detection (`[detect]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `given` (provided boxes) or `nanodet`. `posebook track` uses `nanodet` if no boxes are provided.
    #[serde(skip_serializing_if = "Model::is_provided")]
    pub model: Model,
    /// Settings of `nanodet`; jitter, misses and false alarms apply to provided boxes.
    #[serde(skip_serializing_if = "is_default")]
    pub nanodet: nanodet::Settings,
    /// Standard deviation of a box's center, and of the logarithm of its size, as a fraction of its size.
    pub jitter: f64,
    /// Fraction of boxes that are removed at random.
    pub misses: f64,
    /// Duration of a miss in frames: whether a person is missed is drawn again every `miss_frames` frames.
    pub miss_frames: u64,
    /// False alarms per frame, on average.
    pub false_alarms: f64,
    /// Minimum width of a box, pixels. PHALP removes boxes narrower than 50 or lower than 100 pixels (`small_w`, `small_h`),
    /// which loses people in small images.
    pub smallest_width: f64,
    /// Minimum height of a box, pixels.
    pub smallest_height: f64,
    /// A detection is removed unless its score is greater (PHALP's `low_th_c`). 0 keeps all; provided boxes have score 1.
    #[serde(skip_serializing_if = "is_default")]
    pub least_score: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            model: Model::Provided,
            nanodet: nanodet::Settings::default(),
            jitter: 0.0,
            misses: 0.0,
            miss_frames: 1,
            false_alarms: 0.0,
            smallest_width: 0.0,
            smallest_height: 0.0,
            least_score: 0.0,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Settings {
    /// Validates the settings of provided boxes.
    ///
    /// # Errors
    /// If a number is outside of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let not_negative = "a number from 0 on";
        let checks = [
            ("jitter", self.jitter, 0.0..=1.0, "a number from 0 to 1"),
            ("misses", self.misses, 0.0..=1.0, "a number from 0 to 1"),
            ("miss_frames", self.miss_frames as f64, 1.0..=f64::MAX, "a whole number from 1 on"),
            ("false_alarms", self.false_alarms, 0.0..=100.0, "a number from 0 to 100"),
            ("smallest_width", self.smallest_width, 0.0..=f64::MAX, not_negative),
            ("smallest_height", self.smallest_height, 0.0..=f64::MAX, not_negative),
            ("least_score", self.least_score, 0.0..=1.0, "a number from 0 to 1"),
        ];
        let invalid = checks.into_iter().find(|(_, value, range, _)| !range.contains(value));
        invalid.map_or(Ok(()), |(name, value, _, range)| Err(SettingsError { name, value, range }))
    }

    /// Whether a detection of any detector is kept, by its score and by the size of its box, which is not padded or clipped.
    pub fn keeps(&self, detection: &Detection) -> bool {
        // `least_score = 0` keeps scores of 0
        let is_certain = self.least_score == 0.0 || f64::from(detection.score) > self.least_score;
        is_certain
            && f64::from(detection.bbox.width()) >= self.smallest_width
            && f64::from(detection.bbox.height()) >= self.smallest_height
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::person::BBox;

    #[test]
    fn detections_are_kept_by_score_and_size_as_in_phalp() {
        let detection = |score: f32, width: f32, height: f32| {
            let bbox = BBox { x1: 10.0, y1: 5.0, x2: 10.0 + width, y2: 5.0 + height };
            Detection { bbox, score, input_id: None }
        };
        let all = Settings::default();
        assert!(all.keeps(&detection(0.0, 1.0, 1.0)));
        let phalp = Settings {
            least_score: 0.5,
            smallest_width: 50.0,
            smallest_height: 100.0,
            ..Settings::default()
        };
        assert!(phalp.keeps(&detection(0.75, 50.0, 100.0)));
        assert!(!phalp.keeps(&detection(0.5, 50.0, 100.0)), "the score has to be greater");
        assert!(!phalp.keeps(&detection(1.0, 49.0, 100.0)) && !phalp.keeps(&detection(1.0, 50.0, 99.0)));
        assert!(Settings { least_score: 1.5, ..Settings::default() }.check().is_err());
        let text = serde_json::to_string(&Settings::default()).unwrap();
        assert!(!text.contains("least_score"), "committed settings do not change: {text}");
    }
}
