//! The set of imported PHALP files: `NAME.toml` with the paths and hashes of its parts.

use super::imported::SourceFile;
use super::set_file::{self, HashProblem};
use crate::pose_predictor::{PosePredictorError, PoseTransformer, Settings, Structure};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Value of `kind` in the file, by which it differs from a model set.
const KIND: &str = "phalp";

/// An imported set of PHALP's files.
#[derive(Debug, Clone, PartialEq)]
pub struct PhalpSet {
    /// The file name without extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its contents.
    file: PhalpSetFile,
}

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhalpSetFile {
    kind: String,
    /// A description in one sentence.
    pub description: String,
    /// License of the files.
    pub licence: String,
    /// Origin of the files.
    pub origin: String,
    /// HMAR's encoding head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PhalpPart>,
    /// SMPL's UV maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maps: Option<PhalpPart>,
    /// The pose predictor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pose_predictor: Option<PhalpPart>,
    /// Heads and convolutions of the pose predictor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structure: Option<Structure>,
    /// SMPL's faces for rendering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<PhalpPart>,
    /// The imported files by role.
    pub sources: BTreeMap<String, SourceFile>,
}

impl PhalpSetFile {
    /// A set without parts.
    pub fn new(sources: BTreeMap<String, SourceFile>) -> PhalpSetFile {
        PhalpSetFile {
            kind: KIND.into(),
            description: "PHALP's appearance encoder, UV maps and pose predictor, as far as they were given".into(),
            licence: "PHALP's code is MIT; its weights were trained on data for research alone, and the maps are made of \
                      SMPL: none is to be passed on"
                .into(),
            origin: "PHALP (github.com/brjathu/PHALP), imported from local files".into(),
            encoder: None,
            maps: None,
            pose_predictor: None,
            structure: None,
            mesh: None,
            sources,
        }
    }
}

/// A safetensors file next to the set's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhalpPart {
    /// Its name.
    pub file: String,
    /// Its hash.
    pub sha256: String,
}

