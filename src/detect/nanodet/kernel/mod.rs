//! Convolutions on the CPU over plain `f32` slices: pixels outside, channels inside (NHWC), bias and activation fused.
//!
//! A picture has a border of zeros already ([`Map`]), so that nothing is rearranged first (no im2col). A small kernel
//! takes a few pixels times sixteen output channels and holds their sums in registers; weights are packed so that it
//! reads them one after the other. Filters of 3 x 3 with a stride of 1 are computed by Winograd's method, which takes
//! 16 products where there are 36. Every sum is made in the same order whatever the number of threads.
//!
//! Must not know which network it serves.

mod direct;
mod map;
mod micro;
#[cfg(test)]
mod tests;
mod winograd;

pub(super) use map::Map;
pub(super) use micro::PANEL;

use direct::Filter;
use map::Shape;
use micro::{Place, Read, is_wide};
use std::ops::Range;

/// What follows a convolution's bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    /// `max(x, x / 10)`, NanoDet's.
    Leaky,
}

/// The negative slope of [`Activation::Leaky`].
pub(super) const LEAKY_SLOPE: f32 = 0.1;

/// A convolution's weights as the kernel reads them.
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
    /// As [`direct`] or [`winograd`] reads them.
    packed: Vec<f32>,
}

impl Convolution {
    /// Packs weights of the usual order.
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
        assert_eq!(weight.len(), outputs * inputs * side * side, "a convolution's weights have another size");
        let packed = if by_winograd(inputs, outputs, side, stride) {
            winograd::packed(weight, inputs, outputs)
        } else {
            packed(weight, inputs, outputs, side)
        };
        let mut bias = bias.to_vec();
        bias.resize(outputs.next_multiple_of(PANEL), 0.0);
        Convolution { inputs, outputs, side, stride, activation, bias, packed }
    }

    /// Numbers that it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.packed.len() + self.bias.len()
    }

    /// Numbers of packed weights and biases.
    pub(super) fn numbers(inputs: usize, outputs: usize, side: usize, stride: usize) -> usize {
        let taps = if by_winograd(inputs, outputs, side, stride) { winograd::POSITIONS } else { side * side };
        outputs.next_multiple_of(PANEL) * (inputs * taps + 1)
    }

    /// Numbers that each thread needs beside the maps while it computes.
    pub(super) fn scratch_numbers(inputs: usize, outputs: usize, side: usize, stride: usize) -> usize {
        if by_winograd(inputs, outputs, side, stride) { winograd::scratch_numbers(inputs) } else { 0 }
    }

    /// Height or width of what comes out.
    pub(super) fn output_length(&self, length: usize) -> usize {
        (length + 2 * (self.side / 2) - self.side) / self.stride + 1
    }

    /// Computes channels `to..` of `output` from channels `from` of `input`.
    ///
    /// # Panics
    /// If sizes do not fit each other: the caller's mistake, and never that of a file or a picture.
    pub(super) fn run(&self, input: &Map, from: Range<usize>, output: &mut Map, to: usize) {
        self.run_as(input, from, output, to, is_wide());
    }

    /// [`Convolution::run`] with the instructions of AVX2 and FMA, or without.
    fn run_as(&self, input: &Map, from: Range<usize>, output: &mut Map, to: usize, wide: bool) {
        let shapes = (&Shape::of(input), &Shape::of(output));
        self.compute(shapes, from, &Read::of(&input.values), to, &Place::of(&mut output.values), wide);
    }

    /// [`Convolution::run`] from some channels of a map to others of the same, for strides of 1.
    ///
    /// # Panics
    /// If sizes do not fit, or the channels overlap.
    pub(super) fn run_within(&self, map: &mut Map, from: Range<usize>, to: usize) {
        assert!(
            to + self.outputs.next_multiple_of(PANEL) <= from.start || from.end <= to,
            "channels overlap"
        );
        let shape = Shape::of(map);
        let place = Place::of(&mut map.values);
        self.compute((&shape, &shape), from, &place.read(), to, &place, is_wide());
    }

    fn compute(
        &self,
        (input, output): (&Shape, &Shape),
        from: Range<usize>,
        read: &Read,
        to: usize,
        place: &Place,
        wide: bool,
    ) {
        assert!(from.len() == self.inputs && from.end <= input.channels && input.border >= self.side / 2);
        let size = (self.output_length(input.height), self.output_length(input.width));
        assert_eq!((output.height, output.width), size, "a convolution's output has another size");
        // whole panels are written; what is beyond the outputs are zeros
        assert!(to + self.outputs.next_multiple_of(PANEL) <= output.channels);
        let Convolution { inputs, side, stride, bias, packed, .. } = self;
        let leaky = self.activation == Activation::Leaky;
        if by_winograd(self.inputs, self.outputs, self.side, self.stride) {
            let filter = winograd::Filter { inputs: *inputs, leaky, wide, bias, packed };
            filter.run(input, from.start, read, output, to, place);
        } else {
            let filter = Filter { inputs: *inputs, side: *side, stride: *stride, leaky, wide, bias, packed };
            filter.run(input, from.start, read, output, to, place);
        }
    }
}

/// Channels below which the transformations cost more than the products that they save.
const LEAST_INPUTS: usize = 32;

/// Whether Winograd's method serves a filter.
fn by_winograd(inputs: usize, outputs: usize, side: usize, stride: usize) -> bool {
    let whole = inputs.is_multiple_of(PANEL) && outputs.is_multiple_of(PANEL);
    side == 3 && stride == 1 && whole && (LEAST_INPUTS..=winograd::MOST_INPUTS).contains(&inputs)
}

/// `(panels, row of the filter, column, input, PANEL)` of `(outputs, inputs, side, side)`.
fn packed(weight: &[f32], inputs: usize, outputs: usize, side: usize) -> Vec<f32> {
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
