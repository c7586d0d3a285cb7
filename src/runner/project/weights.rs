//! Fetches and converts published weights for the runs that need them.
//!
//! They are stored in the user's cache, outside of the project, so that all checkouts share them.

use super::interrupt;
use super::progress::{ProgressEvent, ProgressListener};
use crate::experiment::Settings;
use crate::runner::{Project, RunnerError};
use posebook_core::fetch::{self, Manifest};
use posebook_models::detect;
use posebook_models::import;
use posebook_models::recovery::{FetchedWeights, ModelSet, Weights, models_folder};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A detector's weights, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectorWeights {
    /// The safetensors file.
    pub path: PathBuf,
    /// SHA-256 of the weights as they were published.
    pub sha256: String,
}

/// SHA-256 of NanoDet's weights as they were published (`nanodet.bin`), which the manifest holds as well.
const NANODET_SHA256: &str = "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9";

/// NanoDet's weights as published: the description of the network, with the values in a second file next to it.
fn nanodet_source() -> FetchedWeights {
    FetchedWeights {
        source: "nanodet".to_string(),
        file: PathBuf::from("nanodet.json"),
        sha256: NANODET_SHA256.to_string(),
    }
}

/// Finds NanoDet's weights in the cache.
///
/// # Errors
/// If they are not there; the message says how to fetch them.
pub fn find_detector() -> Result<DetectorWeights, RunnerError> {
    let source = nanodet_source();
    let path = source.converted_path(&models_folder()?);
    if !path.is_file() {
        return Err(posebook_models::recovery::RecoveryError::NotFetched {
            name: "nanodet".into(),
            path,
            source_name: source.source,
        }
        .into());
    }
    Ok(DetectorWeights { path, sha256: source.sha256 })
}

/// Fetches the weights that runs of these settings need. What cannot be fetched becomes a note.
///
/// # Errors
/// If Ctrl-C is pressed.
pub fn fetch_for_runs<'s>(
    project: &Project,
    settings: impl IntoIterator<Item = &'s Settings>,
    listener: &mut dyn ProgressListener,
) -> Result<(), RunnerError> {
    let (mut models, mut needs_nanodet) = (BTreeSet::new(), false);
    for settings in settings {
        models.insert(settings.model.clone());
        needs_nanodet |= settings.detect.model == detect::Model::Nanodet;
    }
    let mut results = Vec::new();
    for model in models {
        results.push(fetch_model(project, &model, listener));
    }
    if needs_nanodet {
        results.push(fetch_detector(project, listener).map(|_| ()));
    }
    for result in results {
        match result {
            Err(RunnerError::Interrupted) => return Err(RunnerError::Interrupted),
            Err(error) => listener.on_event(ProgressEvent::Note(&error.to_string())),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Fetches and converts the weights of a model set, if it uses fetched ones. An invalid model set is not an error here:
/// its runs report it.
///
/// # Errors
/// If they cannot be fetched or converted, or Ctrl-C is pressed.
pub fn fetch_model(
    project: &Project,
    name: &str,
    listener: &mut dyn ProgressListener,
) -> Result<(), RunnerError> {
    let Ok(set) = ModelSet::load(&project.model(name)) else { return Ok(()) };
    let Weights::Fetched(fetched) = &set.weights else { return Ok(()) };
    ensure_converted(project, fetched, listener).map(|_| ())
}

/// Fetches and converts the detector's weights.
///
/// # Errors
/// As [`fetch_model`].
pub fn fetch_detector(
    project: &Project,
    listener: &mut dyn ProgressListener,
) -> Result<DetectorWeights, RunnerError> {
    let source = nanodet_source();
    let path = ensure_converted(project, &source, listener)?;
    Ok(DetectorWeights { path, sha256: source.sha256 })
}

/// Forwards the progress of a fetch to `listener`.
pub fn forward_event(event: &fetch::Event, listener: &mut dyn ProgressListener) {
    match event {
        fetch::Event::Progress { file, bytes } => {
            listener.on_event(ProgressEvent::Fetch { name: &file.name, bytes: *bytes, total: file.bytes });
        }
        fetch::Event::Missing { .. } | fetch::Event::WaitingForLock { .. } => {
            event.message().iter().for_each(|line| listener.on_event(ProgressEvent::Note(line)));
        }
        _ => {}
    }
}

/// Path of the converted file; fetches and converts it if it is missing.
fn ensure_converted(
    project: &Project,
    fetched: &FetchedWeights,
    listener: &mut dyn ProgressListener,
) -> Result<PathBuf, RunnerError> {
    let models = models_folder()?;
    let (original, converted) = (fetched.original_path(&models), fetched.converted_path(&models));
    if original.is_file() && converted.is_file() {
        return Ok(converted);
    }
    let manifest = Manifest::load(&project.model_manifest(&fetched.source))?;
    let folder = models.join(&fetched.source);
    let mut forward = |event: fetch::Event| forward_event(&event, listener);
    let ensured = fetch::ensure(&manifest, &fetched.source, &folder, &mut forward, interrupt::flag());
    if matches!(ensured, Err(fetch::FetchError::Stopped)) {
        return Err(RunnerError::Interrupted);
    }
    ensured?;
    import::fetched::convert(&original, &converted)?;
    Ok(converted)
}
