//! Golden 01: sizes, scaled pictures and the networks' inputs.

use super::golden::Golden;
use super::inputs;
use candle_core::{Device, Tensor};
use posebook_core::frame::FrameSize;
use posebook_models::detect::mask_rcnn::preprocess::{Geometry, prepare, resize};
use posebook_models::detect::mask_rcnn::{Architecture, Config};
use std::path::Path;

/// The pictures and their new heights and widths.
const RESIZES: [(&str, usize, usize); 11] = [
    ("photo", 175, 256),
    ("photo", 160, 235),
    ("photo", 480, 704),
    ("tall", 256, 116),
    ("tall", 266, 121),
    ("tiny", 237, 320),
    ("wide", 69, 256),
    ("square", 128, 64),
    ("square", 300, 77),
    ("photo", 240, 352),
    ("photo", 30, 44),
];

/// Compares with the set `set`.
pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "01_preprocess");
    sizes(&golden);
    for (name, height, width) in RESIZES {
        scaled_picture(set, &golden, name, height, width);
    }
    for architecture in Architecture::ALL {
        for name in inputs::end_to_end(architecture) {
            network_input(set, &golden, architecture, name);
        }
    }
}

/// Each row: height, width, shortest, longest, new height, new width.
fn sizes(golden: &Golden) {
    let rows = golden.indices("rule");
    assert_eq!(rows.len(), 84 * 6);
    for row in rows.chunks_exact(6) {
        let mut input = Config::published(Architecture::Regnety).input;
        (input.shortest, input.longest) = (row[2], row[3]);
        let network = Geometry::new(&input, FrameSize::new(row[1], row[0])).network;
        assert_eq!((network.height, network.width), (row[4], row[5]), "{row:?}");
    }
}

/// The same bytes as Pillow's, all of them by their checksum.
fn scaled_picture(set: &str, golden: &Golden, name: &str, height: usize, width: usize) {
    let picture = inputs::image(set, name);
    let from = FrameSize::new(picture.width, picture.height);
    let scaled = resize(&picture.bgr, from, FrameSize::new(width, height));
    let name = format!("{name}_{height}x{width}");
    let sum: u64 = scaled.iter().map(|&value| u64::from(value)).sum();
    let whole = golden.meta(&name);
    let tensor = Tensor::from_vec(scaled.clone(), (height, width, 3), &Device::Cpu).unwrap();
    golden.compare(&name, &tensor, 0.0);
    assert_eq!(Some(sum), whole["sum"].as_u64(), "{name}");
    assert_eq!(Some(u64::from(crc32(&scaled))), whole["crc32"].as_u64(), "{name}");
}

fn network_input(set: &str, golden: &Golden, architecture: Architecture, name: &str) {
    let input = Config::small(architecture).input;
    let frame = inputs::image(set, name).frame(0);
    let geometry = Geometry::new(&input, frame.size());
    let values = prepare(&input, &geometry, frame.rgb());
    let name = format!("{}_{name}", architecture.name());
    let expected = golden.meta(&name);
    let sides = |key: &str| -> Vec<u64> {
        expected[key].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).collect()
    };
    assert_eq!(
        sides("image_size"),
        [geometry.network.height as u64, geometry.network.width as u64],
        "{name}"
    );
    assert_eq!(sides("padded")[2..], [geometry.padded.height as u64, geometry.padded.width as u64], "{name}");
    let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
    assert!((sum - expected["sum"].as_f64().unwrap()).abs() < 0.05, "{name}: sum {sum}");
    let shape = (1, geometry.padded.height, geometry.padded.width, 3);
    golden.compare_map(&name, &Tensor::from_vec(values, shape, &Device::Cpu).unwrap(), 1e-6);
}

/// CRC-32 as zlib has it.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}
