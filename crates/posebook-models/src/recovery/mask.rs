//! Converts a person's mask from a network's region to pixels of the frame, or of a crop.

use crate::hmr2::crop::Square;
use crate::hmr2::mask::Runs;
use posebook_core::person::{FrameMask, RegionMask};
use rayon::prelude::*;

/// Half of the maximum mask value: pixels above it belong to the person.
const THRESHOLD: f64 = 127.5;

/// The mask of the person in the frame, run-length encoded. Pixels outside of the region do not belong to the person.
pub fn to_frame_mask(mask: &RegionMask, width: usize, height: usize) -> FrameMask {
    let columns = overlapped_columns(mask, width, height);
    let mut runs = Runs::default();
    runs.push(false, columns.start * height);
    for x in columns.clone() {
        for y in 0..height {
            runs.push(covers(mask, x as f64, y as f64), 1);
        }
    }
    runs.push(false, (width - columns.end) * height);
    FrameMask { width, height, counts: runs.counts() }
}

/// The mask of the person in the crop of `square` of `size` pixels a side: 255 where the person covers the pixel, else 0. The
/// mask is read at the pixels' centers.
pub fn to_crop_mask(mask: &RegionMask, square: &Square, size: usize) -> Vec<u8> {
    let mut values = vec![0; size * size];
    values.par_chunks_mut(size.max(1)).enumerate().for_each(|(row, values)| {
        for (column, value) in values.iter_mut().enumerate() {
            let [x, y] = square.frame_position([column as f64, row as f64], size);
            *value = if covers(mask, x, y) { 255 } else { 0 };
        }
    });
    values
}

/// The columns of the frame that the region overlaps.
fn overlapped_columns(mask: &RegionMask, width: usize, height: usize) -> std::ops::Range<usize> {
    let [[a, b, c], [d, e, f]] = mask.mask_from_frame;
    let determinant = a * e - b * d;
    let side = mask.size as f64;
    let x_of = |u: f64, v: f64| (e * (u - c) - b * (v - f)) / determinant;
    let xs = [x_of(0.0, 0.0), x_of(side, 0.0), x_of(0.0, side), x_of(side, side)];
    let first = xs.iter().copied().fold(f64::INFINITY, f64::min).floor().max(0.0);
    let last = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() + 1.0;
    if height == 0 || !(first.is_finite() && last.is_finite() && last > first) {
        return 0..0;
    }
    let end = (last as usize).min(width);
    (first as usize).min(end)..end
}

/// Whether the interpolated mask is above the threshold at a pixel of the frame.
fn covers(mask: &RegionMask, x: f64, y: f64) -> bool {
    let [[a, b, c], [d, e, f]] = mask.mask_from_frame;
    let (u, v) = (a * x + b * y + c, d * x + e * y + f);
    let last = mask.size as f64 - 1.0;
    if !(0.0..=last).contains(&u) || !(0.0..=last).contains(&v) {
        return false;
    }
    let (left, top) = (u as usize, v as usize);
    let (right, bottom) = ((left + 1).min(mask.size - 1), (top + 1).min(mask.size - 1));
    let (across, down) = (u - left as f64, v - top as f64);
    let value = |column: usize, row: usize| {
        mask.values.get(row * mask.size + column).map_or(0.0, |&value| f64::from(value))
    };
    let upper = value(left, top) * (1.0 - across) + value(right, top) * across;
    let lower = value(left, bottom) * (1.0 - across) + value(right, bottom) * across;
    upper * (1.0 - down) + lower * down > THRESHOLD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hmr2::mask::rle_counts;

    #[test]
    fn a_mask_is_mapped_to_its_position_in_the_frame() {
        // the left half of a mask of 8 x 8 that covers columns 10 to 18, rows 4 to 12 of the frame
        let values = (0..64).map(|index| if index % 8 < 4 { 255 } else { 0 }).collect();
        let mask = RegionMask { mask_from_frame: [[1.0, 0.0, -10.0], [0.0, 1.0, -4.0]], size: 8, values };
        let (width, height) = (30, 20);
        let found = to_frame_mask(&mask, width, height);
        let mut expected = vec![0u8; width * height];
        for y in 4..12 {
            for x in 10..14 {
                expected[y * width + x] = 1;
            }
        }
        assert_eq!(found.counts, rle_counts(&expected, width, height));
        // in a crop of twice the size, whose middle is between two pixels of the frame
        let square = Square { center: [14.5, 8.5], side: 10.0 };
        let crop = to_crop_mask(&mask, &square, 20);
        let covered = |x: usize, y: usize| crop[y * 20 + x] == 255;
        // columns 10 to 13 of the frame; at 13.5 the mask is half of its maximum, which is not above the threshold
        assert!(covered(1, 5) && covered(7, 5) && !covered(0, 5) && !covered(9, 5) && !covered(5, 19));
        let count = crop.iter().filter(|&&value| value == 255).count();
        assert_eq!(count, 7 * 15, "columns 10 to 13 and rows 4 to 11 of the frame, in steps of a half");
        // a region outside of the frame covers no pixel
        let outside = RegionMask { mask_from_frame: [[1.0, 0.0, 100.0], [0.0, 1.0, 0.0]], ..mask };
        assert_eq!(
            to_frame_mask(&outside, width, height).counts,
            rle_counts(&vec![0; width * height], width, height)
        );
    }
}
