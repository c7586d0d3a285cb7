//! Time of the published detectors at their full sizes, stage by stage, compared with PyTorch.
//!
//! `just bench detectors -- regnety 3`: a detector (`vitdet`, `regnety`, `x101`) and a number of rounds.
//! Weights and the picture of 720 x 1280 pixels are filled by formula. Rounds alternate between our network and PyTorch's
//! (`detectors_reference.py`, run by `$PYTHON` or `python3`, if it has torch, torchvision and Pillow), so that other load affects
//! both alike; medians are printed, with the share of a matrix product's rate. The masks are those of all detections, of any class.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use posebook_core::frame::FrameSize;
use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_core::person::BBox;
use posebook_models::detect::mask_rcnn::boxes::Corners;
use posebook_models::detect::mask_rcnn::heads::{BoxHeads, Found, MaskHead, Thresholds};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::paste::to_frame_masks;
use posebook_models::detect::mask_rcnn::preprocess::{self, Geometry};
use posebook_models::detect::mask_rcnn::regnet::RegNetBackbone;
use posebook_models::detect::mask_rcnn::resnext::ResNeXtBackbone;
use posebook_models::detect::mask_rcnn::rpn::Rpn;
use posebook_models::detect::mask_rcnn::vit::VitBackbone;
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Budget, Config, formula};
use posebook_models::hmr2::formula::integers_below;
use posebook_models::nn::{Linear, preallocate_scratch};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

/// Size of the picture.
const SIZE: FrameSize = FrameSize { width: 1280, height: 720 };
/// Stages in order, with the names of the script.
const STAGES: [&str; 6] = ["prepare", "backbone", "proposals", "boxes", "masks", "paste"];
/// The product whose rate is the measure: rows, columns of the left, columns of the right.
const PRODUCT: [usize; 3] = [768, 1280, 5120];

type Backbones = Box<dyn Fn(&Tensor, Budget) -> candle_core::Result<Vec<Tensor>>>;

/// A detector in parts.
struct Detector {
    config: Config,
    backbone: Backbones,
    rpn: Rpn,
    boxes: BoxHeads,
    masks: MaskHead,
    budget: Budget,
}

impl Detector {
    fn load(architecture: Architecture) -> candle_core::Result<Detector> {
        let config = Config::published(architecture);
        let tensors = formula::weights("a", &config, DType::F32, &Device::Cpu)?;
        let variables = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let loader = Loader::new(variables, DType::F32, Operators::default());
        let (channels, classes) = (config.channels, config.classes);
        let (bottom, heads) = (loader.pp("backbone"), loader.pp("roi_heads"));
        let backbone: Backbones = match &config.backbone {
            Backbone::Vit(sizes) => {
                let network = VitBackbone::load(sizes, channels, &bottom)?;
                Box::new(move |pixels, budget| network.forward(pixels, budget, &mut |_, _| {}))
            }
            Backbone::Regnety(sizes) => {
                let network = RegNetBackbone::load(sizes, channels, &bottom)?;
                Box::new(move |pixels, budget| network.forward(pixels, budget, &mut |_, _| {}))
            }
            Backbone::Resnext(sizes) => {
                let network = ResNeXtBackbone::load(sizes, channels, &bottom)?;
                Box::new(move |pixels, budget| network.forward(pixels, budget, &mut |_, _| {}))
            }
        };
        let rpn = Rpn::load(&config.rpn, channels, &loader.pp("proposal_generator").pp("rpn_head"))?;
        let boxes = BoxHeads::load(&config.box_head, channels, classes, &heads)?;
        let masks = MaskHead::load(&config.mask_head, channels, classes, &heads)?;
        Ok(Detector { config, backbone, rpn, boxes, masks, budget: Budget::default() })
    }

    /// Detects in a picture; the seconds of each stage, and how many proposals and detections there are.
    fn run(&self, rgb: &[u8]) -> ([f64; STAGES.len()], usize, usize) {
        let mut seconds = [0.0; STAGES.len()];
        let mut began = Instant::now();
        let mut lap = |stage: usize| {
            seconds[stage] = began.elapsed().as_secs_f64();
            began = Instant::now();
        };
        let input = &self.config.input;
        let geometry = Geometry::new(input, SIZE);
        let (padded, network) = (geometry.padded, geometry.network);
        let values = preprocess::prepare(input, &geometry, rgb);
        let pixels = Tensor::from_vec(values, (1, padded.height, padded.width, 3), &Device::Cpu)
            .expect("the input has its size");
        lap(0);
        let pyramid = (self.backbone)(&pixels, self.budget).expect("the backbone runs");
        lap(1);
        let proposals =
            self.rpn.propose(&pyramid, &[network]).expect("proposals are selected").swap_remove(0);
        lap(2);
        let corners: Vec<Corners> = proposals.iter().map(|proposal| proposal.corners).collect();
        let score = if self.config.architecture() == Architecture::Vitdet { 0.25 } else { 0.5 };
        let thresholds = Thresholds { score, overlap: self.config.box_head.overlap, most: 100 };
        let found = self
            .boxes
            .detect(&pyramid, 0, &corners, network, thresholds, self.budget)
            .expect("the heads' outputs are finite");
        lap(3);
        let kept = found.iter().filter_map(|found| Some((found, geometry.to_frame(found.corners)?)));
        let (kept, in_frame): (Vec<&Found>, Vec<BBox>) = kept.unzip();
        let corners: Vec<Corners> = kept.iter().map(|found| found.corners).collect();
        let classes: Vec<usize> = kept.iter().map(|found| found.class).collect();
        let probabilities = self
            .masks
            .probabilities(&pyramid, 0, &corners, &classes, self.budget)
            .expect("the masks are finite");
        lap(4);
        std::hint::black_box(to_frame_masks(&probabilities, &in_frame, SIZE.width, SIZE.height));
        lap(5);
        (seconds, proposals.len(), kept.len())
    }
}

