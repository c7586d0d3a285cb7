//! The `files` kind: videos of the user's own, with or without truth.
//!
//! A video stays where it is; what is known of it is kept in the cache, its truth in the same form that
//! drawn clips have. Must not know how a video is decoded.

use super::DatasetError;
use super::cache::Making;
use super::clip::{BOXES, Progress, Record, TRUTH};
use super::decoded::decoded_sha256;
use super::footage::OfFootage;
use super::mot::{self, Bounds, Use};
use super::truth::{TruthFile, TruthWriter};
use crate::fetch::Event;
use crate::files;
use crate::motchallenge::Benchmark;
use crate::provenance::{Machine, sha256_of_bytes, sha256_of_file};
use crate::sources::{self, Frames, Pictures};
use crate::video::{self, VideoError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

/// A dataset of videos that are there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    kind: Kind,
    /// What the clips are for, one line.
    pub about: String,
    /// The names of the clips that are wanted; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Whose rules truth and boxes are read by: `mot15`, `mot16`, `mot17`, `mot20`, `dancetrack`. Without it their
    /// paths say, or their columns, or they are MOT17's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    pub clip: Vec<FileSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Files,
}

/// One video. Paths count from the folder of the dataset's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    pub name: String,
    /// A file, a folder of pictures, or an address on the web.
    pub video: PathBuf,
    /// Frames a second of a folder of pictures; 30 where none are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Boxes and identities in MOTChallenge's text, for scoring and for given boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<PathBuf>,
    /// Boxes in MOTChallenge's text that people are recovered from instead of the truth's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<PathBuf>,
    /// Whose rules truth and boxes of this clip are read by, where not the dataset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    /// What the video's SHA-256 must be; a folder's is [`Pictures::sha256`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What the SHA-256 of its decoded frames should be; the page says so where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded_sha256: Option<String>,
}

/// A video of the user's own with paths that can be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnClip {
    /// A file, a folder of pictures, or an address on the web.
    pub video: PathBuf,
    /// Frames a second of a folder of pictures.
    pub fps: Option<f64>,
    pub truth: Option<PathBuf>,
    pub boxes: Option<PathBuf>,
    /// Whose rules truth and boxes are read by; `None` where their paths or columns have to say.
    pub benchmark: Option<Benchmark>,
    pub sha256: Option<String>,
    /// What the SHA-256 of its decoded frames should be. Where it is given the video is decoded once to compare it.
    pub decoded_sha256: Option<String>,
    /// The package that the video is fetched from; `None` for one of the user's own.
    pub footage: Option<Box<OfFootage>>,
}

impl Files {
    /// The clips that are wanted, paths counted from `folder`; or what is wrong.
    pub(super) fn clips(&self, folder: &Path) -> Result<Vec<(String, OwnClip)>, String> {
        for name in self.only.iter().flatten() {
            if !self.clip.iter().any(|clip| clip.name == *name) {
                let names: Vec<&str> = self.clip.iter().map(|clip| clip.name.as_str()).collect();
                return Err(format!("only: there is no clip `{name}`; there are {}", names.join(", ")));
            }
        }
        let wanted = |clip: &&FileSpec| self.only.as_ref().is_none_or(|only| only.contains(&clip.name));
        let there = |path: &PathBuf| folder.join(from_home(path));
        // an existing file is a file, whatever its name
        let is_address = |video: &PathBuf| sources::is_address(video) && !there(video).exists();
        let own = |clip: &FileSpec| OwnClip {
            video: if is_address(&clip.video) { clip.video.clone() } else { there(&clip.video) },
            fps: clip.fps,
            truth: clip.truth.as_ref().map(there),
            boxes: clip.boxes.as_ref().map(there),
            benchmark: clip.benchmark.or(self.benchmark),
            sha256: clip.sha256.clone(),
            decoded_sha256: clip.decoded_sha256.clone(),
            footage: None,
        };
        Ok(self.clip.iter().filter(wanted).map(|clip| (clip.name.clone(), own(clip))).collect())
    }
}

impl OwnClip {
    /// The clip with a path that can be read for its video, where there is one without fetching it.
    pub(super) fn at_hand(&self, cache: &Path) -> Result<Option<OwnClip>, DatasetError> {
        if let Some(footage) = &self.footage {
            let is_there = self.video.is_file() && !footage.lacks_truth();
            return Ok(Some(self.clone()).filter(|_| is_there));
        }
        let found = sources::file_at_hand(&self.video, self.fps, &kept_beside(cache))?;
        Ok(found.map(|video| OwnClip { video, ..self.clone() }))
    }

