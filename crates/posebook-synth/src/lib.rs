//! Draws people: clips of walking people with complete ground truth, and results over the frames of a video. Trains the
//! small built-in network on drawn people.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`motion`] | a plan, a seed, a body's measurements | a pose for every time |
//! | [`people`] | a seed | body shapes and clothes |
//! | [`scenery`] | a seed, a camera | colors of ground, walls and sky; light |
//! | [`walkers`] | a dataset's TOML | frames of walking people, and their ground truth |
//! | [`render`] | triangles in camera axes; boxes and joints in pixels | images (sRGB), depth, visibility |
//! | `train` (feature) | settings, a seed | weights of an HMR2 that learned from drawn people |
//!
//! The same input gives the same bytes on every machine and for any number of threads.
//!
//! The crate does not depend on video files, tables or the command line: frames are RGB bytes, which the caller encodes. Of
//! `posebook-models` it uses the body and, in training, the network.
//!
//! Training is a feature because drawing needs no tensors, no JPEG codec and no metrics. The feature adds `posebook-track`,
//! so that errors on held-out people come from the same implementation of PA-MPJPE as the errors of a run.
//!
//! Seeds are split: training draws from [`TRAINING_SEEDS`], benchmark clips from [`walkers::BENCHMARK_SEEDS`], and the two are
//! disjoint, so no network is trained on a benchmark clip.

pub mod motion;
pub mod people;
pub mod render;
pub mod scenery;
#[cfg(feature = "train")]
pub mod train;
pub mod walkers;

/// Seeds of training: people, motion and scenery of its examples (lower half) and of the held-out examples (upper half). No
/// benchmark clip uses them; see [`walkers::BENCHMARK_SEEDS`].
pub const TRAINING_SEEDS: std::ops::Range<u64> = 0..10_000;
