//! The `walkers` kind: scenes of walking people, drawn from a description and a seed.
//!
//! `spec` is what the TOML says, `cast` makes its people, `variation` has them play otherwise under another seed, `stage` draws frames and truth. The same
//! description gives the same frames on any machine. Must not know models.

mod cast;
mod make;
mod spec;
mod stage;
#[cfg(test)]
mod tests;
mod variation;

pub(super) use make::{key, make};
pub use spec::{CameraSpec, Encoding, Pan, PersonSpec, Scene, StageSpec, Walkers, WalkersClip};
pub use stage::Stage;

/// Seeds of benchmark clips. What is drawn for training takes its seeds from
/// [`super::TRAINING_SEEDS`] and from nowhere else, so that no model has seen a benchmark clip.
pub const BENCHMARK_SEEDS: std::ops::Range<u64> = 10_000..1 << 62;

/// Changes whenever the same description gives other frames or another truth than before.
pub const GENERATOR: u32 = 1;

/// Changes whenever the same drawn frames are encoded to other decoded frames, or another file, than before.
pub const ENCODER: u32 = 2;

/// Versions of what is drawn and of how it is encoded: part of every drawn clip's identity.
pub fn version() -> String {
    format!("{GENERATOR}.{ENCODER}")
}
