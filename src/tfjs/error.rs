//! What can be wrong with a TensorFlow.js model.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A model that cannot be read. Every message names the tensor or node, and what to do.
#[derive(Debug, Error)]
pub enum TfjsError {
    #[error("cannot read {path}: {source}; fetch the model again, `.json` and `.bin` into one folder")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "{path} has {bytes} bytes, which is more than the {most} that a model may have; name another file"
    )]
    TooLarge { path: PathBuf, bytes: u64, most: u64 },
    #[error("{path} is not JSON: {source}; fetch the model again")]
    NotJson { path: PathBuf, source: serde_json::Error },
    #[error(
        "the model's JSON is wrong at `{at}`: {reason}; name the `.json` of a tfjs graph model, or fetch it again"
    )]
    Structure { at: String, reason: String },
    #[error("the model lists {listed} groups of weights and {given} were given; give one for each")]
    Groups { listed: usize, given: usize },
    #[error("the tensor `{name}` is listed twice; fetch the model again")]
    WeightTwice { name: String },
    #[error("the tensor `{name}` at byte {offset} of the weights: {reason}; fetch the model again")]
    Weight { name: String, offset: u64, reason: String },
    #[error("the weights {files} have {found} bytes and the JSON lists {listed}; fetch both files again")]
    Length { files: String, found: u64, listed: u64 },
    #[error("the graph's node `{node}`: {reason}; fetch the model again")]
    Node { node: String, reason: String },
}

impl TfjsError {
    /// An error of the JSON's structure.
    pub(super) fn structure(at: impl Into<String>, reason: impl Into<String>) -> TfjsError {
        TfjsError::Structure { at: at.into(), reason: reason.into() }
    }
}
