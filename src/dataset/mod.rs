//! Datasets: clips and their truth.

pub mod motion;
pub mod people;
pub mod scenery;
