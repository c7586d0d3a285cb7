//! What can go wrong on the way from a crop to a body.

use crate::body::BodyError;
use crate::nn::CheckpointError;
use crate::person::BBox;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Hmr2Error {
    #[error("the network cannot be built: {what}")]
    Config { what: String },
    #[error("the network failed: {0}")]
    Network(#[source] Box<candle_core::Error>),
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    #[error(transparent)]
    Body(Box<BodyError>),
    #[error("the box {bbox:?} in frame {frame} has no area or is not a number; correct or drop it")]
    Box { frame: usize, bbox: BBox },
    #[error("there is no model set `{name}` in {folder}; there are: {names}{hint}")]
    Unknown { name: String, folder: PathBuf, names: String, hint: &'static str },
    #[error("cannot read {path}: {source}; `posebook model list` shows which model sets there are")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {message}")]
    Malformed { path: PathBuf, message: String },
    #[error(
        "the weights at {path} have SHA-256 {found}, not {wanted} as {set} says; fetch or train them again"
    )]
    WrongSha256 { path: PathBuf, set: PathBuf, wanted: String, found: String },
}

impl From<candle_core::Error> for Hmr2Error {
    fn from(error: candle_core::Error) -> Hmr2Error {
        Hmr2Error::Network(Box::new(error))
    }
}

impl From<BodyError> for Hmr2Error {
    fn from(error: BodyError) -> Hmr2Error {
        Hmr2Error::Body(Box::new(error))
    }
}
