//! Time of the layers of the published detectors, beside PyTorch. Run with `just bench mask_rcnn`; an argument selects the
//! cases whose names contain it.
//!
//! Both compute the same weights and inputs and have to return the same values. The reference is `mask_rcnn_reference.py`
//! (torch, torchvision); it runs in the Python of the variable `POSEBOOK_PYTHON`, or `python3`, with as many threads as
//! rayon has, and is left out where a package is missing. Convolutions have a bias and a ReLU in both. Every round runs each
//! of the two once, in alternating order; medians of all rounds are compared. The last columns are the operations of the
//! definition per second, and their share of what a large product reaches between the rounds: Winograd's convolutions
//! exceed 100 %, because they need fewer operations.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use posebook_models::detect::mask_rcnn::layers::{
    Activation, Conv2d, ConvSpec, Deconv2x2, Loader, Operators, max_pool,
};
use posebook_models::detect::mask_rcnn::roi_align::roi_align;
use posebook_models::nn::Linear;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 7;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/mask_rcnn_reference.py");
/// Rows, terms and columns of the product that others are compared with.
const PRODUCT: [usize; 3] = [768, 1280, 5120];

fn main() {
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let threads = rayon::current_num_threads();
    let mut python = match Python::start(threads) {
        Ok(python) => Some(python),
        Err(problem) => {
            println!("PyTorch is left out: {problem}");
            None
        }
    };
    let product = Ours::load(&Case::Linear { rows: PRODUCT[0], channels: [PRODUCT[1], PRODUCT[2]] });
    println!(
        "{:42} {:>9} {:>9} {:>6} {:>8} {:>8}  {threads} threads, {ROUNDS} rounds",
        "", "ms", "PyTorch", "ratio", "GFLOP/s", "product"
    );
    for (name, case) in cases().into_iter().filter(|(name, _)| name.contains(&chosen)) {
        let ours = Ours::load(&case);
        let line = case.line().to_string();
        // the first run of each is not counted
        let (_, values) = ours.run();
        if let Some(theirs) = python.as_mut().map(|python| python.run(&line).1) {
            check(&name, &values, &theirs);
        }
        let mut secs = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for turn in 0..2 {
                if (turn + round) % 2 == 0 {
                    secs[0].push(ours.run().0);
                } else if let Some(python) = &mut python {
                    secs[1].push(python.run(&line).0);
                }
            }
            secs[2].push(product.run().0);
        }
        let [ours, theirs, product] = secs.map(median);
        let rate = case.operations() / ours / 1e9;
        let ceiling = 2.0 * PRODUCT.iter().product::<usize>() as f64 / product / 1e9;
        let (theirs, ratio) = if theirs.is_nan() {
            (String::new(), String::new())
        } else {
            (format!("{:.1}", 1e3 * theirs), format!("{:.2}", ours / theirs))
        };
        let share = 100.0 * rate / ceiling;
        println!("{name:42} {:>9.1} {theirs:>9} {ratio:>6} {rate:>8.0} {share:>7.0}%", 1e3 * ours);
    }
}

fn median(mut secs: Vec<f64>) -> f64 {
    secs.sort_by(f64::total_cmp);
    secs.get(secs.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Asserts that two results are equal but for rounding.
fn check(name: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{name}: number of values");
    let largest = theirs.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 2e-5 * largest, "{name}: {ours} for {theirs}");
    }
}

/// A layer and the sizes of its input.
enum Case {
    Conv { spec: ConvSpec, size: [usize; 3] },
    Deconv { channels: [usize; 2], size: [usize; 3] },
    Linear { rows: usize, channels: [usize; 2] },
    Pool { channels: usize, size: [usize; 3] },
    RoiAlign { channels: usize, image: usize, boxes: Vec<[f32; 4]>, side: usize },
}

