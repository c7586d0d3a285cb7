//! Golden 12: masks of given boxes.

use super::end_to_end::{compare_masks, detector};
use super::golden::Golden;
use super::inputs;
use posebook_core::person::{BBox, FrameMask, LtwhBox};
use posebook_models::detect::mask_rcnn::preprocess::Geometry;
use posebook_models::detect::mask_rcnn::{Architecture, Config, Options};
use std::path::Path;

/// Compares with the set `set`.
pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "12_given_x101");
    let detector = detector(set, Architecture::X101, Options::default());
    for (index, name) in inputs::end_to_end(Architecture::X101).into_iter().enumerate() {
        let frame = inputs::image(set, name).frame(index);
        let to_bbox = |[left, top, width, height]: [f64; 4]| LtwhBox { left, top, width, height }.to_bbox();
        let mut given: Vec<BBox> = inputs::given(set, name).into_iter().map(to_bbox).collect();
        let geometry = Geometry::new(&Config::small(Architecture::X101).input, frame.size());
        let corners: Vec<[f32; 4]> = given.iter().map(|&bbox| geometry.to_network(bbox)).collect();
        golden.compare_boxes(&format!("{name}_network_boxes"), &corners, 5e-4);
        let classes = vec![0; corners.len()];
        let probabilities = detector.probabilities_in_boxes(&frame, &corners, &classes).unwrap();
        golden.compare_values(&format!("{name}_mask28"), &probabilities.concat(), 1e-4);

        // a box outside of the frame has no result, and does not move the others
        given.insert(1, BBox { x1: -50.0, y1: 10.0, x2: -1.0, y2: 90.0 });
        let mut found = detector.detect_in_boxes(&frame, &given).unwrap();
        assert_eq!(found.remove(1), None);
        let found: Vec<_> = found.into_iter().map(Option::unwrap).collect();
        let sides = |bbox: BBox| [bbox.x1, bbox.y1, bbox.x2, bbox.y2];
        let boxes: Vec<[f32; 4]> = found.iter().map(|detection| sides(detection.bbox)).collect();
        golden.compare_boxes(&format!("{name}_boxes"), &boxes, 5e-4);
        let scores: Vec<f32> = found.iter().map(|detection| detection.score).collect();
        golden.compare_values(&format!("{name}_scores"), &scores, 0.0);
        assert_eq!(golden.indices(&format!("{name}_classes")), classes);
        let masks: Vec<&FrameMask> = found.iter().map(|detection| detection.mask.as_ref().unwrap()).collect();
        compare_masks(&golden, &format!("{name}_masks"), &masks, 1e-5);
    }
}
