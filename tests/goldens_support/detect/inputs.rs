//! The inputs of the detectors' goldens: the functions of `make_inputs.py`.
//!
//! Maps are `(1, h, w, c)`, as our layers have them; pictures are blue, green, red, as the original's are.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::frame::Frame;
use posebook_models::detect::mask_rcnn::{Architecture, Config, formula};
use posebook_models::hmr2::formula::{fill, fill_f64, hash, integers_below};

/// Height and width of the image that the heads' inputs are of, inside a padding of 256 x 256.
pub const HEAD_SIZE: (usize, usize) = (175, 256);
/// Channels of the pyramids.
pub const CHANNELS: usize = 32;

/// The weights of a small network, keyed as in the state dict.
pub fn weights(set: &str, architecture: Architecture) -> VarBuilder<'static> {
    let config = Config::small(architecture);
    let tensors = formula::weights(set, &config, DType::F32, &Device::Cpu).unwrap();
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

/// A picture: 8 bits per channel, channels blue, green, red.
#[derive(Clone)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width * 3` bytes.
    pub bgr: Vec<u8>,
}

impl Picture {
    /// The picture as a decoded frame, whose channels are red, green, blue.
    pub fn frame(&self, index: usize) -> Frame {
        let rgb = self.bgr.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Frame::new(index, index as f64, self.width, self.height, rgb)
    }
}

/// The pictures that each network is run on from end to end.
pub fn end_to_end(architecture: Architecture) -> [&'static str; 2] {
    match architecture {
        Architecture::Vitdet => ["photo_v", "tall_v"],
        Architecture::Regnety => ["photo_r", "tall_r"],
        Architecture::X101 => ["photo", "tall"],
    }
}

/// Which variant of a picture a set uses: one on which no decision of the original hangs on rounding.
fn variant(set: &str, name: &str) -> &'static str {
    match (set, name) {
        (_, "photo_v") => ".2",
        ("b", "tall_v") => ".9",
        (_, "tall_v") => ".3",
        (_, "photo_r") => ".9",
        ("b", "tall_r") => ".8",
        (_, "tall_r") => ".1",
        _ => "",
    }
}

/// A picture of its own size.
pub fn image(set: &str, name: &str) -> Picture {
    let (height, width) = match name {
        "photo" | "photo_v" | "photo_r" => (240, 352),
        "tall" | "tall_v" | "tall_r" => (331, 150),
        "tiny" => (97, 131),
        "wide" => (90, 333),
        "square" => (128, 128),
        "n0" | "n1" => (416, 416),
        _ => panic!("there is no picture {name}"),
    };
    image_of_size(set, name, height, width)
}

/// A picture of cells of 32 x 32 pixels, a triangle wave and noise.
pub fn image_of_size(set: &str, name: &str, height: usize, width: usize) -> Picture {
    let name = format!("{set}/input/{name}{}", variant(set, name));
    let phases = integers_below(&format!("{name}.phase"), 3, 512);
    let columns = width.div_ceil(32);
    let cells = integers_below(&format!("{name}.cell"), height.div_ceil(32) * columns * 3, 200);
    let noise = integers_below(&name, height * width * 3, 24);
    let value = |index: usize| {
        let (x, y, channel) = (index / 3 % width, index / 3 / width, index % 3);
        let position = (x * (3 + channel) + y * (2 + 2 * channel)) as u64 + phases[channel];
        let wave = position % 512;
        let triangle = if wave < 256 { wave } else { 511 - wave };
        (cells[(y / 32 * columns + x / 32) * 3 + channel] + triangle / 8 + noise[index]) as u8
    };
    Picture { height, width, bgr: (0..height * width * 3).map(value).collect() }
}

