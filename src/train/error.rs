//! What can go wrong in training.

use crate::hmr2::Hmr2Error;
use std::path::PathBuf;

/// Training that could not start or go on. What was kept in the last checkpoint stays whole.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("cannot read the training settings {path}: {reason}")]
    Settings { path: PathBuf, reason: String },
    #[error("the training settings ask for {what}")]
    Impossible { what: String },
    #[error("the checkpoint {path} {reason}; give another --out or remove it to start anew")]
    Checkpoint { path: PathBuf, reason: String },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the loss became {loss} at step {step}; lower learning.rate, the checkpoint before is kept")]
    Diverged { step: usize, loss: f32 },
    #[error("the thread that draws pictures stopped")]
    NoPictures,
    #[error(transparent)]
    Model(#[from] Hmr2Error),
    #[error(transparent)]
    Body(#[from] crate::body::BodyError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
