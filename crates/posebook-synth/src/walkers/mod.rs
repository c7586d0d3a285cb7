//! The `walkers` kind of dataset: scenes of walking people, drawn from a description and a seed.
//!
//! In: a [`WalkersDataset`], read from TOML by `serde`; its [`WalkersDataset::clips`] are the checked clips. Out: for each
//! frame of a clip, [`SceneRenderer`] gives the RGB bytes and the people in it. The caller encodes the frames and
//! stores the ground truth. The same description gives the same frames on any machine. Does not depend on networks.
//!
//! `spec` is the description, `actors` creates its people, `variation` varies scripted people under another seed, `renderer`
//! draws.

mod actors;
mod encoding;
mod renderer;
mod spec;
#[cfg(test)]
mod tests;
mod variation;

pub use encoding::Encoding;
pub use renderer::SceneRenderer;
pub use spec::{CameraSpec, Cut, Outfit, Pan, PersonSpec, Scene, StageSpec, WalkersClip, WalkersDataset};

/// Seeds of benchmark clips. Training takes its seeds from [`crate::TRAINING_SEEDS`] only, so that no network is
/// trained on a benchmark clip.
pub const BENCHMARK_SEEDS: std::ops::Range<u64> = 10_000..1 << 62;

/// Version of the generator: raise it when the same description gives other frames or another ground truth.
const GENERATOR_VERSION: u32 = 1;

/// Version of the encoding by the caller: raise it when the same drawn frames give another file or other decoded frames.
const ENCODER_VERSION: u32 = 2;

/// Versions of generator and encoding: part of every drawn clip's cache key.
pub fn version() -> String {
    format!("{GENERATOR_VERSION}.{ENCODER_VERSION}")
}
