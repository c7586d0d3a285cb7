//! Reader of TensorFlow.js graph models: `model.json` and its files of weights, as plain values.
//!
//! The JSON holds the graph (`modelTopology`) and the list of weights (`weightsManifest`): name, shape, type and
//! quantization of every tensor, which lie one after the other in the files that each group names. Nothing is
//! believed: sizes are compared with the files before anything is allocated, every input has to exist, and the
//! graph may not have a cycle. Format: `tfjs-core/src/io` of TensorFlow.js.
//!
//! Must not know which network a model is.

mod error;
mod graph;
mod manifest;
#[cfg(test)]
mod tests;

pub use error::TfjsError;
pub use graph::{Attribute, Input, Node};
pub use manifest::{Data, Weight};

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The largest `model.json` that is read.
const LARGEST_JSON: u64 = 64 << 20;
/// The largest sum of a model's files of weights.
const LARGEST_WEIGHTS: u64 = 2 << 30;

/// A graph model whose parts fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// In the order of the file. Names are unique, inputs exist, and there is no cycle.
    nodes: Vec<Node>,
    index: HashMap<String, usize>,
    weights: BTreeMap<String, Weight>,
}

impl Model {
    /// Reads `model.json` at `path` and the files of weights that it names, which lie beside it.
    ///
    /// # Errors
    /// If a file is missing, too large, too short or too long, or the model is damaged: see [`TfjsError`].
    pub fn read(path: &Path) -> Result<Model, TfjsError> {
        let json = read_at_most(path, LARGEST_JSON)?;
        let parsed = parse_json(&json, path)?;
        let manifest = manifest::parse(&parsed)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut groups = Vec::with_capacity(manifest.len());
        let mut left = LARGEST_WEIGHTS;
        for group in &manifest {
            let bytes = group_bytes(folder, group, left)?;
            left -= bytes.len() as u64;
            groups.push(bytes);
        }
        let slices: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        Model::assemble(&parsed, &manifest, &slices)
    }

    /// A model of the bytes of `model.json` and of those of its weights: for each group of the manifest its files'
    /// bytes one after the other.
    ///
    /// # Errors
    /// If the model is damaged: see [`TfjsError`].
    pub fn from_bytes(json: &[u8], groups: &[&[u8]]) -> Result<Model, TfjsError> {
        let parsed = parse_json(json, Path::new("model.json"))?;
        let manifest = manifest::parse(&parsed)?;
        Model::assemble(&parsed, &manifest, groups)
    }

    fn assemble(json: &Value, manifest: &[manifest::Group], groups: &[&[u8]]) -> Result<Model, TfjsError> {
        if manifest.len() != groups.len() {
            return Err(TfjsError::Groups { listed: manifest.len(), given: groups.len() });
        }
        let mut weights = BTreeMap::new();
        for (group, bytes) in manifest.iter().zip(groups) {
            for (name, weight) in manifest::read_group(group, bytes)? {
                if weights.insert(name.clone(), weight).is_some() {
                    return Err(TfjsError::WeightTwice { name });
                }
            }
        }
        let (nodes, index) = graph::parse(json, &weights)?;
        Ok(Model { nodes, index, weights })
    }

    /// The nodes in the order of the file.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.index.get(name)?)
    }

    /// The constant of this name: values and shape.
    pub fn weight(&self, name: &str) -> Option<&Weight> {
        self.weights.get(name)
    }

    /// All constants, by name.
    pub fn weights(&self) -> &BTreeMap<String, Weight> {
        &self.weights
    }
}

fn parse_json(json: &[u8], path: &Path) -> Result<Value, TfjsError> {
    serde_json::from_slice(json).map_err(|source| TfjsError::NotJson { path: path.to_path_buf(), source })
}

/// A file's bytes, unless it has more than `most`.
fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, TfjsError> {
    let unreadable = |source| TfjsError::Unreadable { path: path.to_path_buf(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > most {
        return Err(TfjsError::TooLarge { path: path.to_path_buf(), bytes: metadata.len(), most });
    }
    std::fs::read(path).map_err(unreadable)
}

/// The bytes of a group's files, whose lengths are compared with the manifest before they are read.
fn group_bytes(folder: &Path, group: &manifest::Group, most: u64) -> Result<Vec<u8>, TfjsError> {
    let paths: Vec<PathBuf> = group.paths.iter().map(|name| folder.join(name)).collect();
    let mut found = 0u64;
    for path in &paths {
        let metadata =
            std::fs::metadata(path).map_err(|source| TfjsError::Unreadable { path: path.clone(), source })?;
        found = found.saturating_add(metadata.len());
    }
    let path = paths.first().cloned().unwrap_or_default();
    if found > most {
        return Err(TfjsError::TooLarge { path, bytes: found, most });
    }
    manifest::check_length(group, found)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
    for path in &paths {
        bytes.append(&mut read_at_most(path, most)?);
    }
    Ok(bytes)
}
