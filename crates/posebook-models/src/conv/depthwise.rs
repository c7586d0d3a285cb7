//! Depthwise convolutions: every channel has its own kernel.
//!
//! Four neighboring pixels and eight channels are computed at a time. The padding is skipped instead of being added.

use super::lanes::{LANES, Lanes, lanes_kernel};
use super::{Clamp, FeatureMap, Padding, Shape, Threads};
use rayon::prelude::*;

/// The weights of a depthwise convolution.
#[derive(Debug, Clone)]
pub struct Depthwise {
    /// `(kernel rows, kernel columns, channels)`, channels padded with zeros to a whole number of lanes.
    weights: Vec<f32>,
    bias: Vec<f32>,
    kernel: [usize; 2],
    channels: usize,
    /// Channels including the padding.
    padded: usize,
}

impl Depthwise {
    /// Takes weights `(kernel rows, kernel columns, channels)` and a bias of `channels` values.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn pack(weights: &[f32], bias: &[f32], kernel: [usize; 2], channels: usize) -> Depthwise {
        let taps = kernel[0] * kernel[1];
        assert!(
            weights.len() == taps * channels && bias.len() == channels,
            "weights do not match their shape"
        );
        let padded = channels.div_ceil(LANES) * LANES;
        let mut out = Vec::with_capacity(taps * padded);
        for tap in weights.chunks_exact(channels) {
            out.extend_from_slice(tap);
            out.resize(out.len() + padded - channels, 0.0);
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Depthwise { weights: out, bias, kernel, channels, padded }
    }

    /// Bytes of packed weights of these sizes.
    pub fn packed_bytes(kernel: [usize; 2], channels: usize) -> usize {
        channels.div_ceil(LANES) * LANES * (kernel[0] * kernel[1] + 1) * size_of::<f32>()
    }

    /// Bytes of the packed weights.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        (self.weights.len() + self.bias.len()) * size_of::<f32>()
    }
}

/// A convolution that is being computed.
struct Job<'a> {
    input: &'a [f32],
    shape: Shape,
    filter: &'a Depthwise,
    stride: [usize; 2],
    pads: Padding,
    clamp: Clamp,
    /// Columns of the output.
    width: usize,
    /// Range `[first, end)` of output columns whose windows lie inside the input's columns.
    inner: [usize; 2],
}

/// Convolves each channel of a map, zero-padded by `pads`, with its own kernel, adds the bias and clamps.
///
/// # Shapes
/// `out` as [`super::output_size`] says, the channels those of the input.
///
/// # Panics
/// If the lengths do not match; callers check shapes when a network is built.
pub fn depthwise(
    input: FeatureMap,
    filter: &Depthwise,
    stride: [usize; 2],
    pads: Padding,
    clamp: Clamp,
    out: &mut [f32],
    threads: Threads,
) {
    let FeatureMap { values: input, shape } = input;
    let size = super::output_size(shape, pads, filter.kernel, stride);
    let [height, width] = size.expect("the kernel fits into its input");
    assert!(
        input.len() == shape.len() && shape.channels == filter.channels,
        "a map does not match its shape"
    );
    assert_eq!(out.len(), height * width * shape.channels, "an output does not match its shape");
    let end = (shape.width + pads.left).checked_sub(filter.kernel[1]).map_or(0, |last| last / stride[1] + 1);
    let end = end.min(width);
    let inner = [pads.left.div_ceil(stride[1]).min(end), end];
    let job = Job { input, shape, filter, stride, pads, clamp, width, inner };
    let row = width * shape.channels;
    match threads {
        Threads::One => out.chunks_mut(row).enumerate().for_each(|(y, out)| one_row(&job, y, out)),
        Threads::Pool => out.par_chunks_mut(row).enumerate().for_each(|(y, out)| one_row(&job, y, out)),
    }
}

lanes_kernel! {
    /// Row `y` of the output.
    fn one_row<L>(job: &Job, y: usize, out: &mut [f32]) {
        if !job.shape.channels.is_multiple_of(LANES) {
            return (0..job.width).for_each(|x| scalar_pixel(job, y, x, out));
        }
        let [first, end] = job.inner;
        (0..first).for_each(|x| border::<L>(job, y, x, out));
        match (job.filter.kernel[1], job.stride[1]) {
            (3, 1) => inner::<L, 3, 1>(job, y, out),
            (5, 1) => inner::<L, 5, 1>(job, y, out),
            (3, 2) => inner::<L, 3, 2>(job, y, out),
            (5, 2) => inner::<L, 5, 2>(job, y, out),
            _ => (first..end).for_each(|x| border::<L>(job, y, x, out)),
        }
        (end..job.width).for_each(|x| border::<L>(job, y, x, out));
    }
}

/// The range `[first, end)` of a window of `kernel` values from `start - pads` on that lies inside `0..len`.
#[inline(always)]
fn inside(start: usize, pads: usize, kernel: usize, len: usize) -> [usize; 2] {
    let first = pads.saturating_sub(start).min(kernel);
    [first, (len + pads).saturating_sub(start).min(kernel).max(first)]
}

