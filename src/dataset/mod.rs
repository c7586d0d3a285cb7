//! Datasets: clips and their truth.

mod error;
pub mod motion;
pub mod people;
pub mod scenery;
mod truth;
pub mod walkers;

pub use error::DatasetError;
pub use truth::{Intrinsics, TruthBody, TruthFile, TruthPerson, TruthReader};

/// Seeds that training may draw people, motion and places from: none that a benchmark clip uses.
pub const TRAINING_SEEDS: std::ops::Range<u64> = 1_000_000..u64::MAX;
