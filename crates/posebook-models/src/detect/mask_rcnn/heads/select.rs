//! Chooses detections among refined proposals: thresholds on the score, non-maximum suppression, a largest number.

use crate::detect::mask_rcnn::boxes::{Corners, NetworkSize, clip};
use crate::detect::mask_rcnn::nms::suppress_by_class;

/// Which refined proposals are detections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// The score has to be greater.
    pub score: f64,
    /// Of two boxes of a class whose intersection over union is greater, the one with the lower score is removed.
    pub overlap: f64,
    /// Largest number of detections; the best ones are kept.
    pub most: usize,
}

/// A detection in pixels of the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The box, clipped to the image.
    pub corners: Corners,
    /// Probability of the class, 0 to 1.
    pub score: f32,
    /// Index of the class; 0 is the person.
    pub class: usize,
}

/// The detections among proposals, best first; of equal scores the one of the earlier proposal, then class, comes first. A
/// proposal may become several detections of different classes. Rows with a value that is not finite are dropped.
///
/// # Shapes
/// `scores`: a row for each proposal of the classes' probabilities, the background last. `boxes`: one per proposal, or one
/// per proposal and class; not clipped.
pub fn select(
    scores: &[f32],
    boxes: &[Corners],
    classes: usize,
    size: NetworkSize,
    thresholds: Thresholds,
) -> Vec<Found> {
    let proposals = scores.len() / (classes + 1);
    let boxes_per_proposal = boxes.len().checked_div(proposals).unwrap_or(1).max(1);
    // torch converts the threshold to the scores' precision
    let least = thresholds.score as f32;
    let mut candidates = Vec::new();
    for (scores, boxes) in scores.chunks_exact(classes + 1).zip(boxes.chunks_exact(boxes_per_proposal)) {
        if !is_finite(scores, boxes) {
            continue;
        }
        for (class, &score) in scores[..classes].iter().enumerate() {
            if score > least {
                let corners = clip(boxes[class % boxes_per_proposal], size);
                candidates.push(Found { corners, score, class });
            }
        }
    }
    let corners: Vec<Corners> = candidates.iter().map(|found| found.corners).collect();
    let scores: Vec<f32> = candidates.iter().map(|found| found.score).collect();
    let classes: Vec<usize> = candidates.iter().map(|found| found.class).collect();
    let mut kept = suppress_by_class(&corners, &scores, &classes, thresholds.overlap);
    kept.truncate(thresholds.most);
    kept.into_iter().map(|index| candidates[index]).collect()
}

/// Whether all scores and boxes of a proposal are finite.
pub fn is_finite(scores: &[f32], boxes: &[Corners]) -> bool {
    scores.iter().chain(boxes.as_flattened()).all(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: NetworkSize = NetworkSize { height: 100, width: 100 };
    const ALL: Thresholds = Thresholds { score: 0.0, overlap: 0.5, most: 100 };

    /// Proposals side by side: their boxes do not overlap.
    fn apart(count: usize) -> Vec<Corners> {
        (0..count).map(|i| [i as f32 * 0.1, 0.0, i as f32 * 0.1 + 0.05, 5.0]).collect()
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(select(&[], &[], 3, SIZE, ALL), []);
        let below = Thresholds { score: 0.25, ..ALL };
        // the score has to be greater than the threshold
        assert_eq!(select(&[0.25, 0.75], &apart(1), 1, SIZE, below), []);
    }

    #[test]
    fn the_best_of_a_thousand_are_kept_in_order() {
        let count = 1000;
        let scores: Vec<f32> = (0..count)
            .flat_map(|i| {
                let score = (i * 379 % count) as f32 / 1000.0;
                [score, 1.0 - score]
            })
            .collect();
        let found = select(&scores, &apart(count), 1, SIZE, ALL);
        assert_eq!(found.len(), 100);
        let expected: Vec<f32> = (900..1000).rev().map(|score| score as f32 / 1000.0).collect();
        assert_eq!(found.iter().map(|found| found.score).collect::<Vec<_>>(), expected);
        let none = Thresholds { most: 0, ..ALL };
        assert_eq!(select(&scores, &apart(count), 1, SIZE, none), []);
        // equal scores: the earlier proposal first
        let found = select(&[0.5; 2000], &apart(count), 1, SIZE, ALL);
        assert_eq!(found.iter().map(|found| found.corners).collect::<Vec<_>>(), apart(100));
    }

    #[test]
    fn classes_do_not_suppress_each_other() {
        let boxes = [[1.0, 1.0, 9.0, 9.0]; 2];
        // two proposals, two classes and the background
        let scores = [0.6, 0.3, 0.1, 0.5, 0.4, 0.1];
        let found = select(&scores, &boxes, 2, SIZE, ALL);
        let expected = [(0.6, 0), (0.4, 1)].map(|(score, class)| Found { corners: boxes[0], score, class });
        assert_eq!(found, expected);
        // with a box for each class, each class takes its own, clipped
        let boxes = [[-5.0, 0.0, 10.0, 10.0], [20.0, 20.0, 130.0, 40.0]];
        let found = select(&scores[..3], &boxes, 2, SIZE, ALL);
        assert_eq!(found[0].corners, [0.0, 0.0, 10.0, 10.0]);
        assert_eq!(found[1].corners, [20.0, 20.0, 100.0, 40.0]);
    }

    #[test]
    fn rows_that_are_not_finite_are_dropped() {
        let nan = f32::NAN;
        let scores = [nan, nan, 0.9, 0.1, 0.8, 0.2, 0.7, 0.3];
        let mut boxes = apart(4);
        boxes[1] = [0.0, f32::INFINITY, 1.0, 1.0];
        boxes[3] = [0.0, 0.0, nan, 1.0];
        let found = select(&scores, &boxes, 1, SIZE, ALL);
        assert_eq!(found.iter().map(|found| found.score).collect::<Vec<_>>(), [0.8]);
        // the background counts, too
        assert_eq!(select(&[0.9, nan], &boxes[..1], 1, SIZE, ALL), []);
    }

    #[test]
    fn empty_boxes_stay_in() {
        let boxes = [[3.0, 3.0, 3.0, 9.0], [120.0, 4.0, 140.0, 8.0]];
        let found = select(&[0.9, 0.1, 0.8, 0.2], &boxes, 1, SIZE, ALL);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].corners, [100.0, 4.0, 100.0, 8.0]);
    }
}
