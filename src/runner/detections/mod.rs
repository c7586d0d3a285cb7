//! Detects the people of a video once and writes them to a file: boxes, scores and masks.
//!
//! Input: a [`DetectRequest`] with video, detector and range, as `posebook track` reads them. Output: detections in COCO's results
//! format or as MOTChallenge text, and a description beside them; `track boxes=FILE` starts from them. If the user interrupts the
//! command, finished frames are kept, and the same command continues after them.

mod partial;

use super::track::TrackRequest;
use super::{Project, RunnerError};
use crate::dataset::DatasetError;
use crate::dataset::coco::DetectionsAbout;
use crate::experiment::phalp_settings::CommandLine;
use crate::runner::project::detector::{PeopleDetector, detach};
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::weights;
use crate::runner::supervisor::work_folder::WorkFolder;
use partial::PartialDetections;
use posebook_core::files;
use posebook_core::frame::Frame;
use posebook_core::person::{Detection, InputBox};
use posebook_core::provenance::sha256_of_file;
use posebook_models::detect::Settings;
use posebook_models::device;
use posebook_video as video;
use posebook_video::sources::{self, ImageFiles};
use posebook_video::{FrameSource, VideoError};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How the numbers of frames are counted, for the description.
const FRAME_NUMBERS: &str =
    "image_id is the number of the frame in the video, in the order of presentation, from 0";
/// The same for MOTChallenge text.
const MOT_FRAME_NUMBERS: &str = "the first column is the number of the frame in the video, from 1";
/// Settings that have an effect on detections: groups and keys.
const EFFECTIVE: [&str; 4] = ["detect", "video", "device", "fps"];

/// Format of a file of detections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// COCO's results, with masks.
    #[default]
    Coco,
    /// MOTChallenge text, without masks.
    Mot,
}

/// A request to detect the people of a video.
#[derive(Debug, Clone)]
pub struct DetectRequest {
    /// Video, range, device and detector.
    pub track: TrackRequest,
    /// The file to write; `None` is the video's name in the current folder.
    pub out: Option<PathBuf>,
    /// Its format.
    pub format: Format,
}

/// The result of a [`DetectRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectOutcome {
    /// The file of detections.
    pub out: PathBuf,
    /// Whether all frames are done.
    pub end: DetectEnd,
}

/// How a detection of a video ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectEnd {
    /// All frames are done.
    Finished {
        /// Number of frames.
        frames: usize,
        /// Number of people in all frames.
        people: usize,
    },
    /// The same command wrote the file before.
    WasFinished,
    /// The user interrupted it.
    Interrupted {
        /// The file with the finished frames.
        part: PathBuf,
        /// Number of frames that are done.
        done: usize,
        /// Number of frames.
        frames: usize,
    },
}

/// People cannot be detected, or the file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum DetectionsError {
    /// A setting has no effect.
    #[error("`{0}` has no effect on detections: settings here are detect.*, video.*, device and fps")]
    NoEffect(String),
    /// Boxes are given.
    #[error(
        "people are detected here, not given: leave boxes= and truth= out, or start `posebook track` with them"
    )]
    BoxesGiven,
    /// `out=` is the setting of `track`.
    #[error("out= names a folder of `posebook track`; name the file of detections by --out FILE")]
    OutSetting,
    /// The detector needs boxes.
    #[error(
        "detect.model={0} finds nobody: set detect.model=nanodet, vitdet or regnety; masks of given boxes are computed by \
         `posebook track my.mp4 boxes=FILE detect.model=x101`"
    )]
    NoDetector(&'static str),
    /// A file cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The video yields another frame than the selection has at this place.
    #[error("frame {found} came where frame {expected} was expected; this is a bug of posebook")]
    FrameOrder {
        /// The selected frame.
        expected: usize,
        /// The frame that came.
        found: usize,
    },
    /// The video ends before the last selected frame.
    #[error(
        "the video ends after {done} of {frames} frames; the frames that are done are kept: check the file with `posebook frames`"
    )]
    FewerFrames {
        /// Frames that are done.
        done: usize,
        /// Selected frames.
        frames: usize,
    },
    /// Another process writes the file.
    #[error("another process writes {path} at the moment; wait for it, or give another file by --out FILE")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file in progress is that of another command.
    #[error(
        "{path} has unfinished detections of another command: {difference}; finish that one, remove the file, or give another by \
         --out FILE"
    )]
    OtherPartial {
        /// The file.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The file in progress is damaged.
    #[error("{path}:{line}: {problem}; remove the file to start again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The file of detections exists.
    #[error(
        "{path} exists and holds something else{difference}; remove it, or give another file by --out FILE"
    )]
    Exists {
        /// The file.
        path: PathBuf,
        /// What differs, if it is known.
        difference: String,
    },
    /// The description cannot be read or written.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

