//! Non-maximum suppression as torchvision does it.
//!
//! In: boxes, scores and classes. Out: indices of the boxes that are kept. A box or score that is not finite is never kept:
//! detectron2 drops such boxes before its suppression.
//!
//! torchvision has two variants of the suppression by class. One adds `class * (largest coordinate + 1)` to all coordinates,
//! so that boxes of different classes cannot overlap, and suppresses once; it runs for up to 1000 boxes on the CPU (5000 or
//! 25000 on a GPU, by version). The other one suppresses class by class on the coordinates as they are. [`suppress_by_class`]
//! equals the second, whatever the number of boxes. The shifted coordinates are rounded (class 79 at 1333 pixels: to steps of
//! 1/128 pixel), so that a pair of boxes whose intersection over union is almost the threshold can differ from the first.

use super::boxes::Corners;
use crate::detect::nms;

/// Indices of the boxes that are kept, best first: a box is removed if its intersection over union with a better one exceeds
/// `overlap`. Of equal scores the earlier box is better.
pub fn suppress(boxes: &[Corners], scores: &[f32], overlap: f64) -> Vec<usize> {
    select(boxes, finite_by_score(boxes, scores), overlap)
}

/// As [`suppress`], but boxes of different classes do not remove each other.
pub fn suppress_by_class(boxes: &[Corners], scores: &[f32], classes: &[usize], overlap: f64) -> Vec<usize> {
    let order = finite_by_score(boxes, scores);
    let mut by_class = order.clone();
    // stable: each class keeps the order of its scores
    by_class.sort_by_key(|&index| classes[index]);
    let mut kept = vec![false; boxes.len()];
    for group in by_class.chunk_by(|&a, &b| classes[a] == classes[b]) {
        for index in select(boxes, group.iter().copied(), overlap) {
            kept[index] = true;
        }
    }
    order.into_iter().filter(|&index| kept[index]).collect()
}

/// The boxes of `order` (best first) that no better one removes.
fn select(boxes: &[Corners], order: impl IntoIterator<Item = usize>, overlap: f64) -> Vec<usize> {
    // the ratio is `f32` and the threshold `f64`, as in torchvision: 7/10 in `f32` does not exceed 0.7
    nms::select(order, usize::MAX, |better, other| {
        f64::from(overlap_of(&boxes[better], &boxes[other])) > overlap
    })
}

/// Indices of the boxes whose corners and score are finite, by falling score; equal scores keep their order.
fn finite_by_score(boxes: &[Corners], scores: &[f32]) -> Vec<usize> {
    let finite =
        |&index: &usize| scores[index].is_finite() && boxes[index].iter().all(|side| side.is_finite());
    let mut order: Vec<usize> = (0..boxes.len()).filter(finite).collect();
    // partial_cmp, because torch takes -0 and 0 as equal
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(std::cmp::Ordering::Equal));
    order
}

/// Intersection over union in torchvision's operations; NaN, which exceeds no threshold, of two empty boxes.
fn overlap_of(a: &Corners, b: &Corners) -> f32 {
    let area = |[x1, y1, x2, y2]: &Corners| (x2 - x1) * (y2 - y1);
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let intersection = width * height;
    intersection / (area(a) + area(b) - intersection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_at_the_threshold_is_kept() {
        let halves = [[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]];
        assert_eq!(suppress(&halves, &[0.9, 0.8], 0.5), [0, 1]);
        assert_eq!(suppress(&halves, &[0.9, 0.8], 0.499), [0]);
        // 7/10 rounded to `f32` is below 0.7
        let sevenths = [[50.0, 0.0, 60.0, 10.0], [50.0, 0.0, 60.0, 7.0]];
        assert_eq!(suppress(&sevenths, &[0.85, 0.86], 0.7), [1, 0]);
    }

    #[test]
    fn of_equal_scores_the_earlier_is_kept() {
        let same = [[1.0, 1.0, 3.0, 3.0]; 3];
        assert_eq!(suppress(&same, &[0.5; 3], 0.5), [0]);
        assert_eq!(suppress(&same, &[0.5, 0.5, 0.6], 0.5), [2]);
        assert_eq!(suppress(&same, &[-0.0, 0.0, 0.0], 0.5), [0]);
    }

    #[test]
    fn classes_do_not_remove_each_other() {
        let same = [[1.0, 1.0, 3.0, 3.0]; 4];
        assert_eq!(suppress_by_class(&same, &[0.5, 0.9, 0.7, 0.8], &[7, 0, 7, 0], 0.5), [1, 2]);
        assert_eq!(suppress_by_class(&same, &[0.5; 4], &[2, 1, 0, 1], 0.5), [0, 1, 2]);
    }

    #[test]
    fn values_that_are_not_finite_are_dropped() {
        let mut boxes = [[0.0, 0.0, 2.0, 2.0]; 5];
        (boxes[1][2], boxes[2][0]) = (f32::NAN, f32::NEG_INFINITY);
        let scores = [f32::NAN, 0.9, 0.9, f32::INFINITY, 0.1];
        assert_eq!(suppress(&boxes, &scores, 0.5), [4]);
        assert_eq!(suppress_by_class(&boxes, &scores, &[0; 5], 0.5), [4]);
        assert_eq!(suppress(&[], &[], 0.5), [0; 0]);
    }

    #[test]
    fn empty_boxes_remove_nothing() {
        let boxes = [[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 9.0, 9.0]];
        assert_eq!(suppress(&boxes, &[0.3, 0.2, 0.1], 0.0), [0, 1, 2]);
    }
}
