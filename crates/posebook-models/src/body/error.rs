//! Errors of body files.

use std::path::PathBuf;

/// Why a body could not be read, baked or written.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The file cannot be read, or has another format.
    #[error("cannot read the body file {path}: {reason}; give a .safetensors or .npz file in SMPL's format")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An array is missing.
    #[error("the body file {path} has no array `{name}`; {hint}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        name: &'static str,
        /// What is expected, or what to do.
        hint: &'static str,
    },
    /// An array has another shape.
    #[error("array `{name}` of the body file {path} has shape {found:?}, but {expected} is needed")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that is needed.
        expected: String,
    },
    /// An array has an invalid value.
    #[error("array `{name}` of the body file {path} holds {value} at element {index}; {hint}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        name: &'static str,
        /// Its index.
        index: usize,
        /// The value.
        value: String,
        /// What is expected, or what to do.
        hint: String,
    },
    /// The file cannot be written.
    #[error("cannot write the body file {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The source files of the built-in body are missing or damaged.
    #[error("cannot bake a body from {path}: {reason}")]
    Bake {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
