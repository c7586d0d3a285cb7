//! NanoDet's goldens (`03_nanodet`): scores, bins, boxes and tensors between the layers, as the published network gives
//! them in its own runtime (TensorFlow.js), for a picture made by formula and a window of a photograph.

use crate::formula::{below, hash};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook::detect::nanodet::{self, NanoDet, Settings};
use posebook::frame::Frame;
use posebook::tfjs;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// Mean and deviation of blue, green and red, as in training.
const MEAN: [f32; 3] = [103.53, 116.28, 123.675];
const DEVIATION: [f32; 3] = [57.375, 57.12, 58.395];
/// Side of the goldens' inputs.
const SIDE: usize = 416;
/// Values that are kept of a tensor.
const KEPT: usize = 1024;

/// What is allowed (absolute); tensors between the layers relative to their largest value.
const SCORES: f64 = 2e-6;
const BINS: f64 = 3e-5;
const BOXES: f64 = 1e-3;
const INNER: f64 = 1e-5;

/// Names of tensors between the layers: the golden's, ours, and whether the golden has the channels last.
const TENSORS: [(&str, &str, bool); 10] = [
    ("LeakyRelu_1", "backbone.stem", false),
    ("MaxPool2d", "backbone.pool", true),
    ("LeakyRelu_14", "backbone.stage2.in_conv", false),
    ("LeakyRelu_29", "backbone.stage3.in_conv", false),
    ("LeakyRelu_44", "backbone.stage4.in_conv", false),
    ("LeakyRelu_61", "backbone.stage4.out_conv", false),
    ("resize_ResizeBilinear", "neck.up.1", true),
    ("resize_2_ResizeBilinear", "neck.down.0", true),
    ("LeakyRelu_151", "head.0.conv", false),
    ("LeakyRelu_173", "head.2.conv", false),
];

/// Holds the network of the published files against the golden of a set in `golden_folder`. The photograph's window
/// is compared only where the folder `media` has `skates.png`; a line says so where it is not.
///
/// # Panics
/// If a number is off by more than is allowed.
pub fn run(
    set_name: &str,
    golden_folder: &Path,
    nanodet_json: &Path,
    nanodet_bin: &Path,
    media: Option<&Path>,
) {
    let read =
        |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let model = tfjs::Model::from_bytes(&read(nanodet_json), &[&read(nanodet_bin)]).unwrap();
    let tensors = nanodet::convert(&model).unwrap();
    let weights: HashMap<String, Tensor> = tensors.into_iter().collect();
    let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    // the goldens' boxes are those of at least this score
    let settings = Settings { score: 0.35, ..Settings::default() };
    let detector = NanoDet::load(&weights, settings.clone()).unwrap();
    let candles = NanoDet::load_with_candle(&weights, settings).unwrap();
    let json: Value = serde_json::from_slice(&read(&golden_folder.join("03_nanodet.json"))).unwrap();
    let golden =
        candle_core::safetensors::load(golden_folder.join("03_nanodet.safetensors"), &Device::Cpu).unwrap();
    let golden = Golden { set: set_name, tensors: golden };
    let mut pictures = 0;
    for (name, told) in json.pointer("/meta/pictures").and_then(Value::as_object).unwrap() {
        let bgr = match told["window"].as_array() {
            None => formula_picture(&format!("{set_name}/input/{name}")),
            Some(window) => {
                let Some(path) = media.map(|folder| folder.join("skates.png")).filter(|path| path.is_file())
                else {
                    println!("{set_name}/03_nanodet {name}: not compared, there is no skates.png");
                    continue;
                };
                let corner = [&window[0], &window[1]].map(|at| at.as_u64().unwrap() as usize);
                window_of(&path, corner)
            }
        };
        let crc = crc32(&bgr);
        assert_eq!(u64::from(crc), told["crc32"].as_u64().unwrap(), "{name} is another picture");
        let input = input_of(&bgr);
        golden.compare(&detector, "", name, &input);
        golden.compare(&candles, " by candle's operators", name, &input);
        pictures += 1;
    }
    assert!(pictures > 0, "the golden has no picture");
    nobody(&detector);
}

/// Nobody is found in pictures that show nothing.
fn nobody(detector: &NanoDet) {
    for (width, height, color) in [(64, 48, 0), (48, 64, 128), (320, 180, 255), (1, 1, 90), (4000, 2, 30)] {
        let frame = Frame::new(0, 0.0, width, height, vec![color; width * height * 3]);
        assert_eq!(detector.detect(&[&frame]).unwrap(), [Vec::new()], "{width} x {height} of color {color}");
    }
}

