//! Convolutions of feature maps on the CPU, for inference: `f32`, one image, channels innermost (HWC).
//!
//! In: feature maps as slices, and weights packed once ([`Filter`], [`Depthwise`]); out: a slice that is overwritten.
//! A regular convolution is a matrix product of pixels and weights. Each row of a kernel's window is contiguous in
//! memory, so that windows are not copied (no im2col). A depthwise convolution runs over pixels and channels
//! directly. Bias, an added map and the activation are applied before a result is stored. Sums have a fixed order, so
//! that results do not depend on the number of threads. Does not depend on tensors.
//!
//! NanoDet has its own kernels (`detect::nanodet::kernel`): they sum in another order, and each order is part of the
//! results of its network.

pub mod blocked;
mod depthwise;
mod lanes;
mod maps;
mod product;
#[cfg(test)]
mod tests;

pub use depthwise::{Depthwise, depthwise};
pub use maps::{add, max_pool, pad, sigmoid, upsample_2x};
pub use product::{Filter, convolve};

/// Height, width and channels of a feature map; its values are `height * width * channels`, channels innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Shape {
    /// A shape of `height` rows and `width` columns.
    pub fn new(height: usize, width: usize, channels: usize) -> Shape {
        Shape { height, width, channels }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether the map has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A feature map: values and their shape.
#[derive(Debug, Clone, Copy)]
pub struct FeatureMap<'a> {
    /// `shape.len()` values, channels innermost.
    pub values: &'a [f32],
    /// Height, width and channels.
    pub shape: Shape,
}

/// Zero padding around a map, in rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// Whether nothing is padded.
    pub fn is_zero(&self) -> bool {
        *self == Padding::default()
    }

    /// TensorFlow's `SAME` padding: the output has `ceil(input / stride)` rows and columns; the larger half of an odd
    /// total is below and to the right. All arguments are `[rows, columns]`.
    pub fn same(input: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Padding {
        let total = |axis: usize| {
            let output = input[axis].div_ceil(stride[axis]);
            (output.saturating_sub(1) * stride[axis] + kernel[axis]).saturating_sub(input[axis])
        };
        let [rows, columns] = [total(0), total(1)];
        Padding { top: rows / 2, left: columns / 2, bottom: rows - rows / 2, right: columns - columns / 2 }
    }
}

/// A clamping activation: results are limited to `low..=high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    /// Smallest result.
    pub low: f32,
    /// Largest result.
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
    /// No: the calling thread only.
    One,
    /// Yes: those of rayon's current pool.
    Pool,
}

/// Length of an output axis; `None` where the kernel does not fit into the padded input.
fn output_length(input: usize, pads: usize, kernel: usize, stride: usize) -> Option<usize> {
    Some((input + pads).checked_sub(kernel)?.checked_div(stride)? + 1)
}

/// `[rows, columns]` of a convolution's output; `None` where the kernel does not fit into the padded input.
pub fn output_size(
    input: Shape,
    pads: Padding,
    kernel: [usize; 2],
    stride: [usize; 2],
) -> Option<[usize; 2]> {
    Some([
        output_length(input.height, pads.top + pads.bottom, kernel[0], stride[0])?,
        output_length(input.width, pads.left + pads.right, kernel[1], stride[1])?,
    ])
}
