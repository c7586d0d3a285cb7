//! Model sets: the files in `models/` that say which weights belong to which architecture, and where
//! they come from.

use super::RecoveryError;
use super::architecture::Architecture;
use super::fetched::{Fetched, models_folder};
use super::imported::Imported;
use super::stamp::Stamp;
use crate::blazepose::Variant;
use crate::body::Body;
use crate::hmr2::{Config, Network, Precision, formula};
use crate::nn::checkpoint;
use crate::provenance::sha256_of_file;
use candle_core::Device;
use candle_nn::VarBuilder;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The body that comes with the program.
const STAND_IN: &str = "stand-in";
/// The published network, which nobody may ship.
pub const PUBLISHED: &str = "hmr2";

/// A model set, its paths resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSet {
    /// The file's name without its ending.
    pub name: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// What it is, in one sentence.
    pub description: String,
    pub architecture: Architecture,
    pub weights: Weights,
    pub licence: String,
    /// Where the weights come from.
    pub origin: String,
    pub body: BodySource,
    /// How the weights were made, as told by who made them; kept and shown, never acted on.
    pub training: Option<toml::Table>,
    /// Which files the set was imported from, where it was.
    pub import: Option<Imported>,
}

/// Where a network's weights come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// A safetensors file, and what it hashes to, 64 hexadecimal digits.
    File { path: PathBuf, sha256: String },
    /// None: every weight follows from its name and this word (see [`super::formula`]). Such a network knows
    /// nothing of people, and costs what a trained one costs.
    Formula(String),
    /// A file that others publish, fetched into the user's cache.
    Fetched(Fetched),
}

impl Weights {
    /// What tells these weights from any others: a file's SHA-256, or the formula's word.
    pub fn identity(&self) -> String {
        match self {
            Weights::File { sha256, .. } | Weights::Fetched(Fetched { sha256, .. }) => sha256.clone(),
            Weights::Formula(word) => format!("formula {word}"),
        }
    }
}

/// Which body the weights speak of.
#[derive(Debug, Clone, PartialEq)]
pub enum BodySource {
    /// The free one that comes with the program.
    StandIn,
    /// A file in SMPL's format.
    File(PathBuf),
}

/// A model set as written; paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    description: String,
    weights: WrittenWeights,
    sha256: Option<String>,
    licence: String,
    origin: String,
    body: String,
    architecture: Option<Config>,
    blazepose: Option<Variant>,
    training: Option<toml::Table>,
    import: Option<Imported>,
}

/// `"file.safetensors"`, `{ formula = "a" }` or `{ fetched = "source", file = "file.tflite" }`.
#[derive(Debug, PartialEq)]
enum WrittenWeights {
    File(PathBuf),
    Formula(String),
    Fetched { source: String, file: PathBuf },
}

