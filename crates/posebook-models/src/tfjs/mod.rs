//! Parses TensorFlow.js graph models: `model.json` and its weight files.
//!
//! The JSON holds the graph (`modelTopology`) and the list of weights (`weightsManifest`): name, shape, type and
//! quantization of every tensor; their values are stored one after the other in the files of each group. Files are
//! untrusted: sizes are compared with the files before memory is allocated, every input has to exist, and the graph
//! must not have cycles. Format: `tfjs-core/src/io` of TensorFlow.js.

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

/// Maximum size of `model.json`.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// Maximum total size of a model's weight files.
const MAX_WEIGHT_BYTES: u64 = 2 << 30;

/// A validated graph model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// In file order. Names are unique, inputs exist, and there are no cycles.
    nodes: Vec<Node>,
    /// Index of each node by name.
    index: HashMap<String, usize>,
    weights: BTreeMap<String, Weight>,
}

impl Model {
    /// Reads `model.json` at `path` and its weight files, which are in the same folder.
    ///
    /// # Errors
    /// If a file is missing, too large, too short or too long, or the model is damaged: see [`TfjsError`].
    pub fn read(path: &Path) -> Result<Model, TfjsError> {
        let json = read_limited(path, MAX_JSON_BYTES)?;
        let parsed = parse_json(&json, path)?;
        let manifest = manifest::parse(&parsed)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut groups = Vec::with_capacity(manifest.len());
        let mut bytes_left = MAX_WEIGHT_BYTES;
        for group in &manifest {
            let bytes = group_bytes(folder, group, bytes_left)?;
            // a file may have grown since its length was checked
            bytes_left = bytes_left.saturating_sub(bytes.len() as u64);
            groups.push(bytes);
        }
        let slices: Vec<&[u8]> = groups.iter().map(Vec::as_slice).collect();
        Model::assemble(&parsed, &manifest, &slices)
    }

    /// Parses the bytes of `model.json` and of its weights: for each group of the manifest the concatenated bytes of its
    /// files.
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
                    return Err(TfjsError::DuplicateWeight { name });
                }
            }
        }
        let (nodes, index) = graph::parse(json, &weights)?;
        Ok(Model { nodes, index, weights })
    }

    /// The nodes in file order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Looks up a node by name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.index.get(name)?)
    }

    /// Looks up a constant by name.
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

/// Reads a file of at most `max` bytes.
fn read_limited(path: &Path, max: u64) -> Result<Vec<u8>, TfjsError> {
    let unreadable = |source| TfjsError::Unreadable { path: path.to_path_buf(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > max {
        return Err(TfjsError::TooLarge { path: path.to_path_buf(), bytes: metadata.len(), max });
    }
    std::fs::read(path).map_err(unreadable)
}

/// Reads and concatenates a group's files after checking their lengths against the manifest.
fn group_bytes(folder: &Path, group: &manifest::Group, max: u64) -> Result<Vec<u8>, TfjsError> {
    let paths: Vec<PathBuf> = group.paths.iter().map(|name| folder.join(name)).collect();
    let mut found = 0u64;
    for path in &paths {
        let metadata =
            std::fs::metadata(path).map_err(|source| TfjsError::Unreadable { path: path.clone(), source })?;
        found = found.saturating_add(metadata.len());
    }
    let path = paths.first().cloned().unwrap_or_default();
    if found > max {
        return Err(TfjsError::TooLarge { path, bytes: found, max });
    }
    manifest::check_length(group, found)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found).unwrap_or(0));
    for path in &paths {
        bytes.append(&mut read_limited(path, max)?);
    }
    Ok(bytes)
}
