//! Why a detector cannot be used.

use super::heads::HeadError;

/// Why a detector could not be loaded, or failed.
#[derive(Debug, thiserror::Error)]
pub enum MaskRcnnError {
    /// A tensor is missing, has another shape, or values that cannot be used.
    #[error("the detector's weights cannot be used: {0}; import them again (`posebook model import`)")]
    Weights(String),
    /// Sizes do not fit each other.
    #[error("the detector's sizes cannot be used: {0}; correct its set's `[config]`")]
    Config(String),
    /// A frame has no pixels.
    #[error("frame {frame} has {width}x{height} pixels: nothing can be detected in it")]
    NoPixels {
        /// Index of the frame.
        frame: usize,
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
    },
    /// The network's output is not finite.
    #[error(
        "frame {frame}: the detector's output is not finite; use another precision, or import the weights again"
    )]
    NotFinite {
        /// Index of the frame.
        frame: usize,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] candle_core::Error),
}

impl MaskRcnnError {
    /// The error of a head on frame `frame`.
    pub(super) fn of_head(error: HeadError, frame: usize) -> MaskRcnnError {
        match error {
            HeadError::NotFinite { .. } => MaskRcnnError::NotFinite { frame },
            HeadError::Device(error) => MaskRcnnError::Device(error),
        }
    }
}
