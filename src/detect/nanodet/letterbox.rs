//! A picture of any size as the network's input: scaled (never stretched) until its longer side has the wanted
//! length, laid into the top left corner, and padded to multiples of 32 on the right and below.
//!
//! Must not know the network.

use super::architecture::MULTIPLE;
use rayon::prelude::*;

/// Mean and standard deviation of blue, green and red, as the network was trained with.
const MEAN: [f32; 3] = [103.53, 116.28, 123.675];
const DEVIATION: [f32; 3] = [57.375, 57.12, 58.395];
/// Blue, green and red of what lies outside of the picture: black, as in training.
const OUTSIDE: f32 = 0.0;

/// Where a picture lies in the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Letterbox {
    /// The picture's own size, pixels.
    pub(super) from: (usize, usize),
    /// Width and height that it is scaled to.
    pub(super) scaled: (usize, usize),
    /// Width and height of the input.
    pub(super) padded: (usize, usize),
}

impl Letterbox {
    /// For a picture of `width x height` pixels, neither of them 0.
    pub(super) fn new(width: usize, height: usize, long_side: usize) -> Letterbox {
        let longer = width.max(height).max(1) as f64;
        // at least a pixel: a picture may be a thousand times as wide as it is high
        let scaled = |side: usize| ((side as f64 * long_side as f64 / longer).round() as usize).max(1);
        let scaled = (scaled(width), scaled(height));
        let padded = (scaled.0.next_multiple_of(MULTIPLE), scaled.1.next_multiple_of(MULTIPLE));
        Letterbox { from: (width, height), scaled, padded }
    }

    /// A box of the input in pixels of the picture.
    pub(super) fn to_picture(self, sides: [f64; 4]) -> [f64; 4] {
        let x = self.from.0 as f64 / self.scaled.0 as f64;
        let y = self.from.1 as f64 / self.scaled.1 as f64;
        [sides[0] * x, sides[1] * y, sides[2] * x, sides[3] * y]
    }

    /// Writes the normalized input: blue, green, red of pixel after pixel.
    ///
    /// # Shapes
    /// `rgb` `(height, width, 3)` of the picture; `input` from the first pixel on, rows `row_step` numbers apart.
    pub(super) fn fill(&self, rgb: &[u8], input: &mut [f32], row_step: usize) {
        let columns = taps(self.from.0, self.scaled.0);
        let rows = taps(self.from.1, self.scaled.1);
        let picture_row =
            |y: usize| rgb.get(y * self.from.0 * 3..(y + 1) * self.from.0 * 3).unwrap_or_default();
        let outside: [f32; 3] = std::array::from_fn(|channel| normalized(OUTSIDE, channel));
        input.par_chunks_mut(row_step).take(self.padded.1).enumerate().for_each(|(y, row)| {
            let (row, _) = row[..self.padded.0 * 3].as_chunks_mut::<3>();
            let Some(tap) = rows.get(y) else {
                row.fill(outside);
                return;
            };
            let (upper, lower) = (picture_row(tap.first), picture_row(tap.second));
            for (pixel, column) in row.iter_mut().zip(&columns) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    // the network takes blue first
                    let at = |x: usize| x * 3 + 2 - channel;
                    let across = |row: &[u8]| {
                        let (left, right) = (row[at(column.first)], row[at(column.second)]);
                        f32::from(left) + (f32::from(right) - f32::from(left)) * column.share
                    };
                    let (upper, lower) = (across(upper), across(lower));
                    *value = normalized(upper + (lower - upper) * tap.share, channel);
                }
            }
            if let Some(rest) = row.get_mut(columns.len()..) {
                rest.fill(outside);
            }
        });
    }
}

fn normalized(value: f32, channel: usize) -> f32 {
    (value - MEAN[channel]) / DEVIATION[channel]
}

/// Two pixels of a row or column, and the share of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

/// For every pixel of `to` the two of `from` that it lies between (bilinear, half-pixel centers, edges repeated).
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let last = from.saturating_sub(1);
    let scale = from as f64 / to as f64;
    let tap = |index: usize| {
        let at = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let first = (at.floor() as usize).min(last);
        Tap { first, second: (first + 1).min(last), share: (at - first as f64) as f32 }
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
    fn pictures_keep_their_proportions() {
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
    fn a_picture_of_the_inputs_size_is_only_normalized() {
        let rgb: Vec<u8> = (0..32 * 32 * 3).map(|at| (at * 7 % 256) as u8).collect();
        let (_, input) = filled(32, 32, 32, &rgb);
        for (pixel, found) in rgb.chunks_exact(3).zip(input.chunks_exact(3)) {
            for channel in 0..3 {
                assert_eq!(found[channel], normalized(f32::from(pixel[2 - channel]), channel));
            }
        }
    }

    #[test]
    fn what_is_outside_is_black_and_boxes_go_back() {
        let (letterbox, input) = filled(4, 1, 64, &[255; 12]);
        assert_eq!((letterbox.scaled, letterbox.padded), ((64, 16), (64, 32)));
        let row = |y: usize| &input[y * 64 * 3..(y + 1) * 64 * 3];
        assert!(row(15).chunks_exact(3).all(|pixel| pixel[0] == normalized(255.0, 0)));
        assert!(row(16).chunks_exact(3).all(|pixel| pixel[2] == normalized(0.0, 2)));
        assert_eq!(letterbox.to_picture([16.0, 8.0, 64.0, 16.0]), [1.0, 0.5, 4.0, 1.0]);
    }
}
