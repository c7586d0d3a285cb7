//! Settings of the detection: the source of detections, its thresholds, and which detections are kept.
//!
//! Input: the table `[detect]`. Output: checked settings, and the options of the published detectors.

use super::mask_rcnn::{Architecture, Budget, Options};
use super::{SettingsError, nanodet};
use posebook_core::labels::Precision;
use posebook_core::person::Detection;
use serde::{Deserialize, Serialize};

/// Largest `batch`: at p2 the windows of a 3 x 3 convolution have to be fewer than 2^32 values, which candle counts in 32 bits.
const MAX_BATCH: usize = 16;
/// Threshold of ViTDet in 4D-Humans' demo.
const VITDET_SCORE: f64 = 0.25;
/// Threshold of the other published detectors, and of all of them in PHALP.
const PUBLISHED_SCORE: f64 = 0.5;

/// The source of detections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Boxes provided by the user or the ground truth.
    #[default]
    #[serde(rename = "given")]
    Provided,
    /// The NanoDet-g network, fetched by `posebook model fetch nanodet`.
    Nanodet,
    /// ViTDet-H, imported by `posebook model import vitdet`.
    Vitdet,
    /// RegNetY-4GF Mask R-CNN, imported by `posebook model import regnety`.
    Regnety,
    /// Provided boxes with masks of ResNeXt-101 Mask R-CNN, imported by `posebook model import x101`.
    X101,
}

impl Model {
    /// Name in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Model::Provided => "given",
            Model::Nanodet => "nanodet",
            Model::Vitdet => "vitdet",
            Model::Regnety => "regnety",
            Model::X101 => "x101",
        }
    }

    /// Name in texts for people.
    pub fn title(self) -> &'static str {
        match self {
            Model::Provided => "given boxes",
            Model::Nanodet => "NanoDet",
            Model::Vitdet => "ViTDet",
            Model::Regnety => "RegNetY",
            Model::X101 => "X101",
        }
    }

    /// The published detector that it runs; `None` for the others.
    pub fn published(self) -> Option<Architecture> {
        match self {
            Model::Provided | Model::Nanodet => None,
            Model::Vitdet => Some(Architecture::Vitdet),
            Model::Regnety => Some(Architecture::Regnety),
            Model::X101 => Some(Architecture::X101),
        }
    }

    /// Whether the people are those of provided boxes.
    pub fn needs_boxes(self) -> bool {
        matches!(self, Model::Provided | Model::X101)
    }
}

/// The scores of provided boxes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreSource {
    /// 1, as in PHALP.
    #[default]
    One,
    /// Those of the file of boxes, which a detector wrote; 1 for a box without a score.
    File,
    /// As `file`; they are NanoDet's, so that uncertain people are removed where the body network cannot reject them.
    Nanodet,
}

/// Settings of the detection (`[detect]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `given` (provided boxes), `nanodet`, `vitdet`, `regnety`, or `x101` (provided boxes with masks of a network). `posebook
    /// track` uses `nanodet` if no boxes are provided.
    #[serde(skip_serializing_if = "is_default")]
    pub model: Model,
    /// Settings of `nanodet`; jitter, misses and false alarms apply to provided boxes.
    #[serde(skip_serializing_if = "is_default")]
    pub nanodet: nanodet::Settings,
    /// Name of the detector set in `models/`; by default that of the published detector (`vitdet`, `regnety`, `x101`).
    #[serde(skip_serializing_if = "is_default")]
    pub weights: Option<String>,
    /// Limit of a published detector's buffers in a step of a pass, MiB; without it everything is computed at once. Results do
    /// not depend on it.
    #[serde(skip_serializing_if = "is_default")]
    pub budget_mib: Option<u64>,
    /// Precision of a published detector: `f32`, `bf16` or `f16`.
    #[serde(skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// A published detector's people have scores above this, 0 to 1; by default 0.25 for `vitdet` and 0.5 for `regnety`. PHALP
    /// uses 0.5 for both.
    #[serde(skip_serializing_if = "is_default")]
    pub score: Option<f64>,
    /// Frames that a published detector computes together. On a GPU several are faster; on the CPU one frame is enough work for
    /// all cores.
    #[serde(skip_serializing_if = "is_one")]
    pub batch: usize,
    /// The detector of frames without provided boxes: `nanodet`, `vitdet` or `regnety`, as PHALP detects people in the frames of
    /// a .pkl that have no boxes. By default such a frame has no people.
    #[serde(skip_serializing_if = "is_default")]
    pub fallback: Option<Model>,
    /// Scores of provided boxes: `one`, as in PHALP, `file`, or `nanodet` for those that NanoDet wrote.
    #[serde(skip_serializing_if = "is_default")]
    pub scores: ScoreSource,
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
    /// A detection is removed unless its score is greater (PHALP's `low_th_c`). 0 keeps all; provided boxes have score 1 unless
    /// `scores` says otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub least_score: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            model: Model::Provided,
            nanodet: nanodet::Settings::default(),
            weights: None,
            budget_mib: None,
            precision: Precision::F32,
            score: None,
            batch: 1,
            fallback: None,
            scores: ScoreSource::One,
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

