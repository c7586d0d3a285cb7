//! Convolutions of batches on the CPU, blocked for the caches: `f32`, channels innermost, groups, for inference.
//!
//! In: a batch `(b, height, width, inputs)` as a slice, and weights packed once ([`Convolution::pack`]). Out:
//! `(b, height', width', outputs)`, with the bias, an added map and the activation.
//!
//! * **Blocks.** A thread takes [`BLOCK_PIXELS`] output pixels of the whole batch, gathers their windows (im2col) for at
//!   most [`MAX_TERMS`] terms of the sums at a time into a scratch that stays in the second-level cache, and multiplies
//!   them with panels of 8, 16 or 32 output channels (`tile`). There is no im2col of a whole map. Pointwise convolutions
//!   read their input where it is.
//! * **Winograd.** 3 x 3 convolutions with stride 1, one group and at least 32 channels transform tiles of the input
//!   instead of gathering windows, and need 4 / 9 of the products (`winograd`). Their weights take 16 / 9 of the memory.
//! * **Scratch.** Each thread keeps at most 1.5 MiB for its next block; a transposed convolution ([`Convolution::run_to_quads`])
//!   keeps the outputs of [`BLOCK_PIXELS`] pixels in addition.
//! * **Order of sums.** A sum starts with the bias and goes over kernel rows, kernel columns and channels, fused
//!   multiply-add by multiply-add; Winograd's sums go over channels for each position of a tile. Hence results depend
//!   neither on the number of threads nor on the other images of a batch, and are the same with AVX2 and AVX-512.
//!   Processors without either round products before they are added.
//! * **NaN** stays NaN, also through the ReLU.
//!
//! Does not depend on tensors.

mod direct;
mod gather;
#[cfg(test)]
mod tests;
mod tile;
mod vector;
mod weighted;
mod winograd;

pub use weighted::add_weighted;

use direct::Job;
use gather::Batch;
use vector::Instructions;

/// Output pixels that a thread takes at a time.
const BLOCK_PIXELS: usize = 8 * tile::ROWS;
/// Terms of the sums that are gathered at a time.
const MAX_TERMS: usize = 768;

/// Sizes of a convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvSpec {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the kernel, pixels.
    pub kernel: usize,
    /// Step between windows, pixels.
    pub stride: usize,
    /// Zeros around the input, pixels.
    pub padding: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
}

