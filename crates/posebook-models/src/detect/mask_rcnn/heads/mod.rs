//! The heads of the detectors: they refine the boxes of proposals, score classes and compute masks.
//!
//! In: a pyramid of feature maps (p2 to p5 are used), and proposals or boxes in pixels of the network's input. Out:
//! detections, best first ([`BoxHeads`]), and 28 x 28 probabilities of each detection ([`MaskHead`]).
//!
//! Regions are cut out of the maps and computed in chunks that fit a [`Budget`](super::Budget). On the CPU each region's result
//! has the same bits whatever else is computed with it.
//!
//! Values that are not finite: the original drops a proposal whose last boxes or scores are not finite, and stops with a failed
//! assertion if a box between two stages of a cascade is not. Here the proposal is dropped in both cases; if that leaves none
//! of the proposals, or a mask has a value that is not a number, it is a [`HeadError::NotFinite`].

mod box_heads;
mod box_stage;
mod convolutions;
mod mask_head;
mod relu;
mod select;
#[cfg(test)]
mod tests;

pub use box_heads::{BoxHeads, Refined};
pub use box_stage::StageOutput;
pub use mask_head::MaskHead;
pub use select::{Found, Thresholds};

use candle_core::Tensor;

/// Levels of the pyramid that regions are cut out of: p2 to p5. p6 is for proposals alone.
fn region_levels(pyramid: &[Tensor]) -> &[Tensor] {
    pyramid.get(..4).unwrap_or(pyramid)
}

/// Why a head failed.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// No proposal has finite boxes and scores, or a mask has a value that is not a number.
    #[error(
        "the output of the {head} head is not finite; use another precision, or import the weights again"
    )]
    NotFinite {
        /// `box` or `mask`.
        head: &'static str,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] candle_core::Error),
}
