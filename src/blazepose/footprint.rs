//! What a network holds on the CPU, from its graph alone.
//!
//! Must not know weights' numbers.

use super::graph::{Graph, Op};
use super::plan::Plan;
use super::variant::{SIDE, Variant};
use crate::nn::conv::{Depthwise, Filter};

/// Bytes that are asked of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The weights, widened to f32 and packed: once.
    pub weights_bytes: u64,
    /// Feature maps, kept between crops, and the crop's pixels: for every crop that is computed at the same time.
    pub crop_bytes: u64,
}

impl Footprint {
    /// Of a checked graph.
    pub fn of(graph: &Graph) -> Footprint {
        let weights = graph.nodes.iter().map(|node| match (node.op, graph.input_channels(node)) {
            (Op::Conv { window, .. }, inputs) => Filter::bytes_of(node.shape[2], window.kernel, inputs),
            (Op::Depthwise { window, .. }, channels) => Depthwise::bytes_of(window.kernel, channels),
            _ => 0,
        });
        let maps = Plan::of(graph, true).bytes() + 3 * SIDE * SIDE;
        Footprint { weights_bytes: weights.sum::<usize>() as u64, crop_bytes: maps as u64 }
    }

    /// Of a published network, where its file is not at hand.
    pub fn of_variant(variant: Variant) -> Footprint {
        let (weights_bytes, crop_bytes) = match variant {
            Variant::Lite => (5_500_672, 9_896_064),
            Variant::Full => (12_749_376, 12_636_288),
            Variant::Heavy => (55_075_712, 16_425_088),
        };
        Footprint { weights_bytes, crop_bytes }
    }

    /// Most that is held while crops are computed on so many threads at once.
    pub fn peak_bytes(&self, threads: usize) -> u64 {
        self.weights_bytes + self.crop_bytes * threads.max(1) as u64
    }
}