fn is_one(value: &usize) -> bool {
    *value == 1
}

impl Settings {
    /// Validates all settings but those of NanoDet.
    ///
    /// # Errors
    /// If a number is outside of its range, or `fallback` names no detector.
    pub fn check(&self) -> Result<(), SettingsError> {
        let (not_negative, share) = ("a number from 0 on", "a number from 0 to 1");
        let checks = [
            ("jitter", self.jitter, 0.0..=1.0, share),
            ("misses", self.misses, 0.0..=1.0, share),
            ("miss_frames", self.miss_frames as f64, 1.0..=f64::MAX, "a whole number from 1 on"),
            ("false_alarms", self.false_alarms, 0.0..=100.0, "a number from 0 to 100"),
            ("smallest_width", self.smallest_width, 0.0..=f64::MAX, not_negative),
            ("smallest_height", self.smallest_height, 0.0..=f64::MAX, not_negative),
            ("least_score", self.least_score, 0.0..=1.0, share),
            ("score", self.score.unwrap_or(0.0), 0.0..=1.0, share),
            ("batch", self.batch as f64, 1.0..=MAX_BATCH as f64, "a whole number from 1 to 64"),
            (
                "budget_mib",
                self.budget_mib.unwrap_or(1) as f64,
                1.0..=(1u64 << 40) as f64,
                "a whole number of MiB from 1 on, or leave it out",
            ),
        ];
        let invalid = checks.into_iter().find(|(_, value, range, _)| !range.contains(value));
        if let Some((name, value, _, range)) = invalid {
            return Err(SettingsError::OutOfRange { name, value, range });
        }
        match self.fallback {
            Some(model) if model.needs_boxes() => Err(SettingsError::Fallback { model: model.name() }),
            _ => Ok(()),
        }
    }

    /// The models that run: that of `model`, and `fallback` where boxes are provided.
    pub fn models(&self) -> impl Iterator<Item = Model> + use<> {
        let fallback = self.fallback.filter(|_| self.model.needs_boxes());
        std::iter::once(self.model).chain(fallback)
    }

    /// Name of the set of the published detector `model`: `weights`, which belongs to `model` alone, or the model's own name.
    pub fn set_name(&self, model: Model) -> &str {
        match &self.weights {
            Some(name) if model == self.model => name,
            _ => model.name(),
        }
    }

    /// How the published detector `model` computes.
    pub fn options(&self, model: Model) -> Options {
        let default = if model == Model::Vitdet { VITDET_SCORE } else { PUBLISHED_SCORE };
        Options {
            precision: self.precision,
            score: self.score.unwrap_or(default),
            budget: self.budget_mib.map_or_else(Budget::default, Budget::from_mib),
            batch: self.batch,
            ..Options::default()
        }
    }

