//! Regular convolutions as matrix products.
//!
//! Weights are packed into panels of 8, 16 or 24 output channels. A tile of the result (4 pixels by 24 channels, 6 by
//! 16 or 12 by 8) stays in registers during the sum over the kernel's window. Threads take blocks of pixels.

use super::lanes::{LANES, Lanes, lanes_kernel};
use super::{Clamp, FeatureMap, Threads};
use rayon::prelude::*;

/// Input values that a block of pixels reads: few enough to stay in the second-level cache.
const BLOCK_VALUES: usize = 1 << 15;
/// Pixels of the smallest block; a multiple of every tile's height.
const BLOCK_PIXELS: usize = 24;
/// Smallest number of blocks of a product that may use several threads.
const PARALLEL_BLOCKS: usize = 8;

/// The weights of a regular convolution, packed for [`convolve`].
#[derive(Debug, Clone)]
pub struct Filter {
    panels: Vec<f32>,
    /// One per output channel, padded with zeros to a whole number of lanes.
    bias: Vec<f32>,
    /// Lanes of each panel: 1, 2 or 3.
    widths: Vec<usize>,
    kernel: [usize; 2],
    inputs: usize,
    outputs: usize,
}

/// Widths of the panels that cover `outputs` channels, in vectors of eight: mostly three, one only if unavoidable.
fn panel_widths(outputs: usize) -> Vec<usize> {
    let lanes = outputs.div_ceil(LANES);
    let (threes, twos, ones) = match (lanes % 3, lanes / 3) {
        (0, threes) => (threes, 0, 0),
        (1, 0) => (0, 0, 1),
        (1, threes) => (threes - 1, 2, 0),
        (_, threes) => (threes, 1, 0),
    };
    [vec![3; threes], vec![2; twos], vec![1; ones]].concat()
}

impl Filter {
    /// Packs weights `(outputs, kernel rows, kernel columns, inputs)` and a bias of `outputs` values.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn pack(weights: &[f32], bias: &[f32], outputs: usize, kernel: [usize; 2], inputs: usize) -> Filter {
        let depth = kernel[0] * kernel[1] * inputs;
        assert!(
            weights.len() == outputs * depth && bias.len() == outputs,
            "weights do not match their shape"
        );
        let widths = panel_widths(outputs);
        let padded = widths.iter().sum::<usize>() * LANES;
        let mut panels = Vec::with_capacity(padded * depth);
        let mut first = 0;
        for width in widths.iter().map(|width| width * LANES) {
            for tap in 0..depth {
                let channels = first..first + width;
                panels.extend(
                    channels.map(|channel| weights.get(channel * depth + tap).copied().unwrap_or(0.0)),
                );
            }
            first += width;
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Filter { panels, bias, widths, kernel, inputs, outputs }
    }

    /// Bytes of the packed weights.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        (self.panels.len() + self.bias.len()) * size_of::<f32>()
    }

    /// Bytes of packed weights of these sizes.
    pub fn packed_bytes(outputs: usize, kernel: [usize; 2], inputs: usize) -> usize {
        let padded = outputs.div_ceil(LANES) * LANES;
        padded * (kernel[0] * kernel[1] * inputs + 1) * size_of::<f32>()
    }

    /// Terms of the sum of one output value.
    fn depth(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.inputs
    }
}

/// A convolution that is being computed.
struct Job<'a> {
    input: &'a [f32],
    filter: &'a Filter,
    /// A map of the output's shape that is added before the activation.
    added: Option<&'a [f32]>,
    clamp: Clamp,
    /// Pixels of a row of the output; all of them for a pointwise convolution.
    row_pixels: usize,
    /// Input elements from the window of one output pixel to that of the next in its row.
    pixel_step: usize,
    /// Input elements from the window of one output row to that of the next.
    row_step: usize,
    /// Input elements from one row of a window to the next.
    segment_step: usize,
}

/// Convolves a map that is already padded ([`super::pad`]), adds the bias and `added`, and clamps.
///
/// # Shapes
/// `out` and `added` `(height, width, outputs)` with `(input - kernel) / stride + 1` rows and columns.
///
/// # Panics
/// If the lengths do not match; callers check shapes when a network is built.
pub fn convolve(
    input: FeatureMap,
    filter: &Filter,
    stride: [usize; 2],
    added: Option<&[f32]>,
    clamp: Clamp,
    out: &mut [f32],
    threads: Threads,
) {
    let FeatureMap { values: input, shape } = input;
    let size = super::output_size(shape, super::Padding::default(), filter.kernel, stride);
    let [height, width] = size.expect("the kernel fits into its input");
    let pixels = height * width;
    assert!(input.len() == shape.len() && shape.channels == filter.inputs, "a map does not match its shape");
    assert_eq!(out.len(), pixels * filter.outputs, "an output does not match its shape");
    assert!(added.is_none_or(|added| added.len() == out.len()), "an added map does not match the output");
    let row = shape.width * shape.channels;
    let pointwise = filter.kernel == [1, 1] && stride == [1, 1];
    let job = Job {
        input,
        filter,
        added,
        clamp,
        row_pixels: if pointwise { pixels } else { width },
        pixel_step: stride[1] * shape.channels,
        row_step: stride[0] * row,
        segment_step: row,
    };
    let whole_blocks = |pixels: usize| (pixels / BLOCK_PIXELS).max(1) * BLOCK_PIXELS;
    let block = whole_blocks(BLOCK_VALUES / filter.depth());
    match threads {
        Threads::One => {
            let chunks = out.chunks_mut(block * filter.outputs).enumerate();
            chunks.for_each(|(index, out)| product(&job, index * block, out));
        }
        Threads::Pool => {
            let block = block.min(whole_blocks(pixels / PARALLEL_BLOCKS));
            let chunks = out.par_chunks_mut(block * filter.outputs).enumerate();
            chunks.for_each(|(index, out)| product(&job, index * block, out));
        }
    }
}

