//! Loads a dataset's TOML file, applies overrides, and resolves its clips; errors have their line.

use super::DatasetError;
use super::clip::{ClipSource, ClipSpec};
use super::drawn;
use super::error::toml_error;
use super::file_clip::{FileClip, FilesDataset};
use super::footage::FootageDataset;
use super::footage_source::FootageSource;
use super::frame_hash::DrawnLock;
use posebook_core::toml_error::explain_toml_error;
use posebook_synth::walkers::{self, WalkersDataset};
use posebook_track::motchallenge::Benchmark;
use posebook_video::sources;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A dataset: a name and its clips.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The file's name without extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Purpose, one line.
    pub about: String,
    /// The package that its clips are fetched from; `None` if they are drawn or the user's own.
    pub footage: Option<FootageSource>,
    clips: Vec<ClipSpec>,
}

impl Dataset {
    /// Reads the file at `path`. `changes` override it key by key, tables recursively: a sweep's `dataset.frames =
    /// 60` is `{ frames = 60 }` here.
    ///
    /// # Errors
    /// If the file cannot be read, has unknown keys or impossible values; with the line if there is one.
    pub fn load(path: &Path, changes: &Table) -> Result<Dataset, DatasetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatasetError::io("read the dataset", path, source))?;
        let table: Table = toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let invalid = |message: String| DatasetError::invalid(path, message);
        let mut footage = None;
        let folder = path.parent().unwrap_or(Path::new("."));
        let (about, clips) = match table.get("kind").and_then(Value::as_str) {
            Some("walkers") => {
                let file_seed = table.get("seed").and_then(Value::as_integer);
                let mut walkers: WalkersDataset = parse_with_changes(path, &text, table, changes)?;
                walkers.is_varied = file_seed.and_then(|seed| u64::try_from(seed).ok()) != Some(walkers.seed);
                let clips = walkers.clips().map_err(invalid)?.into_iter();
                let named = clips.map(|clip| (clip.scene.name.clone(), ClipSource::Walkers(clip)));
                (walkers.about.clone(), named.collect::<Vec<_>>())
            }
            Some("files") => {
                let files: FilesDataset = parse_with_changes(path, &text, table, changes)?;
                let clips = files.clips(folder).map_err(invalid)?.into_iter();
                (files.about.clone(), clips.map(|(name, clip)| (name, ClipSource::File(clip))).collect())
            }
            Some("footage") => {
                let footage_file: FootageDataset = parse_with_changes(path, &text, table, changes)?;
                let (source, clips) = footage_file.clips(folder)?;
                footage = Some(source);
                let named = clips.into_iter().map(|(name, clip)| (name, ClipSource::File(clip)));
                (footage_file.about.clone(), named.collect())
            }
            Some(other) => {
                let message = format!("there is no kind `{other}`; choose `walkers`, `files` or `footage`");
                return Err(invalid(message));
            }
            None => return Err(invalid("`kind` is missing: `walkers`, `files` or `footage`".into())),
        };
        let lock = DrawnLock::load(folder, &walkers::version())?;
        let spec = |(name, source): (String, ClipSource)| {
            let recorded_sha256 = match &source {
                ClipSource::Walkers(clip) => lock.decoded_sha256(&drawn::cache_key(clip)).map(str::to_string),
                ClipSource::File(clip) => clip.decoded_sha256.clone(),
            };
            ClipSpec { name, source, recorded_sha256 }
        };
        let clips = clips.into_iter().map(spec).collect();
        Ok(Dataset { name, path: path.to_path_buf(), about, footage, clips })
    }

    /// A dataset of a single video, with ground truth and boxes if given; the clip is named after the file without
    /// extension, or after the folder of images, which has `fps` frames per second.
    pub fn from_video(video: &Path, fps: Option<f64>, truth: Option<&Path>, boxes: Option<&Path>) -> Dataset {
        let name = sources::display_name(video);
        let clip = FileClip {
            video: video.to_path_buf(),
            fps,
            truth: truth.map(Path::to_path_buf),
            boxes: boxes.map(Path::to_path_buf),
            benchmark: None,
            sha256: None,
            decoded_sha256: None,
            footage: None,
        };
        let clips =
            vec![ClipSpec { name: name.clone(), source: ClipSource::File(clip), recorded_sha256: None }];
        Dataset { name, path: video.to_path_buf(), about: "one video".into(), footage: None, clips }
    }

    /// The dataset with its clips named `name`.
    pub fn with_clip_name(mut self, name: &str) -> Dataset {
        self.clips.iter_mut().for_each(|clip| clip.name = name.to_string());
        self
    }

    /// The dataset with the ground truth and boxes of its files read by the rules of `benchmark`, if given.
    pub fn with_benchmark(mut self, benchmark: Option<Benchmark>) -> Dataset {
        for clip in &mut self.clips {
            if let (ClipSource::File(clip), Some(_)) = (&mut clip.source, benchmark) {
                clip.benchmark = benchmark;
            }
        }
        self
    }

    /// The clips, in the file's order.
    pub fn clips(&self) -> &[ClipSpec] {
        &self.clips
    }
}

/// Parses the file without the changes first, so that errors have lines, then with them.
fn parse_with_changes<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    mut table: Table,
    changes: &Table,
) -> Result<T, DatasetError> {
    let unchanged: T = toml::from_str(text).map_err(|error| toml_error(path, text, &error))?;
    if changes.is_empty() {
        return Ok(unchanged);
    }
    merge(&mut table, changes);
    Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        let changed: Vec<&str> = changes.keys().map(String::as_str).collect();
        let message = format!("with `{}` changed: {}", changed.join("`, `"), explain_toml_error(&error));
        DatasetError::invalid(path, message)
    })
}

fn merge(table: &mut Table, changes: &Table) {
    for (key, value) in changes {
        match (table.get_mut(key), value) {
            (Some(Value::Table(base)), Value::Table(change)) => merge(base, change),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}
