//! Chooses the tracker's cues for `posebook track`, as far as the user left them open.
//!
//! In: settings and the project, whose imported files decide. Out: settings with cues that can be computed, and a note for each
//! choice. A cue that the user asked for and that cannot be computed is an error.

use super::super::Project;
use crate::experiment::Settings;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use candle_core::Device;
use posebook_models::appearance::encoder::Encoder;
use posebook_models::appearance::{EncoderSource, RAW_ENCODER, TINY_ENCODER};
use posebook_models::pose_predictor::DEFAULT_MODEL;
use posebook_models::recovery::{ModelSet, PhalpSet, PhalpSetError};
use posebook_track::phalp::{PoseCue, TextureCue};
use std::path::{Path, PathBuf};

/// What the pose predictor is needed for, in messages.
const PREDICTOR_PURPOSE: &str = "the cue P (`phalp.predict`, `phalp.cues.pose = \"predictor\"`)";
/// What an imported encoder is needed for, in messages.
const ENCODER_PURPOSE: &str = "the encoder `appearance.encoder`";

/// What was left open about the cues.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenCues {
    /// A preset was asked for.
    pub has_preset: bool,
    /// The cues are the preset's, and not the user's.
    pub by_preset: bool,
    /// `phalp.cues.texture` was not given.
    pub texture: bool,
    /// `appearance.encoder` was not given.
    pub encoder: bool,
}

/// Decides the cues of `settings`.
///
/// # Errors
/// If the user asked for the pose predictor and it is not imported: what to import.
pub(super) fn choose(
    settings: &mut Settings,
    open: OpenCues,
    project: &Project,
    listener: &mut dyn ProgressListener,
) -> Result<(), PhalpSetError> {
    let mut note = |text: String| listener.on_event(ProgressEvent::Note(&text));
    let models = project.root.join("models");
    if settings.phalp.cues.pose == PoseCue::Predictor
        && let Err(error) = find_predictor(&models, settings)
    {
        if !open.by_preset {
            return Err(error);
        }
        note(format!(
            "P is left out of the preset's phalp.predict=TPL, and the last pose is compared: {error}"
        ));
        settings.phalp.cues.pose = PoseCue::Last;
    }
    if open.has_preset && open.encoder && has_encoder(&models) {
        settings.appearance.encoder = DEFAULT_MODEL.to_string();
        note(format!("appearance.encoder={DEFAULT_MODEL}: PHALP's encoder is imported here"));
    }
    match settings.phalp.cues.texture {
        TextureCue::Uv if open.by_preset => {
            if let Err(reason) = check_appearance(project, settings) {
                settings.phalp.cues.texture = TextureCue::Off;
                note(format!("T is left out of the preset's phalp.predict=TPL: {reason}"));
            }
        }
        TextureCue::Off if open.texture && check_appearance(project, settings).is_ok() => {
            settings.phalp.cues.texture = TextureCue::Uv;
            note(
                "phalp.cues.texture=uv: people are followed by their appearance, too (phalp.cues.texture=off is faster)"
                    .to_string(),
            );
        }
        _ => {}
    }
    Ok(())
}

/// Checks that the pose predictor of the settings is imported.
fn find_predictor(models: &Path, settings: &Settings) -> Result<(), PhalpSetError> {
    let set = PhalpSet::find(models, settings.pose_predictor.model_name(), PREDICTOR_PURPOSE)?;
    match set.pose_predictor_sha256() {
        Some(_) => Ok(()),
        None => Err(PhalpSetError::NoPart {
            path: set.path,
            files: "pose_predictor.pth, pose_predictor.yaml and mean_std.npy",
            purpose: PREDICTOR_PURPOSE,
        }),
    }
}

/// Whether PHALP's own encoder is imported under its default name.
fn has_encoder(models: &Path) -> bool {
    PhalpSet::find(models, DEFAULT_MODEL, ENCODER_PURPOSE).is_ok_and(|set| set.encoder_sha256().is_some())
}

/// Checks that textures can be sampled and encoded: the encoder exists, and the body has an atlas or imported maps.
fn check_appearance(project: &Project, settings: &Settings) -> Result<(), String> {
    let models = project.root.join("models");
    let appearance = &settings.appearance;
    let source = match appearance.encoder.as_str() {
        TINY_ENCODER => EncoderSource::Tiny,
        RAW_ENCODER => EncoderSource::Raw,
        name if name.ends_with(".safetensors") => EncoderSource::File(PathBuf::from(name)),
        name => {
            let set = PhalpSet::find(&models, name, ENCODER_PURPOSE).map_err(|error| error.to_string())?;
            EncoderSource::File(set.encoder().map_err(|error| error.to_string())?)
        }
    };
    Encoder::open(&source, appearance.encode_type, &Device::Cpu).map_err(|error| error.to_string())?;
    let body = ModelSet::load(&project.model(&settings.model)).and_then(|set| set.load_body());
    let has_atlas = body.map_err(|error| error.to_string())?.uv.is_some();
    let has_maps = || PhalpSet::find(&models, DEFAULT_MODEL, "textures").is_ok_and(|set| set.has_maps());
    if has_atlas || has_maps() {
        Ok(())
    } else {
        Err("the body has no texture atlas, and no maps are imported (`posebook model import phalp --from-cache`)".into())
    }
}
