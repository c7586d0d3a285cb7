//! The record of the files that a model set was imported from. Written by the importer, displayed, and used to verify the
//! body file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `[import]` table of a model set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecord {
    /// Number of tensors that the network uses.
    pub tensors_used: usize,
    /// Number of tensors of the checkpoint that the network does not use.
    pub tensors_left_out: usize,
    /// SHA-256 of the body's file.
    pub body_sha256: String,
    /// The files by role: `checkpoint`, `smpl`, `joint_regressor`, `mean_params`.
    pub sources: BTreeMap<String, SourceFile>,
}

/// An imported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// File name without folder.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Hash of the content.
    pub sha256: String,
}
