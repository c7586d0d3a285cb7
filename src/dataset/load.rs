//! A dataset's file to its clips: the TOML, what is changed about it, and errors with their lines.

use super::DatasetError;
use super::clip::{ClipSpec, Source};
use super::decoded::DrawnLock;
use super::footage::{Footage, FootageSource};
use super::own::{Files, OwnClip};
use super::walkers::{self, Walkers};
use crate::motchallenge::Benchmark;
use crate::sources;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A dataset: a name and its clips.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The file's name without its ending.
    pub name: String,
    pub path: PathBuf,
    /// What it is for, one line.
    pub about: String,
    /// What its clips are fetched from; `None` where they are drawn or the user's own.
    pub footage: Option<FootageSource>,
    clips: Vec<ClipSpec>,
}

impl Dataset {
    /// Reads the file at `path`. `changes` are laid over it key by key, tables into tables: a sweep's
    /// `dataset.frames = 60` is `{ frames = 60 }` here.
    ///
    /// # Errors
    /// If the file cannot be read, has unknown keys, or says what cannot be; with the line where there is
    /// one.
    pub fn load(path: &Path, changes: &Table) -> Result<Dataset, DatasetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatasetError::io("read the dataset", path, source))?;
        let table: Table = toml::from_str(&text).map_err(|error| in_line(path, &text, &error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let invalid = |message: String| DatasetError::invalid(path, message);
        let mut footage = None;
        let folder = path.parent().unwrap_or(Path::new("."));
        let (about, clips) = match table.get("kind").and_then(Value::as_str) {
            Some("walkers") => {
                let own_seed = table.get("seed").and_then(Value::as_integer);
                let mut walkers: Walkers = typed(path, &text, table, changes)?;
                walkers.is_varied = own_seed.and_then(|seed| u64::try_from(seed).ok()) != Some(walkers.seed);
                let clips = walkers.clips().map_err(invalid)?.into_iter();
                let named = clips.map(|clip| (clip.scene.name.clone(), Source::Walkers(clip)));
                (walkers.about.clone(), named.collect::<Vec<_>>())
            }
            Some("files") => {
                let files: Files = typed(path, &text, table, changes)?;
                let clips = files.clips(folder).map_err(invalid)?.into_iter();
                (files.about.clone(), clips.map(|(name, clip)| (name, Source::Own(clip))).collect())
            }
            Some("footage") => {
                let of_file: Footage = typed(path, &text, table, changes)?;
                let (source, clips) = of_file.clips(folder)?;
                footage = Some(source);
                let named = clips.into_iter().map(|(name, clip)| (name, Source::Own(clip)));
                (of_file.about.clone(), named.collect())
            }
            Some(other) => {
                let message = format!("there is no kind `{other}`; there are `walkers`, `files`, `footage`");
                return Err(invalid(message));
            }
            None => return Err(invalid("`kind` is missing: `walkers`, `files` or `footage`".into())),
        };
        let lock = DrawnLock::load(folder, &walkers::version())?;
        let spec = |(name, source): (String, Source)| {
            let recorded_sha256 = match &source {
                Source::Walkers(clip) => lock.decoded_sha256(&walkers::key(clip)).map(str::to_string),
                Source::Own(clip) => clip.decoded_sha256.clone(),
            };
            ClipSpec { name, source, recorded_sha256 }
        };
        let clips = clips.into_iter().map(spec).collect();
        Ok(Dataset { name, path: path.to_path_buf(), about, footage, clips })
    }

    /// One video outside any dataset, with boxes where there are some; the clip is called as the file without its
    /// ending, or as the folder of pictures, which has `fps` frames a second.
    pub fn of_video(video: &Path, fps: Option<f64>, truth: Option<&Path>, boxes: Option<&Path>) -> Dataset {
        let name = sources::name(video);
        let own = OwnClip {
            video: video.to_path_buf(),
            fps,
            truth: truth.map(Path::to_path_buf),
            boxes: boxes.map(Path::to_path_buf),
            benchmark: None,
            sha256: None,
            decoded_sha256: None,
            footage: None,
        };
        let clips = vec![ClipSpec { name: name.clone(), source: Source::Own(own), recorded_sha256: None }];
        Dataset { name, path: video.to_path_buf(), about: "one video".into(), footage: None, clips }
    }

    /// The dataset with truth and boxes of its files read by the rules of `benchmark`, where one is given.
    pub fn read_as(mut self, benchmark: Option<Benchmark>) -> Dataset {
        for clip in &mut self.clips {
            if let (Source::Own(own), Some(_)) = (&mut clip.source, benchmark) {
                own.benchmark = benchmark;
            }
        }
        self
    }

    /// The clips, in the file's order.
    pub fn clips(&self) -> &[ClipSpec] {
        &self.clips
    }
}

/// The file as it is, so that errors have lines, and then with the changes.
fn typed<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    mut table: Table,
    changes: &Table,
) -> Result<T, DatasetError> {
    let as_written: T = toml::from_str(text).map_err(|error| in_line(path, text, &error))?;
    if changes.is_empty() {
        return Ok(as_written);
    }
    lay_over(&mut table, changes);
    Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        let changed: Vec<&str> = changes.keys().map(String::as_str).collect();
        let message = format!("with `{}` changed: {}", changed.join("`, `"), explain(error.message()));
        DatasetError::invalid(path, message)
    })
}

fn lay_over(table: &mut Table, changes: &Table) {
    for (key, value) in changes {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

pub(super) fn in_line(path: &Path, text: &str, error: &toml::de::Error) -> DatasetError {
    let at = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
    DatasetError::wrong(path, line, explain(error.message()))
}

/// TOML's message, with the nearest right key beside an unknown one.
fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let [wrong, known @ ..] = quoted.as_slice() else { return message.to_string() };
    if !message.starts_with("unknown") {
        return message.to_string();
    }
    let slips = |right: &&&str| strsim::damerau_levenshtein(wrong, right);
    match known.iter().filter(|right| slips(right) <= 1 + right.len() / 3).min_by_key(slips) {
        Some(right) => format!("unknown key or value `{wrong}`; did you mean `{right}`?"),
        None => format!("unknown key or value `{wrong}`; there are `{}`", known.join("`, `")),
    }
}
