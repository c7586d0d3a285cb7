//! Clips: what one is made from, and what it is once it lies on disk. Must not know runs.

use super::DatasetError;
use super::footage::OfFootage;
use super::own::OwnClip;
use super::truth::TruthFile;
use super::walkers::{self, WalkersClip};
use crate::provenance::sha256_of_file;
use crate::sources::{Pictures, is_pictures};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A clip of a dataset: what it is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipSpec {
    pub name: String,
    pub source: Source,
    /// What the SHA-256 of its decoded frames is on record to be; `None` where nothing is on record.
    pub recorded_sha256: Option<String>,
}

/// Where a clip comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// It is drawn.
    Walkers(WalkersClip),
    /// It is a file of the user's, or one that is fetched.
    Own(OwnClip),
}

/// A clip that lies ready.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    pub name: String,
    /// The video file, or the folder of pictures.
    pub path: PathBuf,
    pub sha256: String,
    /// SHA-256 of the decoded frames, where it was asked for: of drawn clips always.
    pub decoded_sha256: Option<String>,
    /// What it is on record to be.
    pub recorded_sha256: Option<String>,
    pub bytes: u64,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
    /// Who is where, for scoring; `None` where nobody knows.
    pub truth: Option<TruthFile>,
    /// Boxes to start from where they are not the truth's.
    pub boxes: Option<TruthFile>,
    /// The same truth as Parquet.
    pub table: Option<PathBuf>,
    /// How truth and boxes were read, where a person should know.
    pub notes: Vec<String>,
    /// The name of its view, where it is one of several of a scene.
    pub view: Option<String>,
    /// Where the scene's truth in space is kept ([`super::views::ViewsTruth::read`]). A truth of a network's points is
    /// there only once somebody has made it ([`super::views::ViewsPlan::make`]).
    pub views_truth: Option<PathBuf>,
    /// Whose points that truth is made of: every number measured against it names it.
    pub truth_origin: Option<String>,
}

/// `clip.json` in a made clip's folder: what is there, and what made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub name: String,
    /// The video: a name within the folder, or the path of a file or a folder of pictures of the user's.
    pub video: PathBuf,
    pub video_sha256: String,
    /// Of the decoded frames' RGB bytes, one after the other.
    pub decoded_sha256: Option<String>,
    pub video_bytes: u64,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
    pub truth_sha256: Option<String>,
    pub boxes_sha256: Option<String>,
    pub table_sha256: Option<String>,
    /// Of all drawn frames' bytes, one after the other, before they were encoded.
    pub drawn_sha256: Option<String>,
    /// The first line of `ffmpeg -version`.
    pub ffmpeg: Option<String>,
    /// What it was made from, resolved.
    pub made_from: serde_json::Value,
    /// How truth and boxes were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views_truth: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth_origin: Option<String>,
}

/// A drawn clip that lies in the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeClip {
    /// The hash of all that it is made from, which names its folder.
    pub key: String,
    /// Name, size and length.
    pub description: String,
    pub decoded_sha256: String,
}

impl MadeClip {
    /// The drawn clips in `cache` that this `version` of generator and encoder made, by key.
    ///
    /// # Errors
    /// If the cache or a clip's record cannot be read. A cache that is not there has no clips.
    pub fn drawn(cache: &Path, version: &str) -> Result<Vec<MadeClip>, DatasetError> {
        let entries = match std::fs::read_dir(cache) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(DatasetError::io("read", cache, source)),
        };
        let mut clips = Vec::new();
        for entry in entries.flatten() {
            let Some(key) = entry.file_name().to_str().map(str::to_string) else { continue };
            if key.ends_with(".part") {
                continue;
            }
            let Some(record) = Record::read(&entry.path())? else { continue };
            let made_by_this =
                record.made_from.get("version").and_then(|made| made.as_str()) == Some(version);
            let Some(decoded_sha256) = record.decoded_sha256.filter(|_| made_by_this) else { continue };
            let description =
                format!("{}, {}x{}, {} frames", record.name, record.width, record.height, record.frames);
            clips.push(MadeClip { key, description, decoded_sha256 });
        }
        clips.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(clips)
    }
}

pub(super) const RECORD: &str = "clip.json";
pub(super) const TRUTH: &str = "truth.jsonl";
pub(super) const BOXES: &str = "boxes.jsonl";
pub(super) const TABLE: &str = "truth.parquet";

/// Called after every frame with the frames done and their number.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

impl ClipSpec {
    /// How many frames the clip will have, where that is known before it is looked at.
    pub fn frames(&self) -> Option<usize> {
        match &self.source {
            Source::Walkers(clip) => Some(clip.frames),
            Source::Own(_) => None,
        }
    }

    /// The scene that the clip is drawn from; `None` for a file of the user's.
    pub fn drawn(&self) -> Option<&WalkersClip> {
        match &self.source {
            Source::Walkers(clip) => Some(clip),
            Source::Own(_) => None,
        }
    }

    /// What the clip is fetched from; `None` where it is drawn or the user's own.
    pub fn footage(&self) -> Option<&OfFootage> {
        match &self.source {
            Source::Walkers(_) => None,
            Source::Own(clip) => clip.footage.as_deref(),
        }
    }