/// Why a set or a part of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PhalpSetError {
    /// There is no such set.
    #[error(
        "{purpose} needs PHALP's files, but there is no set `{name}` of them in {folder}; `posebook model import phalp \
         --from-cache` makes one where PHALP has run, and `posebook model fetch phalp` gets the files"
    )]
    NoSet {
        /// The requested name.
        name: String,
        /// The folder of model sets.
        folder: PathBuf,
        /// What it is needed for.
        purpose: &'static str,
    },
    /// The set lacks a part.
    #[error(
        "{purpose} needs {files}, which {path} was imported without; remove the set and import it again with them \
         (`posebook model import phalp`)"
    )]
    NoPart {
        /// The set's file.
        path: PathBuf,
        /// PHALP's files that make the part.
        files: &'static str,
        /// What it is needed for.
        purpose: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; import PHALP's files again (`posebook model import phalp`)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The set's file is not valid.
    #[error(
        "{path} is not a set of PHALP's files: {reason}; import them again (`posebook model import phalp`)"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A part has changed since the import.
    #[error("{path} has SHA-256 {found}, but {set} specifies {expected}; import PHALP's files again")]
    WrongSha256 {
        /// The part.
        path: PathBuf,
        /// The set's file.
        set: PathBuf,
        /// Hash in the set.
        expected: String,
        /// Hash of the file.
        found: String,
    },
    /// The pose predictor cannot be built.
    #[error(transparent)]
    PosePredictor(#[from] PosePredictorError),
}

impl PhalpSet {
    /// Loads the set `name` from the folder of model sets; `purpose` is what it is needed for, for the message.
    ///
    /// # Errors
    /// If there is none, or it is not valid.
    pub fn find(folder: &Path, name: &str, purpose: &'static str) -> Result<PhalpSet, PhalpSetError> {
        let path = folder.join(format!("{name}.toml"));
        match path.is_file() {
            true => PhalpSet::load(&path),
            false => {
                Err(PhalpSetError::NoSet { name: name.to_string(), folder: folder.to_path_buf(), purpose })
            }
        }
    }

    /// All sets of PHALP's files in a folder, sorted by name.
    ///
    /// # Errors
    /// If the folder cannot be read or one of the sets is not valid.
    pub fn list(folder: &Path) -> Result<Vec<PhalpSet>, PhalpSetError> {
        let paths = set_file::list(folder, |kind| kind == Some(KIND))
            .map_err(|source| PhalpSetError::Unreadable { path: folder.to_path_buf(), source })?;
        paths.iter().map(|path| PhalpSet::load(path)).collect()
    }

    /// Reads a set's file; does not check its parts.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    pub fn load(path: &Path) -> Result<PhalpSet, PhalpSetError> {
        let malformed = |reason: String| PhalpSetError::Malformed { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|source| PhalpSetError::Unreadable { path: path.to_path_buf(), source })?;
        if !PhalpSet::is_text_of_set(&text) {
            return Err(malformed(format!("`kind` is not \"{KIND}\"")));
        }
        let file: PhalpSetFile = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let set = PhalpSet { name: set_file::name(path), path: path.to_path_buf(), file };
        let is_plain = |part: &PhalpPart| set_file::is_plain_name(Path::new(&part.file));
        if let Some((_, part)) = set.parts().into_iter().find(|(_, part)| !is_plain(part)) {
            return Err(malformed(format!("`{}` is not the name of a file next to it", part.file)));
        }
        Ok(set)
    }

    /// Whether the contents of a file in `models/` are a set of PHALP's files, not a model set.
    pub fn is_text_of_set(text: &str) -> bool {
        set_file::kind(text).as_deref() == Some(KIND)
    }

    /// The safetensors file of HMAR's encoding head, `encoding_head.*`.
    ///
    /// # Errors
    /// If the set has none, or it has changed.
    pub fn encoder(&self) -> Result<PathBuf, PhalpSetError> {
        self.part(self.file.encoder.as_ref(), "hmar_v2_weights.pth", "PHALP's appearance encoder")
    }

    /// The safetensors file of SMPL's UV maps: `fmap` and `bmap`.
    ///
    /// # Errors
    /// If the set has none, or it has changed.
    pub fn maps(&self) -> Result<PathBuf, PhalpSetError> {
        self.part(self.file.maps.as_ref(), "bmap_256.npy and fmap_256.npy", "the texture of SMPL's body")
    }

    /// Whether the set has UV maps; without them, those of the body's own atlas are used.
    pub fn has_maps(&self) -> bool {
        self.file.maps.is_some()
    }

    /// The safetensors file of SMPL's faces: `smpl_faces`, `vt` and `ft` of `texture.npz`, and `head_faces`, as far as they
    /// were imported.
    ///
    /// # Errors
    /// If the set has none, or it has changed.
    pub fn mesh(&self) -> Result<PathBuf, PhalpSetError> {
        self.part(self.file.mesh.as_ref(), "texture.npz or head_faces.npy", "rendering with PHALP's faces")
    }

    /// Loads the pose predictor.
    ///
    /// # Errors
    /// If the set has none, it has changed, or the device fails.
    pub fn pose_predictor(
        &self,
        settings: &Settings,
        device: &Device,
    ) -> Result<PoseTransformer, PhalpSetError> {
        let files = "pose_predictor.pth, pose_predictor.yaml and mean_std.npy";
        let path = self.part(self.file.pose_predictor.as_ref(), files, "the cue `pose = \"predictor\"`")?;
        let structure = self.file.structure.ok_or_else(|| PhalpSetError::Malformed {
            path: self.path.clone(),
            reason: "`structure`, the heads and convolutions of the pose predictor, is missing".into(),
        })?;
        Ok(PoseTransformer::load(&path, structure, settings, device)?)
    }

    /// SHA-256 of the pose predictor's file, which identifies it in a run's record.
    pub fn pose_predictor_sha256(&self) -> Option<&str> {
        self.file.pose_predictor.as_ref().map(|part| part.sha256.as_str())
    }

    /// SHA-256 of the encoder's file.
    pub fn encoder_sha256(&self) -> Option<&str> {
        self.file.encoder.as_ref().map(|part| part.sha256.as_str())
    }

    /// Checks that every part exists and has its hash.
    ///
    /// # Errors
    /// The first part that does not.
    pub fn verify(&self) -> Result<(), PhalpSetError> {
        self.parts().into_iter().try_for_each(|(_, part)| self.check(part).map(drop))
    }

    /// The imported files by role.
    pub fn sources(&self) -> &BTreeMap<String, SourceFile> {
        &self.file.sources
    }

    /// A description in one sentence, the license and the origin.
    pub fn about(&self) -> [&str; 3] {
        [&self.file.description, &self.file.licence, &self.file.origin]
    }

    /// The parts with their names.
    pub fn parts(&self) -> Vec<(&'static str, &PhalpPart)> {
        let PhalpSetFile { encoder, maps, pose_predictor, mesh, .. } = &self.file;
        let all = [("encoder", encoder), ("maps", maps), ("pose predictor", pose_predictor), ("mesh", mesh)];
        all.into_iter().filter_map(|(name, part)| Some((name, part.as_ref()?))).collect()
    }

    fn part(
        &self,
        part: Option<&PhalpPart>,
        files: &'static str,
        purpose: &'static str,
    ) -> Result<PathBuf, PhalpSetError> {
        match part {
            Some(part) => self.check(part),
            None => Err(PhalpSetError::NoPart { path: self.path.clone(), files, purpose }),
        }
    }

    fn check(&self, part: &PhalpPart) -> Result<PathBuf, PhalpSetError> {
        let path = self.path.parent().unwrap_or(Path::new(".")).join(&part.file);
        match set_file::check_hash(&path, &part.sha256) {
            Ok(()) => Ok(path),
            Err(HashProblem::Unreadable(source)) => Err(PhalpSetError::Unreadable { path, source }),
            Err(HashProblem::Differs(found)) => {
                let (set, expected) = (self.path.clone(), part.sha256.clone());
                Err(PhalpSetError::WrongSha256 { path, set, expected, found })
            }
        }
    }
}