fn cases() -> Vec<(String, Case)> {
    let conv = |name: &str, sizes: [usize; 6], size: [usize; 3]| {
        let [inputs, outputs, kernel, stride, padding, groups] = sizes;
        let spec = ConvSpec { inputs, outputs, kernel, stride, padding, groups };
        let name = format!("{name}, {inputs} to {outputs}, {} x {}", size[1], size[2]);
        (if size[0] > 1 { format!("{name}, {} maps", size[0]) } else { name }, Case::Conv { spec, size })
    };
    let roi = |side: usize, count: usize| {
        let case = Case::RoiAlign { channels: 256, image: 1024, boxes: boxes(count, 1024.0), side };
        (format!("ROIAlign {side} x {side}, {count} boxes, 256"), case)
    };
    vec![
        conv("3 x 3", [256, 256, 3, 1, 1, 1], [1, 256, 256]),
        conv("3 x 3", [256, 256, 3, 1, 1, 1], [1, 200, 336]),
        conv("3 x 3", [256, 256, 3, 1, 1, 1], [1, 25, 42]),
        conv("3 x 3", [256, 256, 3, 1, 1, 1], [1000, 7, 7]),
        conv("3 x 3", [256, 256, 3, 1, 1, 1], [100, 14, 14]),
        conv("1 x 1", [256, 256, 1, 1, 0, 1], [1, 200, 336]),
        conv("1 x 1", [1024, 256, 1, 1, 0, 1], [1, 50, 84]),
        conv("1 x 1", [64, 256, 1, 1, 0, 1], [1, 200, 336]),
        conv("1 x 1", [256, 12, 1, 1, 0, 1], [1, 200, 336]),
        conv("1 x 1 s2", [512, 1024, 1, 2, 0, 1], [1, 100, 168]),
        conv("3 x 3 of 64 channels", [128, 128, 3, 1, 1, 2], [1, 200, 336]),
        conv("3 x 3 of 64 channels", [512, 512, 3, 1, 1, 8], [1, 50, 84]),
        conv("3 x 3 s2 of 64 channels", [512, 512, 3, 2, 1, 8], [1, 100, 168]),
        conv("3 x 3 of 8 channels", [256, 256, 3, 1, 1, 32], [1, 200, 336]),
        conv("3 x 3 of 16 channels", [512, 512, 3, 1, 1, 32], [1, 100, 168]),
        conv("3 x 3 of 32 channels", [1024, 1024, 3, 1, 1, 32], [1, 50, 84]),
        conv("3 x 3 of 64 channels", [2048, 2048, 3, 1, 1, 32], [1, 25, 42]),
        conv("7 x 7 s2", [3, 64, 7, 2, 3, 1], [1, 800, 1344]),
        conv("3 x 3 s2", [3, 32, 3, 2, 1, 1], [1, 800, 1344]),
        (
            "2 x 2 transposed, 256 to 256, 14 x 14, 100 maps".into(),
            Case::Deconv { channels: [256, 256], size: [100, 14, 14] },
        ),
        ("linear, 12544 to 1024, 1000 rows".into(), Case::Linear { rows: 1000, channels: [12544, 1024] }),
        ("max pool 3 x 3 s2, 64, 400 x 672".into(), Case::Pool { channels: 64, size: [1, 400, 672] }),
        roi(7, 1000),
        roi(14, 100),
    ]
}

/// Boxes inside of an image, the logarithm of their sides uniform from 16 pixels to the image's side.
fn boxes(count: usize, image: f32) -> Vec<[f32; 4]> {
    let units = formula(4 * count, 9).into_iter().map(|value| 0.5 + 0.5 * value).collect::<Vec<_>>();
    let corners = units.chunks_exact(4).map(|unit| {
        let side = |unit: f32| 16.0 * (image / 16.0).powf(unit);
        let (width, height) = (side(unit[0]), side(unit[1]));
        let (left, top) = (unit[2] * (image - width), unit[3] * (image - height));
        [left, top, left + width, top + height]
    });
    corners.collect()
}

/// Numbers in [-1, 1): the upper 24 bits of a product of integers.
fn formula(count: usize, seed: u32) -> Vec<f32> {
    let number = |index: u32| {
        let bits = index.wrapping_add(seed).wrapping_mul(2_654_435_761);
        let bits = (bits ^ bits >> 15).wrapping_mul(2_246_822_519);
        (bits >> 8) as f32 * 2.0f32.powi(-23) - 1.0
    };
    (0..count as u32).map(number).collect()
}

fn maps(shape: &[usize]) -> Tensor {
    Tensor::from_vec(formula(shape.iter().product(), 1), shape, &Device::Cpu).expect("a tensor of a formula")
}

impl Case {
    /// What the reference reads.
    fn line(&self) -> Value {
        match self {
            Case::Conv { spec, size } => {
                let ConvSpec { inputs, outputs, kernel, stride, padding, groups } = *spec;
                json!({"kind": "conv", "spec": [inputs, outputs, kernel, stride, padding, groups], "size": size})
            }
            Case::Deconv { channels, size } => json!({"kind": "deconv", "channels": channels, "size": size}),
            Case::Linear { rows, channels } => json!({"kind": "linear", "rows": rows, "channels": channels}),
            Case::Pool { channels, size } => json!({"kind": "pool", "channels": channels, "size": size}),
            Case::RoiAlign { channels, image, boxes, side } => {
                json!({"kind": "roi_align", "channels": channels, "image": image, "boxes": boxes, "side": side})
            }
        }
    }

    /// Multiplications and additions of the definition.
    fn operations(&self) -> f64 {
        let count = match self {
            Case::Conv { spec, size } => {
                let pixels =
                    size[1..].iter().filter_map(|&length| spec.output_length(length)).product::<usize>();
                size[0] * pixels * spec.outputs * spec.kernel * spec.kernel * spec.inputs / spec.groups
            }
            Case::Deconv { channels, size } => 4 * channels[0] * channels[1] * size.iter().product::<usize>(),
            Case::Linear { rows, channels } => rows * channels[0] * channels[1],
            Case::Pool { .. } | Case::RoiAlign { .. } => 0,
        };
        2.0 * count as f64
    }
}

