//! Memory of loading a detector and of a detection, compared with the prediction that `posebook model show` prints.
//!
//! The heap counters are per process, so there is one test.

#[allow(dead_code, reason = "the goldens use the rest")]
#[path = "../../../tests/goldens_support/detect/inputs.rs"]
mod inputs;

use candle_core::{DType, Device};
use posebook_core::frame::{Frame, FrameSize};
use posebook_core::memory::heap::{self, CountingAllocator, HeapInterval};
use posebook_models::detect::mask_rcnn::preprocess::Geometry;
use posebook_models::detect::mask_rcnn::{
    Architecture, Backbone, Budget, Config, Footprint, InputPadding, MaskRcnn, Options, formula,
};
use posebook_models::hmr2::Precision;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

/// Wide enough that the largest buffers are those of the published networks.
fn config(architecture: Architecture) -> Config {
    let mut config = Config::small(architecture);
    (config.channels, config.box_head.width) = (64, 256);
    (config.rpn.per_level, config.rpn.proposals) = (300, 300);
    (config.input.shortest, config.input.longest) = (384, 640);
    match &mut config.backbone {
        Backbone::Vit(vit) => {
            (vit.dim, vit.depth, vit.image_side) = (256, 2, 512);
            vit.global_blocks = vec![1];
            (config.input.shortest, config.input.longest) = (512, 512);
            config.input.padding = InputPadding::Square(512);
        }
        Backbone::Regnety(regnet) => regnet.widths = vec![32, 48, 128, 272],
        Backbone::Resnext(resnext) => {
            (resnext.groups, resnext.group_width, resnext.first_width) = (8, 8, 64);
        }
    }
    config
}

/// One test, because the heap's counters are those of the process.
#[test]
fn the_prediction_matches_the_counted_heap() {
    let (whole, chunks) = (Budget::default(), Budget::from_mib(2));
    for architecture in Architecture::ALL {
        published(architecture);
        detection(architecture, Precision::F32, whole);
        detection(architecture, Precision::F32, chunks);
        detection(architecture, Precision::Bf16, whole);
    }
}

/// What is predicted for the published sizes.
fn published(architecture: Architecture) {
    let config = Config::published(architecture);
    let size = Geometry::new(&config.input, FrameSize::new(1920, 1080)).padded;
    let name = architecture.name();
    for precision in [Precision::F32, Precision::Bf16] {
        let footprint = Footprint::new(&config, precision);
        let peak = |budget| footprint.peak_phase(size.height, size.width, 1, budget);
        let (whole, chunks) = (peak(Budget::default()), peak(Budget::from_mib(64)));
        let mib = |bytes: u64| bytes >> 20;
        println!(
            "{name} {} at {}x{}: weights {} MiB, peak {} MiB more ({}), within a budget of 64 MiB {} MiB ({})",
            precision.name(),
            size.width,
            size.height,
            mib(footprint.weights_bytes),
            mib(whole.bytes),
            whole.name,
            mib(chunks.bytes),
            chunks.name,
        );
        assert!(chunks.bytes <= whole.bytes);
        // convolutions are packed in single precision, so that half precision saves less than half
        let parameters = config.parameters() as u64;
        assert!(footprint.weights_bytes > 2 * parameters && footprint.weights_bytes < 7 * parameters);
    }
}

fn detection(architecture: Architecture, precision: Precision, budget: Budget) {
    let config = config(architecture);
    let footprint = Footprint::new(&config, precision);
    let name =
        format!("{} {} {:?}", architecture.name(), precision.name(), budget.bytes.map(|bytes| bytes >> 20));

    let options = |batch| Options { precision, budget, batch, score: 0.05, ..Options::default() };
    let before = heap::current_bytes();
    let load = |batch| {
        let weights = formula::weights("a", &config, DType::F32, &Device::Cpu).unwrap();
        MaskRcnn::load(&config, weights, &Device::Cpu, options(batch)).unwrap()
    };
    let detector = load(1);
    // tables that attention derives of its weights are not predicted
    compare(&format!("{name} weights"), heap::current_bytes() - before, footprint.weights_bytes, 0.05);

    let frames: Vec<Frame> =
        ["photo", "photo_v", "photo_r"].map(|name| inputs::image("a", name).frame(0)).into_iter().collect();
    let padded = Geometry::new(&config.input, frames[0].size()).padded;
    let measure = |detector: &MaskRcnn, batch: usize| {
        let frames: Vec<&Frame> = frames[..batch].iter().collect();
        // the first pass allocates what threads keep
        detector.detect(&frames).unwrap();
        let interval = HeapInterval::start();
        let people = detector.detect(&frames).unwrap();
        let counted = interval.peak_bytes();
        let masks = people.iter().map(Vec::len).max().unwrap();
        let mut footprint = footprint.clone();
        footprint.masks = masks;
        let phase = footprint.peak_phase(padded.height, padded.width, batch, budget);
        compare(&format!("{name} batch {batch} ({}, {masks} masks)", phase.name), counted, phase.bytes, 0.02);
        assert_eq!(
            footprint.peak_bytes(padded.height, padded.width, batch, budget),
            phase.bytes + footprint.weights_bytes
        );
    };
    measure(&detector, 1);
    drop(detector);
    if precision == Precision::F32 {
        measure(&load(3), 3);
    }
}

fn compare(what: &str, counted: u64, predicted: u64, tolerance: f64) {
    let error = predicted as f64 / counted as f64 - 1.0;
    println!("{what}: {counted} bytes counted, {predicted} predicted, {:+.1}%", 100.0 * error);
    assert!(error.abs() < tolerance, "{what}: {counted} bytes counted, {predicted} predicted");
}
