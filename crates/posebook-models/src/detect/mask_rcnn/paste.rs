//! Pastes the masks of the network into a frame.
//!
//! In: 28 x 28 probabilities and a person's box in the frame. Out: the pixels that the person covers, as COCO run lengths or as
//! bits. A pixel is covered if the probability at its center, interpolated bilinearly between the centers of the mask's
//! cells, is at least 0.5. Outside of the mask the probability is 0, so that it fades within the outer half of the border
//! cells.
//!
//! The arithmetic is that of PyTorch's `grid_sample` in `f32`, in its order, so that pixels close to 0.5 fall on the same
//! side. Most cells are certain: if all four probabilities around a pixel are on one side of 0.5, so is the pixel. Only
//! the others are interpolated pixel by pixel, and no frame of probabilities is stored.

use crate::hmr2::mask::Runs;
use posebook_core::person::{BBox, FrameMask};
use rayon::prelude::*;
use std::ops::Range;

/// Rows and columns of a mask of the network.
pub const SIDE: usize = 28;
/// Probability from which a pixel belongs to the person.
const THRESHOLD: f32 = 0.5;
/// Weights of an interpolation add up to 1 within a few roundings; cells this far from the threshold are certain.
const MARGIN: f32 = 1e-4;
/// Cells of the mask and a zero at each end.
const PADDED: usize = SIDE + 2;

/// The pixels of a frame of `width` x `height` that a person covers, run-length encoded. `probabilities` are the rows of a mask
/// of [`SIDE`] x [`SIDE`] cells which covers the box `corners` of the frame. The box may reach beyond the frame; an empty box, or
/// one that is not finite, covers nothing, and neither does a probability that is NaN.
///
/// # Panics
/// If there are not [`SIDE`] x [`SIDE`] probabilities.
pub fn to_frame_mask(probabilities: &[f32], corners: BBox, width: usize, height: usize) -> FrameMask {
    let mut runs = Runs::default();
    let mut end = 0;
    Placed::new(probabilities, corners, width, height).for_each_run(|x, rows| {
        let start = x * height + rows.start;
        // runs of neighboring columns touch where a person covers the last row of one and the first row of the next
        if start > end {
            runs.push(false, start - end);
        }
        runs.push(true, rows.len());
        end = x * height + rows.end;
    });
    if end < width * height {
        runs.push(false, width * height - end);
    }
    FrameMask { width, height, counts: runs.counts() }
}

/// [`to_frame_mask`] of each person, on all threads.
///
/// # Panics
/// If a mask does not have [`SIDE`] x [`SIDE`] probabilities.
pub fn to_frame_masks(masks: &[Vec<f32>], corners: &[BBox], width: usize, height: usize) -> Vec<FrameMask> {
    let people = masks.par_iter().zip(corners);
    people.map(|(probabilities, &corners)| to_frame_mask(probabilities, corners, width, height)).collect()
}

/// As [`to_frame_mask`], one bit per pixel: rows of `width.div_ceil(8)` bytes, the leftmost pixel in the most significant bit.
///
/// # Panics
/// As [`to_frame_mask`].
pub fn to_bits(probabilities: &[f32], corners: BBox, width: usize, height: usize) -> Vec<u8> {
    let stride = width.div_ceil(8);
    let mut bits = vec![0; stride * height];
    Placed::new(probabilities, corners, width, height).for_each_run(|x, rows| {
        for y in rows {
            bits[y * stride + x / 8] |= 0x80 >> (x % 8);
        }
    });
    bits
}

/// The interpolated probability at every pixel of a frame, row by row: what the threshold is applied to. For comparisons; it
/// takes four bytes per pixel.
///
/// # Panics
/// As [`to_frame_mask`].
pub fn to_probabilities(probabilities: &[f32], corners: BBox, width: usize, height: usize) -> Vec<f32> {
    let mut values = vec![0.0; width * height];
    let placed = Placed::new(probabilities, corners, width, height);
    for column in &placed.columns {
        for row in &placed.rows {
            values[row.pixel * width + column.pixel] = placed.cell(column, row).value(column, row);
        }
    }
    values
}

/// A mask with the positions that the pixels of a frame have in it.
struct Placed {
    /// The probabilities with a border of zeros, row by row.
    padded: Vec<f32>,
    /// Columns of the frame that the mask reaches.
    columns: Vec<Sample>,
    /// Rows of the frame that the mask reaches.
    rows: Vec<Sample>,
}

/// Position of a row or column of the frame between two rows or columns of the padded mask.
#[derive(Clone, Copy)]
struct Sample {
    pixel: usize,
    /// The first of the two.
    cell: usize,
    /// Weights of the two.
    weights: [f32; 2],
}

/// The four probabilities around a pixel: upper left, upper right, lower left, lower right.
struct Cell([f32; 4]);

impl Cell {
    /// The interpolated probability, in the operations of `grid_sample`.
    #[inline]
    fn value(&self, column: &Sample, row: &Sample) -> f32 {
        let ([left, right], [upper, lower]) = (column.weights, row.weights);
        let [a, b, c, d] = self.0;
        a * (upper * left) + b * (upper * right) + c * (lower * left) + d * (lower * right)
    }

