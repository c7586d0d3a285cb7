//! The set of a published person detector: `NAME.toml` with the network, its sizes, and the source of its weights.
//!
//! In: the file in `models/`; out: a loaded [`MaskRcnn`]. A set with `weights = { formula = "a" }` has no file of weights: its
//! network costs what a trained one costs, and finds nothing sensible.

use super::imported::SourceFile;
use super::set_file::{self, HashProblem};
use super::weights::Weights;
use super::weights_entry::WeightsEntry;
use crate::detect::mask_rcnn::{Architecture, Config, MaskRcnn, MaskRcnnError, Options, formula};
use crate::hmr2::Precision;
use crate::nn::{CheckpointError, checkpoint};
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// License of the models of detectron2's model zoo, as its MODEL_ZOO.md states it.
const MODEL_ZOO_LICENSE: &str = "CC BY-SA 3.0 for the checkpoint of detectron2's model zoo (its MODEL_ZOO.md); another \
                                 checkpoint has its own";
/// ViTDet is a project of detectron2 with a page of its own.
const VITDET_LICENSE: &str = "none is stated on the page of the published checkpoint (detectron2, projects/ViTDet); it was \
                              trained from MAE's weights, whose repository has CC BY-NC 4.0; another checkpoint has its own";

/// Value of `kind` in the file, by which it differs from a model set.
const KIND: &str = "detector";

/// A set of a published detector with resolved paths.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorSet {
    /// The file name without extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// A description in one sentence.
    pub description: String,
    /// License of the weights.
    pub license: String,
    /// Origin of the weights.
    pub origin: String,
    /// Which published detector it is.
    pub architecture: Architecture,
    /// Its sizes: the published ones, unless the file has others.
    pub config: Config,
    /// Source of the weights: a file or a formula.
    pub weights: Weights,
    /// The imported file, if the set was imported.
    pub import: Option<DetectorImport>,
}

/// The contents of the file, as an import writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectorSetFile {
    kind: &'static str,
    detector: Architecture,
    /// A description in one sentence.
    pub description: String,
    /// License of the weights.
    pub licence: String,
    /// Origin of the weights.
    pub origin: String,
    /// Name of the safetensors file next to the set's file.
    pub weights: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Sizes that are not the published ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// The imported file.
    pub import: DetectorImport,
}

/// The record of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorImport {
    /// Number of tensors that the network uses.
    pub tensors_used: usize,
    /// Number of tensors of the checkpoint that the network does not use.
    pub tensors_left_out: usize,
    /// `__author__` of the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The file by its role, `checkpoint`.
    pub sources: BTreeMap<String, SourceFile>,
}

/// What is read of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    #[serde(rename = "kind")]
    _kind: String,
    detector: Architecture,
    description: String,
    licence: String,
    origin: String,
    weights: WeightsEntry,
    sha256: Option<String>,
    config: Option<Config>,
    import: Option<DetectorImport>,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DetectorSetError {
    /// There is no such set.
    #[error("there is no detector `{name}` in {folder}; available: {names}{hint}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The folder of model sets.
        folder: PathBuf,
        /// The available detectors.
        names: String,
        /// How to make one of this name.
        hint: String,
    },
    /// A file cannot be read.
    #[error(
        "cannot read {path}: {source}; `posebook model list` lists the detectors, `posebook model import` makes them"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The set's file is not valid.
    #[error("{path} is not the set of a detector: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The weights have changed since the import.
    #[error(
        "{path} has SHA-256 {found}, but {set} specifies {expected}; import it again (`posebook model import`)"
    )]
    WrongSha256 {
        /// The weights.
        path: PathBuf,
        /// The set's file.
        set: PathBuf,
        /// Hash in the set.
        expected: String,
        /// Hash of the file.
        found: String,
    },
    /// The weights do not fit the sizes, or hold values that cannot be used.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The network cannot be built.
    #[error(transparent)]
    Network(#[from] MaskRcnnError),
}

impl DetectorSetFile {
    /// The file of imported weights. Sizes are written out where they are not the published ones.
    pub fn new(config: &Config, weights: String, sha256: String, import: DetectorImport) -> DetectorSetFile {
        let detector = config.architecture();
        let (name, licence) = match detector {
            Architecture::Vitdet => ("ViTDet-H cascade Mask R-CNN", VITDET_LICENSE),
            Architecture::Regnety => ("RegNetY-4GF Mask R-CNN", MODEL_ZOO_LICENSE),
            Architecture::X101 => ("ResNeXt-101 32x8d Mask R-CNN", MODEL_ZOO_LICENSE),
        };
        DetectorSetFile {
            kind: KIND,
            detector,
            description: format!("{name}, imported from detectron2's checkpoint"),
            licence: licence.into(),
            origin: "detectron2 (github.com/facebookresearch/detectron2), imported from a local file".into(),
            weights,
            sha256,
            config: Some(config).filter(|config| **config != Config::published(detector)).cloned(),
            import,
        }
    }
}

