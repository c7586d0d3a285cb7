//! Model sets: files in `models/` that specify an architecture, its weights and body, and their origin. This module finds,
//! verifies and loads them.

use super::RecoveryError;
use super::architecture::Architecture;
use super::fetched::models_folder;
use super::imported::ImportRecord;
use super::model_set_file::ModelSetFile;
use super::set_file::{self, HashProblem};
use super::weights::Weights;
use crate::body::Body;
use crate::hmr2::{Config, Network, Precision, formula};
use crate::nn::checkpoint;
use candle_core::Device;
use candle_nn::VarBuilder;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// `body` entry for the built-in body.
const BUILT_IN_BODY: &str = "stand-in";
/// Name of the model set for the published HMR2 network, which cannot be redistributed.
pub const HMR2_MODEL_SET: &str = "hmr2";

/// A model set with resolved paths.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSet {
    /// The file name without extension.
    pub name: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// A description in one sentence.
    pub description: String,
    /// The network and its sizes.
    pub architecture: Architecture,
    /// Source of the weights.
    pub weights: Weights,
    /// License of the weights.
    pub license: String,
    /// Origin of the weights.
    pub origin: String,
    /// Body model of the weights.
    pub body: BodySource,
    /// Details of the training for display; not interpreted.
    pub training: Option<toml::Table>,
    /// The imported files, if the set was imported.
    pub import: Option<ImportRecord>,
}

/// Body model of a network's weights.
#[derive(Debug, Clone, PartialEq)]
pub enum BodySource {
    /// The free built-in body.
    BuiltIn,
    /// A file in SMPL's format.
    File(PathBuf),
}

