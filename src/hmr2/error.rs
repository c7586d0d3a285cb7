//! What can go wrong on the way from a crop to a body.

use crate::body::BodyError;
use crate::nn::CheckpointError;
use crate::person::BBox;
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
