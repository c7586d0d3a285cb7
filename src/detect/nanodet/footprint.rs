//! What NanoDet holds on the CPU, from the architecture alone: numbers that are asked of the heap.

use super::architecture;
use super::cpu::Buffers;
use super::kernel::Convolution;
use super::letterbox::Letterbox;
use super::settings::Settings;

/// Bytes of an f32.
const NUMBER: usize = 4;

/// What the detector holds on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Packed weights and biases. While they are loaded the tensors that they come from are held as well.
    pub weights_bytes: u64,
    /// Buffers of one picture, the scaled input included. They do not grow with the batch, and are kept from frame to
    /// frame.
    pub buffers_bytes: u64,
    /// What each thread holds beside them while it computes.
    pub thread_bytes: u64,
}

impl Footprint {
    /// For frames of `width x height` pixels.
    pub fn of(width: usize, height: usize, settings: &Settings) -> Footprint {
        let (padded_width, padded_height) = Letterbox::new(width, height, settings.long_side).padded;
        let layers = architecture::layers();
        let each = |count: fn(usize, usize, usize, usize) -> usize| {
            layers.iter().map(move |layer| count(layer.inputs, layer.outputs, layer.side, layer.stride))
        };
        let bytes = |numbers: usize| (numbers * NUMBER) as u64;
        Footprint {
            weights_bytes: bytes(each(Convolution::numbers).sum()),
            buffers_bytes: bytes(Buffers::numbers(padded_height, padded_width)),
            thread_bytes: bytes(each(Convolution::scratch_numbers).max().unwrap_or_default()),
        }
    }

    /// The most that is held at once, with `threads` threads of the pool that computes.
    pub fn peak_bytes(&self, threads: usize) -> u64 {
        self.weights_bytes + self.buffers_bytes + threads as u64 * self.thread_bytes
    }
}
