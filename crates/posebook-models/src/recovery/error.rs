//! Errors of model sets and body recovery.

use crate::appearance::AppearanceError;
use crate::blazepose::BlazePoseError;
use crate::body::BodyError;
use crate::detect::nanodet::NanoDetError;
use crate::fit::FitError;
use crate::hmr2::Hmr2Error;
use crate::nn::CheckpointError;
use posebook_core::fetch::FetchError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// An error of loading a model set or of recovering bodies.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// HMR2 failed.
    #[error(transparent)]
    Hmr2(#[from] Hmr2Error),
    /// BlazePose failed.
    #[error(transparent)]
    BlazePose(#[from] BlazePoseError),
    /// NanoDet failed.
    #[error(transparent)]
    NanoDet(#[from] NanoDetError),
    /// Fitting a body failed.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The appearance of people cannot be computed.
    #[error(transparent)]
    Appearance(#[from] AppearanceError),
    /// The user's cache cannot be used.
    #[error(transparent)]
    Cache(#[from] FetchError),
    /// A weights file is invalid.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// A body file is invalid.
    #[error(transparent)]
    Body(Box<BodyError>),
    /// There is no model set with this name.
    #[error("there is no model set `{name}` in {folder}; available: {names}{hint}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The folder of model sets.
        folder: PathBuf,
        /// The available model sets.
        names: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; `posebook model list` lists the model sets")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// A model set file is invalid.
    #[error("{path}: {message}")]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file does not have the hash that the model set specifies.
    #[error("{path} has SHA-256 {found}, but {set} specifies {expected}; fetch, import or train it again")]
    WrongSha256 {
        /// Path of the file.
        path: PathBuf,
        /// Path of the model set.
        set: PathBuf,
        /// Hash in the model set.
        expected: String,
        /// Hash of the file.
        found: String,
    },
    /// Weights or their conversion are not in the user's cache.
    #[error(
        "the weights of {name} are not fetched yet ({path} does not exist); run `posebook model fetch {source_name}`"
    )]
    NotFetched {
        /// Name of the model set.
        name: String,
        /// Path of the file.
        path: PathBuf,
        /// Name of the source to fetch.
        source_name: String,
    },
    /// HMR2 is required, but the set holds another network.
    #[error("{name} is {network}, and {purpose} needs HMR2; choose another model set")]
    NotHmr2 {
        /// Name of the model set.
        name: String,
        /// The network of the set.
        network: String,
        /// What HMR2 is needed for.
        purpose: &'static str,
    },
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