impl DetectRequest {
    /// Reads the command line's `[SOURCE] key=value...` as `posebook track` does.
    ///
    /// # Errors
    /// If there is no video, a setting is invalid or has no effect here, or boxes are given.
    pub fn parse(
        source: Option<&Path>,
        line: &CommandLine,
        out: Option<PathBuf>,
        format: Format,
    ) -> Result<DetectRequest, RunnerError> {
        // a preset also sets what has no effect on detections
        for key in line.overrides.iter().map(|given| given.key.as_str()).filter(|_| line.preset.is_none()) {
            let group = key.split('.').next().unwrap_or_default();
            let is_path = matches!(key, "boxes" | "truth" | "out");
            if !(EFFECTIVE.contains(&group) || is_path) {
                return Err(DetectionsError::NoEffect(key.to_string()).into());
            }
        }
        let track = TrackRequest::parse(source, line)?;
        if track.boxes.is_some() || track.truth.is_some() {
            return Err(DetectionsError::BoxesGiven.into());
        }
        if track.out.is_some() {
            return Err(DetectionsError::OutSetting.into());
        }
        let model = track.settings.detect.model;
        if model.needs_boxes() && !track.open.detector {
            return Err(DetectionsError::NoDetector(model.name()).into());
        }
        Ok(DetectRequest { track, out, format })
    }

    fn out(&self) -> PathBuf {
        let extension = if self.format == Format::Coco { "json" } else { "txt" };
        let named = || PathBuf::from(format!("{}.detections.{extension}", self.track.video_name()));
        self.out.clone().unwrap_or_else(named)
    }
}

/// Detects the people of a video and writes them.
///
/// # Errors
/// If the video cannot be read, the detector is missing or fails, the device is unavailable, or the file cannot be written.
/// Finished frames are kept.
pub fn detect_people(
    project: &Project,
    request: &DetectRequest,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<DetectOutcome, RunnerError> {
    let out = request.out();
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files::check_writable_folder(folder).map_err(RunnerError::file(folder))?;
    let detect = request.track.choose_network(project, listener)?;
    let mut track = request.track.clone();
    track.settings.detect = detect.clone();
    let track = track.with_local_source(project, listener)?;
    let mut video = track.settings.video.clone();
    if video.loops.take().is_some() {
        listener.on_event(ProgressEvent::Note("video.loops is not used: every frame is detected once"));
    }
    let weights =
        weights::prepare_detectors(project, &detect, listener)?.main.ok_or(RunnerError::NoDetector)?;
    let (choice, _) = device::resolve(&track.settings.device)?;
    let probe = video::probe_with_fps(&track.source, track.fps)?;
    probe.notes.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
    let selection = video::select_frames(&video, &probe)?;
    let frames: Vec<usize> = selection.frame_indices().collect();
    let wrong = |kind| VideoError { path: track.source.clone(), frame: None, kind };
    // results depend neither on the budget nor on the batch
    let of_results = Settings { budget_mib: None, batch: 1, ..detect.clone() };
    let settings = json!({ "detect": of_results, "video": video.with_defaults().map_err(wrong)? });
    let about = DetectionsAbout {
        frame_numbers: if request.format == Format::Coco { FRAME_NUMBERS } else { MOT_FRAME_NUMBERS }
            .to_string(),
        video: sources::display_name(&request.track.source),
        video_sha256: video_sha256(&track.source, probe.fps)?,
        width: probe.width,
        height: probe.height,
        frames: probe.frames(),
        fps: probe.fps,
        first_frame: selection.range.start,
        frames_read: frames.len(),
        every: video.every().max(1),
        detector: detect.model.name().to_string(),
        detector_sha256: weights.sha256.clone(),
        detector_set_sha256: weights.set_sha256.clone(),
        settings,
        device: choice.to_string(),
        posebook: env!("CARGO_PKG_VERSION").to_string(),
    };
    if out.exists() {
        let found = DetectionsAbout::beside(&out).map_err(DetectionsError::from)?;
        let difference = found.map(|found| partial::difference(&found, &about));
        return match difference {
            Some(None) => Ok(DetectOutcome { out, end: DetectEnd::WasFinished }),
            Some(Some(text)) => {
                Err(DetectionsError::Exists { path: out, difference: format!(": {text}") }.into())
            }
            None => Err(DetectionsError::Exists { path: out, difference: String::new() }.into()),
        };
    }
    let mut partial = PartialDetections::open(&out, &about, &frames)?;
    if partial.done() > 0 {
        let (done, total) = (partial.done(), frames.len());
        listener.on_event(ProgressEvent::Note(&format!("{done} of {total} frames are done from before")));
    }
    if partial.done() < frames.len() {
        let opened = device::open(&choice)?;
        listener.on_event(ProgressEvent::Phase("loading the detector"));
        let detector = PeopleDetector::load(detect.model, &weights, &detect, &opened)?;
        let work = WorkFolder::create(&project.work(), "detect")?;
        (video.mode, video.preset) = (Some(video.mode().map_err(wrong)?), None);
        (video.start_time, video.end_time) = (None, None);
        video.start_frame = Some(frames[partial.done()] as i64);
        video.end_frame = Some(selection.range.end as i64);
        let uploader = (!opened.is_cpu()).then(|| device::uploader(&opened));
        let mut source = video::open_probed(probe, &video, &work.scratch(), uploader)?;
        let mut keeps = |detection: &Detection| detect.keeps(detection);
        let mut job =
            DetectionJob { detector: &detector, batch: detect.batch, frames: &frames, partial: &mut partial };
        job.run(&mut source, &mut keeps, interrupt, listener)?;
    }
    if partial.done() < frames.len() {
        let (done, part) = (partial.done(), partial::path_beside(&out));
        return Ok(DetectOutcome { out, end: DetectEnd::Interrupted { part, done, frames: frames.len() } });
    }
    let people = partial.finish(&out, &about, request.format)?;
    Ok(DetectOutcome { out, end: DetectEnd::Finished { frames: frames.len(), people } })
}

/// The detection of the frames that are not done yet.
struct DetectionJob<'j> {
    detector: &'j PeopleDetector,
    /// Frames that are detected together.
    batch: usize,
    /// Numbers of all frames.
    frames: &'j [usize],
    partial: &'j mut PartialDetections,
}

