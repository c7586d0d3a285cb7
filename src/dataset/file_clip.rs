//! The `files` kind of dataset: the user's videos, with or without ground truth.
//!
//! A video stays in place; the cache stores its record, its ground truth in the format of drawn clips, and its input
//! boxes. Does not depend on how videos are decoded.

use super::DatasetError;
use super::boxes::{BoxFile, BoxWriter};
use super::cache::StagingFolder;
use super::coco::{self, DetectionsAbout};
use super::footage_source::FootageClip;
use super::frame_hash::decoded_sha256;
use super::mot::{self, MotBoxes, MotTruth, VideoExtent};
use super::record::{BOXES, Progress, Record, TRUTH};
use super::truth::{TruthFile, TruthWriter};
use posebook_core::fetch::Event;
use posebook_core::files;
use posebook_core::frame::FrameSize;
use posebook_core::provenance::{Machine, sha256_of_bytes, sha256_of_file};
use posebook_track::motchallenge::Benchmark;
use posebook_video as video;
use posebook_video::VideoError;
use posebook_video::sources::{self, ImageFiles, ImageSequence};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

/// The absolute path of a video with links resolved. A link to a file that a process holds open (`/proc/N/fd/M`) stays as it
/// is: the service checked that file, and the name that it had may lead to another one by now.
fn real_path(video: &Path) -> std::io::Result<PathBuf> {
    if std::fs::read_link(video).is_ok_and(|target| target.starts_with("/proc")) {
        std::fs::metadata(video)?;
        return std::path::absolute(video);
    }
    std::fs::canonicalize(video)
}

/// A dataset of existing videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesDataset {
    kind: Kind,
    /// Purpose of the clips, one line.
    pub about: String,
    /// Names of the selected clips; all if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Benchmark whose rules ground truth and boxes are read by: `mot15`, `mot16`, `mot17`, `mot20`, `dancetrack`.
    /// If missing, their paths or columns indicate it, or MOT17 is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    /// The clips.
    pub clip: Vec<FileClipSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Files,
}

/// One video. Paths are relative to the dataset's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileClipSpec {
    /// The clip's name.
    pub name: String,
    /// A file, a folder of images, or a URL.
    pub video: PathBuf,
    /// Frames per second of a folder of images; 30 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Boxes and identities as MOTChallenge text, for scoring, and as input boxes unless `boxes` are provided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<PathBuf>,
    /// Boxes to recover bodies from instead of the ground truth's: MOTChallenge text, or what `posebook detect` writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<PathBuf>,
    /// Benchmark of this clip's ground truth and boxes, if not the dataset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    /// Required SHA-256 of the video; that of a folder is [`ImageFiles::sha256`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Expected SHA-256 of its decoded frames; the report page says if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded_sha256: Option<String>,
}

/// A video of the user's, with resolved paths.
#[derive(Debug, Clone, PartialEq)]
pub struct FileClip {
    /// A file, a folder of images, or a URL.
    pub video: PathBuf,
    /// Frames per second of a folder of images.
    pub fps: Option<f64>,
    /// Boxes and identities, MOTChallenge text.
    pub truth: Option<PathBuf>,
    /// Input boxes, MOTChallenge text or detections in COCO's results format.
    pub boxes: Option<PathBuf>,
    /// Benchmark of ground truth and boxes; `None` if their paths or columns have to indicate it.
    pub benchmark: Option<Benchmark>,
    /// Required SHA-256 of the video.
    pub sha256: Option<String>,
    /// Expected SHA-256 of its decoded frames; if given, the video is decoded once to compare it.
    pub decoded_sha256: Option<String>,
    /// The package that the video is fetched from; `None` for the user's own.
    pub footage: Option<Box<FootageClip>>,
}

