//! Compares the cascade of box heads with golden 05: every stage, the mean scores, and the detections at three thresholds.

use super::detections::{self, Detected};
use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Tensor};
use posebook_models::detect::mask_rcnn::boxes::{NetworkSize, clip};
use posebook_models::detect::mask_rcnn::heads::{BoxHeads, Found, Refined, Thresholds};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::{Architecture, Budget, Config};
use std::collections::HashMap;
use std::path::Path;

// tolerances (absolute)
const POOLED: f64 = 2e-4;
const LOGITS: f64 = 1e-3;
const PIXELS: f64 = 1e-3;
const SCORES: f64 = 5e-5;

/// The image inside the padded pyramid.
pub const SIZE: NetworkSize = NetworkSize { height: inputs::HEAD_SIZE.0, width: inputs::HEAD_SIZE.1 };

/// Compares the small ViTDet's heads, on both kinds of operators.
pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "05_cascade");
    for operators in [Operators::Kernels, Operators::Candle] {
        println!("{operators:?}");
        compare(&golden, set, operators);
    }
}

/// The heads of a small network.
pub fn load(set: &str, architecture: Architecture, operators: Operators) -> BoxHeads {
    let config = Config::small(architecture);
    let loader = Loader::new(inputs::weights(set, architecture), DType::F32, operators).pp("roi_heads");
    BoxHeads::load(&config.box_head, config.channels, config.classes, &loader).unwrap()
}

/// Refines the goldens' proposals; also returns the activations by name.
pub fn refine(heads: &BoxHeads, set: &str) -> (Refined, HashMap<String, Tensor>) {
    let mut activations: HashMap<String, Tensor> = HashMap::new();
    let pyramid = inputs::pyramid(set, "heads");
    let refined = heads
        .refine(&pyramid, 0, &inputs::head_proposals(set), SIZE, Budget::default(), &mut |name, tensor| {
            assert!(activations.insert(name.to_string(), tensor.clone()).is_none(), "{name} comes twice");
        })
        .unwrap();
    (refined, activations)
}

/// The detections of a list as they are compared.
pub fn detected(found: &[Found]) -> Vec<Detected> {
    found.iter().map(|&Found { corners, score, class }| Detected { corners, score, class }).collect()
}

/// The detections that a golden stores as `boxes_SUFFIX`, `scores_SUFFIX` and `classes_SUFFIX`.
pub fn expected(golden: &Golden, prefix: &str, suffix: &str) -> Vec<Detected> {
    let name = |what: &str| format!("{prefix}{what}_{suffix}");
    let boxes = golden.boxes(&name("boxes"));
    let rows = boxes.into_iter().zip(golden.values(&name("scores"))).zip(golden.indices(&name("classes")));
    rows.map(|((corners, score), class)| Detected { corners, score, class }).collect()
}

fn compare(golden: &Golden, set: &str, operators: Operators) {
    let heads = load(set, Architecture::Vitdet, operators);
    let (refined, activations) = refine(&heads, set);
    assert_eq!(refined.stages.len(), 3);
    for (index, stage) in refined.stages.iter().enumerate() {
        let name = |what: &str| format!("stage{index}_{what}");
        golden.compare_map(&name("pooled"), &activations[&format!("stage{index}.pooled")], POOLED);
        golden.compare(&name("fc"), &activations[&format!("stage{index}.fc")], LOGITS);
        golden.compare_values(&name("logits"), &stage.logits, LOGITS);
        golden.compare_boxes(&name("deltas"), &stage.deltas, LOGITS);
        golden.compare_boxes(&name("boxes"), &stage.boxes, PIXELS);
        // what the next stage got, if there is one
        let next = match refined.stages.get(index + 1) {
            Some(next) => next.proposals.clone(),
            None => stage.boxes.iter().map(|&corners| clip(corners, SIZE)).collect(),
        };
        golden.compare_boxes(&name("next"), &next, PIXELS);
    }
    golden.compare_values("scores", &refined.scores, SCORES);
    for (suffix, score) in [("05", 0.05), ("25", 0.25), ("50", 0.5)] {
        let found = heads.select(&refined, SIZE, Thresholds { score, overlap: 0.5, most: 100 }).unwrap();
        let what = format!("05_cascade at {score}");
        detections::compare(&what, &expected(golden, "", suffix), &detected(&found), PIXELS, SCORES);
        assert_eq!(found.len() as u64, golden.meta(&format!("margins_{suffix}"))["kept"].as_u64().unwrap());
    }
}
