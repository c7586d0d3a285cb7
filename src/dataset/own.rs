//! The `files` kind: videos of the user's own, with or without truth.
//!
//! A video stays where it is; what is known of it is kept in the cache, its truth in the same form that
//! drawn clips have. Must not know how a video is decoded.

use super::DatasetError;
use super::cache::Making;
use super::clip::{BOXES, Record, TRUTH};
use super::mot::{self, Bounds, Use};
use super::truth::{TruthFile, TruthWriter};
use crate::provenance::{Machine, sha256_of_bytes, sha256_of_file};
use crate::sources::{self, Frames, Pictures};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
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
    /// What the video's SHA-256 must be; a folder's is [`Pictures::sha256`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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
    pub sha256: Option<String>,
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
        let there = |path: &PathBuf| folder.join(path);
        let own = |clip: &FileSpec| OwnClip {
            video: if sources::is_address(&clip.video) { clip.video.clone() } else { there(&clip.video) },
            fps: clip.fps,
            truth: clip.truth.as_ref().map(there),
            boxes: clip.boxes.as_ref().map(there),
            sha256: clip.sha256.clone(),
        };
        Ok(self.clip.iter().filter(wanted).map(|clip| (clip.name.clone(), own(clip))).collect())
    }
}

impl OwnClip {
    /// The clip with a path that can be read for its video, where there is one without fetching it.
    pub(super) fn at_hand(&self, cache: &Path) -> Result<Option<OwnClip>, DatasetError> {
        let found = sources::file_at_hand(&self.video, self.fps, &kept_beside(cache))?;
        Ok(found.map(|video| OwnClip { video, ..self.clone() }))
    }

    /// The clip with a path that can be read for its video, which is fetched where need be.
    pub(super) fn fetched(&self, cache: &Path) -> Result<OwnClip, DatasetError> {
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
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| read(path)).transpose();
        let mut made_from = json!({
            "video": path,
            "bytes": about.len(),
            "changed_ns": changed.map(|time| time.as_nanos().to_string()),
            "truth": text(&self.truth)?,
            "boxes": text(&self.boxes)?,
            "sha256": self.sha256,
        });
        if let Some(of_folder) = of_folder {
            made_from = json!({ "clip": made_from, "folder": of_folder });
        }
        Ok(sha256_of_bytes(made_from.to_string().as_bytes())[..32].to_string())
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
        let write = |source| DatasetError::io("make a clip in", cache, source);
        let making = Making::start(cache, key).map_err(write)?;
        let convert =
            |path: &Option<PathBuf>, name: &str, purpose| -> Result<Option<TruthFile>, DatasetError> {
                let Some(path) = path else { return Ok(None) };
                convert(path, &making.folder().join(name), seen.bounds, purpose).map(Some)
            };
        let truth = convert(&self.truth, TRUTH, Use::Truth)?;
        let boxes = convert(&self.boxes, BOXES, Use::Boxes)?;
        let record = Record {
            name: name.to_string(),
            video_bytes,
            made_from: json!({ "video": video, "truth": self.truth, "boxes": self.boxes }),
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
        };
        record.write(making.folder())?;
        making.finish().map_err(write)
    }
}

/// Where videos are kept that were fetched for the clips in `cache`.
fn kept_beside(cache: &Path) -> PathBuf {
    cache.with_file_name("downloads")
}

fn read(path: &Path) -> Result<String, DatasetError> {
    std::fs::read_to_string(path).map_err(|source| DatasetError::io("read", path, source))
}

/// MOTChallenge's text at `from` to a truth by frames at `to`.
fn convert(from: &Path, to: &Path, bounds: Bounds, purpose: Use) -> Result<TruthFile, DatasetError> {
    let mut frames = mot::parse(&read(from)?, from, bounds, purpose)?;
    let unwritten = |source| DatasetError::io("write", to, source);
    let mut writer = TruthWriter::new(BufWriter::new(File::create(to).map_err(unwritten)?));
    for frame in 0..bounds.frames {
        writer.push(frames.remove(&frame).unwrap_or_default()).map_err(unwritten)?;
    }
    writer.finish().map_err(unwritten)?;
    Ok(TruthFile { path: to.to_path_buf(), sha256: sha256_of_file(to).map_err(unwritten)? })
}

/// What ffprobe sees of a video file, or the headers of a folder's pictures tell.
struct Seen {
    width: usize,
    height: usize,
    bounds: Bounds,
    fps: f64,
}

#[derive(Deserialize)]
struct Probed {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    width: Option<usize>,
    height: Option<usize>,
    avg_frame_rate: Option<String>,
    nb_read_packets: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

impl Seen {
    /// A folder of pictures, `fps` a second.
    fn of_folder(frames: &Frames, fps: f64) -> Seen {
        let Frames { pictures, width, height, .. } = frames;
        let bounds = Bounds { size: Some((*width, *height)), frames: pictures.files.len() };
        Seen { width: *width, height: *height, bounds, fps }
    }

    fn of(video: &Path) -> Result<Seen, DatasetError> {
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-select_streams", "v:0", "-count_packets", "-of", "json"]);
        command.arg("-show_entries");
        command.arg("stream=width,height,avg_frame_rate,nb_read_packets:stream_side_data=rotation");
        let missing = "cannot be started; `./just` installs it, or ask your package manager for ffmpeg";
        let output = command.arg(video).output().map_err(|_| DatasetError::program("ffprobe", missing))?;
        let no_video = || {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().last().map_or(String::new(), |line| format!(" (ffprobe: {line})"));
            DatasetError::invalid(video, format!("no video can be read from this file{said}"))
        };
        let probed: Probed = serde_json::from_slice(&output.stdout).map_err(|_| no_video())?;
        let stream = probed.streams.first().ok_or_else(no_video)?;
        let (Some(mut width), Some(mut height)) = (stream.width, stream.height) else {
            return Err(no_video());
        };
        let turned = stream.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0);
        if (turned.abs() - 90.0).abs() < 1.0 || (turned.abs() - 270.0).abs() < 1.0 {
            std::mem::swap(&mut width, &mut height);
        }
        let frames = stream.nb_read_packets.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0);
        if frames == 0 || width == 0 || height == 0 {
            return Err(no_video());
        }
        let fps = stream.avg_frame_rate.as_deref().and_then(ratio).unwrap_or(0.0);
        Ok(Seen { width, height, bounds: Bounds { size: Some((width, height)), frames }, fps })
    }
}

/// `30000/1001` as a number.
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let (above, below): (f64, f64) = (above.parse().ok()?, below.parse().ok()?);
    (below > 0.0).then(|| above / below)
}
