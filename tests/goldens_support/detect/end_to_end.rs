//! Goldens 10 and 11: pictures from end to end, all classes, with the thresholds of the demo and of PHALP.

use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Device};
use posebook_core::person::FrameMask;
use posebook_models::detect::mask_rcnn::layers::Operators;
use posebook_models::detect::mask_rcnn::{Architecture, Config, DetectedObject, MaskRcnn, Options, formula};
use posebook_models::hmr2::mask::mask_of_counts;
use std::path::Path;

/// Largest differences from the original.
pub struct Tolerances {
    /// Maps of the pyramid.
    pub maps: f64,
    /// Boxes, pixels of the frame.
    pub boxes: f64,
    /// Scores.
    pub scores: f64,
    /// Share of a frame's pixels that differ in a mask.
    pub bits: f64,
}

/// Logits and boxes of proposals, as in golden 03.
const PROPOSALS: (f64, f64) = (5e-5, 1e-3);
/// Scores this close may be in another order.
const TIE: f32 = 2e-4;

/// Compares both networks with the set `set`.
pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "10_e2e_vitdet");
    let tolerances = Tolerances { maps: 2e-5, boxes: 3e-2, scores: 1e-3, bits: 1e-4 };
    network(set, &golden, Architecture::Vitdet, &tolerances);
    let golden = Golden::open(folder, "11_e2e_regnety");
    let tolerances = Tolerances { maps: 5e-5, boxes: 2e-3, scores: 1e-4, bits: 1e-5 };
    network(set, &golden, Architecture::Regnety, &tolerances);
}

/// A small network of a set's weights.
pub fn detector(set: &str, architecture: Architecture, options: Options) -> MaskRcnn {
    let config = Config::small(architecture);
    let weights = formula::weights(set, &config, DType::F32, &Device::Cpu).unwrap();
    MaskRcnn::load(&config, weights, &Device::Cpu, options).unwrap()
}

fn network(set: &str, golden: &Golden, architecture: Architecture, tolerances: &Tolerances) {
    let (ours, candle) = (Operators::Kernels, Operators::Candle);
    for (entry, selected_above, operators) in
        [("demo", 0.5, ours), ("phalp", 0.8, ours), ("demo", 0.5, candle)]
    {
        println!("{} with the thresholds of {entry}, operators: {operators:?}", architecture.name());
        let name = inputs::end_to_end(architecture)[0];
        let score = golden.meta(&format!("{name}_{entry}"))["test_score_thresh"].as_f64().unwrap();
        let detector = detector(set, architecture, Options { score, operators, ..Options::default() });
        for (index, name) in inputs::end_to_end(architecture).into_iter().enumerate() {
            let frame = inputs::image(set, name).frame(index);
            let outputs = detector.outputs(&frame).unwrap();
            if entry == "demo" {
                golden.compare_map(&format!("{name}_p4"), &outputs.pyramid[2], tolerances.maps);
                golden.compare_map(&format!("{name}_p6"), &outputs.pyramid[4], tolerances.maps);
                let proposals: Vec<[f32; 4]> =
                    outputs.proposals.iter().map(|proposal| proposal.corners).collect();
                let logits: Vec<f32> = outputs.proposals.iter().map(|proposal| proposal.logit).collect();
                golden.compare_values(&format!("{name}_proposal_logits"), &logits, PROPOSALS.0);
                golden.compare_boxes(&format!("{name}_proposals"), &proposals, PROPOSALS.1);
                golden.compare_values(&format!("{name}_all_scores"), &outputs.scores, tolerances.scores);
            }
            let objects = in_original_order(golden, &format!("{name}_{entry}"), outputs.objects);
            objects_match(golden, name, entry, &objects, selected_above, tolerances);

            // the people are those objects of class 0, in the same order
            let people = detector.detect(&[&frame]).unwrap().swap_remove(0);
            let of_people =
                objects.into_iter().filter(|object| object.class == 0).map(|object| object.detection);
            assert_eq!(people, of_people.collect::<Vec<_>>());
        }
    }
}

