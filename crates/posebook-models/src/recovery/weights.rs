//! The source of a model set's weights: a file, a formula, or a published file in the user's cache.

use super::fetched::FetchedWeights;
use std::path::PathBuf;

/// Source of a network's weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// A safetensors file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Its SHA-256, 64 hexadecimal digits.
        sha256: String,
    },
    /// No file: weights are pseudo-random numbers derived from the tensor's name and this seed (see
    /// [`crate::hmr2::formula`]). Such a network is untrained, but has the same cost as a trained one.
    Formula(String),
    /// A published file, fetched to the user's cache.
    Fetched(FetchedWeights),
}

impl Weights {
    /// Identifies the weights: a file's SHA-256, or the formula's seed.
    pub fn identity(&self) -> String {
        match self {
            Weights::File { sha256, .. } | Weights::Fetched(FetchedWeights { sha256, .. }) => sha256.clone(),
            Weights::Formula(seed) => format!("formula {seed}"),
        }
    }
}
