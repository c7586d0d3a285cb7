//! The heap that the detectors' heads take for their buffers: within the budget, up to what is stated beside each limit.
//!
//! A test program of its own, because it installs the counting allocator, and one test, because the counters are global.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_core::person::BBox;
use posebook_models::detect::mask_rcnn::boxes::{Corners, NetworkSize};
use posebook_models::detect::mask_rcnn::heads::{BoxHeads, MaskHead, Thresholds};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::{Architecture, Budget, Config, formula, paste};
use posebook_models::nn;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

const CHANNELS: usize = 32;
/// Bytes of a proposal's pooled map, and of a mask's.
const BOX_MAP: u64 = (7 * 7 * CHANNELS * size_of::<f32>()) as u64;
const MASK_MAP: u64 = (14 * 14 * CHANNELS * size_of::<f32>()) as u64;
const SIZE: NetworkSize = NetworkSize { height: 256, width: 256 };

fn boxes(count: usize) -> Vec<Corners> {
    let of = |index: usize| {
        let unit = |part: usize| ((4 * index + part) as f32 * 0.618_034) % 1.0;
        let (w, h) = (10.0 + 120.0 * unit(2), 10.0 + 120.0 * unit(3));
        let (x, y) = (unit(0) * (256.0 - w), unit(1) * (256.0 - h));
        [x, y, x + w, y + h]
    };
    (0..count).map(of).collect()
}

fn peak<T>(call: impl FnOnce() -> T) -> u64 {
    let interval = HeapInterval::start();
    let result = call();
    let peak = interval.peak_bytes();
    drop(result);
    peak
}

#[test]
fn buffers_fit_their_budget() {
    let count = 600;
    let (proposals, people) = (boxes(count), 200);
    let classes = vec![0; people];
    for architecture in Architecture::ALL {
        let config = Config::small(architecture);
        for dtype in [DType::F32, DType::BF16] {
            let weights = formula::weights("memory", &config, DType::F32, &Device::Cpu).unwrap();
            let loader = Loader::new(
                VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu),
                dtype,
                Operators::Kernels,
            )
            .pp("roi_heads");
            let heads = BoxHeads::load(&config.box_head, CHANNELS, config.classes, &loader).unwrap();
            let masks = MaskHead::load(&config.mask_head, CHANNELS, config.classes, &loader).unwrap();
            let level =
                |level: usize| Tensor::ones((1, 256 >> level, 256 >> level, CHANNELS), dtype, &Device::Cpu);
            let pyramid: Vec<Tensor> = (2..=6).map(|index| level(index).unwrap()).collect();
            let thresholds = Thresholds { score: 0.99, overlap: 0.5, most: 100 };
            let box_peak = |budget: Budget| {
                peak(|| heads.detect(&pyramid, 0, &proposals, SIZE, thresholds, budget).unwrap())
            };
            let mask_peak = |budget: Budget| {
                peak(|| masks.probabilities(&pyramid, 0, &proposals[..people], &classes, budget).unwrap())
            };
            // the first pass allocates the scratch that threads keep
            nn::preallocate_scratch();
            box_peak(Budget::default());
            mask_peak(Budget::default());

            // in half precision p2, the largest level, is widened while regions are cut out of it
            let widened =
                if dtype == DType::F32 { 0 } else { (64 * 64 * CHANNELS * size_of::<f32>()) as u64 };
            let [without, with] = [None, Some(1 << 20)].map(|bytes| box_peak(Budget { bytes }));
            // the rows of 192 proposals before the linear layers, in chunks and concatenated; a linear layer's weights in f32;
            // outputs of all stages and their copies
            let rows = 2 * 192 * BOX_MAP;
            let wide_weights = if dtype == DType::F32 { 0 } else { 64 * BOX_MAP };
            let outputs = (count * 3 * 4 * 4 * (config.classes * 4 + 20)) as u64;
            let limit = (1 << 20) + rows + widened + wide_weights + outputs;
            println!(
                "{architecture:?} {dtype:?} boxes: {without} bytes without a budget, {with} with, limit {limit}"
            );
            assert!(with <= limit, "{architecture:?} {dtype:?}: {with} bytes, limit {limit}");
            assert!(
                without > with,
                "{architecture:?} {dtype:?}: {without} bytes without a budget, {with} with one"
            );

            let [without, with] = [None, Some(4 << 20)].map(|bytes| mask_peak(Budget { bytes }));
            // the result, and the logits of a chunk
            let results = (people * 28 * 28 * size_of::<f32>()) as u64;
            let limit = (4 << 20) + results + widened + results / 4;
            println!(
                "{architecture:?} {dtype:?} masks: {without} bytes without a budget, {with} with, limit {limit}"
            );
            assert!(with <= limit, "{architecture:?} {dtype:?}: {with} bytes, limit {limit}");
            assert!(without > 9 * MASK_MAP * people as u64 / 2, "{without} bytes without a budget");
        }
    }
    // 100 people in a large frame: positions of rows and columns and run lengths, no frame
    let people: Vec<BBox> = (0..100)
        .map(|index| index as f32 * 20.0)
        .map(|x| BBox { x1: x, y1: x / 2.0, x2: x + 1500.0, y2: x / 2.0 + 1000.0 })
        .collect();
    let mask: Vec<f32> = (0..paste::SIDE * paste::SIDE)
        .map(|index| if (6..22).contains(&(index % paste::SIDE)) { 0.9 } else { 0.1 })
        .collect();
    let people_masks = vec![mask; people.len()];
    paste::to_frame_masks(&people_masks[..1], &people[..1], 64, 64);
    let bytes = peak(|| paste::to_frame_masks(&people_masks, &people, 3840, 2160));
    println!("pasting 100 people into 3840 x 2160: {bytes} bytes");
    assert!(bytes < 4 << 20, "{bytes} bytes; one frame of bytes has {}", 3840 * 2160);
}
