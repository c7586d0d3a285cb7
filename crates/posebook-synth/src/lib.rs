//! Synthetic people.

pub mod motion;
pub mod people;
pub mod render;
pub mod scenery;
#[cfg(feature = "train")]
pub mod train;
pub mod walkers;

/// Seeds that training may draw people, motion and scenery from; no benchmark clip uses them.
pub const TRAINING_SEEDS: std::ops::Range<u64> = 0..10_000;