impl FilesDataset {
    /// The selected clips with paths relative to `folder`; or what is wrong.
    pub(super) fn clips(&self, folder: &Path) -> Result<Vec<(String, FileClip)>, String> {
        for name in self.only.iter().flatten() {
            if !self.clip.iter().any(|clip| clip.name == *name) {
                let names: Vec<&str> = self.clip.iter().map(|clip| clip.name.as_str()).collect();
                return Err(format!("only: there is no clip `{name}`; there are {}", names.join(", ")));
            }
        }
        let wanted = |clip: &&FileClipSpec| self.only.as_ref().is_none_or(|only| only.contains(&clip.name));
        let resolve = |path: &PathBuf| folder.join(expand_home(path));
        // a name that exists is a file, even if it looks like an address
        let is_address = |video: &PathBuf| sources::is_address(video) && !resolve(video).exists();
        let own = |clip: &FileClipSpec| FileClip {
            video: if is_address(&clip.video) { clip.video.clone() } else { resolve(&clip.video) },
            fps: clip.fps,
            truth: clip.truth.as_ref().map(resolve),
            boxes: clip.boxes.as_ref().map(resolve),
            benchmark: clip.benchmark.or(self.benchmark),
            sha256: clip.sha256.clone(),
            decoded_sha256: clip.decoded_sha256.clone(),
            footage: None,
        };
        Ok(self.clip.iter().filter(wanted).map(|clip| (clip.name.clone(), own(clip))).collect())
    }
}

impl FileClip {
    /// The clip with a readable path of its video, if that does not need fetching.
    pub(super) fn without_fetching(&self, cache: &Path) -> Result<Option<FileClip>, DatasetError> {
        if let Some(footage) = &self.footage {
            let is_there = self.video.is_file() && !footage.needs_truth();
            return Ok(Some(self.clone()).filter(|_| is_there));
        }
        let found = sources::resolve_local(&self.video, self.fps, &downloads_folder(cache))?;
        Ok(found.map(|video| FileClip { video, ..self.clone() }))
    }

    /// The clip with its video at a local path, fetched if needed; for a package `progress` is called with the
    /// bytes fetched and the total.
    pub(super) fn fetched(&self, cache: &Path, progress: Progress) -> Result<FileClip, DatasetError> {
        if let Some(footage) = &self.footage {
            let mut on_event = |event: Event| {
                if let Event::Progress { file: posebook_core::fetch::File { bytes: Some(all), .. }, bytes } =
                    event
                {
                    progress(bytes as usize, *all as usize);
                }
            };
            footage.source.fetch(&mut on_event, &AtomicBool::new(false))?;
            return Ok(self.clone());
        }
        let video = sources::resolve(&self.video, self.fps, &downloads_folder(cache), &mut |_| ())?;
        Ok(FileClip { video, ..self.clone() })
    }

