//! Fetches and converts published weights for the runs that need them.
//!
//! They are stored in the user's cache, outside of the project, so that all checkouts share them.

use super::interrupt;
use super::progress::{ProgressEvent, ProgressListener};
use crate::experiment::Settings;
use crate::runner::{Project, RunnerError};
use posebook_core::fetch::{self, Manifest};
use posebook_core::provenance::sha256_of_file;
use posebook_models::detect;
use posebook_models::import;
use posebook_models::recovery::{DetectorSet, FetchedWeights, ModelSet, Weights, models_folder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A detector's weights, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorWeights {
    /// NanoDet's safetensors file, or the detector set of a published detector.
    pub path: PathBuf,
    /// SHA-256 of NanoDet's weights as they were published, or what identifies those of the set.
    pub sha256: String,
    /// SHA-256 of the detector set, which has the network's sizes; `None` for NanoDet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_sha256: Option<String>,
}

/// The weights of the detectors of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunDetectors {
    /// Those of `detect.model`; `None` where boxes are provided.
    pub main: Option<DetectorWeights>,
    /// Those of `detect.fallback`, for frames without provided boxes.
    pub fallback: Option<DetectorWeights>,
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

/// Finds the weights of the detectors that runs of these settings use: NanoDet's in the cache, published ones in `models/`.
///
/// # Errors
/// If they are not there; the message says how to fetch or import them. If a set is of another detector.
pub fn find_detectors(project: &Project, settings: &detect::Settings) -> Result<RunDetectors, RunnerError> {
    let find = |model: Option<detect::Model>| match model {
        None | Some(detect::Model::Provided) => Ok(None),
        Some(detect::Model::Nanodet) => find_nanodet().map(Some),
        Some(model) => find_published(project, settings, model).map(Some),
    };
    let fallback = settings.fallback.filter(|_| settings.model.needs_boxes());
    Ok(RunDetectors { main: find(Some(settings.model))?, fallback: find(fallback)? })
}

fn find_nanodet() -> Result<DetectorWeights, RunnerError> {
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
    Ok(DetectorWeights { path, sha256: source.sha256, set_sha256: None })
}

/// Finds the set of the published detector `model`; does not check its weights.
///
/// # Errors
/// If there is none, or it is of another detector.
pub fn published_set(
    project: &Project,
    settings: &detect::Settings,
    model: detect::Model,
) -> Result<DetectorSet, RunnerError> {
    let name = settings.set_name(model);
    let set = if name.ends_with(".toml") {
        DetectorSet::load(Path::new(name))?
    } else {
        DetectorSet::find(&project.models(), name)?
    };
    if Some(set.architecture) != model.published() {
        let (path, found) = (set.path, set.architecture.name());
        return Err(RunnerError::OtherDetector { path, found, model: model.name() });
    }
    Ok(set)
}

fn find_published(
    project: &Project,
    settings: &detect::Settings,
    model: detect::Model,
) -> Result<DetectorWeights, RunnerError> {
    let set = published_set(project, settings, model)?;
    set.verify_cached()?;
    let set_sha256 = sha256_of_file(&set.path).map_err(RunnerError::file(&set.path))?;
    let path = std::path::absolute(&set.path).map_err(RunnerError::file(&set.path))?;
    Ok(DetectorWeights { path, sha256: set.identity(), set_sha256: Some(set_sha256) })
}

/// Whether the set of a published detector is in `models/` under its own name.
pub fn has_published(project: &Project, model: detect::Model) -> bool {
    project.model(model.name()).is_file()
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
        needs_nanodet |= settings.detect.models().any(|model| model == detect::Model::Nanodet);
    }
    let mut results = Vec::new();
    for model in models {
        results.push(fetch_model(project, &model, listener));
    }
    if needs_nanodet {
        results.push(fetch_nanodet(project, listener).map(|_| ()));
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

/// Fetches and converts NanoDet's weights.
///
/// # Errors
/// As [`fetch_model`].
pub fn fetch_nanodet(
    project: &Project,
    listener: &mut dyn ProgressListener,
) -> Result<DetectorWeights, RunnerError> {
    let source = nanodet_source();
    let path = ensure_converted(project, &source, listener)?;
    Ok(DetectorWeights { path, sha256: source.sha256, set_sha256: None })
}

/// The weights of the detectors that a run of these settings uses; NanoDet's are fetched if they are missing.
///
/// # Errors
/// As [`fetch_nanodet`] and [`find_detectors`].
pub fn prepare_detectors(
    project: &Project,
    settings: &detect::Settings,
    listener: &mut dyn ProgressListener,
) -> Result<RunDetectors, RunnerError> {
    if settings.models().any(|model| model == detect::Model::Nanodet) {
        fetch_nanodet(project, listener)?;
    }
    find_detectors(project, settings)
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
