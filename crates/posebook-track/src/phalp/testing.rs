//! Networks and textures for tests.

use posebook_core::appearance::{
    Appearance, EMBEDDING_LENGTH, NetworkError, POSE_VECTOR_LENGTH, PoseHistory, PosePredictor,
    TextureEncoder, UV_TEXELS, UvMap,
};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A texture of random colors between -0.5 and 0.5 where `visible`.
pub fn uv_map(seed: u64, visible: Range<usize>) -> UvMap {
    let mut map = UvMap::empty();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for texel in visible {
        for plane in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            map.values_mut()[plane * UV_TEXELS + texel] = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
        }
        map.values_mut()[3 * UV_TEXELS + texel] = 1.0;
    }
    map
}

/// The appearance of a texture, embedded by [`CountingEncoder`].
pub fn appearance(map: UvMap) -> Appearance {
    let embedding = embed(&map).into();
    Appearance { uv: Arc::new(map), embedding }
}

/// Sums of all values 64 apart, scaled to the size of real embeddings.
fn embed(map: &UvMap) -> Vec<f32> {
    let mut embedding = vec![0.0; EMBEDDING_LENGTH];
    for (at, value) in map.values().iter().enumerate() {
        embedding[at % EMBEDDING_LENGTH] += value;
    }
    embedding
}

/// An encoder that sums texels, and counts the maps it was given.
#[derive(Default)]
pub struct CountingEncoder {
    maps: AtomicUsize,
    largest_batch: AtomicUsize,
}

impl CountingEncoder {
    /// Maps encoded so far.
    pub fn maps(&self) -> usize {
        self.maps.load(Ordering::Relaxed)
    }

    /// The most maps that were encoded at once.
    pub fn largest_batch(&self) -> usize {
        self.largest_batch.load(Ordering::Relaxed)
    }
}

impl TextureEncoder for CountingEncoder {
    fn encode(&self, maps: &[UvMap]) -> Result<Vec<Vec<f32>>, NetworkError> {
        self.maps.fetch_add(maps.len(), Ordering::Relaxed);
        self.largest_batch.fetch_max(maps.len(), Ordering::Relaxed);
        Ok(maps.iter().map(embed).collect())
    }
}

/// A predictor that returns the last pose with its first value replaced by the number of tracks in the batch plus a
/// hundredth of the first track's last frame.
pub struct BatchPredictor;

impl PosePredictor for BatchPredictor {
    fn predict(
        &self,
        tracks: &[PoseHistory<'_>],
    ) -> Result<Vec<Box<[f32; POSE_VECTOR_LENGTH]>>, NetworkError> {
        let first = tracks[0].frames[tracks[0].frames.len() - 1] + tracks[0].frames_since_match;
        let predict = |track: &PoseHistory<'_>| {
            let mut pose = Box::new(*track.poses[track.poses.len() - 1]);
            pose[0] = tracks.len() as f32 + first as f32 / 100.0;
            pose
        };
        Ok(tracks.iter().map(predict).collect())
    }
}