    /// Hash of what the record depends on: the video's path, size and modification time, and the contents of ground
    /// truth and boxes; for a folder its images' names, sizes and modification times, and the rate. The video
    /// itself is not read.
    pub(super) fn key(&self) -> Result<String, DatasetError> {
        let read_error = |source| DatasetError::io("read the video", &self.video, source);
        let path = real_path(&self.video).map_err(read_error)?;
        let metadata = std::fs::metadata(&path).map_err(read_error)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let folder_state = if sources::is_image_source(&path) {
            Some(
                json!({ "fps": sources::validate_fps(self.fps)?, "pictures": ImageFiles::list(&path)?.state_hash()? }),
            )
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
            "bytes": metadata.len(),
            "changed_ns": modified.map(|time| time.as_nanos().to_string()),
            "truth": text(&self.truth)?,
            "boxes": text(&self.boxes)?,
            // a path may indicate the benchmark
            "paths": [display(&self.truth), display(&self.boxes)],
            "benchmark": self.benchmark,
            "reading": READING_VERSION,
            "sha256": self.sha256,
            "decoded_sha256": self.decoded_sha256,
            // records that counted packets are replaced
            "counts": "frames",
        });
        if let Some((plan, view)) = self.footage.as_ref().and_then(|footage| footage.views()) {
            let truth = json!({ "view": view, "origin": plan.origin, "path": plan.path });
            made_from = json!({ "clip": made_from, "views": truth });
        }
        if let Some(folder_state) = folder_state {
            made_from = json!({ "clip": made_from, "folder": folder_state });
        }
        Ok(sha256_of_bytes(made_from.to_string().as_bytes())[..32].to_string())
    }

    /// SHA-256 of the decoded frames, if the dataset gives an expected value.
    fn decoded_sha256(&self, video: &Path) -> Result<Option<String>, DatasetError> {
        if self.decoded_sha256.is_none() {
            return Ok(None);
        }
        if sources::is_image_source(video) {
            let message = "`decoded_sha256` is for video files, which ffmpeg decodes; for a folder of images, which \
                           this program decodes itself, use `sha256`";
            return Err(DatasetError::invalid(video, message));
        }
        decoded_sha256(video).map(Some)
    }

    /// Probes the video, checks ground truth and boxes against it and writes both to `cache/key`.
    pub(super) fn import(&self, name: &str, cache: &Path, key: &str) -> Result<PathBuf, DatasetError> {
        let read_error = |source| DatasetError::io("read the video", &self.video, source);
        let video = real_path(&self.video).map_err(read_error)?;
        let folder = if sources::is_image_source(&video) { Some(ImageSequence::open(&video)?) } else { None };
        let (properties, video_sha256, video_bytes) = match &folder {
            Some(frames) => {
                let properties = VideoProperties::from_folder(frames, sources::validate_fps(self.fps)?);
                let sha256 = frames.images.sha256(properties.fps)?;
                (properties, sha256, frames.images.bytes()?)
            }
            None => {
                let bytes = std::fs::metadata(&video).map_err(read_error)?.len();
                (VideoProperties::probe(&video)?, sha256_of_file(&video).map_err(read_error)?, bytes)
            }
        };
        if let Some(expected) = self.sha256.as_ref().filter(|expected| **expected != video_sha256) {
            let message = format!("its SHA-256 is {video_sha256}, but the dataset requires {expected}");
            return Err(DatasetError::invalid(&video, message));
        }
        let create_error = |source| DatasetError::io("make a clip in", cache, source);
        let staging = StagingFolder::create(cache, key).map_err(create_error)?;
        let mut notes = Vec::new();
        let (extent, staged) = (properties.bounds, |name: &str| staging.folder().join(name));
        let mut truth = None;
        if let Some(path) = &self.truth {
            let mut read = mot::read_truth(path, extent, self.benchmark)?;
            notes.append(&mut read.notes);
            truth = Some(write_truth(read, staged(TRUTH), extent.frames)?);
        }
        let mut boxes = None;
        if let Some(path) = &self.boxes {
            if let Some(about) = DetectionsAbout::beside(path)? {
                let sha256 = |fps: f64| match &folder {
                    Some(frames) => Ok(frames.images.sha256(fps)?),
                    None => Ok(video_sha256.clone()),
                };
                about.check_video(path, extent, sha256)?;
            }
            if coco::is_results(path)? {
                let (read, mut read_notes) = coco::to_box_file(path, extent, staged(BOXES))?;
                notes.append(&mut read_notes);
                boxes = Some(read);
            } else {
                let mut read = mot::read_boxes(path, extent, self.benchmark)?;
                notes.append(&mut read.notes);
                boxes = Some(write_boxes(read, staged(BOXES), extent.frames)?);
            }
        }
        let views = self.footage.as_ref().and_then(|footage| footage.views());
        let record = Record {
            name: name.to_string(),
            decoded_sha256: self.decoded_sha256(&video)?,
            video_bytes,
            made_from: json!({ "video": video, "truth": display(&self.truth), "boxes": display(&self.boxes) }),
            video,
            video_sha256,
            width: properties.width,
            height: properties.height,
            frames: properties.bounds.frames,
            fps: properties.fps,
            truth_sha256: truth.map(|file| file.sha256),
            boxes_sha256: boxes.map(|file| file.sha256),
            table_sha256: None,
            drawn_sha256: None,
            ffmpeg: Machine::current().ffmpeg,
            notes,
            view: views.map(|(_, view)| view.to_string()),
            views_truth: views.map(|(plan, _)| plan.path.clone()),
            truth_origin: views.map(|(plan, _)| plan.origin.clone()),
        };
        record.write(staging.folder())?;
        staging.commit().map_err(create_error)
    }
}

/// A path from a dataset's file, which may begin with `~/`.
pub(super) fn expand_home(path: &Path) -> PathBuf {
    // without a home folder the name is used as it is, and an error about it shows it
    path.to_str().and_then(|text| files::expand_home(text).ok()).unwrap_or_else(|| path.to_path_buf())
}

