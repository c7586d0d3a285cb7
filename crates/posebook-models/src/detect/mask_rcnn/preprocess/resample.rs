//! Pillow's bilinear scaling of 8-bit images, bit for bit.
//!
//! The filter is a triangle whose half width is one pixel of the larger of the two grids, so that shrinking averages. It
//! is applied along rows, rounded to 8 bits, then along columns. Weights have 22 fractional bits.
//!
//! The result equals that of Pillow 9.5 and 12. Pillow 13 filters the columns of tall images first, so that about 23% of the
//! values of such an image differ by 1.

use posebook_core::frame::FrameSize;
use rayon::prelude::*;

/// Fractional bits of a weight.
const FRACTION_BITS: u32 = 22;
/// Channels of an image.
const CHANNELS: usize = 3;

/// An image of `from` in the size `to`: `to.height * to.width * 3` bytes. An axis whose length does not change is copied.
///
/// # Panics
/// If `pixels` does not have the bytes of an image of `from`, which is a bug of the caller.
pub fn resize(pixels: &[u8], from: FrameSize, to: FrameSize) -> Vec<u8> {
    assert_eq!(pixels.len(), from.height * from.width * CHANNELS, "an image's bytes do not match its size");
    let wide = (from.width != to.width).then(|| scale_rows(pixels, from, to.width));
    if from.height == to.height {
        return wide.unwrap_or_else(|| pixels.to_vec());
    }
    scale_columns(wide.as_deref().unwrap_or(pixels), from.height, to)
}

/// Pixels of the source that make a pixel of the result.
struct Window {
    /// The first of them.
    first: usize,
    /// A weight for each, which sum up to `1 << FRACTION_BITS` before rounding.
    weights: Vec<i32>,
}

/// The windows of an axis of `from` pixels in `to` pixels.
fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    // half the width of the triangle, source pixels
    let support = scale.max(1.0);
    let window = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |at: usize| {
            let distance = ((at as f64 - center + 0.5) / support).abs();
            if distance < 1.0 { 1.0 - distance } else { 0.0 }
        };
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let quantize = |weight: f64| {
            let normalized = if sum == 0.0 { weight } else { weight / sum };
            (0.5 + normalized * f64::from(1 << FRACTION_BITS)) as i32
        };
        Window { first, weights: weights.into_iter().map(quantize).collect() }
    };
    (0..to).map(window).collect()
}

/// A weighted sum rounded to 8 bits.
fn round(sum: i32) -> u8 {
    ((sum + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Scales each row to `width` pixels.
fn scale_rows(pixels: &[u8], from: FrameSize, width: usize) -> Vec<u8> {
    let windows = windows(from.width, width);
    let mut scaled = vec![0; from.height * width * CHANNELS];
    let rows = scaled.par_chunks_mut(width * CHANNELS).zip(pixels.par_chunks(from.width * CHANNELS));
    rows.for_each(|(scaled, row)| {
        let (row, _) = row.as_chunks::<CHANNELS>();
        for (pixel, window) in scaled.chunks_exact_mut(CHANNELS).zip(&windows) {
            let mut sums = [0; CHANNELS];
            for (source, weight) in row[window.first..].iter().zip(&window.weights) {
                for (sum, &value) in sums.iter_mut().zip(source) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixel.copy_from_slice(&sums.map(round));
        }
    });
    scaled
}

/// Scales columns of `from_height` pixels to `to.height`; rows are `to.width` pixels long.
fn scale_columns(pixels: &[u8], from_height: usize, to: FrameSize) -> Vec<u8> {
    let windows = windows(from_height, to.height);
    let length = to.width * CHANNELS;
    let mut scaled = vec![0; to.height * length];
    scaled.par_chunks_mut(length).zip(windows).for_each_init(
        || vec![0i32; length],
        |sums, (scaled, window)| {
            sums.fill(0);
            for (row, weight) in pixels[window.first * length..].chunks_exact(length).zip(&window.weights) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (pixel, &sum) in scaled.iter_mut().zip(sums.iter()) {
                *pixel = round(sum);
            }
        },
    );
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(pixels: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let rgb: Vec<u8> = pixels.iter().flat_map(|&value| [value; CHANNELS]).collect();
        let scaled = resize(&rgb, FrameSize::new(from.0, from.1), FrameSize::new(to.0, to.1));
        scaled.chunks_exact(CHANNELS).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn shrinking_averages_and_growing_interpolates() {
        // the triangle over four pixels has weights 1 3 3 1, of which the edges lack one
        assert_eq!(resized(&[0, 0, 80, 80], (4, 1), (2, 1)), [11, 69]);
        assert_eq!(resized(&[0, 100], (2, 1), (4, 1)), [0, 25, 75, 100]);
        assert_eq!(resized(&[0, 100], (1, 2), (1, 4)), [0, 25, 75, 100]);
        assert_eq!(resized(&[7], (1, 1), (3, 2)), [7; 6]);
        assert_eq!(resized(&[1, 2, 3, 4], (2, 2), (2, 2)), [1, 2, 3, 4]);
    }

    #[test]
    fn a_plain_image_stays_plain_at_any_size() {
        for (from, to) in
            [((5000, 3), (1333, 1)), ((3, 700), (1, 266)), ((640, 480), (1067, 800)), ((1, 1), (256, 256))]
        {
            for value in [0, 1, 128, 255] {
                let scaled = resized(&vec![value; from.0 * from.1], from, to);
                assert!(scaled.iter().all(|&pixel| pixel == value), "{from:?} {to:?} {value}");
            }
        }
    }
}
