//! What can be wrong with a body file.

use std::path::PathBuf;

/// A body that could not be read, made or written.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("cannot read the body file {path}: {reason}; give a .safetensors or .npz file in SMPL's format")]
    Unreadable { path: PathBuf, reason: String },
    #[error("the body file {path} has no array `{name}`; {hint}")]
    Missing { path: PathBuf, name: &'static str, hint: &'static str },
    #[error("array `{name}` of the body file {path} has shape {found:?}, but {expected} is needed")]
    Shape { path: PathBuf, name: &'static str, found: Vec<usize>, expected: String },
    #[error("array `{name}` of the body file {path} holds {value} at element {index}; {hint}")]
    Value { path: PathBuf, name: &'static str, index: usize, value: String, hint: String },
    #[error("cannot write the body file {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot bake a body from {path}: {reason}")]
    Bake { path: PathBuf, reason: String },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
