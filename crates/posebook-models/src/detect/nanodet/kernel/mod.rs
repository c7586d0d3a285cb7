//! CPU convolutions over `f32` maps, channels innermost (NHWC), with fused bias and activation.
//!
//! Maps have a zero border ([`PaddedMap`]), so that no im2col is needed. The micro-kernel accumulates a few pixels times
//! sixteen output channels in registers; weights are packed in the order in which it reads them. 3 x 3 filters with a
//! stride of 1 use Winograd's method, with 16 products instead of 36. Sums have a fixed order, so that results do not
//! depend on the number of threads.
//!
//! BlazePose has its own kernels (`crate::conv`), for unpadded maps, rectangular and depthwise filters: they sum in
//! another order, and each order is part of the results of its network.

mod direct;
mod map;
mod micro;
#[cfg(test)]
mod tests;
mod winograd;

pub(super) use map::PaddedMap;
pub(super) use micro::{LEAKY_SLOPE, PANEL};

use direct::DirectFilter;
use map::MapLayout;
use micro::{SharedInput, SharedOutput, has_avx2};
use std::ops::Range;

/// Activation after a convolution's bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// Identity.
    None,
    /// Leaky ReLU, `max(x, x / 10)`.
    Leaky,
}

/// A convolution with packed weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Convolution {
    pub(super) inputs: usize,
    outputs: usize,
    /// Side of the filter: 1 or 3, padded by 0 or 1.
    side: usize,
    stride: usize,
    activation: Activation,
    /// `(panels, PANEL)`, padded with zeros.
    bias: Vec<f32>,
    /// In the layout of [`direct`] or [`winograd`].
    packed: Vec<f32>,
}

impl Convolution {
    /// Packs weights.
    ///
    /// # Shapes
    /// `weight` `(outputs, inputs, side, side)`, `bias` `(outputs)`.
    pub(super) fn new(
        weight: &[f32],
        bias: &[f32],
        (inputs, side, stride): (usize, usize, usize),
        activation: Activation,
    ) -> Convolution {
        let outputs = bias.len();
        assert_eq!(
            weight.len(),
            outputs * inputs * side * side,
            "a convolution's weights have the wrong size"
        );
        let packed = if uses_winograd(inputs, outputs, side, stride) {
            winograd::pack(weight, inputs, outputs)
        } else {
            pack_direct(weight, inputs, outputs, side)
        };
        let mut bias = bias.to_vec();
        bias.resize(outputs.next_multiple_of(PANEL), 0.0);
        Convolution { inputs, outputs, side, stride, activation, bias, packed }
    }

    /// Number of stored values.
    #[cfg(test)]
    pub(super) fn stored_len(&self) -> usize {
        self.packed.len() + self.bias.len()
    }

    /// Number of packed weights and biases.
    pub(super) fn packed_len(inputs: usize, outputs: usize, side: usize, stride: usize) -> usize {
        let taps =
            if uses_winograd(inputs, outputs, side, stride) { winograd::POSITIONS } else { side * side };
        outputs.next_multiple_of(PANEL) * (inputs * taps + 1)
    }

    /// Number of scratch values per thread.
    pub(super) fn scratch_len(inputs: usize, outputs: usize, side: usize, stride: usize) -> usize {
        if uses_winograd(inputs, outputs, side, stride) { winograd::scratch_len(inputs) } else { 0 }
    }

    /// Output height or width for an input height or width.
    pub(super) fn output_length(&self, length: usize) -> usize {
        (length + 2 * (self.side / 2) - self.side) / self.stride + 1
    }

    /// Computes channels `to..` of `output` from channels `from` of `input`.
    ///
    /// # Panics
    /// If the sizes do not match (a bug of the caller).
    pub(super) fn run(&self, input: &PaddedMap, from: Range<usize>, output: &mut PaddedMap, to: usize) {
        self.run_with(input, from, output, to, has_avx2());
    }

    /// [`Convolution::run`] with or without AVX2 and FMA.
    fn run_with(&self, input: &PaddedMap, from: Range<usize>, output: &mut PaddedMap, to: usize, avx2: bool) {
        let shapes = (&MapLayout::new(input), &MapLayout::new(output));
        self.run_on_values(
            shapes,
            from,
            &SharedInput::new(&input.values),
            to,
            &SharedOutput::new(&mut output.values),
            avx2,
        );
    }

    /// [`Convolution::run`] between different channels of one map, for strides of 1.
    ///
    /// # Panics
    /// If the sizes do not match or the channels overlap.
    pub(super) fn run_within(&self, map: &mut PaddedMap, from: Range<usize>, to: usize) {
        assert!(
            to + self.outputs.next_multiple_of(PANEL) <= from.start || from.end <= to,
            "channels overlap"
        );
        let shape = MapLayout::new(map);
        let output_values = SharedOutput::new(&mut map.values);
        self.run_on_values((&shape, &shape), from, &output_values.as_input(), to, &output_values, has_avx2());
    }

    fn run_on_values(
        &self,
        (input, output): (&MapLayout, &MapLayout),
        from: Range<usize>,
        input_values: &SharedInput,
        to: usize,
        output_values: &SharedOutput,
        avx2: bool,
    ) {
        assert!(from.len() == self.inputs && from.end <= input.channels && input.border >= self.side / 2);
        let size = (self.output_length(input.height), self.output_length(input.width));
        assert_eq!((output.height, output.width), size, "a convolution's output has the wrong size");
        // whole panels are written; channels beyond the outputs become zero
        assert!(to + self.outputs.next_multiple_of(PANEL) <= output.channels);
        let Convolution { inputs, side, stride, bias, packed, .. } = self;
        let leaky = self.activation == Activation::Leaky;
        if uses_winograd(self.inputs, self.outputs, self.side, self.stride) {
            let filter = winograd::WinogradFilter { inputs: *inputs, leaky, avx2, bias, packed };
            filter.run(input, from.start, input_values, output, to, output_values);
        } else {
            let filter =
                DirectFilter { inputs: *inputs, side: *side, stride: *stride, leaky, avx2, bias, packed };
            filter.run(input, from.start, input_values, output, to, output_values);
        }
    }
}

/// With fewer input channels Winograd's transforms cost more than the products that they save.
const MIN_WINOGRAD_INPUTS: usize = 32;

/// Whether a convolution is computed by Winograd's method.
fn uses_winograd(inputs: usize, outputs: usize, side: usize, stride: usize) -> bool {
    let has_full_panels = inputs.is_multiple_of(PANEL) && outputs.is_multiple_of(PANEL);
    side == 3
        && stride == 1
        && has_full_panels
        && (MIN_WINOGRAD_INPUTS..=winograd::MAX_INPUTS).contains(&inputs)
}

/// Packs `(outputs, inputs, side, side)` to `(panels, filter row, filter column, input, PANEL)`.
fn pack_direct(weight: &[f32], inputs: usize, outputs: usize, side: usize) -> Vec<f32> {
    let taps = side * side;
    let mut packed = vec![0.0; outputs.next_multiple_of(PANEL) * inputs * taps];
    for (output, filter) in weight.chunks_exact((inputs * taps).max(1)).enumerate() {
        let (panel, lane) = (output / PANEL, output % PANEL);
        for (input, values) in filter.chunks_exact(taps).enumerate() {
            for (tap, &value) in values.iter().enumerate() {
                packed[((panel * taps + tap) * inputs + input) * PANEL + lane] = value;
            }
        }
    }
    packed
}