/// The picture `photo` of the goldens in this size, RGB.
fn picture() -> Vec<u8> {
    let FrameSize { width, height } = SIZE;
    let phases = integers_below("a/input/photo.phase", 3, 512);
    let columns = width.div_ceil(32);
    let cells = integers_below("a/input/photo.cell", height.div_ceil(32) * columns * 3, 200);
    let noise = integers_below("a/input/photo", height * width * 3, 24);
    let value = |index: usize| {
        // the formula's channels are blue, green, red
        let (x, y, channel) = (index / 3 % width, index / 3 / width, 2 - index % 3);
        let wave = ((x * (3 + channel) + y * (2 + 2 * channel)) as u64 + phases[channel]) % 512;
        let triangle = if wave < 256 { wave } else { 511 - wave };
        let cell = cells[(y / 32 * columns + x / 32) * 3 + channel];
        (cell + triangle / 8 + noise[index / 3 * 3 + channel]) as u8
    };
    (0..height * width * 3).map(value).collect()
}

/// The script, which makes a run for each line that it reads.
struct Torch {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Torch {
    /// `None` if Python or a package of it is missing.
    fn start(architecture: Architecture, rounds: usize) -> Option<Torch> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/detectors_reference.py");
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let mut child = Command::new(python)
            .args([script, "time", architecture.name(), "--wait", "--runs", &rounds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut torch = Torch { answers: BufReader::new(child.stdout.take()?), child };
        torch.answer().map(|first| println!("PyTorch: {first}"))?;
        Some(torch)
    }

    fn answer(&mut self) -> Option<serde_json::Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// The seconds of the stages of a run, and the rate of its products in GFLOP/s.
    fn run(&mut self) -> Option<([f64; STAGES.len()], f64)> {
        writeln!(self.child.stdin.as_mut()?, "run").ok()?;
        let answer = self.answer()?;
        let products = answer["product_gflops"].as_array()?;
        let rate = products.iter().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
        Some((STAGES.map(|stage| answer["secs"][stage].as_f64().unwrap_or(f64::NAN)), rate))
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the end of its input ends the process
        self.child.wait().ok();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// GFLOP/s of a matrix product.
fn product_rate() -> f64 {
    let [rows, inner, columns] = PRODUCT;
    let random =
        |shape: [usize; 2]| Tensor::randn(0f32, 1f32, &shape, &Device::Cpu).expect("there is memory");
    let layer = Linear::new(&random([columns, inner]), None).expect("the shape fits");
    let x = random([rows, inner]);
    layer.forward(&x).expect("the shapes fit");
    let began = Instant::now();
    (0..3).for_each(|_| drop(layer.forward(&x)));
    6e-9 * (rows * inner * columns) as f64 / began.elapsed().as_secs_f64()
}

fn main() {
    // cargo passes `--bench`
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let name = arguments.first().map_or("regnety", String::as_str);
    let all = [Architecture::Vitdet, Architecture::Regnety, Architecture::X101];
    let Some(architecture) = all.into_iter().find(|architecture| architecture.name() == name) else {
        eprintln!("there is no detector {name}; choose vitdet, regnety or x101");
        std::process::exit(2);
    };
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    preallocate_scratch();
    let began = Instant::now();
    let detector = Detector::load(architecture).expect("the weights by formula fit");
    println!("loaded in {:.1} s", began.elapsed().as_secs_f64());
    let rgb = picture();
    let mut torch = Torch::start(architecture, rounds);
    let interval = HeapInterval::start();
    let (_, proposals, found) = detector.run(&rgb);
    println!(
        "{proposals} proposals, {found} detections; heap {} MiB above the weights",
        interval.peak_bytes() >> 20
    );

    let (mut ours, mut theirs, mut ratios) = (vec![Vec::new(); 7], vec![Vec::new(); 7], vec![Vec::new(); 7]);
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        rates[0].push(product_rate());
        let (stages, ..) = detector.run(&rgb);
        let with_total = |stages: [f64; STAGES.len()]| stages.into_iter().chain([stages.iter().sum()]);
        let our_times: Vec<f64> = with_total(stages).collect();
        ours.iter_mut().zip(&our_times).for_each(|(all, &seconds)| all.push(seconds));
        let Some((stages, rate)) = torch.as_mut().and_then(Torch::run) else { continue };
        rates[1].push(rate);
        for (index, (seconds, ours)) in with_total(stages).zip(our_times).enumerate() {
            theirs[index].push(seconds);
            ratios[index].push(ours / seconds);
        }
    }
    println!("{name}, {}x{}, medians of {rounds} rounds:", SIZE.width, SIZE.height);
    for (index, stage) in STAGES.into_iter().chain(["all"]).enumerate() {
        let [ours, theirs, ratio] =
            [&mut ours, &mut theirs, &mut ratios].map(|values| median(std::mem::take(&mut values[index])));
        println!("{stage:10} {ours:8.3} s; PyTorch {theirs:8.3} s; ratio {ratio:.2}");
    }
    let [ours, theirs] = rates.map(median);
    let [rows, inner, columns] = PRODUCT;
    println!("product of {rows} x {inner} x {columns}: {ours:.0} GFLOP/s; PyTorch {theirs:.0} GFLOP/s");
}
