//! Which boxes of the region proposal network become proposals.
//!
//! In: the boxes and logits of each level. Out: an image's proposals, best first. Source: detectron2's
//! `find_top_rpn_proposals`, with a smallest side of 0.

use super::super::boxes::{Corners, NetworkSize, clip};
use super::super::nms;

/// Of two proposals of a level whose intersection over union is larger, the worse one is removed.
const OVERLAP: f64 = 0.7;

/// A box that may contain an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The box, inside the image.
    pub corners: Corners,
    /// The network's score, without a sigmoid.
    pub logit: f32,
}

/// Indices of the `count` largest logits, largest first. Of equal logits the earlier one comes first. NaN counts as larger than
/// all, as in torch: such a box takes its place here and is dropped afterwards.
pub fn best(logits: &[f32], count: usize) -> Vec<usize> {
    let by_logit = |&a: &usize, &b: &usize| {
        let (a_logit, b_logit) = (logits[a], logits[b]);
        // the reversed order of floats, with 0 and -0 equal
        let order = b_logit.partial_cmp(&a_logit).unwrap_or_else(|| b_logit.is_nan().cmp(&a_logit.is_nan()));
        order.then(a.cmp(&b))
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    if count == 0 {
        return Vec::new();
    }
    if count < order.len() {
        order.select_nth_unstable_by(count - 1, by_logit);
        order.truncate(count);
    }
    order.sort_unstable_by(by_logit);
    order
}

/// Proposals of an image from the candidates of each level (boxes not clipped, best first): drops what is not finite, clips to
/// the image, drops boxes without an area, suppresses level by level, and returns the `most` best of all levels. Of equal
/// logits the finer level's is better.
pub fn select(levels: &[Vec<Proposal>], size: NetworkSize, most: usize) -> Vec<Proposal> {
    let (mut corners, mut logits, mut level_of) = (Vec::new(), Vec::new(), Vec::new());
    for (level, candidates) in levels.iter().enumerate() {
        for candidate in candidates {
            let is_finite =
                candidate.logit.is_finite() && candidate.corners.iter().all(|side| side.is_finite());
            let clipped = clip(candidate.corners, size);
            let has_area = clipped[2] - clipped[0] > 0.0 && clipped[3] - clipped[1] > 0.0;
            if is_finite && has_area {
                corners.push(clipped);
                logits.push(candidate.logit);
                level_of.push(level);
            }
        }
    }
    let mut kept = nms::suppress_by_class(&corners, &logits, &level_of, OVERLAP);
    kept.truncate(most);
    kept.into_iter().map(|index| Proposal { corners: corners[index], logit: logits[index] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: NetworkSize = NetworkSize { height: 100, width: 100 };

    fn proposal(x: f32, logit: f32) -> Proposal {
        Proposal { corners: [x, 0.0, x + 10.0, 10.0], logit }
    }

    #[test]
    fn the_best_come_first_and_equal_logits_keep_their_order() {
        let logits = [0.5, 2.0, -1.0, 2.0, 0.5, 0.5];
        assert_eq!(best(&logits, 4), [1, 3, 0, 4]);
        assert_eq!(best(&logits, 9), [1, 3, 0, 4, 5, 2]);
        assert_eq!(best(&logits, 0), [0; 0]);
        assert_eq!(best(&[], 3), [0; 0]);
        assert_eq!(best(&[0.0, -0.0, 0.0], 2), [0, 1]);
        assert_eq!(best(&[1.0, f32::NAN, f32::INFINITY, f32::NAN], 3), [1, 3, 2]);
    }

    #[test]
    fn levels_do_not_suppress_each_other() {
        let levels =
            [vec![proposal(0.0, 3.0), proposal(1.0, 2.0)], vec![proposal(0.0, 4.0), proposal(50.0, 3.0)]];
        let expected = [proposal(0.0, 4.0), proposal(0.0, 3.0), proposal(50.0, 3.0)];
        assert_eq!(select(&levels, SIZE, 9), expected);
        assert_eq!(select(&levels, SIZE, 2), expected[..2]);
    }

    #[test]
    fn boxes_outside_the_image_or_not_finite_are_dropped() {
        let nan = Proposal { corners: [0.0, f32::NAN, 1.0, 1.0], logit: 9.0 };
        let level = vec![nan, proposal(0.0, f32::NAN), proposal(0.0, f32::INFINITY), proposal(200.0, 1.0)];
        assert_eq!(
            select(&[level, vec![proposal(95.0, 0.0)]], SIZE, 9),
            [Proposal { corners: [95.0, 0.0, 100.0, 10.0], logit: 0.0 }]
        );
        assert_eq!(select(&[], SIZE, 9), []);
    }
}