    /// The clip with a path that can be read for its video, which is fetched where need be; of a package `progress` is
    /// called with the bytes that came and all.
    pub(super) fn fetched(&self, cache: &Path, progress: Progress) -> Result<OwnClip, DatasetError> {
        if let Some(footage) = &self.footage {
            let mut tell = |event: Event| {
                if let Event::Grew { file: crate::fetch::File { bytes: Some(all), .. }, bytes } = event {
                    progress(bytes as usize, *all as usize);
                }
            };
            footage.source.fetch(&mut tell, &AtomicBool::new(false))?;
            return Ok(self.clone());
        }
        let video = sources::file(&self.video, self.fps, &kept_beside(cache), &mut |_| ())?;
        Ok(OwnClip { video, ..self.clone() })
    }

    /// The hash of what the record follows from: the video's path, size and time of change, and the texts
    /// of truth and boxes; of a folder its pictures' names, sizes and times of change, and the rate. The video
    /// itself is not read for it.
    pub(super) fn key(&self) -> Result<String, DatasetError> {
        let unreadable = |source| DatasetError::io("read the video", &self.video, source);
        let path = std::fs::canonicalize(&self.video).map_err(unreadable)?;
        let about = std::fs::metadata(&path).map_err(unreadable)?;
        let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let of_folder = if sources::is_pictures(&path) {
            Some(json!({ "fps": sources::rate(self.fps)?, "pictures": Pictures::of(&path)?.state()? }))
        } else {
            None
        };
        let text = |path: &Option<PathBuf>| {
            let sha256 = |path: &PathBuf| {
                sha256_of_file(path).map_err(|source| DatasetError::io("read", path, source))
            };
            path.as_ref().map(sha256).transpose()
        };
        let mut made_from = json!({
            "video": path,
            "bytes": about.len(),
            "changed_ns": changed.map(|time| time.as_nanos().to_string()),
            "truth": text(&self.truth)?,
            "boxes": text(&self.boxes)?,
            // a path may say whose rules a file is read by
            "paths": [shown(&self.truth), shown(&self.boxes)],
            "benchmark": self.benchmark,
            "reading": READING,
            "sha256": self.sha256,
            "decoded_sha256": self.decoded_sha256,
            // records that counted packets are made anew
            "counts": "frames",
        });
        if let Some((plan, view)) = self.footage.as_ref().and_then(|footage| footage.views()) {
            let truth = json!({ "view": view, "origin": plan.origin, "path": plan.path });
            made_from = json!({ "clip": made_from, "views": truth });
        }
        if let Some(of_folder) = of_folder {
            made_from = json!({ "clip": made_from, "folder": of_folder });
        }
        Ok(sha256_of_bytes(made_from.to_string().as_bytes())[..32].to_string())
    }

    /// The SHA-256 of the decoded frames, where the dataset says what it should be.
    fn decoded_sha256(&self, video: &Path) -> Result<Option<String>, DatasetError> {
        if self.decoded_sha256.is_none() {
            return Ok(None);
        }
        if sources::is_pictures(video) {
            let message = "`decoded_sha256` is for video files, which ffmpeg decodes; of a folder of pictures, which \
                           this program reads itself, `sha256` says all";
            return Err(DatasetError::invalid(video, message));
        }
        decoded_sha256(video).map(Some)
    }

