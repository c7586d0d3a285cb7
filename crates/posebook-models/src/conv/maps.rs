//! Operators on feature maps other than convolutions: addition, padding, pooling, upsampling, sigmoid.

use super::lanes::{LANES, lanes_kernel};
use super::product::load;
use super::{Clamp, Padding, Shape, Threads};
use rayon::prelude::*;

/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The sum of two maps, then the activation, into `out`.
///
/// # Panics
/// If the lengths differ.
pub fn add(a: &[f32], b: &[f32], clamp: Clamp, out: &mut [f32], threads: Threads) {
    assert!(a.len() == out.len() && b.len() == out.len(), "the maps of a sum differ in length");
    match threads {
        Threads::One => sum(a, b, clamp, out),
        Threads::Pool => {
            let parts = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).zip(out.par_chunks_mut(CHUNK));
            parts.for_each(|((a, b), out)| sum(a, b, clamp, out));
        }
    }
}

lanes_kernel! {
    fn sum<L>(a: &[f32], b: &[f32], clamp: Clamp, out: &mut [f32]) {
        let (low, high) = (L::splat(clamp.low), L::splat(clamp.high));
        let (chunks, rest) = out.as_chunks_mut::<LANES>();
        let done = chunks.len() * LANES;
        for ((a, b), out) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0).zip(chunks) {
            L::load(a).add(L::load(b)).clamp(low, high).store(out);
        }
        for ((a, b), out) in a[done..].iter().zip(&b[done..]).zip(rest) {
            let value = a + b;
            let value = if value < clamp.low { clamp.low } else { value };
            *out = if value > clamp.high { clamp.high } else { value };
        }
    }
}

/// A map with zeros around it, and `channels` channels of zeros after its own.
///
/// # Shapes
/// `out` `(height + top + bottom, width + left + right, shape.channels + channels)`.
///
/// # Panics
/// If the lengths do not match.
pub fn pad(input: &[f32], shape: Shape, pads: Padding, channels: usize, out: &mut [f32]) {
    let width = shape.width + pads.left + pads.right;
    let all = shape.channels + channels;
    assert!(input.len() == shape.len(), "a map does not match its shape");
    assert_eq!(
        out.len(),
        (shape.height + pads.top + pads.bottom) * width * all,
        "an output does not match its shape"
    );
    for (y, out) in out.chunks_mut(width * all).enumerate() {
        let Some(from) = y.checked_sub(pads.top).filter(|&from| from < shape.height) else {
            out.fill(0.0);
            continue;
        };
        let row = &input[from * shape.width * shape.channels..(from + 1) * shape.width * shape.channels];
        out[..pads.left * all].fill(0.0);
        out[(pads.left + shape.width) * all..].fill(0.0);
        let out = &mut out[pads.left * all..(pads.left + shape.width) * all];
        if channels == 0 {
            out.copy_from_slice(row);
            continue;
        }
        for (out, pixel) in out.chunks_exact_mut(all).zip(row.chunks_exact(shape.channels)) {
            out[..shape.channels].copy_from_slice(pixel);
            out[shape.channels..].fill(0.0);
        }
    }
}

/// 2 x 2 max pooling with stride 2; an odd last row or column is dropped.
///
/// # Shapes
/// `out` `(height / 2, width / 2, channels)`.
///
/// # Panics
/// If the lengths do not match.
pub fn max_pool(input: &[f32], shape: Shape, out: &mut [f32]) {
    let (row, channels) = (shape.width * shape.channels, shape.channels);
    assert!(input.len() == shape.len(), "a map does not match its shape");
    assert_eq!(
        out.len(),
        (shape.height / 2) * (shape.width / 2) * channels,
        "an output does not match its shape"
    );
    let largest = |a: f32, b: f32| if a > b { a } else { b };
    for (y, out) in out.chunks_mut((shape.width / 2 * channels).max(1)).enumerate() {
        let (upper, lower) = (&input[2 * y * row..][..row], &input[(2 * y + 1) * row..][..row]);
        let pairs = upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels));
        for ((upper, lower), out) in pairs.zip(out.chunks_exact_mut(channels)) {
            let ((a, b), (c, d)) = (upper.split_at(channels), lower.split_at(channels));
            for (channel, out) in out.iter_mut().enumerate() {
                *out = largest(largest(a[channel], b[channel]), largest(c[channel], d[channel]));
            }
        }
    }
}

/// Linear interpolation taps of pixel `index` of an axis that is upsampled by two from `len` pixels: two source
/// pixels, and the weight of the second. Half-pixel centers; edge pixels are repeated.
fn upsampling_taps(index: usize, len: usize) -> (usize, usize, f32) {
    let source = index / 2;
    if index.is_multiple_of(2) {
        if source == 0 { (0, 0, 0.0) } else { (source - 1, source, 0.75) }
    } else {
        (source, (source + 1).min(len - 1), 0.25)
    }
}

/// Bilinear upsampling to twice the height and width (TensorFlow's `ResizeBilinear` with half-pixel centers).
///
/// # Shapes
/// `out` `(2 height, 2 width, channels)`.
///
/// # Panics
/// If the lengths do not match.
pub fn upsample_2x(input: &[f32], shape: Shape, out: &mut [f32], threads: Threads) {
    assert!(input.len() == shape.len(), "a map does not match its shape");
    assert_eq!(out.len(), 4 * shape.len(), "an output does not match its shape");
    if shape.is_empty() {
        return;
    }
    let row = 2 * shape.width * shape.channels;
    match threads {
        Threads::One => {
            out.chunks_mut(row).enumerate().for_each(|(y, out)| upsample_row(input, shape, y, out))
        }
        Threads::Pool => {
            out.par_chunks_mut(row).enumerate().for_each(|(y, out)| upsample_row(input, shape, y, out));
        }
    }
}

lanes_kernel! {
    fn upsample_row<L>(input: &[f32], shape: Shape, y: usize, out: &mut [f32]) {
        let channels = shape.channels;
        let row = shape.width * channels;
        let (above, below, part) = upsampling_taps(y, shape.height);
        let (upper, lower) = (&input[above * row..][..row], &input[below * row..][..row]);
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            let (left, right, across) = upsampling_taps(x, shape.width);
            let pixels = [(upper, left), (upper, right), (lower, left), (lower, right)]
                .map(|(row, column)| &row[column * channels..(column + 1) * channels]);
            let weights =
                [(1.0 - part) * (1.0 - across), (1.0 - part) * across, part * (1.0 - across), part * across];
            let (chunks, rest) = out.as_chunks_mut::<LANES>();
            let done = chunks.len() * LANES;
            for (index, out) in chunks.iter_mut().enumerate() {
                let mut sum = L::splat(0.0);
                for (pixel, weight) in pixels.iter().zip(weights) {
                    sum = load::<L>(&pixel[index * LANES..]).multiply_add(L::splat(weight), sum);
                }
                sum.store(out);
            }
            for (index, out) in rest.iter_mut().enumerate() {
                *out = pixels.iter().zip(weights).map(|(pixel, weight)| pixel[done + index] * weight).sum();
            }
        }
    }
}

/// The logistic function, `1 / (1 + exp(-x))`.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}
