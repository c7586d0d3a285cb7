//! What is asked for: pictures, where people are in them, and how to look.

use super::boxes::{Given, has_boxes_beside};
use crate::detect;
use crate::device;
use crate::experiment::{Override, explain, overrides};
use crate::hmr2::Settings as Hmr2Settings;
use crate::motchallenge::Benchmark;
use crate::recovery::RecoveryError;
use crate::runner::RunnerError;
use crate::sources::Pictures;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What `posebook reconstruct` is asked for.
#[derive(Debug, Clone)]
pub struct PictureRequest {
    /// The pictures' files, in order.
    pub pictures: Vec<PathBuf>,
    pub boxes: Given,
    /// Where the folder of the results is made; `None` is `reports/reconstruct`.
    pub out: Option<PathBuf>,
    /// A name in `models/`, or a file; `None` leaves the choice to the program.
    pub model: Option<String>,
    /// `auto`, `cpu` or `cuda:0`.
    pub device: String,
    pub hmr2: Hmr2Settings,
    pub blazepose: crate::blazepose::Settings,
    pub fit: crate::fit::Settings,
    /// What finds people where no boxes are given; a model that is `given` takes the whole picture for one person.
    pub detect: DetectSettings,
    /// What a person should know about it.
    pub notes: Vec<String>,
}

/// The settings as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    boxes: Option<Value>,
    benchmark: Option<Benchmark>,
    out: Option<Value>,
    model: Option<String>,
    #[serde(default = "default_device")]
    device: String,
    #[serde(default)]
    hmr2: Hmr2Settings,
    #[serde(default)]
    blazepose: crate::blazepose::Settings,
    #[serde(default)]
    fit: crate::fit::Settings,
    #[serde(default)]
    detect: DetectSettings,
}

/// What finds the people of pictures: the part of a run's `detect` that pictures have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectSettings {
    pub model: detect::Model,
    pub nanodet: detect::nanodet::Settings,
}

impl Default for DetectSettings {
    fn default() -> DetectSettings {
        DetectSettings { model: detect::Model::Nanodet, nanodet: detect::nanodet::Settings::default() }
    }
}

fn default_device() -> String {
    "auto".to_string()
}

impl PictureRequest {
    /// Reads the command line's `IMAGE... key=value...`; of a folder all pictures are taken.
    ///
    /// # Errors
    /// If there is no picture, a setting is unknown or wrong, or boxes cannot be read.
    pub fn parse(images: &[PathBuf], given: &[Override]) -> Result<PictureRequest, RunnerError> {
        let wrong = |message: String| RunnerError::NoPicture(message);
        let mut table = Table::new();
        for Override { key, value, .. } in given {
            overrides::set(&mut table, key, value.clone());
        }
        let names_frames = table.get("hmr2").and_then(|hmr2| hmr2.get("frames")).is_some();
        let written: Written = Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| wrong(format!("the settings: {}", explain(&error))))?;
        if names_frames {
            let message =
                "`hmr2.frames` is about videos; of pictures as many go together as fill `hmr2.batch`";
            return Err(wrong(message.into()));
        }
        written.hmr2.validate().map_err(RecoveryError::from)?;
        let checks = [
            written.blazepose.check().map_err(|error| error.to_string()),
            written.fit.check().map_err(|error| error.to_string()),
            written.detect.nanodet.check().map_err(|error| error.to_string()),
        ];
        checks.into_iter().collect::<Result<Vec<()>, String>>().map_err(wrong)?;
        device::parse(&written.device)?;
        let (pictures, mut notes) = listed(images)?;
        let boxes = match written.boxes.as_ref().map(text) {
            Some(text) => Given::parse(&text, pictures.len(), written.benchmark, &mut notes)?,
            None => Given::Beside,
        };
        let Written { out, model, device, hmr2, blazepose, fit, detect, .. } = written;
        let out = out.as_ref().map(|value| PathBuf::from(text(value)));
        Ok(PictureRequest { pictures, boxes, out, model, device, hmr2, blazepose, fit, detect, notes })
    }

    /// Whether people have to be found by a detector in some picture.
    pub(super) fn needs_detector(&self) -> bool {
        self.detect.model != detect::Model::Given
            && self.boxes == Given::Beside
            && self.pictures.iter().any(|picture| !has_boxes_beside(picture))
    }
}

/// A value as it was typed: paths may look like numbers.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The files that are meant, each as it is, of folders their pictures; and what is left out.
fn listed(images: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>), RunnerError> {
    if images.is_empty() {
        let message = "no picture is given; `posebook reconstruct people.jpg`";
        return Err(RunnerError::NoPicture(message.into()));
    }
    let (mut pictures, mut notes) = (Vec::new(), Vec::new());
    for image in images {
        if image.is_dir() {
            let found = Pictures::of(image)?;
            pictures.extend(found.files);
            notes.extend(found.left_out);
        } else {
            pictures.push(image.clone());
        }
    }
    Ok((pictures, notes))
}

/// Bytes of a picture's name in the names of its results, which have endings of their own; file systems take 255.
const LONGEST_STEM_BYTES: usize = 200;

/// What the results of each picture are called: its file's name without the ending. Where two pictures share
/// it, whatever letters are small or large, all but the first get a number behind it that no other has.
pub(super) fn names(pictures: &[PathBuf]) -> Vec<String> {
    let stem = |path: &Path| {
        let stem = path.file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy());
        let end = (0..=LONGEST_STEM_BYTES.min(stem.len())).rev().find(|&at| stem.is_char_boundary(at));
        stem[..end.unwrap_or(0)].to_string()
    };
    let key = |name: &str| name.to_lowercase();
    let stems: Vec<String> = pictures.iter().map(|path| stem(path)).collect();
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

    fn parse(given: &[&str]) -> Result<PictureRequest, String> {
        let given = Override::parse_all(given).unwrap();
        PictureRequest::parse(&[PathBuf::from("a.png")], &given).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_and_slips_are_named() {
        let request = parse(&["hmr2.batch=3", "model=hmr2", "out=7"]).unwrap();
        assert_eq!((request.hmr2.batch, request.model.as_deref()), (3, Some("hmr2")));
        assert_eq!(request.out, Some(PathBuf::from("7")));
        assert!(parse(&["hmr2.bacth=3"]).unwrap_err().contains("did you mean `batch`"));
        assert!(parse(&["bokses=a.txt"]).unwrap_err().contains("did you mean `boxes`"));
        assert!(parse(&["hmr2.batch=0"]).unwrap_err().contains("between 1 and"));
        assert!(parse(&["hmr2.frames=2"]).unwrap_err().contains("about videos"));
        assert!(parse(&["device=gpu"]).unwrap_err().contains("gpu"));
        assert!(PictureRequest::parse(&[], &[]).unwrap_err().to_string().contains("no picture is given"));
    }

    #[test]
    fn no_two_pictures_have_one_name() {
        let given = ["a/x.png", "b/x.png", "b/X.jpg", "x-2.png", "x_0.png", "b/x.png"].map(PathBuf::from);
        assert_eq!(names(&given), ["x", "x-3", "X-4", "x-2", "x_0", "x-5"]);
        let long = ["é".repeat(120), "é".repeat(124)].map(|stem| PathBuf::from(stem + ".png"));
        assert_eq!(names(&long), ["é".repeat(100), "é".repeat(100) + "-2"]);
    }
}
