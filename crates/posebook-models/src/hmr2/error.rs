//! Errors of mesh recovery.

use super::mask::MaskError;
use crate::body::BodyError;
use crate::nn::CheckpointError;
use posebook_core::person::BBox;
use thiserror::Error;

/// Why a body could not be recovered.
#[derive(Debug, Error)]
pub enum Hmr2Error {
    /// Sizes or settings are invalid.
    #[error("the network cannot be built: {what}")]
    Config {
        /// What is invalid.
        what: String,
    },
    /// A tensor operation failed.
    #[error("the network failed: {0}")]
    Network(#[source] Box<candle_core::Error>),
    /// The weights cannot be used.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The body cannot be used.
    #[error(transparent)]
    Body(Box<BodyError>),
    /// A box has no area or is not finite.
    #[error("the box {bbox:?} in frame {frame} has no area or is not finite; correct or remove it")]
    Box {
        /// Index of the frame.
        frame: usize,
        /// The box.
        bbox: BBox,
    },
    /// A detection's mask is not one of its frame.
    #[error(
        "the mask of a person in frame {frame} is invalid: {source}; correct it in the input, or leave it out"
    )]
    Mask {
        /// Index of the frame.
        frame: usize,
        /// What is wrong.
        source: MaskError,
    },
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
