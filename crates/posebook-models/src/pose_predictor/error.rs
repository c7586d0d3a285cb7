//! Errors of the pose predictor.

use crate::device::GpuErrorKind;
use crate::nn::CheckpointError;
use posebook_core::appearance::NetworkError;
use thiserror::Error;

/// The pose predictor cannot be built or fails.
#[derive(Debug, Error)]
pub enum PosePredictorError {
    /// A weights file cannot be read, or does not fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor is missing, has another shape or a value that is not finite.
    #[error("the pose predictor's weights in {origin} cannot be used: {message}")]
    Weights {
        /// The file, or what else the tensors are from.
        origin: String,
        /// What is wrong, with the name of the tensor.
        message: String,
    },
    /// An input is not valid.
    #[error("{0}")]
    Input(String),
    /// The device or an operator failed.
    #[error("the pose predictor failed: {0}")]
    Network(#[from] candle_core::Error),
}

impl From<PosePredictorError> for NetworkError {
    fn from(error: PosePredictorError) -> NetworkError {
        let message = error.to_string();
        let is_out_of_memory = GpuErrorKind::from_message(&message) == Some(GpuErrorKind::OutOfMemory);
        NetworkError { message, is_out_of_memory }
    }
}
