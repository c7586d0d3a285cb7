//! Weights that others publish under free licenses: which runs need them, fetched and converted once.
//!
//! They are kept in the user's cache, outside of the project, so that every checkout shares them. Must not know how
//! a network runs.

use super::progress::{Event, Listener};
use super::{Project, RunnerError, interrupt};
use crate::detect;
use crate::experiment::Settings;
use crate::fetch::{self, Manifest};
use crate::import;
use crate::recovery::{Fetched, ModelSet, Weights, models_folder};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A detector's weights, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detector {
    /// The safetensors file.
    pub path: PathBuf,
    /// SHA-256 of the weights as they were published.
    pub sha256: String,
}

/// SHA-256 of NanoDet's weights as they were published (`nanodet.bin`), which the manifest holds as well.
const NANODET_SHA256: &str = "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9";

/// NanoDet's weights as they were published: the description, beside which the numbers lie.
fn nanodet_source() -> Fetched {
    Fetched {
        source: "nanodet".to_string(),
        file: PathBuf::from("nanodet.json"),
        sha256: NANODET_SHA256.to_string(),
    }
}

/// NanoDet's weights, where they are in the cache.
///
/// # Errors
/// If they are not; the message says how to fetch them.
pub fn detector(_project: &Project) -> Result<Detector, RunnerError> {
    let source = nanodet_source();
    let path = source.converted(&models_folder()?);
    if !path.is_file() {
        return Err(crate::recovery::RecoveryError::NotFetched {
            name: "nanodet".into(),
            path,
            source_name: source.source,
        }
        .into());
    }
    Ok(Detector { path, sha256: source.sha256 })
}

/// Fetches what runs of these settings need. What cannot be fetched is a note.
///
/// # Errors
/// If Ctrl-C is pressed.
pub fn fetch_for<'s>(
    project: &Project,
    settings: impl IntoIterator<Item = &'s Settings>,
    listener: &mut dyn Listener,
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
            Err(error) => listener.hear(Event::Note(&error.to_string())),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Fetches and converts the weights of a model set, if it has fetched ones. A set that cannot be read is no error
/// here: its runs say what is wrong with it.
///
/// # Errors
/// If they cannot be fetched or converted, or Ctrl-C is pressed.
pub fn fetch_model(project: &Project, name: &str, listener: &mut dyn Listener) -> Result<(), RunnerError> {
    let Ok(set) = ModelSet::load(&project.model(name)) else { return Ok(()) };
    let Weights::Fetched(fetched) = &set.weights else { return Ok(()) };
    fetched_and_converted(project, fetched, listener).map(|_| ())
}

/// Fetches and converts the detector's weights.
///
/// # Errors
/// As [`fetch_model`].
pub fn fetch_detector(project: &Project, listener: &mut dyn Listener) -> Result<Detector, RunnerError> {
    let source = nanodet_source();
    let path = fetched_and_converted(project, &source, listener)?;
    Ok(Detector { path, sha256: source.sha256 })
}

/// Passes on what a fetch reports: what is fetched, how far it has come, and what another process is waited for.
pub fn show(event: &fetch::Event, listener: &mut dyn Listener) {
    match event {
        fetch::Event::Grew { file, bytes } => {
            listener.hear(Event::Fetch { name: &file.name, bytes: *bytes, of: file.bytes });
        }
        fetch::Event::Needed { .. } | fetch::Event::Waits { .. } => {
            event.line().iter().for_each(|line| listener.hear(Event::Note(line)));
        }
        _ => {}
    }
}

/// The converted file of fetched weights.
fn fetched_and_converted(
    project: &Project,
    fetched: &Fetched,
    listener: &mut dyn Listener,
) -> Result<PathBuf, RunnerError> {
    let models = models_folder()?;
    let (original, converted) = (fetched.original(&models), fetched.converted(&models));
    if original.is_file() && converted.is_file() {
        return Ok(converted);
    }
    let manifest = Manifest::load(&project.source_of_model(&fetched.source))?;
    let folder = models.join(&fetched.source);
    let mut tell = |event: fetch::Event| show(&event, listener);
    let ensured = fetch::ensure(&manifest, &fetched.source, &folder, &mut tell, interrupt::flag());
    if matches!(ensured, Err(fetch::FetchError::Stopped)) {
        return Err(RunnerError::Interrupted);
    }
    ensured?;
    import::fetched::convert(&original, &converted)?;
    Ok(converted)
}
