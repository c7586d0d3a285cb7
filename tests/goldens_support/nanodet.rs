//! Compares NanoDet with its goldens (`03_nanodet`): scores, bins, boxes and layer outputs of the published network in its
//! own runtime (TensorFlow.js), for a synthetic image and a crop of a photograph.

use crate::formula::{hash, integers_below};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::frame::Frame;
use posebook_models::detect::nanodet::{self, NanoDet, Settings};
use posebook_models::tfjs;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// Mean and standard deviation of blue, green and red in training.
const MEAN: [f32; 3] = [103.53, 116.28, 123.675];
const DEVIATION: [f32; 3] = [57.375, 57.12, 58.395];
/// Side of the goldens' inputs.
const SIDE: usize = 416;
/// Number of values that the goldens sample from a tensor.
const SAMPLES: usize = 1024;

// tolerances (absolute); those of layer outputs are relative to their largest value
const SCORES: f64 = 2e-6;
const BINS: f64 = 3e-5;
const BOXES: f64 = 1e-3;
const INNER: f64 = 1e-5;

/// Names of layer outputs: the golden's, ours, and whether the golden has the channels last.
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

/// Compares the network of the published files with the golden of a set in `golden_folder`. The crop of the photograph
/// needs `skates.png` in `media`; without it the comparison is skipped, with a message.
///
/// # Panics
/// If an error is larger than its tolerance.
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
    let candle = NanoDet::load_with_candle(&weights, settings).unwrap();
    let json: Value = serde_json::from_slice(&read(&golden_folder.join("03_nanodet.json"))).unwrap();
    let golden =
        candle_core::safetensors::load(golden_folder.join("03_nanodet.safetensors"), &Device::Cpu).unwrap();
    let golden = Golden { set: set_name, tensors: golden };
    let mut images = 0;
    for (name, metadata) in json.pointer("/meta/pictures").and_then(Value::as_object).unwrap() {
        let bgr = match metadata["window"].as_array() {
            None => synthetic_image(&format!("{set_name}/input/{name}")),
            Some(window) => {
                let Some(path) = media.map(|folder| folder.join("skates.png")).filter(|path| path.is_file())
                else {
                    println!("{set_name}/03_nanodet {name}: skipped: there is no skates.png");
                    continue;
                };
                let corner = [&window[0], &window[1]].map(|value| value.as_u64().unwrap() as usize);
                photograph_crop(&path, corner)
            }
        };
        let crc = crc32(&bgr);
        assert_eq!(u64::from(crc), metadata["crc32"].as_u64().unwrap(), "{name} is another image");
        let input = normalize(&bgr);
        golden.compare(&detector, "", name, &input);
        golden.compare(&candle, " with candle's operators", name, &input);
        images += 1;
    }
    assert!(images > 0, "the golden has no image");
    check_empty_images(&detector);
}

/// Checks that nothing is detected in images of one color.
fn check_empty_images(detector: &NanoDet) {
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
    /// Compares all outputs; `implementation` is for messages.
    fn compare(&self, detector: &NanoDet, implementation: &str, image: &str, input: &Tensor) {
        for level in detector.forward(input).unwrap() {
            let (scores, bins) = (values(&level.scores), values(&level.bins));
            let name = |what: &str| format!("{image}.{what}_{}", level.stride);
            self.compare_samples(&name("scores"), implementation, &scores, SCORES);
            self.compare_samples(&name("bins"), implementation, &bins, BINS);
            let person: Vec<f64> = scores.iter().copied().step_by(80).collect();
            self.compare_values(&format!("{}.person", name("scores")), implementation, &person, SCORES);
        }
        let boxes = detector.boxes(input).unwrap().remove(0);
        self.compare_values(&format!("{image}.boxes"), implementation, boxes.as_flattened(), BOXES);
        let Some(inner) = detector.activations(input).unwrap() else { return };
        for (golden, ours, channels_last) in TENSORS {
            let name = format!("{image}.{golden}");
            // the golden has them for the synthetic image only
            if self.tensors.contains_key(&name) {
                let tensor = &inner[ours];
                let tensor =
                    if channels_last { tensor.permute((0, 2, 3, 1)).unwrap() } else { tensor.clone() };
                let values = values(&tensor);
                let largest = values.iter().fold(1f64, |largest, value| largest.max(value.abs()));
                self.compare_samples(&name, implementation, &values, INNER * largest);
            }
        }
    }

    /// Compares the sampled values of a tensor.
    fn compare_samples(&self, name: &str, implementation: &str, values: &[f64], allowed: f64) {
        let hashed = format!("{}/03_nanodet/{name}.index", self.set);
        let index = |k| (hash(&hashed, k as u64) % values.len() as u64) as usize;
        let samples: Vec<f64> = (0..SAMPLES).map(|k| values[index(k)]).collect();
        self.compare_values(
            name,
            implementation,
            if values.len() > SAMPLES { &samples } else { values },
            allowed,
        );
    }

    fn compare_values(&self, name: &str, implementation: &str, found: &[f64], allowed: f64) {
        let expected = values(&self.tensors[name]);
        assert_eq!(found.len(), expected.len(), "{name}: different number of values");
        let errors = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
        // not `f64::max`, which ignores NaN
        let error = errors.fold(0.0, |largest, error| if error <= largest { largest } else { error });
        println!(
            "{}/03_nanodet {name}{implementation}: largest error {error:.2e} of {allowed:.0e} allowed",
            self.set
        );
        assert!(
            error <= allowed,
            "{}/03_nanodet {name}{implementation}: {error:e} exceeds {allowed:e}",
            self.set
        );
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The synthetic image with this name, `(SIDE, SIDE, 3)`: slanted stripes and a little noise.
fn synthetic_image(name: &str) -> Vec<u8> {
    let phase = integers_below(&format!("{name}.phase"), 3, 512);
    let noise = integers_below(name, SIDE * SIDE * 3, 49);
    let value = |(flat, noise): (usize, u64)| {
        let (x, y, c) = (flat / 3 % SIDE, flat / 3 / SIDE, flat % 3);
        let q = ((x * (3 + c) + y * (2 + 2 * c)) as u64 + phase[c]) % 512;
        let triangle = if q < 256 { q } else { 511 - q };
        (triangle * 3 / 4 + noise) as u8
    };
    noise.into_iter().enumerate().map(value).collect()
}

/// `(SIDE, SIDE, 3)` of an image file from row `top` and column `left` on: blue, green, red.
fn photograph_crop(path: &Path, [top, left]: [usize; 2]) -> Vec<u8> {
    let image = image::open(path).unwrap().into_rgb8();
    let pixels = (0..SIDE * SIDE).map(|index| ((left + index % SIDE) as u32, (top + index / SIDE) as u32));
    pixels.flat_map(|(x, y)| image.get_pixel(x, y).0.into_iter().rev()).collect()
}

/// `(1, 3, SIDE, SIDE)`, normalized.
fn normalize(bgr: &[u8]) -> Tensor {
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
