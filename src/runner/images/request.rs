//! The request of `posebook reconstruct`: images, boxes and settings.

use super::boxes::{ProvidedBoxes, has_boxes_file};
use crate::experiment::{Override, overrides};
use crate::runner::RunnerError;
use crate::runner::project::defaults::DEMO_LEAST_SCORE;
use posebook_core::labels::Precision;
use posebook_core::toml_error::explain_toml_error;
use posebook_models::detect;
use posebook_models::device;
use posebook_models::hmr2::Settings as Hmr2Settings;
use posebook_models::recovery::RecoveryError;
use posebook_track::motchallenge::Benchmark;
use posebook_video::sources::ImageFiles;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The command line of `posebook reconstruct` is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ReconstructRequestError {
    /// No image is named.
    #[error("no image is given; `posebook reconstruct people.jpg`")]
    NoImage,
    /// A setting is unknown, or its value has the wrong type.
    #[error("the settings: {0}")]
    Settings(String),
    /// `hmr2.frames` has no meaning for images.
    #[error("`hmr2.frames` applies to videos only; for images set `hmr2.batch`")]
    FramesOfImages,
    /// Masks of provided boxes have no use for images.
    #[error(
        "detect.model=x101 computes masks of given boxes, which nothing here uses: leave it out, or set \
         detect.model=vitdet or regnety for images without boxes"
    )]
    MasksOfImages,
    /// A setting of BlazePose is invalid.
    #[error(transparent)]
    BlazePose(#[from] posebook_models::blazepose::BlazePoseError),
    /// A setting of the body's fit is invalid.
    #[error(transparent)]
    Fit(#[from] posebook_models::fit::FitError),
}

/// Images to reconstruct, and the settings.
#[derive(Debug, Clone)]
pub struct ReconstructRequest {
    /// The image files, in order.
    pub images: Vec<PathBuf>,
    /// Boxes of people.
    pub boxes: ProvidedBoxes,
    /// Folder for the results; `None` is `reports/reconstruct`.
    pub out: Option<PathBuf>,
    /// Folder of the results itself, where no new one shall be made in `out`.
    pub folder: Option<PathBuf>,
    /// File names by which results name the images, where these are not their own.
    pub shown: Option<Vec<PathBuf>>,
    /// Name of a model set in `models/`, or a file; `None` is the default model set.
    pub model: Option<String>,
    /// `auto`, `cpu` or `cuda:0`.
    pub device: String,
    /// Settings of HMR2.
    pub hmr2: Hmr2Settings,
    /// Settings of BlazePose.
    pub blazepose: posebook_models::blazepose::Settings,
    /// Settings of the body's fit.
    pub fit: posebook_models::fit::Settings,
    /// Detector for images without boxes; `given` takes the whole image as one person's box.
    pub detect: DetectSettings,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The settings as written on the command line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSettings {
    boxes: Option<Value>,
    benchmark: Option<Benchmark>,
    out: Option<Value>,
    model: Option<String>,
    #[serde(default = "default_device")]
    device: String,
    #[serde(default)]
    hmr2: Hmr2Settings,
    #[serde(default)]
    blazepose: posebook_models::blazepose::Settings,
    #[serde(default)]
    fit: posebook_models::fit::Settings,
    #[serde(default)]
    detect: DetectSettings,
}

/// Settings of the detector: the part of a run's `detect` that applies to images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectSettings {
    /// The detector.
    pub model: detect::Model,
    /// Settings of NanoDet.
    pub nanodet: detect::nanodet::Settings,
    /// Name of the set of a published detector.
    pub weights: Option<String>,
    /// Limit of a published detector's buffers, MiB.
    pub budget_mib: Option<u64>,
    /// Precision of a published detector.
    pub precision: Precision,
    /// Threshold of a published detector.
    pub score: Option<f64>,
    /// A detection is removed unless its score is greater; by default 0.5 for published detectors, as in 4D-Humans' demo.
    pub least_score: Option<f64>,
}

impl Default for DetectSettings {
    fn default() -> DetectSettings {
        DetectSettings {
            model: detect::Model::Nanodet,
            nanodet: detect::nanodet::Settings::default(),
            weights: None,
            budget_mib: None,
            precision: Precision::F32,
            score: None,
            least_score: None,
        }
    }
}

impl DetectSettings {
    /// The settings of a run with the same detections.
    pub(super) fn to_run_settings(&self) -> detect::Settings {
        let DetectSettings { model, nanodet, weights, budget_mib, precision, score, least_score } =
            self.clone();
        let default = model.published().map_or(0.0, |_| DEMO_LEAST_SCORE);
        let least_score = least_score.unwrap_or(default);
        let others = detect::Settings::default();
        detect::Settings { model, nanodet, weights, budget_mib, precision, score, least_score, ..others }
    }
}

fn default_device() -> String {
    "auto".to_string()
}

impl ReconstructRequest {
    /// Parses the command line's `IMAGE... key=value...`; a folder means all images in it.
    ///
    /// # Errors
    /// If there is no image, a setting is unknown or invalid, or boxes cannot be read.
    pub fn parse(images: &[PathBuf], given: &[Override]) -> Result<ReconstructRequest, RunnerError> {
        let mut table = Table::new();
        for Override { key, value, .. } in given {
            overrides::set(&mut table, key, value.clone());
        }
        let sets_frames = table.get("hmr2").and_then(|hmr2| hmr2.get("frames")).is_some();
        let written: Result<WrittenSettings, toml::de::Error> = Value::Table(table).try_into();
        let written =
            written.map_err(|error| ReconstructRequestError::Settings(explain_toml_error(&error)))?;
        if sets_frames {
            return Err(ReconstructRequestError::FramesOfImages.into());
        }
        written.hmr2.validate().map_err(RecoveryError::from)?;
        written.blazepose.check().map_err(ReconstructRequestError::from)?;
        written.fit.check().map_err(ReconstructRequestError::from)?;
        written.detect.nanodet.check()?;
        written.detect.to_run_settings().check()?;
        if written.detect.model == detect::Model::X101 {
            return Err(ReconstructRequestError::MasksOfImages.into());
        }
        device::parse(&written.device)?;
        let (images, mut notes) = collect_images(images)?;
        let boxes = match written.boxes.as_ref().map(text) {
            Some(text) => ProvidedBoxes::parse(&text, images.len(), written.benchmark, &mut notes)?,
            None => ProvidedBoxes::PerImage,
        };
        let WrittenSettings { out, model, device, hmr2, blazepose, fit, detect, .. } = written;
        let out = out.as_ref().map(|value| PathBuf::from(text(value)));
        Ok(ReconstructRequest {
            images,
            boxes,
            out,
            folder: None,
            shown: None,
            model,
            device,
            hmr2,
            blazepose,
            fit,
            detect,
            notes,
        })
    }

    /// The image files as results name them.
    pub(super) fn shown_images(&self) -> &[PathBuf] {
        self.shown.as_ref().filter(|shown| shown.len() == self.images.len()).unwrap_or(&self.images)
    }

    /// Whether some image needs the detector.
    pub(super) fn needs_detector(&self) -> bool {
        self.detect.model != detect::Model::Provided
            && self.boxes == ProvidedBoxes::PerImage
            && self.images.iter().any(|image| !has_boxes_file(image))
    }
}

/// The value as it was written: a path may look like a number.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The image files, those of folders included, and notes about skipped files.
fn collect_images(images: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>), RunnerError> {
    if images.is_empty() {
        return Err(ReconstructRequestError::NoImage.into());
    }
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    for image in images {
        if image.is_dir() {
            let found = ImageFiles::list(image)?;
            files.extend(found.files);
            notes.extend(found.left_out);
        } else {
            files.push(image.clone());
        }
    }
    Ok((files, notes))
}

/// Largest length of an image's stem in the names of its results, bytes: file systems allow 255, endings included.
const MAX_STEM_BYTES: usize = 200;

/// Base names of each image's results: the file's stem. Where stems are equal except for case, all but the first get a
/// unique number appended.
pub(super) fn output_names(images: &[PathBuf]) -> Vec<String> {
    let stem = |path: &Path| {
        let stem = path.file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy());
        let end = (0..=MAX_STEM_BYTES.min(stem.len())).rev().find(|&length| stem.is_char_boundary(length));
        stem[..end.unwrap_or(0)].to_string()
    };
    let key = |name: &str| name.to_lowercase();
    let stems: Vec<String> = images.iter().map(|path| stem(path)).collect();
    let mut taken: std::collections::BTreeSet<String> = stems.iter().map(|stem| key(stem)).collect();
    let mut first = std::collections::BTreeSet::new();
    let name = |stem: String| {
        if first.insert(key(&stem)) {
            return stem;
        }
        let numbered = (2u64..).map(|number| format!("{stem}-{number}"));
        let free = numbered.into_iter().find(|name| taken.insert(key(name)));
        free.unwrap_or(stem)
    };
    stems.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[&str]) -> Result<ReconstructRequest, String> {
        let given = Override::parse_all(given).unwrap();
        ReconstructRequest::parse(&[PathBuf::from("a.png")], &given).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_parsed_and_misspelled_keys_are_suggested() {
        let request = parse(&["hmr2.batch=3", "model=hmr2", "out=7"]).unwrap();
        assert_eq!((request.hmr2.batch, request.model.as_deref()), (3, Some("hmr2")));
        assert_eq!(request.out, Some(PathBuf::from("7")));
        assert!(parse(&["hmr2.bacth=3"]).unwrap_err().contains("did you mean `batch`"));
        assert!(parse(&["bokses=a.txt"]).unwrap_err().contains("did you mean `boxes`"));
        assert!(parse(&["hmr2.batch=0"]).unwrap_err().contains("between 1 and"));
        assert!(parse(&["hmr2.frames=2"]).unwrap_err().contains("applies to videos only"));
        assert!(parse(&["device=gpu"]).unwrap_err().contains("gpu"));
        assert!(ReconstructRequest::parse(&[], &[]).unwrap_err().to_string().contains("no image is given"));
    }

    #[test]
    fn output_names_are_unique() {
        let given = ["a/x.png", "b/x.png", "b/X.jpg", "x-2.png", "x_0.png", "b/x.png"].map(PathBuf::from);
        assert_eq!(output_names(&given), ["x", "x-3", "X-4", "x-2", "x_0", "x-5"]);
        let long = ["é".repeat(120), "é".repeat(124)].map(|stem| PathBuf::from(stem + ".png"));
        assert_eq!(output_names(&long), ["é".repeat(100), "é".repeat(100) + "-2"]);
    }
}
