//! Model sets: the files in `models/` that say which weights belong to which architecture, and where
//! they come from.

use super::{Config, Hmr2Error};
use crate::body::Body;
use crate::nn::checkpoint;
use crate::provenance::sha256_of_file;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The body that comes with the program.
const STAND_IN: &str = "stand-in";

/// A model set, its paths resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSet {
    /// The file's name without its ending.
    pub name: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// What it is, in one sentence.
    pub description: String,
    pub architecture: Config,
    /// The safetensors file.
    pub weights: PathBuf,
    /// What the weights hash to, 64 hexadecimal digits.
    pub sha256: String,
    pub licence: String,
    /// Where the weights come from.
    pub origin: String,
    pub body: BodySource,
    /// How the weights were made, as told by who made them; kept and shown, never acted on.
    pub training: Option<toml::Table>,
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
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    description: String,
    weights: PathBuf,
    sha256: String,
    licence: String,
    origin: String,
    body: String,
    architecture: Config,
    training: Option<toml::Table>,
}

impl ModelSet {
    /// Reads a model set; the weights are not looked at.
    ///
    /// # Errors
    /// If the file cannot be read, is no model set, or its sizes cannot make a network.
    pub fn load(path: &Path) -> Result<ModelSet, Hmr2Error> {
        let malformed = |message: String| Hmr2Error::Malformed { path: path.to_path_buf(), message };
        let text = std::fs::read_to_string(path)
            .map_err(|source| Hmr2Error::Unreadable { path: path.to_path_buf(), source })?;
        let written: Written = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        written.architecture.validate().map_err(|error| malformed(error.to_string()))?;
        if written.sha256.len() != 64 || !written.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed(format!(
                "sha256 is `{}`; it has to be 64 hexadecimal digits",
                written.sha256
            )));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let body = match written.body.as_str() {
            STAND_IN => BodySource::StandIn,
            file => BodySource::File(folder.join(file)),
        };
        Ok(ModelSet {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.to_path_buf(),
            description: written.description,
            architecture: written.architecture,
            weights: folder.join(written.weights),
            sha256: written.sha256.to_ascii_lowercase(),
            licence: written.licence,
            origin: written.origin,
            body,
            training: written.training,
        })
    }

    /// Every model set of a folder, by name.
    ///
    /// # Errors
    /// If the folder cannot be read or one of its files is no model set.
    pub fn list(folder: &Path) -> Result<Vec<ModelSet>, Hmr2Error> {
        files(folder)?.iter().map(|path| ModelSet::load(path)).collect()
    }

    /// The model set `name` of a folder.
    ///
    /// # Errors
    /// If there is none of that name (the message says which there are), or it is no model set.
    pub fn find(folder: &Path, name: &str) -> Result<ModelSet, Hmr2Error> {
        let path = folder.join(format!("{name}.toml"));
        if path.is_file() {
            return ModelSet::load(&path);
        }
        let names: Vec<String> = files(folder)?
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        Err(Hmr2Error::Unknown {
            name: name.to_string(),
            folder: folder.to_path_buf(),
            names: names.join(", "),
        })
    }

    /// Holds the weights against what the set says: there, whole, of the right shapes and hash.
    ///
    /// # Errors
    /// One message that lists what is missing or has another shape, or names both hashes.
    pub fn verify(&self) -> Result<(), Hmr2Error> {
        checkpoint::check(&self.weights, &self.architecture.tensors())?;
        let found = sha256_of_file(&self.weights)
            .map_err(|source| Hmr2Error::Unreadable { path: self.weights.clone(), source })?;
        if found != self.sha256 {
            return Err(Hmr2Error::WrongSha256 {
                path: self.weights.clone(),
                set: self.path.clone(),
                wanted: self.sha256.clone(),
                found,
            });
        }
        Ok(())
    }

    /// The body that the weights speak of.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn load_body(&self) -> Result<Body, Hmr2Error> {
        match &self.body {
            BodySource::StandIn => Ok(Body::stand_in()),
            BodySource::File(path) => Ok(Body::load(path)?),
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Hmr2Error> {
    let unreadable = |source| Hmr2Error::Unreadable { path: folder.to_path_buf(), source };
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
    use candle_core::{DType, Device, Tensor};
    use std::collections::HashMap;

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

    fn save_weights(set: &ModelSet, but: &str) {
        let tensors: HashMap<String, Tensor> = set
            .architecture
            .tensors()
            .into_iter()
            .filter(|spec| spec.key != but)
            .map(|spec| (spec.key, Tensor::zeros(spec.shape, DType::F32, &Device::Cpu).unwrap()))
            .collect();
        candle_core::safetensors::save(&tensors, &set.weights).unwrap();
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
        let right = sha256_of_file(&set.weights).unwrap();
        let set = ModelSet::load(&written(folder.path(), &right)).unwrap();
        set.verify().unwrap();
        assert_eq!(ModelSet::list(folder.path()).unwrap(), [set]);
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
