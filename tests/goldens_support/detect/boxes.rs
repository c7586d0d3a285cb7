//! Golden 03: decoding of boxes, non-maximum suppression, selection of proposals on two levels made by hand.

use super::golden::Golden;
use super::inputs;
use posebook_models::detect::mask_rcnn::boxes::{NetworkSize, decode};
use posebook_models::detect::mask_rcnn::nms::{suppress, suppress_by_class};
use posebook_models::detect::mask_rcnn::rpn::{Proposal, anchors, selection};
use std::path::Path;

pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "03_rpn");
    let anchors: Vec<[f32; 4]> = (0..5).flat_map(anchors::at_origin).collect();
    golden.compare_boxes("cell_anchors", &anchors, 0.0);
    decoding(set, &golden);
    suppression(set, &golden);
    selection(set, &golden);
}

fn decoding(set: &str, golden: &Golden) {
    let (boxes, deltas) = inputs::deltas(set);
    for (name, weights) in [
        ("apply_deltas_1", [1.0; 4]),
        ("apply_deltas_10", [10.0, 10.0, 5.0, 5.0]),
        ("apply_deltas_20", [20.0, 20.0, 10.0, 10.0]),
        ("apply_deltas_30", [30.0, 30.0, 15.0, 15.0]),
    ] {
        let ours: Vec<[f32; 4]> =
            boxes.iter().zip(&deltas).map(|(&from, &deltas)| decode(from, deltas, weights)).collect();
        // sides reach thousands of pixels, so the tolerance is relative
        let error = |(ours, expected): (&[f32; 4], &[f32; 4])| {
            let size = expected.iter().fold(1.0, |size: f32, side| size.max(side.abs()));
            let largest =
                ours.iter().zip(expected).fold(0.0, |largest: f32, (a, b)| largest.max((a - b).abs()));
            assert!(ours.iter().all(|side| side.is_finite()));
            largest / size
        };
        let largest = ours.iter().zip(&golden.boxes(name)).map(error).fold(0.0, f32::max);
        println!("03_rpn {name}: largest relative error {largest:.1e} of 1e-5");
        assert!(largest <= 1e-5, "{name}: largest relative error {largest:.3e}");
    }
}

fn suppression(set: &str, golden: &Golden) {
    let (boxes, scores, classes) = inputs::suppression(set);
    for (name, overlap) in [("4", 0.4), ("5", 0.5), ("7", 0.7)] {
        let kept = suppress(&boxes, &scores, overlap);
        assert_eq!(kept, golden.indices(&format!("nms_{name}")), "suppression at {overlap}");
        let by_class = suppress_by_class(&boxes, &scores, &classes, overlap);
        assert_eq!(
            by_class,
            golden.indices(&format!("batched_nms_{name}")),
            "suppression by class at {overlap}"
        );
        println!("03_rpn suppression at {overlap}: {} and {} boxes, equal", kept.len(), by_class.len());
    }
}

/// The boxes of the suppression, dealt to two levels in turn; the 25 best of each level are candidates for 45
/// proposals.
fn selection(set: &str, golden: &Golden) {
    let (boxes, logits, _) = inputs::suppression(set);
    let proposals: Vec<Proposal> =
        boxes.into_iter().zip(logits).map(|(corners, logit)| Proposal { corners, logit }).collect();
    let level = |first: usize| {
        let level: Vec<Proposal> = proposals.iter().skip(first).step_by(2).copied().collect();
        let logits: Vec<f32> = level.iter().map(|proposal| proposal.logit).collect();
        selection::best(&logits, 25).into_iter().map(|index| level[index]).collect()
    };
    let selected = selection::select(&[level(0), level(1)], NetworkSize { height: 60, width: 80 }, 45);
    assert_eq!(selected.len() as u64, golden.meta("top")["kept"].as_u64().unwrap());
    let corners: Vec<[f32; 4]> = selected.iter().map(|proposal| proposal.corners).collect();
    let logits: Vec<f32> = selected.iter().map(|proposal| proposal.logit).collect();
    golden.compare_boxes("top_boxes", &corners, 0.0);
    golden.compare_values("top_logits", &logits, 0.0);
}
