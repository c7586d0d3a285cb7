//! Which files a model set was imported from; written by the importer, kept and shown, and held against the body.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `[import]` table of a model set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Tensors that the network uses.
    pub tensors_used: usize,
    /// Tensors of the checkpoint that it does not use.
    pub tensors_left_out: usize,
    /// What the body's file hashes to.
    pub body_sha256: String,
    /// By what they were: `checkpoint`, `smpl`, `joint_regressor`, `mean_params`.
    pub sources: BTreeMap<String, SourceFile>,
}

/// A file that was imported, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name, without the folder that it lay in.
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
}
