//! Golden 04: ROIAlign of 54 boxes on four levels.

use super::golden::Golden;
use super::inputs;
use posebook_models::detect::mask_rcnn::layers::Operators;
use posebook_models::detect::mask_rcnn::roi_align::{level_of, roi_align};
use std::path::Path;

pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "04_roialign");
    let (levels, boxes) = (inputs::region_pyramid(set), inputs::region_boxes(set));
    let ours: Vec<usize> = boxes.iter().map(|&corners| 2 + level_of(corners)).collect();
    assert_eq!(ours, golden.indices("level"), "levels of the boxes");
    for operators in [Operators::Kernels, Operators::Candle] {
        for (name, side) in [("pool7", 7), ("pool14", 14)] {
            golden.compare_map(name, &roi_align(&levels, 0, &boxes, side, operators).unwrap(), 2e-4);
        }
    }
}
