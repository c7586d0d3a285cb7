//! How a detector computes.

use super::budget::Budget;
use super::layers::Operators;
use crate::hmr2::Precision;

/// How a detector computes, and which detections it returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Precision of weights and feature maps.
    pub precision: Precision,
    /// A detection's score has to be greater, before non-maximum suppression.
    pub score: f64,
    /// Limits the buffers of a pass.
    pub budget: Budget,
    /// Which operators compute the network on the CPU.
    pub operators: Operators,
    /// Frames of one size that are computed together.
    pub batch: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            precision: Precision::F32,
            score: 0.25,
            budget: Budget::default(),
            operators: Operators::default(),
            batch: 1,
        }
    }
}