/// The pixels of a row whose windows lie inside the input's columns.
#[inline(always)]
fn inner<L: Lanes, const K: usize, const S: usize>(job: &Job, y: usize, out: &mut [f32]) {
    let [mut x, end] = job.inner;
    while end - x >= 4 {
        tile::<L, 4, K, S>(job, y, x, out);
        x += 4;
    }
    while end - x >= 2 {
        tile::<L, 2, K, S>(job, y, x, out);
        x += 2;
    }
    if end > x {
        tile::<L, 1, K, S>(job, y, x, out);
    }
}

/// `T` neighboring pixels of a row, eight channels at a time.
#[inline(always)]
fn tile<L: Lanes, const T: usize, const K: usize, const S: usize>(
    job: &Job,
    y: usize,
    x: usize,
    out: &mut [f32],
) {
    let (filter, channels) = (job.filter, job.shape.channels);
    let [first, end] = inside(y * job.stride[0], job.pads.top, filter.kernel[0], job.shape.height);
    let top = (y * job.stride[0] + first).saturating_sub(job.pads.top);
    let left = x * S - job.pads.left;
    let row = job.shape.width * channels;
    let start = top * row + left * channels;
    let last = start + (end - first).saturating_sub(1) * row + ((T - 1) * S + K) * channels;
    let weights = &filter.weights[first * K * channels..end * K * channels];
    assert!(end == first || last <= job.input.len(), "a window reaches beyond its map");
    let (low, high) = (L::splat(job.clamp.low), L::splat(job.clamp.high));
    let out = &mut out[x * channels..(x + T) * channels];
    for channel in (0..channels).step_by(LANES) {
        let mut sums = [load_at::<L>(&filter.bias, channel); T];
        for ky in 0..end - first {
            let (from, weights_from) = (start + ky * row + channel, ky * K * channels + channel);
            for kx in 0..K {
                let weight: L = load_at(weights, weights_from + kx * channels);
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    let value: L = load_at(job.input, from + (pixel * S + kx) * channels);
                    *sum = value.multiply_add(weight, *sum);
                }
            }
        }
        for (pixel, sum) in sums.iter().enumerate() {
            if let Some(out) = out[pixel * channels + channel..].first_chunk_mut() {
                sum.clamp(low, high).store(out);
            }
        }
    }
}

/// Eight values of a slice from a position on.
#[inline(always)]
fn load_at<L: Lanes>(values: &[f32], position: usize) -> L {
    debug_assert!(position + LANES <= values.len());
    #[expect(unsafe_code, reason = "a bounds check for each vector takes a third of the loop's time")]
    // SAFETY: `tile` and `border` assert before their loops that the last position of their windows lies inside the
    // slice; weights and bias are padded to a whole number of lanes
    let chunk = unsafe { &*values.as_ptr().add(position).cast::<[f32; LANES]>() };
    L::load(chunk)
}

/// One pixel whose window may lie partly outside of the map.
#[inline(always)]
fn border<L: Lanes>(job: &Job, y: usize, x: usize, out: &mut [f32]) {
    let (filter, channels) = (job.filter, job.shape.channels);
    let (top, left) = (y * job.stride[0], x * job.stride[1]);
    let [first_row, end_row] = inside(top, job.pads.top, filter.kernel[0], job.shape.height);
    let [first, end] = inside(left, job.pads.left, filter.kernel[1], job.shape.width);
    let row = job.shape.width * channels;
    let (low, high) = (L::splat(job.clamp.low), L::splat(job.clamp.high));
    let out = &mut out[x * channels..(x + 1) * channels];
    assert!(
        filter.bias.len() == channels
            && filter.weights.len() == filter.kernel[0] * filter.kernel[1] * channels
    );
    for (channel, out) in (0..channels).step_by(LANES).zip(out.as_chunks_mut::<LANES>().0) {
        let mut sum: L = load_at(&filter.bias, channel);
        for ky in first_row..end_row {
            // inside the map: `first_row` skips the padding above
            let from = (top + ky - job.pads.top) * row + channel;
            for kx in first..end {
                let position = from + (left + kx - job.pads.left) * channels;
                let value: L = super::product::load(&job.input[position..]);
                sum = value.multiply_add(
                    load_at(&filter.weights, (ky * filter.kernel[1] + kx) * channels + channel),
                    sum,
                );
            }
        }
        sum.clamp(low, high).store(out);
    }
}

/// One pixel of a map whose channels are not a whole number of lanes.
fn scalar_pixel(job: &Job, y: usize, x: usize, out: &mut [f32]) {
    let (filter, channels) = (job.filter, job.shape.channels);
    let (top, left) = (y * job.stride[0], x * job.stride[1]);
    let [first_row, end_row] = inside(top, job.pads.top, filter.kernel[0], job.shape.height);
    let [first, end] = inside(left, job.pads.left, filter.kernel[1], job.shape.width);
    for (channel, out) in out[x * channels..(x + 1) * channels].iter_mut().enumerate() {
        let mut sum = filter.bias[channel];
        for ky in first_row..end_row {
            for kx in first..end {
                let (row, column) = (top + ky - job.pads.top, left + kx - job.pads.left);
                let value = job.input[(row * job.shape.width + column) * channels + channel];
                sum += value * filter.weights[(ky * filter.kernel[1] + kx) * filter.padded + channel];
            }
        }
        *out = if sum < job.clamp.low { job.clamp.low } else { sum };
        *out = if *out > job.clamp.high { job.clamp.high } else { *out };
    }
}
