//! Computes the CPU memory that a network needs from its graph alone, before weights are loaded.

use super::graph::{Graph, Op};
use super::plan::Plan;
use super::variant::{INPUT_SHAPE, INPUT_SIDE, Variant};
use crate::conv::{Depthwise, Filter};

/// Heap bytes of a network on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The weights, widened to f32 and packed.
    pub weights_bytes: u64,
    /// Feature maps (reused between crops) and the crop's pixels, for each crop that is processed concurrently.
    pub crop_bytes: u64,
}

impl Footprint {
    /// The footprint of a checked graph.
    pub fn from_graph(graph: &Graph) -> Footprint {
        let weights = graph.nodes.iter().map(|node| match (node.op, graph.input_channels(node)) {
            (Op::Conv { window, .. }, inputs) => Filter::packed_bytes(node.shape[2], window.kernel, inputs),
            (Op::Depthwise { window, .. }, channels) => Depthwise::packed_bytes(window.kernel, channels),
            _ => 0,
        });
        let maps = Plan::new(graph, true).bytes() + 3 * INPUT_SIDE * INPUT_SIDE;
        Footprint { weights_bytes: weights.sum::<usize>() as u64, crop_bytes: maps as u64 }
    }

    /// The footprint of a published network; does not need its file.
    pub fn from_variant(variant: Variant) -> Footprint {
        let (weights_bytes, crop_bytes) = match variant {
            Variant::Lite => (5_500_672, 9_896_064),
            Variant::Full => (12_749_376, 12_636_288),
            Variant::Heavy => (55_075_712, 16_425_088),
        };
        Footprint { weights_bytes, crop_bytes }
    }

    /// Peak bytes while `threads` crops are processed concurrently.
    pub fn peak_bytes(&self, threads: usize) -> u64 {
        self.weights_bytes + self.crop_bytes * threads.max(1) as u64
    }
}

impl Variant {
    /// Checks that a validated graph is this network's: same input, number of weights and size of feature maps.
    pub(super) fn check(self, graph: &Graph) -> Result<(), String> {
        let (found, expected) = (Footprint::from_graph(graph), Footprint::from_variant(self));
        if graph.input != INPUT_SHAPE {
            return Err(format!("its input is {:?} instead of {INPUT_SHAPE:?}", graph.input));
        }
        if graph.parameter_count() != self.parameter_count() || found != expected {
            let counts = [graph.parameter_count() as u64, found.crop_bytes, expected.crop_bytes];
            return Err(format!(
                "it has {} weights and {} instead of {} bytes of maps",
                counts[0], counts[1], counts[2]
            ));
        }
        Ok(())
    }
}