struct Golden<'a> {
    set: &'a str,
    tensors: HashMap<String, Tensor>,
}

impl Golden<'_> {
    /// `by` says whose operators compute.
    fn compare(&self, detector: &NanoDet, by: &str, picture: &str, input: &Tensor) {
        for level in detector.forward(input).unwrap() {
            let (scores, bins) = (values(&level.scores), values(&level.bins));
            let name = |what: &str| format!("{picture}.{what}_{}", level.stride);
            self.hold(&name("scores"), by, &scores, SCORES);
            self.hold(&name("bins"), by, &bins, BINS);
            let person: Vec<f64> = scores.iter().copied().step_by(80).collect();
            self.near(&format!("{}.person", name("scores")), by, &person, SCORES);
        }
        let boxes = detector.boxes(input).unwrap().remove(0);
        self.near(&format!("{picture}.boxes"), by, boxes.as_flattened(), BOXES);
        let Some(inner) = detector.inner(input).unwrap() else { return };
        for (golden, ours, channels_last) in TENSORS {
            let name = format!("{picture}.{golden}");
            // kept of the formula's picture alone
            if self.tensors.contains_key(&name) {
                let tensor = &inner[ours];
                let tensor =
                    if channels_last { tensor.permute((0, 2, 3, 1)).unwrap() } else { tensor.clone() };
                let values = values(&tensor);
                let largest = values.iter().fold(1f64, |largest, value| largest.max(value.abs()));
                self.hold(&name, by, &values, INNER * largest);
            }
        }
    }

    /// Compares the values that were kept of a tensor.
    fn hold(&self, name: &str, by: &str, values: &[f64], allowed: f64) {
        let hashed = format!("{}/03_nanodet/{name}.index", self.set);
        let at = |k| (hash(&hashed, k as u64) % values.len() as u64) as usize;
        let kept: Vec<f64> = (0..KEPT).map(|k| values[at(k)]).collect();
        self.near(name, by, if values.len() > KEPT { &kept } else { values }, allowed);
    }

    fn near(&self, name: &str, by: &str, found: &[f64], allowed: f64) {
        let wanted = values(&self.tensors[name]);
        assert_eq!(found.len(), wanted.len(), "{name}: another number of values");
        let errors = found.iter().zip(&wanted).map(|(found, wanted)| (found - wanted).abs());
        // not `f64::max`, which passes over what is not a number
        let error = errors.fold(0.0, |largest, error| if error <= largest { largest } else { error });
        println!("{}/03_nanodet {name}{by}: largest error {error:.2e} of {allowed:.0e} allowed", self.set);
        assert!(error <= allowed, "{}/03_nanodet {name}{by}: {error:e} exceeds {allowed:e}", self.set);
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The picture of a name, `(SIDE, SIDE, 3)`: slanted stripes and a little noise.
fn formula_picture(name: &str) -> Vec<u8> {
    let phase = below(&format!("{name}.phase"), 3, 512);
    let noise = below(name, SIDE * SIDE * 3, 49);
    let level = |(flat, noise): (usize, u64)| {
        let (x, y, c) = (flat / 3 % SIDE, flat / 3 / SIDE, flat % 3);
        let q = ((x * (3 + c) + y * (2 + 2 * c)) as u64 + phase[c]) % 512;
        let triangle = if q < 256 { q } else { 511 - q };
        (triangle * 3 / 4 + noise) as u8
    };
    noise.into_iter().enumerate().map(level).collect()
}

/// `(SIDE, SIDE, 3)` of a picture from row `top` and column `left` on: blue, green, red.
fn window_of(path: &Path, [top, left]: [usize; 2]) -> Vec<u8> {
    let picture = image::open(path).unwrap().into_rgb8();
    let pixels = (0..SIDE * SIDE).map(|at| ((left + at % SIDE) as u32, (top + at / SIDE) as u32));
    pixels.flat_map(|(x, y)| picture.get_pixel(x, y).0.into_iter().rev()).collect()
}

/// `(1, 3, SIDE, SIDE)`, normalized.
fn input_of(bgr: &[u8]) -> Tensor {
    let planes = (0..3).flat_map(|c| {
        bgr.iter().skip(c).step_by(3).map(move |value| (f32::from(*value) - MEAN[c]) / DEVIATION[c])
    });
    Tensor::from_vec(planes.collect::<Vec<f32>>(), (1, 3, SIDE, SIDE), &Device::Cpu).unwrap()
}

/// CRC-32 as in ZIP.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
