//! Errors of appearance: encoders, UV maps and sampling.

use crate::nn::CheckpointError;
use posebook_core::appearance::NetworkError;

/// Why an encoder or maps cannot be used, or why a person's appearance could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum AppearanceError {
    /// A weights file cannot be read.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The weights are not those of an encoder that is supported.
    #[error("the appearance encoder {origin} cannot be used: {message}")]
    Encoder {
        /// The file, or another description of the source.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// UV maps are invalid, or do not fit the body.
    #[error("the UV maps {origin} cannot be used: {message}")]
    Maps {
        /// The file, or another description of the source.
        origin: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The body has neither an atlas nor maps.
    #[error(
        "the body has no UV map, which appearance needs; add `uv_points` and `uv_faces` to its file, import \
         bmap_256.npy and fmap_256.npy of 4D-Humans, or switch appearance off"
    )]
    NoAtlas,
    /// A mesh has another number of vertices than the maps were made for.
    #[error("the UV maps are of a mesh of {expected} vertices, but a body of {found} vertices was given")]
    OtherMesh {
        /// Vertices of the maps' mesh.
        expected: usize,
        /// Vertices of the given mesh.
        found: usize,
    },
    /// A crop has another size.
    #[error("a crop has {found} bytes, but {expected} are needed")]
    CropSize {
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A device failed.
    #[error("the appearance encoder failed: {0}")]
    Network(#[from] NetworkError),
}

/// An error of candle as the one of [`posebook_core::appearance`]'s traits.
pub(super) fn network_error(error: &candle_core::Error) -> NetworkError {
    use crate::device::GpuErrorKind;
    let message = error.to_string();
    let is_out_of_memory = GpuErrorKind::from_message(&message) == Some(GpuErrorKind::OutOfMemory);
    NetworkError { message, is_out_of_memory }
}
