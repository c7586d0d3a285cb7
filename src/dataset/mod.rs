//! Datasets: clips and their truth.
//!
//! A dataset is a TOML file of one of three kinds. [`walkers`] are drawn people with all the truth there can
//! be; `files` are videos of the user's own; `footage` is fetched out of published packages, and views of one scene may
//! have a truth in space ([`views`]). Either way a clip comes out the same: a video file, and a truth
//! that is read frame by frame ([`TruthReader`]), so that a run holds one frame's people at a time.
//!
//! ```ignore
//! let dataset = Dataset::load(Path::new("datasets/walkers.toml"), &changes)?;
//! for spec in dataset.clips() {
//!     let clip = spec.make(&cache, &mut |done, of| bar.set(done, of))?;   // or lies ready
//!     let mut truth = clip.truth.map(|file| file.open()).transpose()?;
//! }
//! ```
//!
//! What clips are drawn from is public and cheap enough for single pictures: [`motion`] (a pose for every
//! time), [`people`] (shapes and clothes), [`scenery`] (ground, walls, sky, light). Seeds keep training and
//! benchmark apart: [`walkers::BENCHMARK_SEEDS`] and [`TRAINING_SEEDS`] do not meet.
//!
//! Must not know models.

mod cache;
mod clip;
mod decoded;
mod encode;
mod error;
mod footage;
mod load;
pub mod mot;
pub mod motion;
mod own;
pub mod people;
pub mod scenery;
mod table;
#[cfg(test)]
mod tests;
mod truth;
pub mod views;
pub mod walkers;

pub use clip::{Clip, ClipSpec, MadeClip, Progress, Source};
pub use decoded::{DrawnLock, Recorded};
pub use error::DatasetError;
pub use footage::{Footage, FootageSource, FootageSpec, OfFootage, ViewsSpec};
pub use load::Dataset;
pub use own::{FileSpec, Files, OwnClip};
pub use truth::{Intrinsics, PassedOver, TruthBody, TruthFile, TruthPerson, TruthReader, TruthWriter};

/// Seeds that training may draw people, motion and places from: none that a benchmark clip uses.
pub const TRAINING_SEEDS: std::ops::Range<u64> = 0..10_000;
