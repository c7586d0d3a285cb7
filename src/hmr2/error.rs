//! What can go wrong on the way from a crop to a body.

use crate::nn::CheckpointError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Hmr2Error {
    #[error("the network cannot be built: {what}")]
    Config { what: String },
    #[error("the network failed: {0}")]
    Network(#[from] candle_core::Error),
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    #[error("cannot read the model set {path}: {source}; `posebook model list` shows what there is")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {message}")]
    Malformed { path: PathBuf, message: String },
    #[error(
        "the weights at {path} have SHA-256 {found}, not {wanted} as {set} says; fetch or train them again"
    )]
    WrongSha256 { path: PathBuf, set: PathBuf, wanted: String, found: String },
}