/// A layer of this crate with its input.
struct Ours {
    layer: Layer,
    input: Vec<Tensor>,
}

enum Layer {
    Conv(Conv2d),
    Deconv(Deconv2x2),
    Linear(Linear),
    Pool,
    RoiAlign { boxes: Vec<[f32; 4]>, side: usize },
}

impl Ours {
    fn load(case: &Case) -> Ours {
        let weights = |shape: &[usize], bias: usize| {
            let scale = 1.0 / (shape[1..].iter().product::<usize>() as f64).sqrt();
            let tensor = |shape: &[usize], seed: u32, scale: f32| {
                let values =
                    formula(shape.iter().product(), seed).into_iter().map(|value| value * scale).collect();
                Tensor::from_vec::<_, f32>(values, shape, &Device::Cpu).expect("a tensor of a formula")
            };
            let tensors = HashMap::from([
                ("weight".to_string(), tensor(shape, 2, scale as f32)),
                ("bias".to_string(), tensor(&[bias], 3, 0.1)),
            ]);
            let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
            Loader::new(builder, DType::F32, Operators::Kernels)
        };
        let relu = Activation::Relu;
        let (layer, input) = match case {
            Case::Conv { spec, size: [b, h, w] } => {
                let loader = weights(
                    &[spec.outputs, spec.inputs / spec.groups, spec.kernel, spec.kernel],
                    spec.outputs,
                );
                (loader.conv(*spec, relu).map(Layer::Conv), vec![maps(&[*b, *h, *w, spec.inputs])])
            }
            Case::Deconv { channels: [inputs, outputs], size: [b, h, w] } => {
                let loader = weights(&[*inputs, *outputs, 2, 2], *outputs);
                (
                    loader.deconv(*inputs, *outputs, relu).map(Layer::Deconv),
                    vec![maps(&[*b, *h, *w, *inputs])],
                )
            }
            Case::Linear { rows, channels: [inputs, outputs] } => {
                let loader = weights(&[*outputs, *inputs], *outputs);
                (loader.linear(*inputs, *outputs).map(Layer::Linear), vec![maps(&[*rows, *inputs])])
            }
            Case::Pool { channels, size: [b, h, w] } => {
                (Ok(Layer::Pool), vec![maps(&[*b, *h, *w, *channels])])
            }
            Case::RoiAlign { channels, image, boxes, side } => {
                let level = |level: usize| {
                    let side = (image / 4) >> level;
                    maps(&[1, side, side, *channels])
                };
                (Ok(Layer::RoiAlign { boxes: boxes.clone(), side: *side }), (0..4).map(level).collect())
            }
        };
        Ours { layer: layer.expect("the weights fit"), input }
    }

    /// Seconds and some values of the result.
    fn run(&self) -> (f64, Vec<f32>) {
        let began = Instant::now();
        let out = match &self.layer {
            Layer::Conv(layer) => layer.forward(&self.input[0]),
            Layer::Deconv(layer) => layer.forward(&self.input[0]),
            Layer::Linear(layer) => layer.forward(&self.input[0]),
            Layer::Pool => max_pool(&self.input[0], 3, 2, 1),
            Layer::RoiAlign { boxes, side } => roi_align(&self.input, 0, boxes, *side, Operators::Kernels),
        };
        let seconds = began.elapsed().as_secs_f64();
        let values = out.and_then(|out| out.flatten_all()?.to_vec1::<f32>()).expect("the layer runs");
        let step = (values.len() / 97).max(1);
        (seconds, values.into_iter().step_by(step).collect())
    }
}

/// The reference, running.
struct Python {
    child: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(threads: usize) -> Result<Python, String> {
        let python = std::env::var("POSEBOOK_PYTHON").unwrap_or_else(|_| "python3".into());
        let imports = Command::new(&python).args(["-c", "import numpy, torch, torchvision"]).output();
        let imports = imports.map_err(|error| format!("{python}: {error}"))?;
        if !imports.status.success() {
            let problem =
                String::from_utf8_lossy(&imports.stderr).lines().last().unwrap_or_default().to_string();
            return Err(format!("{python}: {problem}"));
        }
        let mut child = Command::new(&python)
            .args([SCRIPT, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{python}: {error}"))?;
        let (lines, answers) = (child.stdin.take(), child.stdout.take());
        match (lines, answers) {
            (Some(lines), Some(answers)) => Ok(Python { child, lines, answers: BufReader::new(answers) }),
            _ => Err("no pipe to the reference".into()),
        }
    }

    /// Seconds and some values of the result.
    fn run(&mut self, line: &str) -> (f64, Vec<f32>) {
        writeln!(self.lines, "{line}").and_then(|()| self.lines.flush()).expect("the reference reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the reference answers");
        serde_json::from_str(&answer).expect("the reference answers with seconds and values")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