/// Our objects in the order of the original: those whose scores are almost equal may be exchanged.
fn in_original_order(golden: &Golden, name: &str, objects: Vec<DetectedObject>) -> Vec<DetectedObject> {
    let boxes = golden.boxes(&format!("{name}_boxes"));
    let (scores, classes) =
        (golden.values(&format!("{name}_scores")), golden.indices(&format!("{name}_classes")));
    assert_eq!(objects.len(), boxes.len(), "{name}: number of detections");
    let mut left: Vec<Option<DetectedObject>> = objects.into_iter().map(Some).collect();
    let distance = |object: &DetectedObject, of: &[f32; 4]| {
        let bbox = object.detection.bbox;
        let sides = [bbox.x1, bbox.y1, bbox.x2, bbox.y2];
        sides.iter().zip(of).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
    };
    let take = |index: usize| {
        let is_tie = |other: &usize| (scores[*other] - scores[index]).abs() < TIE;
        let candidates = (0..left.len())
            .filter(is_tie)
            .filter(|&other| left[other].as_ref().is_some_and(|object| object.class == classes[index]));
        let nearest = candidates.min_by(|&a, &b| {
            let [a, b] =
                [a, b].map(|at| left[at].as_ref().map_or(f32::MAX, |object| distance(object, &boxes[index])));
            a.total_cmp(&b)
        });
        let nearest =
            nearest.unwrap_or_else(|| panic!("{name}: no detection of class {} at {index}", classes[index]));
        left[nearest].take().unwrap()
    };
    (0..boxes.len()).map(take).collect()
}

fn objects_match(
    golden: &Golden,
    name: &str,
    entry: &str,
    objects: &[DetectedObject],
    selected_above: f32,
    tolerances: &Tolerances,
) {
    let of = |what: &str| format!("{name}_{entry}_{what}");
    let boxes: Vec<[f32; 4]> = objects
        .iter()
        .map(|object| {
            let bbox = object.detection.bbox;
            [bbox.x1, bbox.y1, bbox.x2, bbox.y2]
        })
        .collect();
    let scores: Vec<f32> = objects.iter().map(|object| object.detection.score).collect();
    let classes: Vec<usize> = objects.iter().map(|object| object.class).collect();
    golden.compare_boxes(&of("boxes"), &boxes, tolerances.boxes);
    golden.compare_values(&of("scores"), &scores, tolerances.scores);
    assert_eq!(classes, golden.indices(&of("classes")), "{}", of("classes"));
    let selected: Vec<usize> =
        (0..objects.len()).filter(|&index| classes[index] == 0 && scores[index] > selected_above).collect();
    assert_eq!(selected, golden.indices(&of("selected")), "{}", of("selected"));
    // PHALP's detections are the first ones of the demo's, so that masks are stored once
    let masks: Vec<&FrameMask> =
        objects.iter().map(|object| object.detection.mask.as_ref().unwrap()).collect();
    compare_masks(golden, &format!("{name}_demo_masks"), &masks, tolerances.bits);
}

/// Compares masks with the first ones of the packed bits `name` `(n, height, width / 8)`.
pub fn compare_masks(golden: &Golden, name: &str, masks: &[&FrameMask], tolerance: f64) {
    let [count, height, row_bytes] = golden.shape(name)[..] else { panic!("{name}") };
    assert!(masks.len() <= count, "{name}: {} masks of {count}", masks.len());
    let bytes = golden.bytes(name);
    let mut worst = 0;
    for (mask, bits) in masks.iter().zip(bytes.chunks_exact(height * row_bytes)) {
        assert!(mask.height == height && mask.width.div_ceil(8) == row_bytes, "{name}: size");
        let covered = mask_of_counts(&mask.counts, mask.width, mask.height).unwrap();
        let expected = |index: usize| {
            let (x, y) = (index % mask.width, index / mask.width);
            bits[y * row_bytes + x / 8] >> (7 - x % 8) & 1 == 1
        };
        let differ =
            covered.iter().enumerate().filter(|&(index, &value)| (value != 0) != expected(index)).count();
        worst = worst.max(differ);
        let share = differ as f64 / (mask.width * mask.height) as f64;
        // one pixel is more than the tolerance of a small frame
        assert!(share <= tolerance || differ <= 1, "{name}: {differ} pixels differ");
    }
    println!("{name:<44} {:>8} masks, at most {worst} pixels differ", masks.len());
}
