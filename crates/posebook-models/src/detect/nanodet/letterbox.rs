//! Converts an image of any size to the network's input: scales it to the given longer side with its aspect ratio unchanged,
//! places it at the top left corner, pads the right and bottom to multiples of 32, and normalizes it.

use super::architecture::SIZE_MULTIPLE;
use rayon::prelude::*;

/// Mean and standard deviation of blue, green and red in training.
const MEAN: [f32; 3] = [103.53, 116.28, 123.675];
const DEVIATION: [f32; 3] = [57.375, 57.12, 58.395];
/// 8-bit value of the padding: black, as in training.
const PADDING: f32 = 0.0;

/// Geometry of an image in the network's input; sizes are (width, height) in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Letterbox {
    /// Size of the image.
    pub(super) source: (usize, usize),
    /// Size of the scaled image.
    pub(super) scaled: (usize, usize),
    /// Size of the network's input.
    pub(super) padded: (usize, usize),
}

impl Letterbox {
    /// For an image of `width x height` pixels, neither of them 0.
    pub(super) fn new(width: usize, height: usize, long_side: usize) -> Letterbox {
        let longer = width.max(height).max(1) as f64;
        // at least one pixel: an image may be a thousand times as wide as it is high
        let scaled = |side: usize| ((side as f64 * long_side as f64 / longer).round() as usize).max(1);
        let scaled = (scaled(width), scaled(height));
        let padded = (scaled.0.next_multiple_of(SIZE_MULTIPLE), scaled.1.next_multiple_of(SIZE_MULTIPLE));
        Letterbox { source: (width, height), scaled, padded }
    }

    /// Converts a box (left, top, right, bottom) from pixels of the input to pixels of the frame.
    pub(super) fn to_frame(self, sides: [f64; 4]) -> [f64; 4] {
        let x = self.source.0 as f64 / self.scaled.0 as f64;
        let y = self.source.1 as f64 / self.scaled.1 as f64;
        [sides[0] * x, sides[1] * y, sides[2] * x, sides[3] * y]
    }

    /// Writes the normalized input: interleaved blue, green, red.
    ///
    /// # Shapes
    /// `rgb` `(height, width, 3)` of the image; `input` starts at the first pixel, rows are `row_step` values apart.
    pub(super) fn fill(&self, rgb: &[u8], input: &mut [f32], row_step: usize) {
        let columns = taps(self.source.0, self.scaled.0);
        let rows = taps(self.source.1, self.scaled.1);
        let source_row =
            |y: usize| rgb.get(y * self.source.0 * 3..(y + 1) * self.source.0 * 3).unwrap_or_default();
        let padding: [f32; 3] = std::array::from_fn(|channel| normalize(PADDING, channel));
        input.par_chunks_mut(row_step).take(self.padded.1).enumerate().for_each(|(y, row)| {
            let (row, _) = row[..self.padded.0 * 3].as_chunks_mut::<3>();
            let Some(tap) = rows.get(y) else {
                row.fill(padding);
                return;
            };
            let (upper, lower) = (source_row(tap.first), source_row(tap.second));
            for (pixel, column) in row.iter_mut().zip(&columns) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    // the network's input is BGR
                    let index = |x: usize| x * 3 + 2 - channel;
                    let interpolate = |row: &[u8]| {
                        let (left, right) = (row[index(column.first)], row[index(column.second)]);
                        f32::from(left) + (f32::from(right) - f32::from(left)) * column.weight
                    };
                    let (upper, lower) = (interpolate(upper), interpolate(lower));
                    *value = normalize(upper + (lower - upper) * tap.weight, channel);
                }
            }
            if let Some(rest) = row.get_mut(columns.len()..) {
                rest.fill(padding);
            }
        });
    }
}

fn normalize(value: f32, channel: usize) -> f32 {
    (value - MEAN[channel]) / DEVIATION[channel]
}

/// Indices of two source pixels, and the weight of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

/// For each of `to` pixels the two of `from` source pixels to interpolate (bilinear, half-pixel centers, edges repeated).
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    let scale = from as f64 / to as f64;
    let tap = |index: usize| {
        let position = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let first = (position.floor() as usize).min(last);
        Tap { first, second: (first + 1).min(last), weight: (position - first as f64) as f32 }
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(width: usize, height: usize, long_side: usize, rgb: &[u8]) -> (Letterbox, Vec<f32>) {
        let letterbox = Letterbox::new(width, height, long_side);
        let mut input = vec![f32::NAN; letterbox.padded.0 * letterbox.padded.1 * 3];
        letterbox.fill(rgb, &mut input, letterbox.padded.0 * 3);
        (letterbox, input)
    }

    #[test]
    fn the_aspect_ratio_is_kept() {
        let sizes = |width, height| {
            let letterbox = Letterbox::new(width, height, 672);
            (letterbox.scaled, letterbox.padded)
        };
        assert_eq!(sizes(1920, 1080), ((672, 378), (672, 384)));
        assert_eq!(sizes(1080, 1920), ((378, 672), (384, 672)));
        assert_eq!(sizes(320, 320), ((672, 672), (672, 672)));
        assert_eq!(sizes(1, 1), ((672, 672), (672, 672)));
        assert_eq!(sizes(100_000, 1), ((672, 1), (672, 32)));
    }

    #[test]
    fn an_image_of_the_input_size_is_only_normalized() {
        let rgb: Vec<u8> = (0..32 * 32 * 3).map(|index| (index * 7 % 256) as u8).collect();
        let (_, input) = filled(32, 32, 32, &rgb);
        for (pixel, found) in rgb.chunks_exact(3).zip(input.chunks_exact(3)) {
            for channel in 0..3 {
                assert_eq!(found[channel], normalize(f32::from(pixel[2 - channel]), channel));
            }
        }
    }

    #[test]
    fn padding_is_black_and_boxes_are_converted_back() {
        let (letterbox, input) = filled(4, 1, 64, &[255; 12]);
        assert_eq!((letterbox.scaled, letterbox.padded), ((64, 16), (64, 32)));
        let row = |y: usize| &input[y * 64 * 3..(y + 1) * 64 * 3];
        assert!(row(15).chunks_exact(3).all(|pixel| pixel[0] == normalize(255.0, 0)));
        assert!(row(16).chunks_exact(3).all(|pixel| pixel[2] == normalize(0.0, 2)));
        assert_eq!(letterbox.to_frame([16.0, 8.0, 64.0, 16.0]), [1.0, 0.5, 4.0, 1.0]);
    }
}