lanes_kernel! {
    /// The output pixels from `first` on, as many as `out` holds.
    fn product<L>(job: &Job, first: usize, out: &mut [f32]) {
        let (filter, outputs) = (job.filter, job.filter.outputs);
        let pixels = out.len() / outputs;
        let mut done = 0;
        while done < pixels {
            let (row, column) = ((first + done) / job.row_pixels, (first + done) % job.row_pixels);
            let count = (pixels - done).min(job.row_pixels - column);
            let start = row * job.row_step + column * job.pixel_step;
            let out = &mut out[done * outputs..(done + count) * outputs];
            let added = job.added.map(|added| &added[(first + done) * outputs..][..count * outputs]);
            let (mut panel, mut channel) = (0, 0);
            for &width in &filter.widths {
                let values = width * LANES * filter.depth();
                let weights = &filter.panels[panel..panel + values];
                match width {
                    1 => run::<L, 12, 1>(job, start, weights, channel, added, out),
                    2 => run::<L, 6, 2>(job, start, weights, channel, added, out),
                    _ => run::<L, 4, 3>(job, start, weights, channel, added, out),
                }
                panel += values;
                channel += width * LANES;
            }
            done += count;
        }
    }
}

/// One panel of channels over neighboring pixels of a row: tiles of `R` pixels, then smaller ones.
#[inline(always)]
fn run<L: Lanes, const R: usize, const N: usize>(
    job: &Job,
    start: usize,
    weights: &[f32],
    channel: usize,
    added: Option<&[f32]>,
    out: &mut [f32],
) {
    let pixels = out.len() / job.filter.outputs;
    let mut pixel = 0;
    while pixels - pixel >= R {
        tile::<L, R, N>(job, start, weights, channel, pixel, added, out);
        pixel += R;
    }
    while R > 4 && pixels - pixel >= 4 {
        tile::<L, 4, N>(job, start, weights, channel, pixel, added, out);
        pixel += 4;
    }
    while pixels - pixel >= 2 {
        tile::<L, 2, N>(job, start, weights, channel, pixel, added, out);
        pixel += 2;
    }
    if pixels > pixel {
        tile::<L, 1, N>(job, start, weights, channel, pixel, added, out);
    }
}

/// A tile of `R` pixels by `8 N` channels.
#[inline(always)]
fn tile<L: Lanes, const R: usize, const N: usize>(
    job: &Job,
    start: usize,
    weights: &[f32],
    channel: usize,
    pixel: usize,
    added: Option<&[f32]>,
    out: &mut [f32],
) {
    let filter = job.filter;
    let bias: [L; N] = std::array::from_fn(|lane| load(&filter.bias[channel + lane * LANES..]));
    let mut sums = [[L::splat(0.0); N]; R];
    let segment = filter.kernel[1] * filter.inputs;
    let start = start + pixel * job.pixel_step;
    let end = start + (R - 1) * job.pixel_step + (filter.kernel[0] - 1) * job.segment_step + segment;
    assert!(end <= job.input.len() && weights.len() == filter.kernel[0] * segment * N * LANES);
    for row in 0..filter.kernel[0] {
        let weights = &weights[row * segment * N * LANES..][..segment * N * LANES];
        let from = start + row * job.segment_step;
        for (offset, weights) in weights.chunks_exact(N * LANES).enumerate() {
            let weights: [L; N] = std::array::from_fn(|lane| load(&weights[lane * LANES..]));
            for (index, sums) in sums.iter_mut().enumerate() {
                let position = from + index * job.pixel_step + offset;
                #[expect(
                    unsafe_code,
                    reason = "a bounds check for each value takes a third of the loop's time"
                )]
                // SAFETY: `position < end`, and `end <= job.input.len()` is asserted above
                let value = L::splat(unsafe { *job.input.get_unchecked(position) });
                for (sum, weights) in sums.iter_mut().zip(&weights) {
                    *sum = value.multiply_add(*weights, *sum);
                }
            }
        }
    }
    let (low, high) = (L::splat(job.clamp.low), L::splat(job.clamp.high));
    for (index, sums) in sums.iter().enumerate() {
        let start = (pixel + index) * filter.outputs + channel;
        for (lane, (sum, bias)) in sums.iter().zip(&bias).enumerate() {
            let sum = sum.add(*bias);
            let at = start + lane * LANES;
            let width = LANES.min(filter.outputs.saturating_sub(channel + lane * LANES));
            if width == LANES {
                let sum = added.map_or(sum, |added| sum.add(load(&added[at..])));
                if let Some(out) = out[at..].first_chunk_mut() {
                    sum.clamp(low, high).store(out);
                }
            } else {
                let mut values = [0.0; LANES];
                if let Some(added) = added {
                    values[..width].copy_from_slice(&added[at..at + width]);
                }
                sum.add(L::load(&values)).clamp(low, high).store(&mut values);
                out[at..at + width].copy_from_slice(&values[..width]);
            }
        }
    }
}

/// The first eight values of a slice; NaN where it is shorter.
#[inline(always)]
pub(super) fn load<L: Lanes>(from: &[f32]) -> L {
    match from.first_chunk() {
        Some(numbers) => L::load(numbers),
        None => L::splat(f32::NAN),
    }
}