impl DetectorSet {
    /// Reads a set's file; does not check the weights.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    pub fn load(path: &Path) -> Result<DetectorSet, DetectorSetError> {
        let malformed = |reason: String| DetectorSetError::Malformed { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|source| DetectorSetError::Unreadable { path: path.to_path_buf(), source })?;
        if !DetectorSet::is_text_of_set(&text) {
            return Err(malformed(format!("`kind` is not \"{KIND}\"")));
        }
        let file: ReadFile = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let weights = match &file.weights {
            WeightsEntry::Fetched { .. } => {
                Err("weights are the name of a safetensors file or { formula = \"a\" }".into())
            }
            WeightsEntry::File(name) if !set_file::is_plain_name(name) => {
                Err(format!("`{}` is not the name of a file next to it", name.display()))
            }
            entry => entry.weights(file.sha256.as_deref(), path.parent().unwrap_or(Path::new("."))),
        };
        let config = file.config.unwrap_or_else(|| Config::published(file.detector));
        if config.architecture() != file.detector {
            let (detector, backbone) = (file.detector.name(), config.architecture().name());
            return Err(malformed(format!(
                "`detector` is \"{detector}\", but `[config.backbone]` is that of {backbone}"
            )));
        }
        config.validate().map_err(|reason| malformed(format!("`[config]`: {reason}")))?;
        Ok(DetectorSet {
            name: set_file::name(path),
            path: path.to_path_buf(),
            description: file.description,
            license: file.licence,
            origin: file.origin,
            architecture: file.detector,
            config,
            weights: weights.map_err(malformed)?,
            import: file.import,
        })
    }

    /// Loads the set `name` from the folder of model sets.
    ///
    /// # Errors
    /// If there is none with this name (the message lists those available, and how one is made), or if it is not valid.
    pub fn find(folder: &Path, name: &str) -> Result<DetectorSet, DetectorSetError> {
        let path = folder.join(format!("{name}.toml"));
        if path.is_file() {
            return DetectorSet::load(&path);
        }
        let paths = list_files(folder)?;
        let names: Vec<String> = paths.iter().map(|path| set_file::name(path)).collect();
        let hint = match Architecture::ALL.into_iter().find(|architecture| architecture.name() == name) {
            Some(_) => format!(
                "; `posebook model import {name} --from-cache` makes it where PHALP or 4D-Humans has run, and `posebook \
                 model fetch {name}` gets its file. `{name}-formula` has the same cost and finds nothing sensible"
            ),
            None => String::new(),
        };
        let (name, folder, names) = (name.to_string(), folder.to_path_buf(), names.join(", "));
        Err(DetectorSetError::Unknown { name, folder, names, hint })
    }

    /// All detectors of a folder, sorted by name.
    ///
    /// # Errors
    /// If the folder cannot be read or one of the sets is not valid.
    pub fn list(folder: &Path) -> Result<Vec<DetectorSet>, DetectorSetError> {
        list_files(folder)?.iter().map(|path| DetectorSet::load(path)).collect()
    }

    /// Whether the contents of a file in `models/` are the set of a detector.
    pub fn is_text_of_set(text: &str) -> bool {
        set_file::kind(text).as_deref() == Some(KIND)
    }

    /// Identifies the weights: the file's SHA-256, or `formula` and its seed.
    pub fn identity(&self) -> String {
        self.weights.identity()
    }

    /// Verifies that the weights exist and have the right shapes and hash. Weights by formula are always valid.
    ///
    /// # Errors
    /// Lists missing tensors and wrong shapes, or both hashes.
    pub fn verify(&self) -> Result<(), DetectorSetError> {
        let Weights::File { path, sha256 } = &self.weights else { return Ok(()) };
        checkpoint::check(path, &self.config.tensors())?;
        set_file::check_hash(path, sha256).map_err(|problem| self.hash_error(path, sha256, problem))
    }

    /// As [`DetectorSet::verify`], but does not hash a large file again that was verified before and whose size and change
    /// time are the same. Called at the start of each run.
    ///
    /// # Errors
    /// As [`DetectorSet::verify`].
    pub fn verify_cached(&self) -> Result<(), DetectorSetError> {
        let Weights::File { path, sha256 } = &self.weights else { return Ok(()) };
        checkpoint::check(path, &self.config.tensors())?;
        let checked = set_file::check_hash_cached(path, sha256, &self.path);
        checked.map_err(|problem| self.hash_error(path, sha256, problem))
    }

    /// Verifies the weights and loads the detector to a device.
    ///
    /// # Errors
    /// As [`DetectorSet::verify`]; or if a weight is not finite, or the device has too little memory.
    pub fn load_detector(&self, device: &Device, options: Options) -> Result<MaskRcnn, DetectorSetError> {
        self.verify_cached()?;
        let dtype = self.stored_dtype(options.precision);
        let weights = match &self.weights {
            Weights::Formula(seed) => {
                formula::weights(seed, &self.config, dtype, device).map_err(MaskRcnnError::from)?
            }
            Weights::File { path, .. } => checkpoint::read(path, &self.config.tensors(), dtype, device)?,
            Weights::Fetched(_) => {
                let (path, reason) = (self.path.clone(), "weights of a detector are not fetched".into());
                return Err(DetectorSetError::Malformed { path, reason });
            }
        };
        Ok(MaskRcnn::load(&self.config, weights, device, options)?)
    }

    /// Type that weights are read in. Batch norms are folded into convolutions while the network is built, in single
    /// precision; a vision transformer has none, and its weights are too large to be held twice.
    fn stored_dtype(&self, precision: Precision) -> DType {
        match self.architecture {
            Architecture::Vitdet => crate::nn::dtype(precision),
            Architecture::Regnety | Architecture::X101 => DType::F32,
        }
    }

    fn hash_error(&self, path: &Path, sha256: &str, problem: HashProblem) -> DetectorSetError {
        let path = path.to_path_buf();
        match problem {
            HashProblem::Unreadable(source) => DetectorSetError::Unreadable { path, source },
            HashProblem::Differs(found) => {
                let (set, expected) = (self.path.clone(), sha256.to_string());
                DetectorSetError::WrongSha256 { path, set, expected, found }
            }
        }
    }
}

fn list_files(folder: &Path) -> Result<Vec<PathBuf>, DetectorSetError> {
    set_file::list(folder, |kind| kind == Some(KIND))
        .map_err(|source| DetectorSetError::Unreadable { path: folder.to_path_buf(), source })
}
