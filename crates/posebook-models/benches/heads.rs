//! Time and memory of the detectors' heads at their published sizes, with weights of the formula: 1000 proposals, 100 masks, and
//! 100 people pasted into frames of 1920 x 1080 and 3840 x 2160 pixels.
//!
//! `cargo bench -p posebook-models --bench heads [-- NAME ROUNDS]`; NAME is `vitdet`, `regnety`, `x101` or `paste`, and by
//! default each of them. Prints the median of ROUNDS (default 3; pasting 15 times as many) and the peak of the heap beyond what
//! was allocated before, without a budget and with two.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_core::person::BBox;
use posebook_models::detect::mask_rcnn::boxes::{Corners, NetworkSize};
use posebook_models::detect::mask_rcnn::heads::{BoxHeads, MaskHead, Thresholds};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::{Architecture, Budget, Config, formula, paste};
use posebook_models::hmr2;
use std::collections::HashMap;
use std::time::Instant;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

/// Side of the padded image.
const SIDE: usize = 1024;
const PROPOSALS: usize = 1000;
const PEOPLE: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let only = arguments.next();
    let rounds = arguments.next().map_or(3, |rounds| rounds.parse().expect("ROUNDS is a number"));
    let is_chosen = |name: &str| only.as_deref().is_none_or(|only| only == name || only == "all");
    for architecture in Architecture::ALL {
        if is_chosen(architecture.name()) {
            heads(architecture, rounds);
        }
    }
    if is_chosen("paste") {
        pasting(15 * rounds);
    }
}

/// Only the weights below `roi_heads`: the backbone of ViTDet-H alone would take 2.5 GB.
fn weights(config: &Config, architecture: Architecture) -> HashMap<String, Tensor> {
    let specs = config.tensors().into_iter().filter(|spec| spec.key.starts_with("roi_heads."));
    let fill = |spec: posebook_models::nn::TensorSpec| {
        let rule = formula::rule(architecture, &spec);
        let name = format!("bench/{}/{}", architecture.name(), spec.key);
        let tensor = hmr2::formula::tensor(&name, &spec.shape, &rule.offsets, rule.scale).unwrap();
        (spec.key, tensor)
    };
    specs.map(fill).collect()
}

/// Values between 0 and 1 that look random.
fn unit(index: usize) -> f32 {
    ((index as f32 + 1.0) * 12.9898).sin().abs() * 43_758.547 % 1.0
}

fn boxes(count: usize, width: f32, height: f32) -> Vec<Corners> {
    let of = |index: usize| {
        let [x, y, w, h] = [0, 1, 2, 3].map(|part| unit(4 * index + part));
        let (w, h) = (width * (0.02 + 0.5 * w * w), height * (0.05 + 0.8 * h * h));
        let (x, y) = (x * (width - w), y * (height - h));
        [x, y, x + w, y + h]
    };
    (0..count).map(of).collect()
}

/// Median seconds of some calls, and the heap's peak during the last one.
fn measure(rounds: usize, mut call: impl FnMut()) -> (f64, u64) {
    let mut took = Vec::new();
    let mut peak = 0;
    for _ in 0..rounds.max(1) {
        let interval = HeapInterval::start();
        let start = Instant::now();
        call();
        took.push(start.elapsed().as_secs_f64());
        peak = interval.peak_bytes();
    }
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], peak)
}

fn heads(architecture: Architecture, rounds: usize) {
    let config = Config::published(architecture);
    let weights = weights(&config, architecture);
    let pyramid: Vec<Tensor> = (2..=6)
        .map(|level| {
            let side = SIDE >> level;
            let values: Vec<f32> = (0..side * side * config.channels).map(|i| unit(i) - 0.5).collect();
            Tensor::from_vec(values, (1, side, side, config.channels), &Device::Cpu).unwrap()
        })
        .collect();
    let size = NetworkSize { height: SIDE, width: SIDE };
    let proposals = boxes(PROPOSALS, SIDE as f32, SIDE as f32);
    let thresholds = Thresholds { score: 0.05, overlap: 0.5, most: 100 };
    for dtype in [DType::F32, DType::BF16] {
        let variables = VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu);
        let loader = Loader::new(variables, dtype, Operators::Kernels).pp("roi_heads");
        let pyramid: Vec<Tensor> = pyramid.iter().map(|level| level.to_dtype(dtype).unwrap()).collect();
        let (channels, classes) = (config.channels, config.classes);
        let box_heads = BoxHeads::load(&config.box_head, channels, classes, &loader).unwrap();
        let mask_head = MaskHead::load(&config.mask_head, channels, classes, &loader).unwrap();
        let rounds = if dtype == DType::F32 { rounds } else { 1 };
        for mib in [None, Some(256), Some(64)] {
            let budget = mib.map_or(Budget::default(), Budget::from_mib);
            let (seconds, peak) = measure(rounds, || {
                let found = box_heads.detect(&pyramid, 0, &proposals, size, thresholds, budget);
                std::hint::black_box(found.unwrap());
            });
            let (mask_seconds, mask_peak) = measure(rounds, || {
                let masks = mask_head.probabilities(&pyramid, 0, &proposals[..PEOPLE], &[0; PEOPLE], budget);
                std::hint::black_box(masks.unwrap());
            });
            println!(
                "{:<8} {dtype:?} budget {:<10} {PROPOSALS} proposals {seconds:7.2} s, peak {:6.1} MiB; {PEOPLE} masks \
                 {mask_seconds:6.3} s, peak {:6.1} MiB",
                architecture.name(),
                mib.map_or("none".to_string(), |mib| format!("{mib} MiB")),
                peak as f64 / f64::from(1 << 20),
                mask_peak as f64 / f64::from(1 << 20),
            );
        }
    }
}

fn pasting(rounds: usize) {
    // a person: an ellipse with soft edges
    let mask: Vec<f32> = (0..paste::SIDE * paste::SIDE)
        .map(|index| {
            let [x, y] = [index % paste::SIDE, index / paste::SIDE]
                .map(|at| (at as f32 + 0.5) / paste::SIDE as f32 - 0.5);
            1.0 / (1.0 + ((x * x * 6.0 + y * y * 4.0) * 20.0 - 14.0).exp())
        })
        .collect();
    let masks = vec![mask; PEOPLE];
    for (width, height) in [(1920, 1080), (3840, 2160)] {
        let people = boxes(PEOPLE, width as f32, height as f32);
        let people: Vec<BBox> = people.into_iter().map(|[x1, y1, x2, y2]| BBox { x1, y1, x2, y2 }).collect();
        let pixels: f32 = people.iter().map(BBox::area).sum();
        let (seconds, peak) = measure(rounds, || {
            std::hint::black_box(paste::to_frame_masks(&masks, &people, width, height));
        });
        println!(
            "paste    {PEOPLE} people of {:.0} pixels on average at {width} x {height}: {:.2} ms, peak {:.1} KiB",
            pixels / PEOPLE as f32,
            seconds * 1e3,
            peak as f64 / 1024.0
        );
    }
}
