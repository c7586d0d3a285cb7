//! Datasets: clips and their truth.

pub mod motion;