    /// Frame size, where known before the clip is looked at.
    pub fn size(&self) -> Option<(usize, usize)> {
        match &self.source {
            Source::Walkers(clip) => Some((clip.width, clip.height)),
            Source::Own(_) => None,
        }
    }

    /// The clip if it lies in the cache already.
    ///
    /// # Errors
    /// If its record is damaged, or a file of the user's cannot be read.
    pub fn ready(&self, cache: &Path) -> Result<Option<Clip>, DatasetError> {
        let Some(key) = self.key(cache)? else { return Ok(None) };
        let folder = cache.join(key);
        Ok(Record::read(&folder)?.map(|record| self.clip(&record, &folder)))
    }

    /// The clip from the cache, or made now: whole or not at all.
    ///
    /// # Errors
    /// If it cannot be made; the cache is then as it was.
    pub fn make(&self, cache: &Path, progress: Progress) -> Result<Clip, DatasetError> {
        if let Some(clip) = self.ready(cache)? {
            return Ok(clip);
        }
        let folder = match &self.source {
            Source::Walkers(clip) => walkers::make(&self.name, clip, cache, &walkers::key(clip), progress)?,
            Source::Own(clip) => {
                let clip = clip.fetched(cache, progress)?;
                clip.import(&self.name, cache, &clip.key()?)?
            }
        };
        let record = Record::read(&folder)?;
        let lost =
            || DatasetError::invalid(&folder, "what was just made is gone; is something clearing the cache?");
        Ok(self.clip(&record.ok_or_else(lost)?, &folder))
    }

    /// Reads all of a made clip's files again and compares their SHA-256; `None` if it is not made.
    ///
    /// # Errors
    /// If a file is missing or another than was made: which.
    pub fn verify(&self, cache: &Path) -> Result<Option<Clip>, DatasetError> {
        let Some(key) = self.key(cache)? else { return Ok(None) };
        let folder = cache.join(key);
        let Some(record) = Record::read(&folder)? else { return Ok(None) };
        let clip = self.clip(&record, &folder);
        let is_right = |path: &Path, expected: &str, found: String| {
            if found == expected {
                return Ok(());
            }
            let message = format!(
                "its SHA-256 is {found}, but {expected} was made; remove the folder {} and make it again",
                folder.display()
            );
            Err(DatasetError::invalid(path, message))
        };
        let of_pictures = is_pictures(&clip.path);
        if of_pictures {
            let found = Pictures::of(&clip.path)?.sha256(clip.fps)?;
            is_right(&clip.path, &record.video_sha256, found)?;
        }
        let video = Some(&record.video_sha256).filter(|_| !of_pictures);
        let parts = [
            (clip.path.clone(), video),
            (folder.join(TRUTH), record.truth_sha256.as_ref()),
            (folder.join(BOXES), record.boxes_sha256.as_ref()),
            (folder.join(TABLE), record.table_sha256.as_ref()),
        ];
        for (path, expected) in parts {
            let Some(expected) = expected else { continue };
            let found = sha256_of_file(&path).map_err(|source| DatasetError::io("read", &path, source))?;
            is_right(&path, expected, found)?;
        }
        Ok(Some(clip))
    }

    fn clip(&self, record: &Record, folder: &Path) -> Clip {
        Clip { recorded_sha256: self.recorded_sha256.clone(), ..record.clip(folder) }
    }

    /// The name of its folder in the cache: the hash of all that makes it. `None` while its video is still to
    /// be fetched.
    fn key(&self, cache: &Path) -> Result<Option<String>, DatasetError> {
        match &self.source {
            Source::Walkers(clip) => Ok(Some(walkers::key(clip))),
            Source::Own(clip) => clip.at_hand(cache)?.map(|clip| clip.key()).transpose(),
        }
    }
}

impl Record {
    /// The record of a made clip; `None` where there is none.
    fn read(folder: &Path) -> Result<Option<Record>, DatasetError> {
        let path = folder.join(RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DatasetError::io("read", &path, source)),
        };
        let damaged = |error: serde_json::Error| {
            DatasetError::wrong(
                &path,
                error.line(),
                format!("{error}; remove the folder and make the clip again"),
            )
        };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    pub fn write(&self, folder: &Path) -> Result<(), DatasetError> {
        let path = folder.join(RECORD);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        text.and_then(|bytes| crate::files::write_whole(&path, &bytes))
            .map_err(|source| DatasetError::io("write", &path, source))
    }

    fn clip(&self, folder: &Path) -> Clip {
        let file = |name: &str, sha256: &Option<String>| {
            sha256.as_ref().map(|sha256| TruthFile { path: folder.join(name), sha256: sha256.clone() })
        };
        Clip {
            name: self.name.clone(),
            path: folder.join(&self.video),
            sha256: self.video_sha256.clone(),
            decoded_sha256: self.decoded_sha256.clone(),
            recorded_sha256: None,
            bytes: self.video_bytes,
            width: self.width,
            height: self.height,
            frames: self.frames,
            fps: self.fps,
            truth: file(TRUTH, &self.truth_sha256),
            boxes: file(BOXES, &self.boxes_sha256),
            table: self.table_sha256.as_ref().map(|_| folder.join(TABLE)),
            notes: self.notes.clone(),
            view: self.view.clone(),
            views_truth: self.views_truth.clone(),
            truth_origin: self.truth_origin.clone(),
        }
    }
}
