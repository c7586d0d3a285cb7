//! What fetched clips come from: the package's manifest, the folder of its files, and the plan of the views' ground truth.

use super::DatasetError;
use super::views::{OPENPOSE, ViewsPlan};
use posebook_core::fetch::{self, Event, Manifest};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// What is fetched for a dataset, and where it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct FootageSource {
    /// The package's files.
    pub manifest: Manifest,
    /// Folder of the fetched files, in the user's cache folder.
    pub folder: PathBuf,
    /// How the views' ground truth is created, if the clips are views of one scene.
    pub views: Option<ViewsPlan>,
}

/// The package of a fetched clip, and its view.
#[derive(Debug, Clone, PartialEq)]
pub struct FootageClip {
    /// The package.
    pub source: FootageSource,
    /// The view's name; `None` if the clip is not a view of a scene.
    pub view: Option<String>,
}

impl FootageSource {
    /// Whether all files are fetched.
    ///
    /// # Errors
    /// If a file exists but cannot be read.
    pub fn is_fetched(&self) -> Result<bool, DatasetError> {
        Ok(fetch::is_complete(&self.manifest, &self.folder)?)
    }

    /// Fetches missing files; `on_event` is called with [`Event::Missing`] first. Ground truth from OpenPose's
    /// points is created as well.
    ///
    /// # Errors
    /// If a file cannot be fetched, or the ground truth cannot be created.
    pub fn fetch(&self, on_event: &mut dyn FnMut(Event), stop: &AtomicBool) -> Result<(), DatasetError> {
        fetch::ensure(&self.manifest, &self.manifest.name, &self.folder, on_event, stop)?;
        match &self.views {
            Some(plan) if plan.origin == OPENPOSE && !plan.truth_exists() => {
                plan.create_truth_from_openpose().map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

impl FootageClip {
    /// The plan of the scene's ground truth, and the clip's view in it.
    pub fn views(&self) -> Option<(&ViewsPlan, &str)> {
        Some((self.source.views.as_ref()?, self.view.as_deref()?))
    }

    /// Whether ground truth from the footage's own points is still to be created.
    pub(super) fn needs_truth(&self) -> bool {
        self.views().is_some_and(|(plan, _)| plan.origin == OPENPOSE && !plan.truth_exists())
    }
}
