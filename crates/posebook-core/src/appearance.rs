//! A person's appearance as PHALP stores it, and the interfaces of the networks that the tracker uses.
//!
//! The tracker calls networks through the traits [`TextureEncoder`] and [`PosePredictor`], so that it does not depend on a
//! tensor library.

use std::sync::Arc;

/// Side of a UV map, texels.
pub const UV_SIDE: usize = 256;
/// Texels of a UV map.
pub const UV_TEXELS: usize = UV_SIDE * UV_SIDE;
/// Values of an appearance embedding (`appe`).
pub const EMBEDDING_LENGTH: usize = 4096;
/// Values of a pose vector (`pose`).
pub const POSE_VECTOR_LENGTH: usize = 229;

/// A texture in UV space: three color planes and a mask plane, `(4, 256, 256)`, row-major.
///
/// Colors are ImageNet-normalized and divided by 5, and 0 where the mask is off. The mask is 1 where a texel was seen,
/// else -1 (PHALP's `uv_vector`).
#[derive(Debug, Clone, PartialEq)]
pub struct UvMap {
    values: Vec<f32>,
}

impl UvMap {
    /// A map from its `4 * 256 * 256` values; `None` if there are more or fewer.
    pub fn from_values(values: Vec<f32>) -> Option<UvMap> {
        (values.len() == 4 * UV_TEXELS).then_some(UvMap { values })
    }

    /// A map in which no texel was seen.
    pub fn empty() -> UvMap {
        let mut values = vec![0.0; 4 * UV_TEXELS];
        values[3 * UV_TEXELS..].fill(-1.0);
        UvMap { values }
    }

    /// All values, plane by plane.
    #[inline]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed.
    #[inline]
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The mask plane.
    #[inline]
    pub fn mask(&self) -> &[f32] {
        &self.values[3 * UV_TEXELS..]
    }

    /// Number of texels that were seen.
    pub fn seen_texels(&self) -> usize {
        self.mask().iter().filter(|&&mask| mask > 0.5).count()
    }
}

/// A person's appearance in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Appearance {
    /// The texture. About 1 MiB; shared, not copied.
    pub uv: Arc<UvMap>,
    /// Output of the encoder for `uv`, [`EMBEDDING_LENGTH`] values (`appe`, not divided by 1000).
    pub embedding: Arc<[f32]>,
}

/// A network failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NetworkError {
    /// What failed, in the words of the network's library.
    pub message: String,
    /// Whether the device's memory was full.
    pub is_out_of_memory: bool,
}

/// Encodes textures as embeddings (HMAR's encoding head).
pub trait TextureEncoder: Send + Sync {
    /// The embedding of each map, [`EMBEDDING_LENGTH`] values each, in order. Values of a map's mask are used as they are.
    ///
    /// # Errors
    /// If the network fails.
    fn encode(&self, maps: &[UvMap]) -> Result<Vec<Vec<f32>>, NetworkError>;
}

/// The observations of one track from which its next pose is predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseHistory<'a> {
    /// Pose vectors, oldest first.
    pub poses: Vec<&'a [f32; POSE_VECTOR_LENGTH]>,
    /// Frame index of each pose; a young track repeats its first observation.
    pub frames: Vec<usize>,
    /// Frames since the last match: 0 if the track was matched in this frame.
    pub frames_since_match: usize,
}

/// Predicts the poses of tracks (PHALP's `P` cue).
pub trait PosePredictor: Send + Sync {
    /// The pose vector of each track in the next frame, in order. All tracks are predicted in one batch, as in the
    /// reference; all histories have the same length.
    ///
    /// # Errors
    /// If the network fails, or a history spans more frames than the network has positions and its settings do not shorten it.
    fn predict(
        &self,
        tracks: &[PoseHistory<'_>],
    ) -> Result<Vec<Box<[f32; POSE_VECTOR_LENGTH]>>, NetworkError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_four_planes() {
        assert!(UvMap::from_values(vec![0.0; 5]).is_none());
        let mut map = UvMap::empty();
        assert_eq!((map.values().len(), map.seen_texels()), (4 * UV_TEXELS, 0));
        map.values_mut()[3 * UV_TEXELS + 7] = 1.0;
        assert_eq!((map.mask()[7], map.seen_texels()), (1.0, 1));
    }
}