    /// Looks at the video, checks truth and boxes against it and writes both into `cache/key`.
    pub(super) fn import(&self, name: &str, cache: &Path, key: &str) -> Result<PathBuf, DatasetError> {
        let unreadable = |source| DatasetError::io("read the video", &self.video, source);
        let video = std::fs::canonicalize(&self.video).map_err(unreadable)?;
        let folder = if sources::is_pictures(&video) { Some(Frames::of(&video)?) } else { None };
        let (seen, video_sha256, video_bytes) = match &folder {
            Some(frames) => {
                let seen = Seen::of_folder(frames, sources::rate(self.fps)?);
                let sha256 = frames.pictures.sha256(seen.fps)?;
                (seen, sha256, frames.pictures.bytes()?)
            }
            None => {
                let bytes = std::fs::metadata(&video).map_err(unreadable)?.len();
                (Seen::of(&video)?, sha256_of_file(&video).map_err(unreadable)?, bytes)
            }
        };
        if let Some(expected) = self.sha256.as_ref().filter(|expected| **expected != video_sha256) {
            let message = format!("its SHA-256 is {video_sha256}, but the dataset wants {expected}");
            return Err(DatasetError::invalid(&video, message));
        }
        let unmade = |source| DatasetError::io("make a clip in", cache, source);
        let making = Making::start(cache, key).map_err(unmade)?;
        let mut notes = Vec::new();
        let mut convert =
            |path: &Option<PathBuf>, name: &str, purpose| -> Result<Option<TruthFile>, DatasetError> {
                let Some(path) = path else { return Ok(None) };
                let read = mot::read(path, seen.bounds, purpose, self.benchmark)?;
                notes.extend(read.notes.clone());
                write(read, &making.folder().join(name), seen.bounds.frames).map(Some)
            };
        let truth = convert(&self.truth, TRUTH, Use::Truth)?;
        let boxes = convert(&self.boxes, BOXES, Use::Boxes)?;
        let views = self.footage.as_ref().and_then(|footage| footage.views());
        let record = Record {
            name: name.to_string(),
            decoded_sha256: self.decoded_sha256(&video)?,
            video_bytes,
            made_from: json!({ "video": video, "truth": shown(&self.truth), "boxes": shown(&self.boxes) }),
            video,
            video_sha256,
            width: seen.width,
            height: seen.height,
            frames: seen.bounds.frames,
            fps: seen.fps,
            truth_sha256: truth.map(|file| file.sha256),
            boxes_sha256: boxes.map(|file| file.sha256),
            table_sha256: None,
            drawn_sha256: None,
            ffmpeg: Machine::this().ffmpeg,
            notes,
            view: views.map(|(_, view)| view.to_string()),
            views_truth: views.map(|(plan, _)| plan.path.clone()),
            truth_origin: views.map(|(plan, _)| plan.origin.clone()),
        };
        record.write(making.folder())?;
        making.finish().map_err(unmade)
    }
}

/// A path of a dataset's file, which may begin with `~/`.
pub(super) fn from_home(path: &Path) -> PathBuf {
    // without a home the name is taken as it is, and an error about it names it
    path.to_str().and_then(|text| files::from_home(text).ok()).unwrap_or_else(|| path.to_path_buf())
}

/// Where videos are kept that were fetched for the clips in `cache`.
fn kept_beside(cache: &Path) -> PathBuf {
    cache.with_file_name("downloads")
}

/// A path in words: it need not be UTF-8.
fn shown(path: &Option<PathBuf>) -> Option<String> {
    path.as_ref().map(|path| path.display().to_string())
}

/// Which way of reading truth and boxes clips are made by: a new one makes them anew.
const READING: u32 = 2;

/// What was read of MOTChallenge's text to a truth of so many frames at `to`.
fn write(mut read: mot::Read, to: &Path, frames: usize) -> Result<TruthFile, DatasetError> {
    let unwritten = |source| DatasetError::io("write", to, source);
    let mut writer = TruthWriter::new(BufWriter::new(File::create(to).map_err(unwritten)?));
    for frame in 0..frames {
        let people = read.people.remove(&frame).unwrap_or_default();
        let passed_over = read.passed_over.remove(&frame).unwrap_or_default();
        writer.push_with(people, passed_over).map_err(unwritten)?;
    }
    writer.finish().map_err(unwritten)?;
    Ok(TruthFile { path: to.to_path_buf(), sha256: sha256_of_file(to).map_err(unwritten)? })
}

/// What is known of a video: frames are those that a decoder gives, which need not be the file's packets, or a folder's
/// pictures.
struct Seen {
    width: usize,
    height: usize,
    bounds: Bounds,
    fps: f64,
}

impl Seen {
    /// A folder of pictures, `fps` a second.
    fn of_folder(frames: &Frames, fps: f64) -> Seen {
        let Frames { pictures, width, height, .. } = frames;
        let bounds = Bounds { size: Some((*width, *height)), frames: pictures.files.len() };
        Seen { width: *width, height: *height, bounds, fps }
    }

    fn of(path: &Path) -> Result<Seen, DatasetError> {
        let unread = |error: VideoError| {
            DatasetError::invalid(path, format!("no video can be read from this file: {}", error.fault))
        };
        let probe = video::probe(path).map_err(unread)?;
        let (width, height) = (probe.width, probe.height);
        let bounds = Bounds { size: Some((width, height)), frames: probe.frames() };
        Ok(Seen { width, height, bounds, fps: probe.fps })
    }
}
