//! What can go wrong with model sets, and on the way from a frame to bodies.

use crate::blazepose::BlazePoseError;
use crate::body::BodyError;
use crate::detect::nanodet::NanoDetError;
use crate::fetch::FetchError;
use crate::fit::FitError;
use crate::hmr2::Hmr2Error;
use crate::nn::CheckpointError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Hmr2(#[from] Hmr2Error),
    #[error(transparent)]
    BlazePose(#[from] BlazePoseError),
    #[error(transparent)]
    NanoDet(#[from] NanoDetError),
    #[error(transparent)]
    Fit(#[from] FitError),
    #[error(transparent)]
    Cache(#[from] FetchError),
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    #[error(transparent)]
    Body(Box<BodyError>),
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
    #[error(
        "the weights of {name} are not fetched yet ({path} is not there); `posebook model fetch {source_name}` fetches them"
    )]
    NotFetched { name: String, path: PathBuf, source_name: String },
    #[error("{name} is {network}, and {wanted} needs HMR2; name another model set")]
    NotHmr2 { name: String, network: String, wanted: &'static str },
}

impl From<BodyError> for RecoveryError {
    fn from(error: BodyError) -> RecoveryError {
        RecoveryError::Body(Box::new(error))
    }
}

impl From<candle_core::Error> for RecoveryError {
    fn from(error: candle_core::Error) -> RecoveryError {
        RecoveryError::Hmr2(error.into())
    }
}