/// A map `(1, height, width, channels)`: coarse cells of `cell` pixels, and noise.
pub fn feature(set: &str, tag: &str, channels: usize, height: usize, width: usize, cell: usize) -> Tensor {
    let values = feature_values(set, tag, channels, height, width, cell);
    let map = Tensor::from_vec(values, (1, channels, height, width), &Device::Cpu).unwrap();
    map.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

/// Values of a map in the original's order: channels, rows, columns.
fn feature_values(
    set: &str,
    tag: &str,
    channels: usize,
    height: usize,
    width: usize,
    cell: usize,
) -> Vec<f32> {
    let name = format!("{set}/input/{tag}");
    let (rows, columns) = (height.div_ceil(cell), width.div_ceil(cell));
    let cells = fill_f64(&format!("{name}.cell"), channels * rows * columns, &[0.0], 1.0);
    let noise = fill_f64(&name, channels * height * width, &[0.0], 1.0);
    let value = |(index, noise): (usize, &f64)| {
        let (x, y, channel) = (index % width, index / width % height, index / width / height);
        (1.5 * cells[(channel * rows + y / cell) * columns + x / cell] + 0.25 * noise) as f32
    };
    noise.iter().enumerate().map(value).collect()
}

/// The maps p2 to p6 of an image of 256 x 256 pixels: `tag` is `rpn` or `heads`.
pub fn pyramid(set: &str, tag: &str) -> Vec<Tensor> {
    let level =
        |level: usize| feature(set, &format!("{tag}.p{level}"), CHANNELS, 256 >> level, 256 >> level, 4);
    (2..=6).map(level).collect()
}

/// The maps p2 to p5 that regions are cut of in golden 04: 8 channels, an image of 640 x 1024 pixels.
pub fn region_pyramid(set: &str) -> Vec<Tensor> {
    (2..=5).map(|level| feature(set, &format!("roi.p{level}"), 8, 640 >> level, 1024 >> level, 4)).collect()
}

/// Boxes inside an image of `(height, width)`: the logarithm of their sides is uniform from `shortest` to the image's side.
pub fn boxes(
    set: &str,
    tag: &str,
    count: usize,
    (height, width): (usize, usize),
    shortest: f64,
) -> Vec<[f32; 4]> {
    let units = fill_f64(&format!("{set}/input/{tag}"), count * 4, &[0.0], 1.0);
    let (image_width, image_height) = (width as f64, height as f64);
    let of_row = |row: &[f64]| {
        let unit = |column: usize| (row[column] + 1.0) / 2.0;
        let width = shortest * (image_width / shortest).powf(unit(2));
        let height = shortest * (image_height / shortest).powf(unit(3));
        let (left, top) = (unit(0) * (image_width - width), unit(1) * (image_height - height));
        [left as f32, top as f32, (left + width) as f32, (top + height) as f32]
    };
    units.chunks_exact(4).map(of_row).collect()
}

/// Values of `make_inputs.py`'s `I`: `offset + scale * t` of a name.
pub fn values(set: &str, name: &str, count: usize, offset: f64, scale: f64) -> Vec<f32> {
    fill(&format!("{set}/input/{name}"), count, &[offset], scale)
}

/// [`values`] as a tensor.
pub fn tensor(set: &str, name: &str, shape: &[usize], scale: f64) -> Tensor {
    Tensor::from_vec(values(set, name, shape.iter().product(), 0.0, scale), shape, &Device::Cpu).unwrap()
}

/// The input of the small ViT, `(1, 256, 256, 3)`.
pub fn vit_pixels(set: &str) -> Tensor {
    feature(set, "vitdet.x", 3, 256, 256, 16)
}

/// The input of the small convolutional backbones, `(1, 160, 256, 3)`: the upper part of the ViT's.
pub fn fpn_pixels(set: &str) -> Tensor {
    vit_pixels(set).narrow(1, 0, 160).unwrap().contiguous().unwrap()
}

/// Boxes and the deltas that are decoded from them.
pub fn deltas(set: &str) -> (Vec<[f32; 4]>, Vec<[f32; 4]>) {
    let values = values(set, "deltas.d", 24 * 4, 0.0, 2.0);
    let mut deltas: Vec<[f32; 4]> =
        values.chunks_exact(4).map(|row| [row[0], row[1], row[2], row[3]]).collect();
    deltas[..5].copy_from_slice(&[
        [0.0; 4],
        [0.0, 0.0, 4.135_166_5, 4.135_166_5],
        [0.0, 0.0, 10.0, 50.0],
        [0.0, 0.0, -60.0, -200.0],
        [100.0, -100.0, 1.0, 1.0],
    ]);
    (boxes(set, "deltas.boxes", 24, (300, 400), 8.0), deltas)
}

/// Boxes, scores and classes for non-maximum suppression, with ties and with overlaps exactly at the thresholds.
pub fn suppression(set: &str) -> (Vec<[f32; 4]>, Vec<f32>, Vec<usize>) {
    let mut corners = boxes(set, "nms.boxes", 80, (60, 80), 8.0);
    corners[..8].copy_from_slice(&[
        [0.0, 0.0, 2.0, 1.0],
        [0.0, 0.0, 1.0, 1.0],
        [10.0, 10.0, 30.0, 30.0],
        [10.0, 10.0, 30.0, 30.0],
        [40.0, 40.0, 44.0, 44.0],
        [40.0, 40.0, 44.0, 42.0],
        [50.0, 0.0, 60.0, 10.0],
        [50.0, 0.0, 60.0, 7.0],
    ]);
    let mut scores = values(set, "nms.scores", 80, 0.5, 0.5);
    scores[..8].copy_from_slice(&[0.9, 0.8, 0.95, 0.95, 0.7, 0.7, 0.85, 0.86]);
    let mut classes = vec![0; 8];
    classes.extend(indices_below(set, "nms.classes", 72, 3));
    (corners, scores, classes)
}

/// Integers below `bound`.
pub fn indices_below(set: &str, name: &str, count: usize, bound: u64) -> Vec<usize> {
    (0..count as u64).map(|index| (hash(&format!("{set}/input/{name}"), index) % bound) as usize).collect()
}

/// The proposals that the heads refine.
pub fn head_proposals(set: &str) -> Vec<[f32; 4]> {
    boxes(set, "heads.proposals", 40, HEAD_SIZE, 8.0)
}

/// The regions of golden 04, of an image of 640 x 1024 pixels.
pub fn region_boxes(set: &str) -> Vec<[f32; 4]> {
    let mut corners = vec![
        [100.0, 100.0, 212.0, 212.0],
        [100.0, 100.0, 211.999, 212.0],
        [0.0, 0.0, 224.0, 224.0],
        [10.0, 10.0, 233.99, 234.0],
        [0.0, 0.0, 448.0, 448.0],
        [0.0, 0.0, 447.9, 448.0],
        [0.0, 0.0, 1024.0, 640.0],
        [-20.0, -30.0, 50.0, 40.0],
        [1000.0, 600.0, 1060.0, 700.0],
        [300.0, 300.0, 300.0, 300.0],
        [300.0, 300.0, 300.5, 301.0],
        [5.5, 5.5, 6.0, 200.0],
        [1023.0, 639.0, 1024.0, 640.0],
        [2000.0, 2000.0, 2100.0, 2100.0],
    ];
    corners.extend(boxes(set, "roi.boxes", 40, (640, 1024), 8.0));
    corners
}

/// Boxes and classes whose masks are computed.
pub fn mask_boxes(set: &str) -> (Vec<[f32; 4]>, Vec<usize>) {
    (boxes(set, "mask.boxes", 8, HEAD_SIZE, 20.0), indices_below(set, "mask.classes", 8, 6))
}

/// Masks of 28 x 28 probabilities, and the boxes that they are pasted into in a frame of 120 x 160 pixels.
pub fn pasted(set: &str) -> (Vec<Vec<f32>>, Vec<[f32; 4]>) {
    let map = feature_values(set, "paste.masks", 12, 28, 28, 7);
    let probability = |value: &f32| (0.5 + 0.28 * f64::from(*value)).clamp(0.0, 1.0) as f32;
    let masks = map.chunks_exact(28 * 28).map(|mask| mask.iter().map(probability).collect()).collect();
    let mut corners = boxes(set, "paste.boxes", 12, (120, 160), 12.0);
    corners[..7].copy_from_slice(&[
        [0.0, 0.0, 160.0, 120.0],
        [-10.5, -7.25, 50.5, 60.75],
        [120.25, 80.5, 180.0, 140.0],
        [30.0, 30.0, 58.0, 58.0],
        [30.5, 30.5, 58.5, 58.5],
        [70.0, 20.0, 70.6, 90.0],
        [100.3, 99.7, 101.1, 100.4],
    ]);
    (masks, corners)
}

/// The boxes that are given for a picture: left, top, width, height, pixels.
pub fn given(set: &str, name: &str) -> Vec<[f64; 4]> {
    let around: &[[f64; 4]] = match name {
        "photo" => &[
            [40.0, 30.0, 90.0, 170.0],
            [150.5, 20.25, 60.0, 110.75],
            [200.0, 60.0, 140.0, 170.0],
            [300.0, 180.0, 80.0, 90.0],
            [10.0, 10.0, 20.0, 30.0],
            [-20.0, 100.0, 70.0, 90.0],
        ],
        "tall" => &[[10.0, 20.0, 80.0, 200.0], [60.0, 150.0, 80.0, 175.5], [20.0, 280.0, 120.0, 60.0]],
        _ => panic!("no boxes are given for {name}"),
    };
    let moved = fill_f64(&format!("{set}/input/given.{name}"), around.len() * 4, &[0.0], 3.0);
    let add =
        |(around, moved): (&[f64; 4], &[f64])| [0, 1, 2, 3].map(|column| around[column] + moved[column]);
    around.iter().zip(moved.chunks_exact(4)).map(add).collect()
}