impl ConvSpec {
    /// Whether the sizes are possible: nothing is 0 but the padding, and the groups divide the channels.
    pub fn is_possible(&self) -> bool {
        let ConvSpec { inputs, outputs, kernel, stride, groups, .. } = *self;
        let none_zero = [inputs, outputs, kernel, stride, groups].iter().all(|&size| size > 0);
        none_zero && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups)
    }

    /// Output rows or columns of as many input rows or columns; `None` where the kernel does not fit.
    pub fn output_length(&self, input: usize) -> Option<usize> {
        Some((input + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }

    /// Values that the packed weights and biases take.
    pub fn packed_values(&self) -> usize {
        let filter = if winograd::fits(*self) { winograd::values(self.inputs) } else { self.terms() };
        let (mut left, mut width) = (self.outputs / self.groups, 0);
        while left > 0 {
            let panel = panel_width(left);
            (left, width) = (left.saturating_sub(panel), width + panel);
        }
        self.groups * width * (filter + 1)
    }

    /// Terms of the sum of one output value.
    fn terms(&self) -> usize {
        self.kernel * self.kernel * self.inputs / self.groups
    }
}

/// A panel of neighboring output channels of one group.
#[derive(Debug, Clone, Copy)]
struct Panel {
    group: usize,
    /// First output channel.
    first: usize,
    /// Output channels.
    count: usize,
    /// `count` rounded up to a width that there is a kernel for.
    width: usize,
    /// Start of its weights `(terms, width)`.
    weights: usize,
    /// Start of its bias.
    bias: usize,
}

/// A convolution with packed weights.
#[derive(Debug, Clone)]
pub struct Convolution {
    spec: ConvSpec,
    panels: Vec<Panel>,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// What follows the sums.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// A map of the output's shape that is added.
    pub added: Option<&'a [f32]>,
    /// Whether `max(0, x)` follows, after the addition.
    pub relu: bool,
}

impl Convolution {
    /// Packs weights `(outputs, inputs / groups, kernel, kernel)` and a bias of `outputs` values (`None`: zeros).
    ///
    /// # Panics
    /// If the sizes are not possible ([`ConvSpec::is_possible`]) or a length does not match.
    pub fn pack(weights: &[f32], bias: Option<&[f32]>, spec: ConvSpec) -> Convolution {
        assert!(spec.is_possible(), "impossible sizes of a convolution: {spec:?}");
        assert_eq!(weights.len(), spec.outputs * spec.terms(), "weights do not match their shape");
        assert!(bias.is_none_or(|bias| bias.len() == spec.outputs), "a bias does not match its shape");
        let (inputs, outputs) = (spec.inputs / spec.groups, spec.outputs / spec.groups);
        let mut packed = Convolution { spec, panels: Vec::new(), weights: Vec::new(), bias: Vec::new() };
        for group in 0..spec.groups {
            let mut done = 0;
            while done < outputs {
                let width = panel_width(outputs - done);
                let (first, count) = (group * outputs + done, width.min(outputs - done));
                let (start, bias_start) = (packed.weights.len(), packed.bias.len());
                let panel = Panel { group, first, count, width, weights: start, bias: bias_start };
                packed.panels.push(panel);
                if winograd::fits(spec) {
                    winograd::pack(weights, inputs, &panel, &mut packed.weights);
                } else {
                    packed.pack_panel(weights, &panel);
                }
                let zeros = std::iter::repeat_n(0.0, width);
                let bias = bias.map_or(&[][..], |bias| &bias[first..first + count]);
                packed.bias.extend(bias.iter().copied().chain(zeros).take(width));
                done += count;
            }
        }
        // a vector that grows reserves up to twice the memory that it needs
        packed.weights.shrink_to_fit();
        packed.bias.shrink_to_fit();
        packed
    }

    /// Appends the weights of a panel's channels as `(terms, width)`.
    fn pack_panel(&mut self, weights: &[f32], panel: &Panel) {
        let (terms, inputs) = (self.spec.terms(), self.spec.inputs / self.spec.groups);
        for term in 0..terms {
            // terms are packed as (row, column, input), weights come as (input, row, column)
            let from = term % inputs * (terms / inputs) + term / inputs;
            let channels = panel.first..panel.first + panel.count;
            self.weights.extend(channels.map(|channel| weights[channel * terms + from]));
            self.weights.resize(panel.weights + (term + 1) * panel.width, 0.0);
        }
    }

    /// Convolves a batch of `[b, height, width]` pixels, on the threads of rayon's current pool.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input, or a length does not match; callers check shapes.
    pub fn run(&self, input: &[f32], size: [usize; 3], epilogue: Epilogue, out: &mut [f32]) {
        self.run_with(input, size, epilogue, out, Instructions::detect());
    }

    /// A pointwise convolution to `4 c` outputs in the order (row, column, channel), whose pixels become 2 x 2 pixels of
    /// `c` channels: `out` is `(b, 2 height, 2 width, c)`.
    ///
    /// # Panics
    /// If the convolution is not pointwise, its outputs are no multiple of four, or a length does not match.
    pub fn run_to_quads(&self, input: &[f32], size: [usize; 3], epilogue: Epilogue, out: &mut [f32]) {
        let spec = self.spec;
        let is_pointwise = (spec.kernel, spec.stride, spec.padding) == (1, 1, 0);
        assert!(
            is_pointwise && spec.outputs.is_multiple_of(4),
            "not a convolution to 2 x 2 pixels: {spec:?}"
        );
        self.job(input, size, epilogue, out.len(), Instructions::detect()).run_to_quads(out);
    }

    fn run_with(
        &self,
        input: &[f32],
        size: [usize; 3],
        epilogue: Epilogue,
        out: &mut [f32],
        instructions: Instructions,
    ) {
        let job = self.job(input, size, epilogue, out.len(), instructions);
        if winograd::fits(self.spec) { winograd::run(&job, out) } else { job.run(out) }
    }

    /// Checks the lengths of an input and of its output.
    fn job<'a>(
        &'a self,
        input: &'a [f32],
        [images, height, width]: [usize; 3],
        epilogue: Epilogue<'a>,
        out: usize,
        instructions: Instructions,
    ) -> Job<'a> {
        let spec = self.spec;
        let output = |length| spec.output_length(length).expect("the kernel fits into its padded input");
        let (out_height, out_width) = (output(height), output(width));
        assert_eq!(input.len(), images * height * width * spec.inputs, "an input does not match its shape");
        assert_eq!(out, images * out_height * out_width * spec.outputs, "an output does not match its shape");
        let fits = epilogue.added.is_none_or(|added| added.len() == out);
        assert!(fits, "an added map does not match the output");
        let batch = Batch { input, height, width, out_height, out_width };
        Job { convolution: self, batch, epilogue, instructions }
    }
}

/// The narrowest panel for as many channels; the widest for more.
fn panel_width(channels: usize) -> usize {
    let mut widths = tile::WIDTHS.into_iter().rev();
    widths.find(|&width| channels <= width).unwrap_or(tile::WIDTHS[0])
}
