//! Decodes the heads' outputs to boxes: the distance of each side is the mean of a distribution over eleven bins
//! (generalized focal loss, Li et al. 2020), computed in double precision.

use super::architecture::{BINS, CLASSES, STRIDES};
use crate::detect::nms::{ScoredBox, suppress};

/// COCO's person class.
const PERSON: usize = 0;

/// The output of one level for one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level<'a> {
    /// Rows and columns of cells; a cell covers stride x stride pixels of the input.
    pub(super) height: usize,
    pub(super) width: usize,
    /// Values from one cell to the next; at least [`super::architecture::HEAD`].
    pub(super) step: usize,
    /// `(height, width, step)`: class logits, then the bins of the four sides.
    pub(super) values: &'a [f32],
}

/// A score or box is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotANumber;

/// Decodes the people of one image, in pixels of the network's input (not clipped): boxes with scores above `score`, after
/// non-maximum suppression at `overlap`, at most `max_people`.
pub(super) fn decode_people(
    levels: &[Level; 3],
    score: f64,
    overlap: f64,
    max_people: usize,
) -> Result<Vec<ScoredBox>, NotANumber> {
    let mut candidates = Vec::new();
    for (level, stride) in levels.iter().zip(STRIDES) {
        let cells = level.values.chunks_exact(level.step.max(1)).take(level.height * level.width);
        for (cell, values) in cells.enumerate() {
            let person = sigmoid(values.get(PERSON).copied().unwrap_or(f32::NAN));
            if person.is_nan() {
                return Err(NotANumber);
            }
            if f64::from(person) > score {
                let (x, y) = (cell % level.width, cell / level.width);
                let sides = sides(values.get(CLASSES..).unwrap_or_default(), x, y, stride as f64);
                if sides.iter().any(|side| !side.is_finite()) {
                    return Err(NotANumber);
                }
                candidates.push(ScoredBox { sides, score: f64::from(person) });
            }
        }
    }
    Ok(suppress(candidates, overlap, max_people))
}

/// Sigmoid in f32, as in the original network.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// Left, top, right and bottom of a cell's box.
fn sides(bins: &[f32], x: usize, y: usize, stride: f64) -> [f64; 4] {
    let mut distances = [f64::NAN; 4];
    for (distance, bins) in distances.iter_mut().zip(bins.chunks_exact(BINS)) {
        *distance = stride * mean_bin(bins);
    }
    let (x, y) = ((x as f64 + 0.5) * stride, (y as f64 + 0.5) * stride);
    let [left, top, right, bottom] = distances;
    [x - left, y - top, x + right, y + bottom]
}

/// The mean bin index (0, 1, 2 ...) under the softmax of `logits`.
fn mean_bin(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let (mut sum, mut mean) = (0.0, 0.0);
    for (bin, &logit) in logits.iter().enumerate() {
        let weight = libm::exp(f64::from(logit) - largest);
        sum += weight;
        mean += weight * bin as f64;
    }
    mean / sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::nanodet::architecture::HEAD;

    fn level(values: &[f32], step: usize) -> Level<'_> {
        Level { height: 1, width: 2, step, values }
    }

    #[test]
    fn the_mean_of_a_peaked_distribution_is_its_bin() {
        let mut bins = [0.0; BINS];
        bins[7] = 100.0;
        assert_eq!(mean_bin(&bins), 7.0);
        assert!((mean_bin(&[3.0; BINS]) - 5.0).abs() < 1e-12);
        assert!(mean_bin(&[f32::NAN; BINS]).is_nan());
    }

    #[test]
    fn cells_are_decoded_to_boxes() {
        let step = HEAD + 4;
        let mut values = vec![0.0; 2 * step];
        values[..CLASSES].fill(-9.0);
        values[step] = 2.0;
        for (side, distance) in [3, 0, 1, 10].into_iter().enumerate() {
            values[step + CLASSES + side * BINS + distance] = 200.0;
        }
        let empty = vec![-9.0; 2 * step];
        let levels = [level(&empty, step), level(&values, step), level(&empty, step)];
        let boxes = decode_people(&levels, 0.35, 0.6, 9).unwrap();
        // the second cell's center is (24, 8)
        assert_eq!(boxes.len(), 1);
        assert_eq!(boxes[0].sides, [24.0 - 48.0, 8.0, 24.0 + 16.0, 8.0 + 160.0]);
        assert_eq!(boxes[0].score, f64::from(sigmoid(2.0)));
        assert_eq!(decode_people(&levels, 0.9, 0.6, 9).unwrap(), []);
    }

    #[test]
    fn nan_outputs_are_errors() {
        let mut values = vec![-9.0; 2 * HEAD];
        values[HEAD] = f32::NAN;
        let levels = [level(&values, HEAD); 3];
        assert_eq!(decode_people(&levels, 0.35, 0.6, 9), Err(NotANumber));
        values[HEAD] = 5.0;
        values[HEAD + CLASSES] = f32::INFINITY;
        let levels = [level(&values, HEAD); 3];
        assert_eq!(decode_people(&levels, 0.35, 0.6, 9), Err(NotANumber));
    }
}