impl DetectionJob<'_> {
    /// Detects the people of the frames of `source`, until Ctrl-C.
    fn run(
        &mut self,
        source: &mut FrameSource,
        keeps: &mut dyn FnMut(&Detection) -> bool,
        interrupt: &AtomicBool,
        listener: &mut dyn ProgressListener,
    ) -> Result<(), RunnerError> {
        source.prepare()?;
        let (started, before) = (Instant::now(), self.partial.done());
        let mut is_end = false;
        while !is_end && !interrupt.load(Ordering::SeqCst) {
            let mut waiting: Vec<Frame> = Vec::with_capacity(self.batch);
            while waiting.len() < self.batch && !is_end {
                match source.next_frame()? {
                    Some(frame) if self.batch > 1 => waiting.push(detach(frame)),
                    Some(frame) => waiting.push(frame),
                    None => is_end = true,
                }
            }
            let found = self.detector.detect(&waiting.iter().collect::<Vec<_>>())?;
            for (frame, mut detections) in waiting.iter().zip(found) {
                let expected = self.frames.get(self.partial.done()).copied().unwrap_or(usize::MAX);
                if frame.index != expected {
                    return Err(DetectionsError::FrameOrder { expected, found: frame.index }.into());
                }
                detections.retain(&mut *keeps);
                self.partial
                    .push(frame.index, detections.into_iter().enumerate().map(input_box).collect())?;
                let done = self.partial.done();
                let frames_per_sec = (done - before) as f64 / started.elapsed().as_secs_f64().max(1e-9);
                let (frame, total) = (frame.index as u64, self.frames.len() as u64);
                listener.on_event(ProgressEvent::Detected {
                    frame,
                    done: done as u64,
                    total,
                    frames_per_sec,
                });
            }
        }
        let (done, frames) = (self.partial.done(), self.frames.len());
        if is_end && done < frames {
            return Err(DetectionsError::FewerFrames { done, frames }.into());
        }
        Ok(())
    }
}

/// A detection as an input box, whose id is its number in the frame.
fn input_box((id, detection): (usize, Detection)) -> InputBox {
    let Detection { bbox, score, mask, .. } = detection;
    InputBox { id: id as u32, bbox, score: Some(score), mask }
}

/// SHA-256 of a video file, or of a folder of images at `fps`.
fn video_sha256(path: &Path, fps: f64) -> Result<String, RunnerError> {
    if sources::is_image_source(path) {
        return Ok(ImageFiles::list(path)?.sha256(fps)?);
    }
    sha256_of_file(path).map_err(RunnerError::file(path))
}
