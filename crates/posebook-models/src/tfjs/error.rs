//! Errors of reading a TensorFlow.js model.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A model that cannot be read. Messages name the tensor or node and a remedy.
#[derive(Debug, Error)]
pub enum TfjsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; fetch the model again, `.json` and `.bin` to the same folder")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// A file is larger than the limit.
    #[error("{path} has {bytes} bytes, more than the limit of {max} bytes; give another file")]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// Size of the file.
        bytes: u64,
        /// Maximum size.
        max: u64,
    },
    /// The model file is not JSON.
    #[error("{path} is not JSON: {source}; fetch the model again")]
    NotJson {
        /// Path of the file.
        path: PathBuf,
        /// The underlying error.
        source: serde_json::Error,
    },
    /// The JSON does not have the structure of a graph model.
    #[error(
        "the model's JSON is invalid at `{at}`: {reason}; give the `.json` of a tfjs graph model, or fetch it again"
    )]
    Structure {
        /// JSON path.
        at: String,
        /// What is wrong.
        reason: String,
    },
    /// The number of weight groups does not match.
    #[error("the model lists {listed} groups of weights and {given} were given; give one for each")]
    Groups {
        /// Number of groups in the JSON.
        listed: usize,
        /// Number of groups that were given.
        given: usize,
    },
    /// Two tensors have the same name.
    #[error("the tensor `{name}` is listed twice; fetch the model again")]
    DuplicateWeight {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor is invalid.
    #[error("the tensor `{name}` at byte {offset} of the weights: {reason}; fetch the model again")]
    Weight {
        /// Name of the tensor.
        name: String,
        /// Byte position in the weights.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The weight files have another length than the manifest.
    #[error("the weights {files} have {found} bytes and the JSON lists {listed}; fetch both files again")]
    Length {
        /// Names of the weight files.
        files: String,
        /// Bytes of the files.
        found: u64,
        /// Bytes according to the JSON.
        listed: u64,
    },
    /// A node of the graph is invalid.
    #[error("the graph's node `{node}`: {reason}; fetch the model again")]
    Node {
        /// Name of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
}

impl TfjsError {
    /// [`TfjsError::Structure`] at a JSON path.
    pub(super) fn structure(at: impl Into<String>, reason: impl Into<String>) -> TfjsError {
        TfjsError::Structure { at: at.into(), reason: reason.into() }
    }
}