/// Folder of the videos fetched for the clips in `cache`.
fn downloads_folder(cache: &Path) -> PathBuf {
    cache.with_file_name("downloads")
}

/// A path for display: it need not be UTF-8.
fn display(path: &Option<PathBuf>) -> Option<String> {
    path.as_ref().map(|path| path.display().to_string())
}

/// Version of reading ground truth and boxes; a new one recreates all records.
const READING_VERSION: u32 = 2;

/// Writes the ground truth of `frames` frames to `path`.
fn write_truth(mut read: MotTruth, path: PathBuf, frames: usize) -> Result<TruthFile, DatasetError> {
    let write_error = |source| DatasetError::io("write", &path, source);
    let mut writer = TruthWriter::new(BufWriter::new(File::create(&path).map_err(write_error)?));
    for frame in 0..frames {
        let people = read.people.remove(&frame).unwrap_or_default();
        let ignored = read.ignored.remove(&frame).unwrap_or_default();
        writer.push_with_ignored(people, ignored).map_err(write_error)?;
    }
    writer.finish().map_err(write_error)?;
    let sha256 = sha256_of_file(&path).map_err(write_error)?;
    Ok(TruthFile { path, sha256 })
}

/// Writes the input boxes of `frames` frames to `path`.
fn write_boxes(mut read: MotBoxes, path: PathBuf, frames: usize) -> Result<BoxFile, DatasetError> {
    let write_error = |source| DatasetError::io("write", &path, source);
    let mut writer = BoxWriter::create(&path).map_err(write_error)?;
    for frame in 0..frames {
        writer.push(read.boxes.remove(&frame).unwrap_or_default()).map_err(write_error)?;
    }
    writer.finish().map_err(write_error)?;
    let sha256 = sha256_of_file(&path).map_err(write_error)?;
    Ok(BoxFile { path, sha256 })
}

/// Properties of a video: frames are those that a decoder outputs, which may differ from the file's packets, or a
/// folder's images.
struct VideoProperties {
    width: usize,
    height: usize,
    bounds: VideoExtent,
    fps: f64,
}

impl VideoProperties {
    /// A folder of images at `fps` frames per second.
    fn from_folder(frames: &ImageSequence, fps: f64) -> VideoProperties {
        let ImageSequence { images, width, height, .. } = frames;
        let bounds = VideoExtent { size: Some(FrameSize::new(*width, *height)), frames: images.files.len() };
        VideoProperties { width: *width, height: *height, bounds, fps }
    }

    fn probe(path: &Path) -> Result<VideoProperties, DatasetError> {
        let probe_error = |error: VideoError| {
            DatasetError::invalid(path, format!("cannot be read as a video: {}", error.kind))
        };
        let probe = video::probe(path).map_err(probe_error)?;
        let (width, height) = (probe.width, probe.height);
        let bounds = VideoExtent { size: Some(FrameSize::new(width, height)), frames: probe.frames() };
        Ok(VideoProperties { width, height, bounds, fps: probe.fps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_link_to_an_open_file_stays_and_other_links_are_resolved() {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut file = File::create_new(at("a.mp4")).unwrap();
        file.write_all(b"checked").unwrap();
        let open = File::open(at("a.mp4")).unwrap();
        symlink(format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd()), at("0.mp4")).unwrap();
        symlink(at("a.mp4"), at("1.mp4")).unwrap();
        // the name leads to another file now
        std::fs::rename(at("a.mp4"), at("b.mp4")).unwrap();
        std::fs::write(at("a.mp4"), "another").unwrap();
        assert_eq!(std::fs::read(real_path(&at("0.mp4")).unwrap()).unwrap(), b"checked");
        assert_eq!(real_path(&at("0.mp4")).unwrap(), at("0.mp4"));
        assert_eq!(real_path(&at("1.mp4")).unwrap(), at("a.mp4").canonicalize().unwrap());
        drop(open);
        assert!(real_path(&at("0.mp4")).is_err(), "the file is closed");
        assert!(real_path(&at("missing.mp4")).is_err());
    }
}
