//! Non-maximum suppression of overlapping boxes.

/// A box with its score, in double precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScoredBox {
    /// Left, top, right, bottom, pixels.
    pub(super) sides: [f64; 4],
    /// 0 to 1, not NaN.
    pub(super) score: f64,
}

/// Selects boxes greedily, best first: a box is selected if its intersection over union with every selected box is below
/// `overlap`. Of equal scores the earlier one is preferred; at most `max_boxes` are selected.
pub(super) fn suppress(mut boxes: Vec<ScoredBox>, overlap: f64, max_boxes: usize) -> Vec<ScoredBox> {
    // stable, so that equal scores keep their order
    boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
    select(0..boxes.len(), max_boxes, |better, box_| iou(&boxes[better].sides, &boxes[box_].sides) >= overlap)
        .into_iter()
        .map(|index| boxes[index])
        .collect()
}

/// The greedy selection: of the boxes with the indices `order` (best first), each is selected that no box selected before
/// `suppresses` (first argument: the selected one); at most `max_boxes`.
pub(super) fn select(
    order: impl IntoIterator<Item = usize>,
    max_boxes: usize,
    suppresses: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let mut selected: Vec<usize> = Vec::new();
    for candidate in order {
        if selected.len() == max_boxes {
            break;
        }
        if !selected.iter().any(|&better| suppresses(better, candidate)) {
            selected.push(candidate);
        }
    }
    selected
}

/// Intersection over union, 0 if both boxes are empty.
fn iou(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1).max(0.0) * (y2 - y1).max(0.0);
    let intersection = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let union = area(*a) + area(*b) - intersection;
    if union > 0.0 { intersection / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(x: f64, score: f64) -> ScoredBox {
        ScoredBox { sides: [x, 0.0, x + 10.0, 10.0], score }
    }

    #[test]
    fn the_best_of_overlapping_boxes_is_selected() {
        // shifted by 2 of 10: an overlap of 8 / 12; by 4: 6 / 14
        let boxes = vec![scored(0.0, 0.5), scored(2.0, 0.9), scored(6.0, 0.6), scored(40.0, 0.4)];
        let selected = suppress(boxes.clone(), 0.6, 9);
        assert_eq!(selected, [boxes[1], boxes[2], boxes[3]]);
        assert_eq!(suppress(boxes.clone(), 0.4, 9), [boxes[1], boxes[3]]);
        assert_eq!(suppress(boxes.clone(), 0.6, 2), [boxes[1], boxes[2]]);
        assert_eq!(suppress(boxes.clone(), 0.7, 9).len(), 4);
    }

    #[test]
    fn a_box_is_suppressed_at_the_threshold_itself() {
        let boxes = vec![scored(0.0, 0.9), scored(5.0, 0.8)];
        assert_eq!(suppress(boxes.clone(), 1.0 / 3.0, 9), [boxes[0]]);
        let same = vec![scored(0.0, 0.5), scored(0.0, 0.5)];
        assert_eq!(suppress(same, 1.0, 9).len(), 1);
        let empty = ScoredBox { sides: [3.0, 3.0, 3.0, 3.0], score: 0.5 };
        assert_eq!(suppress(vec![empty, empty], 0.6, 9).len(), 2);
    }
}
