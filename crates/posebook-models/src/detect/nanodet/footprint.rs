//! Computes NanoDet's CPU memory use (heap bytes) from the architecture alone.

use super::architecture;
use super::cpu::Buffers;
use super::kernel::Convolution;
use super::letterbox::Letterbox;
use super::settings::Settings;

/// Bytes of an f32.
const F32_BYTES: usize = 4;

/// Memory use of the detector on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Packed weights and biases. The source tensors are in memory as well while loading.
    pub weights_bytes: u64,
    /// Buffers of one image, including the scaled input. Independent of the batch size, and reused for later frames.
    pub buffers_bytes: u64,
    /// Scratch memory of each thread.
    pub thread_bytes: u64,
}

impl Footprint {
    /// The footprint for frames of `width x height` pixels.
    pub fn new(width: usize, height: usize, settings: &Settings) -> Footprint {
        let (padded_width, padded_height) = Letterbox::new(width, height, settings.long_side).padded;
        let layers = architecture::layers();
        let for_each_layer = |count: fn(usize, usize, usize, usize) -> usize| {
            layers.iter().map(move |layer| count(layer.inputs, layer.outputs, layer.side, layer.stride))
        };
        let bytes = |values: usize| (values * F32_BYTES) as u64;
        Footprint {
            weights_bytes: bytes(for_each_layer(Convolution::packed_len).sum()),
            buffers_bytes: bytes(Buffers::value_count(padded_height, padded_width)),
            thread_bytes: bytes(for_each_layer(Convolution::scratch_len).max().unwrap_or_default()),
        }
    }

    /// Peak bytes with `threads` threads in the pool.
    pub fn peak_bytes(&self, threads: usize) -> u64 {
        self.weights_bytes + self.buffers_bytes + threads as u64 * self.thread_bytes
    }
}