impl<'de> Deserialize<'de> for WrittenWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WrittenWeights, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            formula: Option<String>,
            fetched: Option<String>,
            file: Option<PathBuf>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WrittenWeights;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str(
                    "the name of a safetensors file, { formula = \"a\" }, or { fetched = \"source\", file = \"name\" }",
                )
            }

            fn visit_str<E: de::Error>(self, file: &str) -> Result<WrittenWeights, E> {
                Ok(WrittenWeights::File(file.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenWeights, A::Error> {
                let written = Table::deserialize(MapAccessDeserializer::new(map))?;
                match (written.formula, written.fetched, written.file) {
                    (Some(word), None, None) => Ok(WrittenWeights::Formula(word)),
                    (None, Some(source), Some(file)) => Ok(WrittenWeights::Fetched { source, file }),
                    _ => Err(de::Error::custom(
                        "weights are { formula = \"a\" } or { fetched = \"source\", file = \"name\" }",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Written {
    /// Where the weights come from, files below `folder`.
    fn weights(&self, folder: &Path) -> Result<Weights, String> {
        match (&self.weights, &self.sha256) {
            (WrittenWeights::Formula(_), Some(_)) => {
                Err("weights by formula have no file, and so no sha256; leave it out".into())
            }
            (WrittenWeights::Formula(word), None) => Ok(Weights::Formula(word.clone())),
            (WrittenWeights::File(file), None) => {
                Err(format!("there is no sha256 of {}; write it down", file.display()))
            }
            (WrittenWeights::Fetched { file, .. }, None) => {
                Err(format!("there is no sha256 of {}; write it down", file.display()))
            }
            (WrittenWeights::File(_) | WrittenWeights::Fetched { .. }, Some(hash)) if !is_sha256(hash) => {
                Err(format!("sha256 is `{hash}`; it has to be 64 hexadecimal digits"))
            }
            (WrittenWeights::Fetched { source, file }, Some(hash)) => {
                let (source, file, sha256) = (source.clone(), file.clone(), hash.to_ascii_lowercase());
                Ok(Weights::Fetched(Fetched { source, file, sha256 }))
            }
            (WrittenWeights::File(file), Some(hash)) => {
                Ok(Weights::File { path: folder.join(file), sha256: hash.to_ascii_lowercase() })
            }
        }
    }
}

impl Written {
    /// The network that the set names.
    fn architecture(&self) -> Result<Architecture, String> {
        match (&self.architecture, self.blazepose, &self.weights) {
            (Some(config), None, WrittenWeights::File(_) | WrittenWeights::Formula(_)) => {
                config.validate().map_err(|error| error.to_string())?;
                Ok(Architecture::Hmr2(config.clone()))
            }
            (None, Some(variant), WrittenWeights::Fetched { .. }) => Ok(Architecture::BlazePose(variant)),
            (Some(_), None, _) => Err("HMR2's weights are a file or a formula; fetched ones are BlazePose's".into()),
            (None, Some(_), _) => Err("BlazePose's weights are { fetched = \"source\", file = \"name\" }".into()),
            (Some(_), Some(_), _) => Err("a set has one network: `[architecture]` or `blazepose`".into()),
            (None, None, _) => Err("which network is it? `[architecture]` has HMR2's sizes, `blazepose` is \"lite\", \"full\" or \"heavy\"".into()),
        }
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl ModelSet {
    /// Reads a model set; the weights are not looked at.
    ///
    /// # Errors
    /// If the file cannot be read, is no model set, or its sizes cannot make a network.
    pub fn load(path: &Path) -> Result<ModelSet, RecoveryError> {
        let malformed = |message: String| RecoveryError::Malformed { path: path.to_path_buf(), message };
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecoveryError::Unreadable { path: path.to_path_buf(), source })?;
        let written: Written = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let architecture = written.architecture().map_err(malformed)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let weights = written.weights(folder).map_err(malformed)?;
        let body = match written.body.as_str() {
            STAND_IN => BodySource::StandIn,
            file => BodySource::File(folder.join(file)),
        };
        Ok(ModelSet {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.to_path_buf(),
            description: written.description,
            architecture,
            weights,
            licence: written.licence,
            origin: written.origin,
            body,
            training: written.training,
            import: written.import,
        })
    }

    /// Every model set of a folder, by name.
    ///
    /// # Errors
    /// If the folder cannot be read or one of its files is no model set.
    pub fn list(folder: &Path) -> Result<Vec<ModelSet>, RecoveryError> {
        files(folder)?.iter().map(|path| ModelSet::load(path)).collect()
    }

    /// The model set `name` of a folder.
    ///
    /// # Errors
    /// If there is none of that name (the message says which there are), or it is no model set.
    pub fn find(folder: &Path, name: &str) -> Result<ModelSet, RecoveryError> {
        let path = folder.join(format!("{name}.toml"));
        if path.is_file() {
            return ModelSet::load(&path);
        }
        let names: Vec<String> = files(folder)?
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        let hint = match name {
            PUBLISHED => "; `posebook model import hmr2` makes it of the files that 4D-Humans downloads",
            _ => "",
        };
        let (name, folder, names) = (name.to_string(), folder.to_path_buf(), names.join(", "));
        Err(RecoveryError::Unknown { name, folder, names, hint })
    }

    /// Holds the weights against what the set says: there, whole, of the right shapes and hash. Weights by
    /// formula are as they should be.
    ///
    /// # Errors
    /// One message that lists what is missing or has another shape, or names both hashes.
    pub fn verify(&self) -> Result<(), RecoveryError> {
        let (path, sha256) = match &self.weights {
            Weights::File { path, sha256 } => (path, sha256),
            Weights::Formula(_) => return Ok(()),
            // the conversion is made of the original at need
            Weights::Fetched(fetched) => {
                let original = fetched.original(&models_folder()?);
                self.is_there(&original)?;
                return self.hold_hash(&original, &fetched.sha256);
            }
        };
        self.check_tensors(path)?;
        self.hold_hash(path, sha256)?;
        match (&self.import, &self.body) {
            (Some(import), BodySource::File(body)) => self.hold_hash(body, &import.body_sha256),
            _ => Ok(()),
        }
    }

    /// [`ModelSet::verify`], but a large file is not hashed again that was found right before and has kept its
    /// size and its time of change since: runs ask this each time.
    ///
    /// # Errors
    /// As [`ModelSet::verify`].
    pub fn verify_once(&self) -> Result<(), RecoveryError> {
        let (path, sha256) = match &self.weights {
            Weights::File { path, sha256 } => (path, sha256),
            Weights::Formula(_) => return Ok(()),
            // what was fetched was hashed before it was put into the cache
            Weights::Fetched(_) => return self.is_fetched(),
        };
        self.check_tensors(path)?;
        let stamp = Stamp::of(path, sha256);
        if stamp.as_ref().is_some_and(|stamp| stamp.is_kept(&self.path)) {
            return Ok(());
        }
        self.hold_hash(path, sha256)?;
        if let Some(stamp) = stamp {
            stamp.keep(&self.path);
        }
        Ok(())
    }

    /// Whether the fetched weights and their conversion are in the user's cache.
    fn is_fetched(&self) -> Result<(), RecoveryError> {
        let Weights::Fetched(fetched) = &self.weights else { return Ok(()) };
        let models = models_folder()?;
        self.is_there(&fetched.original(&models))?;
        self.is_there(&fetched.converted(&models))
    }

    /// Whether a file of fetched weights is there.
    fn is_there(&self, path: &Path) -> Result<(), RecoveryError> {
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

    fn hold_hash(&self, path: &Path, sha256: &str) -> Result<(), RecoveryError> {
        let found = sha256_of_file(path)
            .map_err(|source| RecoveryError::Unreadable { path: path.to_path_buf(), source })?;
        if found != sha256 {
            return Err(RecoveryError::WrongSha256 {
                path: path.to_path_buf(),
                set: self.path.clone(),
                wanted: sha256.to_string(),
                found,
            });
        }
        Ok(())
    }

    /// HMR2's sizes.
    ///
    /// # Errors
    /// If the set holds another network, which `wanted` cannot do with.
    pub fn hmr2(&self, wanted: &'static str) -> Result<&Config, RecoveryError> {
        let (name, network) = (self.name.clone(), self.architecture.name());
        self.architecture.hmr2().ok_or(RecoveryError::NotHmr2 { name, network, wanted })
    }

    /// HMR2's weights on a device and in a precision: read, or made by formula. They are not compared with their
    /// hash: [`ModelSet::verify_once`] does.
    ///
    /// # Errors
    /// If the set holds another network, the file cannot be read, lacks a tensor or has one of another shape; or
    /// the device has no room.
    pub fn load_weights(
        &self,
        precision: Precision,
        device: &Device,
    ) -> Result<VarBuilder<'static>, RecoveryError> {
        let config = self.hmr2("its transformer's weights")?;
        let dtype = precision.dtype();
        let weights = match &self.weights {
            Weights::File { path, .. } => checkpoint::read(path, &config.tensors(), dtype, device)?,
            Weights::Formula(word) => formula::weights(word, config, dtype, device)?,
            // a set with fetched weights is no HMR2
            Weights::Fetched(_) => HashMap::new(),
        };
        Ok(VarBuilder::from_tensors(weights, dtype, device))
    }

    /// HMR2's network alone, compared with its set first.
    ///
    /// # Errors
    /// As [`ModelSet::verify`] and [`ModelSet::load_weights`].
    pub fn network(&self, precision: Precision, device: &Device) -> Result<Network, RecoveryError> {
        self.verify_once()?;
        Ok(Network::load(self.hmr2("a forward pass")?, self.load_weights(precision, device)?)?)
    }

    /// The body that the weights speak of.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn load_body(&self) -> Result<Body, RecoveryError> {
        match &self.body {
            BodySource::StandIn => Ok(Body::stand_in()),
            BodySource::File(path) => Ok(Body::load(path)?),
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, RecoveryError> {
    let unreadable = |source| RecoveryError::Unreadable { path: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Tensor};

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

    fn written(folder: &Path, sha256: &str) -> PathBuf {
        let path = folder.join("test.toml");
        std::fs::write(&path, TINY.replace("SHA", sha256)).unwrap();
        path
    }

    fn file(set: &ModelSet) -> &Path {
        match &set.weights {
            Weights::File { path, .. } => path,
            other => panic!("there is no file, but {other:?}"),
        }
    }

    fn save_weights(set: &ModelSet, but: &str) {
        let tensors: HashMap<String, Tensor> = set
            .hmr2("this test")
            .unwrap()
            .tensors()
            .into_iter()
            .filter(|spec| spec.key != but)
            .map(|spec| (spec.key, Tensor::zeros(spec.shape, DType::F32, &Device::Cpu).unwrap()))
            .collect();
        candle_core::safetensors::save(&tensors, file(set)).unwrap();
    }

    #[test]
    fn weights_are_held_against_their_set() {
        let folder = tempfile::tempdir().unwrap();
        let set = ModelSet::load(&written(folder.path(), &"0".repeat(64))).unwrap();
        assert_eq!((set.name.as_str(), &set.body), ("test", &BodySource::StandIn));
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
        let set = ModelSet::load(&written(folder.path(), &right)).unwrap();
        set.verify().unwrap();
        set.verify_once().unwrap();
        assert_eq!(set.weights.identity(), right);
        assert_eq!(ModelSet::list(folder.path()).unwrap(), [set]);
    }

    #[test]
    fn weights_may_follow_from_a_formula() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made-up.toml");
        let by = |weights: &str, rest: &str| {
            let text = TINY.replace("\"w.safetensors\"", weights).replace("sha256 = \"SHA\"", rest);
            std::fs::write(&path, text).unwrap();
            ModelSet::load(&path)
        };
        let set = by("{ formula = \"a\" }", "").unwrap();
        assert_eq!(set.weights, Weights::Formula("a".into()));
        assert_eq!(set.weights.identity(), "formula a");
        set.verify().unwrap();
        let message = |weights, rest| by(weights, rest).unwrap_err().to_string();
        let hash = format!("sha256 = \"{}\"", "0".repeat(64));
        assert!(message("{ formula = \"a\" }", &hash).contains("leave it out"));
        assert!(message("\"w.safetensors\"", "").contains("no sha256 of w.safetensors"));
        assert!(message("{ formulas = \"a\" }", "").contains("formulas"));
        assert!(message("7", "").contains("formula = "));
    }

    #[test]
    fn mistakes_in_a_set_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "short");
        assert!(ModelSet::load(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
        std::fs::write(&path, TINY.replace("SHA", &"0".repeat(64)).replace("licence", "license")).unwrap();
        assert!(ModelSet::load(&path).unwrap_err().to_string().contains("license"));
        let message = ModelSet::find(folder.path(), "tiny").unwrap_err().to_string();
        assert!(message.contains("no model set `tiny`") && message.contains("test"), "{message}");
    }
}
