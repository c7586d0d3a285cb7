//! Compares the mask heads and the pasting of masks with golden 07.

use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Device, Tensor};
use posebook_core::person::BBox;
use posebook_models::detect::mask_rcnn::heads::MaskHead;
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::{Architecture, Budget, Config, paste};
use posebook_models::hmr2::mask::mask_of_counts;
use std::path::Path;

// tolerances (absolute)
const POOLED: f64 = 2e-4;
const LOGITS: f64 = 5e-4;
const PROBABILITIES: f64 = 1e-4;
/// Bits of all pasted masks that may differ.
const BITS: u32 = 5;
/// Height and width of the frame that masks are pasted into.
const FRAME: (usize, usize) = (120, 160);

/// Compares the heads of the three networks, on both kinds of operators, and pasted masks.
pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "07_mask");
    compare_pasted(&golden, set);
    for operators in [Operators::Kernels, Operators::Candle] {
        println!("{operators:?}");
        for (architecture, prefix) in
            [(Architecture::Vitdet, "ln"), (Architecture::Regnety, "bn"), (Architecture::X101, "plain")]
        {
            compare_head(&golden, set, architecture, prefix, operators);
        }
    }
}

fn compare_head(golden: &Golden, set: &str, architecture: Architecture, prefix: &str, operators: Operators) {
    let config = Config::small(architecture);
    let loader = Loader::new(inputs::weights(set, architecture), DType::F32, operators).pp("roi_heads");
    let head = MaskHead::load(&config.mask_head, config.channels, config.classes, &loader).unwrap();
    let pyramid = inputs::pyramid(set, "heads");
    let (boxes, classes) = inputs::mask_boxes(set);
    let pooled = head.pool(&pyramid, 0, &boxes).unwrap();
    golden.compare_map("pooled14", &pooled, POOLED);
    golden.compare_map(&format!("{prefix}_logits"), &head.logits(pooled).unwrap(), LOGITS);
    let masks = head.probabilities(&pyramid, 0, &boxes, &classes, Budget::default()).unwrap();
    let shape = (boxes.len(), 1, paste::SIDE, paste::SIDE);
    let masks = Tensor::from_vec(masks.concat(), shape, &Device::Cpu).unwrap();
    golden.compare(&format!("{prefix}_masks"), &masks, PROBABILITIES);
}

fn compare_pasted(golden: &Golden, set: &str) {
    let (height, width) = FRAME;
    let (masks, boxes) = inputs::pasted(set);
    let corners: Vec<BBox> = boxes.iter().map(|&[x1, y1, x2, y2]| BBox { x1, y1, x2, y2 }).collect();
    let (mut bits, mut soft) = (Vec::new(), Vec::new());
    for (mask, &corners) in masks.iter().zip(&corners) {
        bits.extend(paste::to_bits(mask, corners, width, height));
        soft.extend(paste::to_probabilities(mask, corners, width, height));
    }
    let soft = Tensor::from_vec(soft, (masks.len(), height, width), &Device::Cpu).unwrap();
    golden.compare("paste_soft", &soft, PROBABILITIES);
    let expected = golden.bytes("paste_bits");
    assert_eq!(bits.len(), expected.len());
    let differing: u32 = bits.iter().zip(&expected).map(|(a, b)| (a ^ b).count_ones()).sum();
    println!("07_mask paste_bits: {differing} of {} bits differ, {BITS} may", bits.len() * 8);
    assert!(differing <= BITS, "{differing} bits differ");

    // the run lengths have the same pixels, and the same number of them as the original's up to those bits
    let areas = golden.meta("paste")["area"].as_array().unwrap();
    let stride = width.div_ceil(8);
    let of_frame = paste::to_frame_masks(&masks, &corners, width, height);
    for (index, mask) in of_frame.iter().enumerate() {
        let pixels = mask_of_counts(&mask.counts, width, height).unwrap();
        let bit = |at: usize| {
            let (x, y) = (at % width, at / width);
            bits[(index * height + y) * stride + x / 8] >> (7 - x % 8) & 1
        };
        assert!(pixels.iter().enumerate().all(|(at, &pixel)| pixel == bit(at)), "mask {index}");
        let area = pixels.iter().filter(|&&pixel| pixel == 1).count() as i64;
        assert!(
            (area - areas[index].as_i64().unwrap()).abs() <= i64::from(BITS),
            "mask {index}: {area} pixels"
        );
    }
}
