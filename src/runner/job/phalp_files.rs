//! The files of PHALP's networks that a run uses: appearance encoder, UV maps and pose predictor.
//!
//! In: settings and the folder of model sets. Out: loaded parts, or a hash of the files for the run's key. Imported files come
//! from a set that `posebook model import phalp` made.

use crate::experiment::Settings;
use crate::runner::RunnerError;
use candle_core::Device;
use posebook_core::provenance::{sha256_of_bytes, sha256_of_file};
use posebook_models::appearance::{EncoderSource, Sources};
use posebook_models::body::Body;
use posebook_models::pose_predictor::PoseTransformer;
use posebook_models::recovery::{PhalpSet, appearance_sources};
use posebook_track::phalp::{AppearanceNeeded, PoseCue};
use std::path::{Path, PathBuf};

/// What the pose predictor is needed for, in messages.
const PREDICTOR_PURPOSE: &str = "the cue `pose = \"predictor\"`";

/// What appearance is computed with; `None` if a run of `settings` does not need it. `models` is the folder of model sets.
///
/// # Errors
/// If an imported file is missing; the message says what to import.
pub fn appearance(settings: &Settings, models: &Path, body: &Body) -> Result<Option<Sources>, RunnerError> {
    let needed = settings.phalp.appearance_needed(settings.shots.detect);
    if needed == AppearanceNeeded::Nothing && !settings.appearance.results {
        return Ok(None);
    }
    Ok(Some(appearance_sources(&settings.appearance, models, body)?))
}

/// The pose predictor; `None` if a run of `settings` does not need it.
///
/// # Errors
/// If it is not imported, or the device fails.
pub fn pose_predictor(
    settings: &Settings,
    models: &Path,
    device: &Device,
) -> Result<Option<PoseTransformer>, RunnerError> {
    let Some(set) = predictor_set(settings, models)? else { return Ok(None) };
    Ok(Some(set.pose_predictor(&settings.pose_predictor, device)?))
}

/// A hash of the files that a run of `settings` reads; `None` if there are none.
///
/// # Errors
/// If a file is missing or cannot be read.
pub fn sha256(settings: &Settings, models: &Path, body: &Body) -> Result<Option<String>, RunnerError> {
    let mut files: Vec<PathBuf> = Vec::new();
    if let Some(Sources { encoder, maps, .. }) = appearance(settings, models, body)? {
        if let EncoderSource::File(path) = encoder {
            files.push(path);
        }
        files.extend(maps);
    }
    // the set's file has the hashes of its parts
    files.extend(predictor_set(settings, models)?.map(|set| set.path));
    let hashes = files.iter().map(|path| sha256_of_file(path).map_err(RunnerError::file(path)));
    let hashes = hashes.collect::<Result<Vec<String>, RunnerError>>()?;
    Ok((!hashes.is_empty()).then(|| sha256_of_bytes(hashes.concat().as_bytes())))
}

fn predictor_set(settings: &Settings, models: &Path) -> Result<Option<PhalpSet>, RunnerError> {
    if settings.phalp.cues.pose != PoseCue::Predictor {
        return Ok(None);
    }
    Ok(Some(PhalpSet::find(models, settings.pose_predictor.model_name(), PREDICTOR_PURPOSE)?))
}