    /// Whether all pixels or no pixel between these probabilities is covered; `None` if they have to be interpolated.
    #[inline]
    fn is_certain(&self) -> Option<bool> {
        if self.0.iter().all(|&value| value < THRESHOLD - MARGIN) {
            Some(false)
        } else if self.0.iter().all(|&value| value > THRESHOLD + MARGIN) {
            Some(true)
        } else {
            None
        }
    }
}

impl Placed {
    fn new(probabilities: &[f32], corners: BBox, width: usize, height: usize) -> Placed {
        assert_eq!(probabilities.len(), SIDE * SIDE, "a mask has {SIDE} x {SIDE} probabilities");
        let mut padded = vec![0.0; PADDED * PADDED];
        for (row, values) in probabilities.chunks_exact(SIDE).enumerate() {
            let start = (row + 1) * PADDED + 1;
            padded[start..start + SIDE].copy_from_slice(values);
        }
        let BBox { x1, y1, x2, y2 } = corners;
        Placed { padded, columns: samples([x1, x2], width), rows: samples([y1, y2], height) }
    }

    fn cell(&self, column: &Sample, row: &Sample) -> Cell {
        let upper = row.cell * PADDED + column.cell;
        let at = |index: usize| self.padded[index];
        Cell([at(upper), at(upper + 1), at(upper + PADDED), at(upper + PADDED + 1)])
    }

    /// Calls `on_run` with a column and the covered rows of it, columns from the left, rows from above. Runs of a column do not
    /// touch.
    fn for_each_run(&self, mut on_run: impl FnMut(usize, Range<usize>)) {
        // rows between the same two rows of the mask
        let bands: Vec<&[Sample]> = self.rows.chunk_by(|a, b| a.cell == b.cell).collect();
        for column in &self.columns {
            let mut run = 0..0;
            let mut cover = |rows: Range<usize>| {
                if rows.start == run.end {
                    run.end = rows.end;
                    return;
                }
                let complete = std::mem::replace(&mut run, rows);
                if !complete.is_empty() {
                    on_run(column.pixel, complete);
                }
            };
            for band in &bands {
                let (first, last) = (&band[0], &band[band.len() - 1]);
                let cell = self.cell(column, first);
                match cell.is_certain() {
                    Some(false) => {}
                    Some(true) => cover(first.pixel..last.pixel + 1),
                    None => {
                        let covered = band.iter().filter(|row| cell.value(column, row) >= THRESHOLD);
                        covered.for_each(|row| cover(row.pixel..row.pixel + 1));
                    }
                }
            }
            // `cover` writes a run when the next one begins; an empty run after the frame writes the last one
            cover(usize::MAX..usize::MAX);
        }
    }
}

