//! Compares the box heads without a cascade with golden 06: RegNetY's (`bn`: convolutions with batch norms) and X101's (`fc2`:
//! two linear layers).

use super::cascade::{SIZE, detected, expected, load, refine};
use super::detections;
use super::golden::Golden;
use posebook_models::detect::mask_rcnn::Architecture;
use posebook_models::detect::mask_rcnn::heads::Thresholds;
use posebook_models::detect::mask_rcnn::layers::Operators;
use std::path::Path;

// tolerances (absolute)
const LOGITS: f64 = 2e-4;
const PIXELS: f64 = 1e-3;
const SCORES: f64 = 3e-5;

/// Compares both heads, on both kinds of operators.
pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "06_box_standard");
    for operators in [Operators::Kernels, Operators::Candle] {
        println!("{operators:?}");
        compare(&golden, set, Architecture::Regnety, "bn_", operators);
        compare(&golden, set, Architecture::X101, "fc2_", operators);
    }
}

fn compare(golden: &Golden, set: &str, architecture: Architecture, prefix: &str, operators: Operators) {
    let heads = load(set, architecture, operators);
    let (refined, activations) = refine(&heads, set);
    let [stage] = &refined.stages[..] else { panic!("there are {} stages", refined.stages.len()) };
    let name = |what: &str| format!("{prefix}{what}");
    golden.compare(&name("fc"), &activations["stage0.fc"], LOGITS);
    golden.compare_values(&name("logits"), &stage.logits, LOGITS);
    golden.compare_boxes(&name("deltas"), &stage.deltas, LOGITS);
    golden.compare_boxes(&name("boxes"), &stage.boxes, PIXELS);
    // the entry points' threshold with their overlap, and the defaults of detectron2
    for (suffix, score, overlap) in [("50", 0.5, 0.4), ("05", 0.05, 0.5)] {
        let found = heads.select(&refined, SIZE, Thresholds { score, overlap, most: 100 }).unwrap();
        let what = format!("06_box_standard {prefix} at {score}");
        let expected = expected(golden, prefix, suffix);
        detections::compare(&what, &expected, &detected(&found), PIXELS, SCORES);
        let kept = &golden.meta(&format!("{prefix}margins_{suffix}"))["kept"];
        assert_eq!(found.len() as u64, kept.as_u64().unwrap());
    }
}
