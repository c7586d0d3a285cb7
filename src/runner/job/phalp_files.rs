//! The files of PHALP's networks that a run uses: appearance encoder, UV maps and pose predictor.
//!
//! In: settings and the folder of model sets. Out: their paths, and a hash for the run's key. Imported files come from a set
//! that `posebook model import phalp` made.

use crate::experiment::Settings;
use crate::runner::{Project, RunnerError};
use posebook_core::provenance::{sha256_of_bytes, sha256_of_file};
use posebook_models::appearance::{self, EncoderSource, RAW_ENCODER, Sources, TINY_ENCODER};
use posebook_models::pose_predictor::DEFAULT_MODEL;
use posebook_models::recovery::{ModelSet, PhalpSet};
use posebook_track::phalp::{PoseCue, TextureCue};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The files of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhalpFiles {
    /// File of the appearance encoder; `None` for those that need none.
    pub encoder: Option<PathBuf>,
    /// File of the UV maps; `None` where they are made from the body's atlas.
    pub maps: Option<PathBuf>,
    /// The imported set that has the pose predictor; `None` where the cue is not used.
    pub pose_predictor: Option<PathBuf>,
}

/// Whether a run of these settings computes the appearance of people.
pub fn needs_appearance(settings: &Settings) -> bool {
    settings.phalp.cues.texture != TextureCue::Off || settings.appearance.results
}

impl PhalpFiles {
    /// Finds the files that a run of `settings` needs.
    ///
    /// # Errors
    /// If one is missing; the message says what to import.
    pub fn find(project: &Project, settings: &Settings) -> Result<PhalpFiles, RunnerError> {
        let folder = project.models();
        let mut files = PhalpFiles::default();
        if needs_appearance(settings) {
            let encoder = &settings.appearance.encoder;
            let is_file = Path::new(encoder).extension().is_some_and(|extension| extension == "safetensors");
            let mut set = None;
            if is_file {
                files.encoder = Some(PathBuf::from(encoder));
            } else if ![TINY_ENCODER, RAW_ENCODER].contains(&encoder.as_str()) {
                let found = PhalpSet::find(&folder, encoder, "the appearance encoder")?;
                files.encoder = Some(found.encoder()?);
                set = Some(found);
            }
            // a body with an atlas, such as the built-in one, has its own maps
            let has_atlas = ModelSet::load(&project.model(&settings.model))?.load_body()?.uv.is_some();
            if !has_atlas {
                let set = match set {
                    Some(set) => set,
                    None => PhalpSet::find(&folder, DEFAULT_MODEL, "the texture of a body without an atlas")?,
                };
                files.maps = Some(set.maps()?);
            }
        }
        if settings.phalp.cues.pose == PoseCue::Predictor {
            let name = settings.pose_predictor.model_name();
            let set = PhalpSet::find(&folder, name, "the cue `pose = \"predictor\"`")?;
            set.pose_predictor_sha256();
            files.pose_predictor = Some(set.path.clone());
        }
        Ok(files)
    }

    /// A hash of the files; `None` without any.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn sha256(&self) -> Result<Option<String>, RunnerError> {
        let files = [&self.encoder, &self.maps, &self.pose_predictor];
        let hashes = files.into_iter().flatten().map(|path| sha256_of_file(path).map_err(RunnerError::file(path)));
        let hashes = hashes.collect::<Result<Vec<String>, RunnerError>>()?;
        Ok((!hashes.is_empty()).then(|| sha256_of_bytes(hashes.concat().as_bytes())))
    }

    /// What appearance is computed with; `None` if the settings do not need it.
    pub fn appearance_sources(&self, settings: &Settings) -> Option<Sources> {
        let appearance::Settings { encoder, encode_type, .. } = &settings.appearance;
        needs_appearance(settings).then(|| Sources {
            encoder: match &self.encoder {
                Some(path) => EncoderSource::File(path.clone()),
                None if encoder == RAW_ENCODER => EncoderSource::Raw,
                None => EncoderSource::Tiny,
            },
            encode_type: *encode_type,
            maps: self.maps.clone(),
        })
    }
}