/// Positions of the pixels `0..count` of a frame in a mask which covers `start` to `end`: of those that the mask reaches.
fn samples([start, end]: [f32; 2], count: usize) -> Vec<Sample> {
    let length = end - start;
    if !(length > 0.0 && length.is_finite()) {
        return Vec::new();
    }
    // the outer half of the border's zeros lies outside of the box; one pixel more for rounding. The original leaves out what
    // is more than a pixel outside, which changes no mask: there a probability has less than half of its weight
    let reach = length / (2 * SIDE) as f32 + 1.0;
    let first = (start - reach).floor().max(0.0) as usize;
    let last = ((end + reach).ceil().max(0.0) as usize).min(count);
    let position = |pixel: usize| {
        let center = pixel as f32 + 0.5;
        let relative = (center - start) / length * 2.0 - 1.0; // -1 at the start of the box, 1 at its end
        (relative + 1.0) * (SIDE as f32 / 2.0) - 0.5 // 0 at the center of the first cell
    };
    let sample = |pixel: usize| {
        let position = position(pixel);
        let cell = position.floor();
        let reached = cell >= -1.0 && cell < SIDE as f32;
        let after = position - cell;
        reached.then_some(Sample { pixel, cell: (cell + 1.0) as usize, weights: [1.0 - after, after] })
    };
    (first..last).filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hmr2::mask::{mask_of_counts, rle_counts};

    /// A person of an ellipse with soft edges, 0 to 1.
    fn ellipse() -> Vec<f32> {
        let value = |index: usize| {
            let [x, y] = [index % SIDE, index / SIDE].map(|at| (at as f32 + 0.5) / SIDE as f32 - 0.5);
            1.0 / (1.0 + ((x * x * 6.0 + y * y * 4.0) * 20.0 - 14.0).exp())
        };
        (0..SIDE * SIDE).map(value).collect()
    }

    fn bbox(corners: [f32; 4]) -> BBox {
        let [x1, y1, x2, y2] = corners;
        BBox { x1, y1, x2, y2 }
    }

    /// The definition, pixel by pixel.
    fn dense(probabilities: &[f32], corners: BBox, width: usize, height: usize) -> Vec<u8> {
        let values = to_probabilities(probabilities, corners, width, height);
        values.iter().map(|&value| u8::from(value >= THRESHOLD)).collect()
    }

    fn check(probabilities: &[f32], corners: [f32; 4], width: usize, height: usize) {
        let corners = bbox(corners);
        let expected = dense(probabilities, corners, width, height);
        let mask = to_frame_mask(probabilities, corners, width, height);
        assert_eq!(mask.counts, rle_counts(&expected, width, height), "{corners:?} in {width} x {height}");
        assert_eq!(mask_of_counts(&mask.counts, width, height).unwrap(), expected);
        let bits = to_bits(probabilities, corners, width, height);
        for (index, &expected) in expected.iter().enumerate() {
            let (x, y) = (index % width, index / width);
            assert_eq!(bits[y * width.div_ceil(8) + x / 8] >> (7 - x % 8) & 1, expected, "{x} {y}");
        }
    }

    #[test]
    fn runs_and_bits_equal_the_dense_mask() {
        let full = vec![1.0; SIDE * SIDE];
        let noisy: Vec<f32> = (0..SIDE * SIDE).map(|i| (i * 7919 % 1000) as f32 / 999.0).collect();
        for mask in [ellipse(), full, noisy, vec![0.0; SIDE * SIDE], vec![0.5; SIDE * SIDE]] {
            for corners in [
                [0.0, 0.0, 160.0, 120.0],
                [-10.5, -7.25, 50.5, 60.75],
                [-500.0, -300.0, 900.0, 700.0],
                [120.25, 80.5, 180.0, 140.0],
                [30.0, 30.0, 58.0, 58.0],
                [30.5, 30.5, 58.5, 58.5],
                [70.0, 20.0, 70.6, 90.0],
                [100.3, 99.7, 101.1, 100.4],
                [0.0, 119.0, 160.0, 120.0],
                [300.0, 20.0, 400.0, 90.0],
                [-30.0, -30.0, -20.0, -20.0],
            ] {
                check(&mask, corners, 160, 120);
            }
            check(&mask, [0.0, 0.0, 1.0, 1.0], 1, 1);
        }
    }

    #[test]
    fn a_certain_mask_covers_its_box() {
        // cells of one pixel: the border cells are certain at their centers
        let mask = to_frame_mask(&[1.0; SIDE * SIDE], bbox([3.0, 5.0, 31.0, 33.0]), 40, 50);
        let pixels = mask_of_counts(&mask.counts, 40, 50).unwrap();
        for (index, &covered) in pixels.iter().enumerate() {
            let inside = (3..31).contains(&(index % 40)) && (5..33).contains(&(index / 40));
            assert_eq!(covered == 1, inside, "{index}");
        }
        // a full frame has one empty run and one of all pixels
        let mask = to_frame_mask(&[1.0; SIDE * SIDE], bbox([0.0, 0.0, 28.0, 28.0]), 28, 28);
        assert_eq!(mask.counts, rle_counts(&[1; 28 * 28], 28, 28));
    }

    #[test]
    fn empty_boxes_and_values_that_are_not_finite_cover_nothing() {
        let nothing = to_frame_mask(&[0.0; SIDE * SIDE], bbox([0.0, 0.0, 9.0, 9.0]), 9, 7);
        assert_eq!(nothing.counts, rle_counts(&[0; 63], 9, 7));
        for corners in [
            [4.0, 2.0, 4.0, 6.0],
            [4.0, 2.0, 3.0, 6.0],
            [f32::NAN, 2.0, 3.0, 6.0],
            [0.0, 0.0, f32::INFINITY, 6.0],
            [f32::NEG_INFINITY, 0.0, f32::INFINITY, 6.0],
            [-f32::MAX, 0.0, f32::MAX, 6.0],
        ] {
            assert_eq!(to_frame_mask(&[1.0; SIDE * SIDE], bbox(corners), 9, 7), nothing, "{corners:?}");
        }
        assert_eq!(to_frame_mask(&[f32::NAN; SIDE * SIDE], bbox([0.0, 0.0, 9.0, 7.0]), 9, 7), nothing);
        let none = to_frame_mask(&[1.0; SIDE * SIDE], bbox([0.0, 0.0, 9.0, 7.0]), 0, 7);
        assert_eq!(none, FrameMask { width: 0, height: 7, counts: rle_counts(&[], 0, 7) });
        // one NaN among certain cells removes only the pixels around it
        let mut mask = vec![1.0; SIDE * SIDE];
        mask[14 * SIDE + 14] = f32::NAN;
        check(&mask, [0.0, 0.0, 160.0, 120.0], 160, 120);
    }

    #[test]
    fn many_people_equal_one_at_a_time() {
        let masks = vec![ellipse(); 20];
        let corners: Vec<BBox> =
            (0..20).map(|i| i as f32 * 9.0).map(|x| bbox([x, x / 2.0, x + 40.0, x + 30.0])).collect();
        let all = to_frame_masks(&masks, &corners, 200, 150);
        for ((mask, &corners), found) in masks.iter().zip(&corners).zip(all) {
            assert_eq!(found, to_frame_mask(mask, corners, 200, 150));
        }
    }
}
