//! Errors of training.

use posebook_models::hmr2::Hmr2Error;
use std::path::PathBuf;

/// Why a training could not start or continue. The last checkpoint stays valid.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The settings file cannot be read.
    #[error("cannot read the training settings {path}: {reason}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The settings are invalid.
    #[error("the training settings are invalid: {what}")]
    InvalidSettings {
        /// Which setting, and what is allowed.
        what: String,
    },
    /// The checkpoint cannot be resumed.
    #[error("the checkpoint {path} {reason}; give another --out, or remove it to start over")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The loss is NaN or infinite.
    #[error("the loss became {loss} at step {step}; lower learning.rate; the last checkpoint is still valid")]
    Diverged {
        /// The step.
        step: usize,
        /// Its loss.
        loss: f32,
    },
    /// The generator thread panicked.
    #[error("the thread that generates examples stopped")]
    GeneratorStopped,
    /// The network failed.
    #[error(transparent)]
    Model(#[from] Hmr2Error),
    /// Sampling or encoding a texture failed.
    #[error(transparent)]
    Appearance(#[from] posebook_models::appearance::AppearanceError),
    /// An encoder of textures failed.
    #[error("the encoder of textures failed: {0}")]
    Encoder(#[from] posebook_core::appearance::NetworkError),
    /// The body model failed.
    #[error(transparent)]
    Body(#[from] posebook_models::body::BodyError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