impl ModelSet {
    /// Reads a model set; does not check the weights.
    ///
    /// # Errors
    /// If the file cannot be read, is not a valid model set, or has invalid sizes.
    pub fn load(path: &Path) -> Result<ModelSet, RecoveryError> {
        let malformed = |message: String| RecoveryError::Malformed { path: path.to_path_buf(), message };
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecoveryError::Unreadable { path: path.to_path_buf(), source })?;
        if let Some(kind) = set_file::kind(&text) {
            return Err(malformed(format!(
                "a set with `kind = \"{kind}\"` has no network that recovers bodies"
            )));
        }
        let file: ModelSetFile = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let architecture = file.architecture().map_err(malformed)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let weights = file.weights(folder).map_err(malformed)?;
        let body = match file.body.as_str() {
            BUILT_IN_BODY => BodySource::BuiltIn,
            path => BodySource::File(folder.join(path)),
        };
        Ok(ModelSet {
            name: set_file::name(path),
            path: path.to_path_buf(),
            description: file.description,
            architecture,
            weights,
            license: file.licence,
            origin: file.origin,
            body,
            training: file.training,
            import: file.import,
        })
    }

    /// All model sets of a folder, sorted by name.
    ///
    /// # Errors
    /// If the folder cannot be read or one of its files is not a valid model set.
    pub fn list(folder: &Path) -> Result<Vec<ModelSet>, RecoveryError> {
        toml_files(folder)?.iter().map(|path| ModelSet::load(path)).collect()
    }

    /// Loads the model set `name` from a folder.
    ///
    /// # Errors
    /// If there is none with this name (the message lists those available), or if it is not valid.
    pub fn find(folder: &Path, name: &str) -> Result<ModelSet, RecoveryError> {
        let path = folder.join(format!("{name}.toml"));
        if path.is_file() {
            return ModelSet::load(&path);
        }
        let names: Vec<String> = toml_files(folder)?.iter().map(|path| set_file::name(path)).collect();
        let hint = match name {
            HMR2_MODEL_SET => {
                "; `posebook model import hmr2` creates it from the files that 4D-Humans downloads"
            }
            _ => "",
        };
        let (name, folder, names) = (name.to_string(), folder.to_path_buf(), names.join(", "));
        Err(RecoveryError::Unknown { name, folder, names, hint })
    }

    /// Verifies that the weights exist and have the right shapes and hash. Weights by formula are always valid.
    ///
    /// # Errors
    /// Lists missing tensors and wrong shapes, or both hashes.
    pub fn verify(&self) -> Result<(), RecoveryError> {
        let (path, sha256) = match &self.weights {
            Weights::File { path, sha256 } => (path, sha256),
            Weights::Formula(_) => return Ok(()),
            // the conversion is created from the original when needed
            Weights::Fetched(fetched) => {
                let original = fetched.original_path(&models_folder()?);
                self.check_exists(&original)?;
                return self.check_hash(&original, &fetched.sha256);
            }
        };
        self.check_tensors(path)?;
        self.check_hash(path, sha256)?;
        match (&self.import, &self.body) {
            (Some(import), BodySource::File(body)) => self.check_hash(body, &import.body_sha256),
            _ => Ok(()),
        }
    }

    /// As [`ModelSet::verify`], but does not hash a large file again that was verified before and whose size and change time
    /// are the same. Called at the start of each run.
    ///
    /// # Errors
    /// As [`ModelSet::verify`].
    pub fn verify_cached(&self) -> Result<(), RecoveryError> {
        let (path, sha256) = match &self.weights {
            Weights::File { path, sha256 } => (path, sha256),
            Weights::Formula(_) => return Ok(()),
            // fetched files are hashed before they are moved to the cache
            Weights::Fetched(_) => return self.check_fetched(),
        };
        self.check_tensors(path)?;
        let checked = set_file::check_hash_cached(path, sha256, &self.path);
        checked.map_err(|problem| self.hash_error(path, sha256, problem))
    }

    /// Checks that the fetched weights and their conversion are in the user's cache.
    fn check_fetched(&self) -> Result<(), RecoveryError> {
        let Weights::Fetched(fetched) = &self.weights else { return Ok(()) };
        let models = models_folder()?;
        self.check_exists(&fetched.original_path(&models))?;
        self.check_exists(&fetched.converted_path(&models))
    }

    /// Checks that a file of fetched weights exists.
    fn check_exists(&self, path: &Path) -> Result<(), RecoveryError> {
        match &self.weights {
            Weights::Fetched(fetched) if !path.is_file() => Err(RecoveryError::NotFetched {
                name: self.name.clone(),
                path: path.to_path_buf(),
                source_name: fetched.source.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn check_tensors(&self, path: &Path) -> Result<(), RecoveryError> {
        match self.architecture.hmr2() {
            Some(config) => Ok(checkpoint::check(path, &config.tensors())?),
            None => Ok(()),
        }
    }

    fn check_hash(&self, path: &Path, sha256: &str) -> Result<(), RecoveryError> {
        set_file::check_hash(path, sha256).map_err(|problem| self.hash_error(path, sha256, problem))
    }

    fn hash_error(&self, path: &Path, sha256: &str, problem: HashProblem) -> RecoveryError {
        let path = path.to_path_buf();
        match problem {
            HashProblem::Unreadable(source) => RecoveryError::Unreadable { path, source },
            HashProblem::Differs(found) => {
                let (set, expected) = (self.path.clone(), sha256.to_string());
                RecoveryError::WrongSha256 { path, set, expected, found }
            }
        }
    }

    /// HMR2's configuration.
    ///
    /// # Errors
    /// If the set holds another network; `purpose` (what HMR2 is needed for) is part of the message.
    pub fn hmr2_config(&self, purpose: &'static str) -> Result<&Config, RecoveryError> {
        let (name, network) = (self.name.clone(), self.architecture.name());
        self.architecture.hmr2().ok_or(RecoveryError::NotHmr2 { name, network, purpose })
    }

    /// Loads HMR2's weights to a device in a precision from the file or by formula. Does not verify the hash; see
    /// [`ModelSet::verify_cached`].
    ///
    /// # Errors
    /// If the set holds another network, the file cannot be read, lacks a tensor or has one of another shape; or
    /// if the device has too little memory.
    pub fn load_weights(
        &self,
        precision: Precision,
        device: &Device,
    ) -> Result<VarBuilder<'static>, RecoveryError> {
        let config = self.hmr2_config("its transformer's weights")?;
        let dtype = crate::nn::dtype(precision);
        let weights = match &self.weights {
            Weights::File { path, .. } => checkpoint::read(path, &config.tensors(), dtype, device)?,
            Weights::Formula(seed) => formula::weights(seed, config, dtype, device)?,
            // sets with fetched weights are never HMR2
            Weights::Fetched(_) => HashMap::new(),
        };
        Ok(VarBuilder::from_tensors(weights, dtype, device))
    }

    /// Verifies and loads HMR2's network.
    ///
    /// # Errors
    /// As [`ModelSet::verify`] and [`ModelSet::load_weights`].
    pub fn load_network(&self, precision: Precision, device: &Device) -> Result<Network, RecoveryError> {
        self.verify_cached()?;
        Ok(Network::load(self.hmr2_config("a forward pass")?, self.load_weights(precision, device)?)?)
    }

    /// Loads the body model.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn load_body(&self) -> Result<Body, RecoveryError> {
        match &self.body {
            BodySource::BuiltIn => Ok(Body::built_in()),
            BodySource::File(path) => Ok(Body::load(path)?),
        }
    }
}

/// The files of model sets in a folder: those without a `kind`, which other sets have, sorted.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, RecoveryError> {
    set_file::list(folder, |kind| kind.is_none())
        .map_err(|source| RecoveryError::Unreadable { path: folder.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Tensor};
    use posebook_core::provenance::sha256_of_file;

    const TINY: &str = r#"
        description = "for tests"
        weights = "w.safetensors"
        sha256 = "SHA"
        licence = "CC0-1.0"
        origin = "zeros"
        body = "stand-in"
        [architecture]
        image_size = 64
        backbone = { patch_size = 16, dim = 8, depth = 1, heads = 2, mlp_ratio = 2 }
        head = { dim = 8, depth = 1, heads = 2, dim_head = 4, mlp_dim = 8 }
    "#;

    fn write_set(folder: &Path, sha256: &str) -> PathBuf {
        let path = folder.join("test.toml");
        std::fs::write(&path, TINY.replace("SHA", sha256)).unwrap();
        path
    }

    fn file(set: &ModelSet) -> &Path {
        match &set.weights {
            Weights::File { path, .. } => path,
            other => panic!("expected a file, found {other:?}"),
        }
    }

    fn save_weights(set: &ModelSet, omitted: &str) {
        let tensors: HashMap<String, Tensor> = set
            .hmr2_config("this test")
            .unwrap()
            .tensors()
            .into_iter()
            .filter(|spec| spec.key != omitted)
            .map(|spec| (spec.key, Tensor::zeros(spec.shape, DType::F32, &Device::Cpu).unwrap()))
            .collect();
        candle_core::safetensors::save(&tensors, file(set)).unwrap();
    }

    #[test]
    fn weights_are_verified() {
        let folder = tempfile::tempdir().unwrap();
        let set = ModelSet::load(&write_set(folder.path(), &"0".repeat(64))).unwrap();
        assert_eq!((set.name.as_str(), &set.body), ("test", &BodySource::BuiltIn));
        let message = set.verify().unwrap_err().to_string();
        assert!(
            message.contains("cannot read the weights") && message.contains("w.safetensors"),
            "{message}"
        );
        save_weights(&set, "backbone.pos_embed");
        let message = set.verify().unwrap_err().to_string();
        assert!(message.contains("1 of 46 tensors are missing (backbone.pos_embed)"), "{message}");
        save_weights(&set, "");
        let message = set.verify().unwrap_err().to_string();
        assert!(message.contains("SHA-256") && message.contains("test.toml"), "{message}");
        let right = sha256_of_file(file(&set)).unwrap();
        let set = ModelSet::load(&write_set(folder.path(), &right)).unwrap();
        set.verify().unwrap();
        set.verify_cached().unwrap();
        assert_eq!(set.weights.identity(), right);
        assert_eq!(ModelSet::list(folder.path()).unwrap(), [set]);
    }

    #[test]
    fn weights_can_be_defined_by_a_formula() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made-up.toml");
        let load = |weights: &str, rest: &str| {
            let text = TINY.replace("\"w.safetensors\"", weights).replace("sha256 = \"SHA\"", rest);
            std::fs::write(&path, text).unwrap();
            ModelSet::load(&path)
        };
        let set = load("{ formula = \"a\" }", "").unwrap();
        assert_eq!(set.weights, Weights::Formula("a".into()));
        assert_eq!(set.weights.identity(), "formula a");
        set.verify().unwrap();
        let message = |weights, rest| load(weights, rest).unwrap_err().to_string();
        let hash = format!("sha256 = \"{}\"", "0".repeat(64));
        assert!(message("{ formula = \"a\" }", &hash).contains("leave it out"));
        assert!(message("\"w.safetensors\"", "").contains("no sha256 of w.safetensors"));
        assert!(message("{ formulas = \"a\" }", "").contains("formulas"));
        assert!(message("7", "").contains("formula = "));
    }

    #[test]
    fn errors_in_a_set_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_set(folder.path(), "short");
        assert!(ModelSet::load(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
        std::fs::write(&path, TINY.replace("SHA", &"0".repeat(64)).replace("licence", "license")).unwrap();
        assert!(ModelSet::load(&path).unwrap_err().to_string().contains("license"));
        let message = ModelSet::find(folder.path(), "tiny").unwrap_err().to_string();
        assert!(message.contains("no model set `tiny`") && message.contains("test"), "{message}");
    }
}
