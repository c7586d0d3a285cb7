//! Clips of a dataset, made where they are not there yet.
//!
//! Must not know how a clip is made.

use super::progress::{Event, Listener};
use super::{Project, RunnerError};
use crate::dataset::{self, ClipSpec, Dataset, TruthFile};
use crate::experiment::DatasetChoice;
use std::path::PathBuf;

/// A clip that lies ready.
#[derive(Debug, Clone)]
pub struct Ready {
    pub name: String,
    pub path: PathBuf,
    pub sha256: String,
    pub bytes: u64,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub fps: f64,
    pub truth: Option<TruthFile>,
}

/// A clip of a dataset: ready, not made yet, or not to be had.
#[derive(Debug, Clone)]
pub enum Clip {
    Ready(Ready),
    NotMade { name: String, frames: Option<usize> },
    Broken { name: String, message: String },
}

impl Clip {
    pub fn name(&self) -> &str {
        match self {
            Clip::Ready(ready) => &ready.name,
            Clip::NotMade { name, .. } | Clip::Broken { name, .. } => name,
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
    let name = spec.name().to_string();
    let made = if make {
        let mut progress = |done: usize, of: usize| listener.hear(Event::Clip { name: &name, done, of });
        spec.make(&project.clips(), &mut progress).map(Some)
    } else {
        spec.find(&project.clips())
    };
    match made {
        Ok(Some(clip)) => ready(clip).unwrap_or_else(|message| Clip::Broken { name, message }),
        Ok(None) => Clip::NotMade { name, frames: spec.frames() },
        Err(error) => Clip::Broken { name, message: error.to_string() },
    }
}

fn ready(clip: dataset::Clip) -> Result<Clip, String> {
    let about = std::fs::metadata(&clip.path);
    let about = about.map_err(|error| format!("cannot read {}: {error}", clip.path.display()))?;
    Ok(Clip::Ready(Ready {
        name: clip.name,
        path: clip.path,
        sha256: clip.sha256,
        bytes: about.len(),
        width: clip.width,
        height: clip.height,
        frames: clip.frames,
        fps: clip.fps,
        truth: clip.truth,
    }))
}