    /// Names of the settings that were changed and have no effect with these models.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let defaults = Settings::default();
        let published = self.models().any(|model| model.published().is_some());
        let detects = self.models().any(|model| !model.needs_boxes());
        let published_detects =
            self.models().any(|model| model.published().is_some() && !model.needs_boxes());
        let needs_boxes = self.model.needs_boxes();
        let settings = [
            (
                "detect.nanodet",
                self.nanodet != defaults.nanodet,
                self.models().any(|of| of == Model::Nanodet),
            ),
            ("detect.weights", self.weights.is_some(), self.model.published().is_some()),
            ("detect.budget_mib", self.budget_mib.is_some(), published),
            ("detect.precision", self.precision != defaults.precision, published),
            ("detect.score", self.score.is_some(), published_detects),
            ("detect.batch", self.batch != defaults.batch, published && detects && !needs_boxes),
            ("detect.fallback", self.fallback.is_some(), needs_boxes),
            ("detect.scores", self.scores != defaults.scores, needs_boxes),
            ("detect.jitter", self.jitter != defaults.jitter, needs_boxes),
            ("detect.misses", self.misses != defaults.misses, needs_boxes),
            ("detect.miss_frames", self.miss_frames != defaults.miss_frames, needs_boxes),
            ("detect.false_alarms", self.false_alarms != defaults.false_alarms, needs_boxes),
        ];
        settings
            .into_iter()
            .filter(|(_, is_set, has_effect)| *is_set && !has_effect)
            .map(|(name, ..)| name)
            .collect()
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
            Detection { bbox, score, input_id: None, mask: None }
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
    }

    #[test]
    fn the_text_of_default_settings_does_not_change() {
        let text = serde_json::to_string(&Settings::default()).unwrap();
        let expected = "{\"jitter\":0.0,\"misses\":0.0,\"miss_frames\":1,\"false_alarms\":0.0,\"smallest_width\":0.0,\
                        \"smallest_height\":0.0}";
        assert_eq!(text, expected);
    }

    #[test]
    fn published_detectors_have_their_thresholds_and_sets() {
        let read = |text: &str| toml::from_str::<Settings>(text).unwrap();
        let settings = read("model = \"vitdet\"");
        assert_eq!(settings.options(settings.model).score, 0.25);
        assert_eq!(settings.set_name(Model::Vitdet), "vitdet");
        let settings =
            read("model = \"regnety\"\nweights = \"mine\"\nbudget_mib = 3\nprecision = \"bf16\"\nbatch = 4");
        let options = settings.options(settings.model);
        assert_eq!((options.score, options.budget, options.batch), (0.5, Budget::from_mib(3), 4));
        assert_eq!((options.precision, settings.set_name(Model::Regnety)), (Precision::Bf16, "mine"));
        assert!(settings.check().is_ok() && settings.without_effect().is_empty());
        let settings = read("model = \"x101\"\nfallback = \"vitdet\"\nweights = \"mine\"");
        assert_eq!((settings.set_name(Model::X101), settings.set_name(Model::Vitdet)), ("mine", "vitdet"));
        assert_eq!(settings.models().collect::<Vec<_>>(), [Model::X101, Model::Vitdet]);
    }

    #[test]
    fn impossible_settings_are_refused_and_idle_ones_are_named() {
        for (text, expected) in [
            ("score = 1.5", "detect.score is 1.5; set it to a number from 0 to 1"),
            ("batch = 0", "detect.batch is 0; set it to a whole number from 1 to 64"),
            (
                "budget_mib = 0",
                "detect.budget_mib is 0; set it to a whole number of MiB from 1 on, or leave it out",
            ),
            (
                "fallback = \"x101\"",
                "detect.fallback is x101, which needs boxes itself; set it to nanodet, vitdet or regnety",
            ),
        ] {
            let error = toml::from_str::<Settings>(text).unwrap().check().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let unknown = toml::from_str::<Settings>("model = \"vitdit\"").unwrap_err().to_string();
        assert!(unknown.contains("vitdet"), "{unknown}");
        let idle = |text: &str| toml::from_str::<Settings>(text).unwrap().without_effect();
        assert_eq!(
            idle("model = \"nanodet\"\nscore = 0.3\nweights = \"a\""),
            ["detect.weights", "detect.score"]
        );
        assert_eq!(idle("model = \"x101\"\nscore = 0.3\nbatch = 2"), ["detect.score", "detect.batch"]);
        assert_eq!(
            idle("model = \"vitdet\"\njitter = 0.1\nfallback = \"nanodet\""),
            ["detect.fallback", "detect.jitter"]
        );
        assert!(
            idle("model = \"given\"\nfallback = \"regnety\"\nscore = 0.3\nprecision = \"f16\"").is_empty()
        );
    }
}
