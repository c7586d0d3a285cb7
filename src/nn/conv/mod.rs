//! Convolutions of feature maps on the CPU, for inference: `f32`, one picture, channels innermost (HWC).
//!
//! A regular convolution is a matrix product of pixels with weights that were packed once; a row of a kernel's
//! window lies together in memory, so that no copy of the windows is made. A depthwise convolution runs over
//! pixels and channels directly. Bias, an added map and the activation are applied before a result is stored.
//! Sums run in a fixed order, so that neither the number of threads nor what else is computed shows in a result.
//! Must not know which network it serves, nor tensors.

mod depthwise;
mod lanes;
mod maps;
mod product;
#[cfg(test)]
mod tests;

pub use depthwise::{Depthwise, depthwise};
pub use maps::{add, max_pool, pad, resize_twice, sigmoid};
pub use product::{Filter, convolve};

/// Height, width and channels of a feature map; its values are `height * width * channels`, channels innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Shape {
    pub fn new(height: usize, width: usize, channels: usize) -> Shape {
        Shape { height, width, channels }
    }

    /// How many values the map has.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether the map has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A feature map.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    /// As many as the shape says, channels innermost.
    pub values: &'a [f32],
    pub shape: Shape,
}

/// Rows and columns of zeros around a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pads {
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
}

impl Pads {
    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        *self == Pads::default()
    }

    /// TensorFlow's `SAME`: the output has `ceil(input / stride)` rows and columns; where the zeros are odd in
    /// number, the larger half is below and to the right.
    pub fn same(input: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Pads {
        let total = |axis: usize| {
            let output = input[axis].div_ceil(stride[axis]);
            (output.saturating_sub(1) * stride[axis] + kernel[axis]).saturating_sub(input[axis])
        };
        let [rows, columns] = [total(0), total(1)];
        Pads { top: rows / 2, left: columns / 2, bottom: rows - rows / 2, right: columns - columns / 2 }
    }
}

/// A function that is applied to each result: the smallest and the largest value that stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    pub low: f32,
    pub high: f32,
}

impl Clamp {
    /// No activation.
    pub const NONE: Clamp = Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY };
    /// `max(0, x)`.
    pub const RELU: Clamp = Clamp { low: 0.0, high: f32::INFINITY };
    /// `min(6, max(0, x))`.
    pub const RELU6: Clamp = Clamp { low: 0.0, high: 6.0 };
}

/// Whether an operator may use several threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone.
    One,
    /// Those of rayon's current pool.
    Pool,
}

/// Length of an output axis: how often a kernel fits into a padded input.
fn steps(input: usize, pads: usize, kernel: usize, stride: usize) -> Option<usize> {
    Some((input + pads).checked_sub(kernel)?.checked_div(stride)? + 1)
}

/// The shape of what a kernel of `kernel` rows and columns gives; `None` where it does not fit in once.
pub fn output_size(input: Shape, pads: Pads, kernel: [usize; 2], stride: [usize; 2]) -> Option<[usize; 2]> {
    Some([
        steps(input.height, pads.top + pads.bottom, kernel[0], stride[0])?,
        steps(input.width, pads.left + pads.right, kernel[1], stride[1])?,
    ])
}
