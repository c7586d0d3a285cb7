//! HMR2's golden 06: crops as OpenCV 4 cut them, of pictures made by a formula.

use crate::formula::below;
use crate::golden::{Golden, Set, sets};
use posebook::frame::Frame;
use posebook::hmr2::crop::{Square, demo, normalize, padded};
use posebook::hmr2::mask::run_lengths;
use posebook::hmr2::warp::{Picture, blurred, crop_from_picture};
use posebook::person::BBox;
use serde_json::Value;

/// What the goldens crop to.
const SIZE: usize = 256;

/// The picture `name` of a set (the formula speaks of B, G, R) as a frame.
fn frame(set: &Set, name: &str, width: usize, height: usize) -> Frame {
    let hashed = set.hashed(&format!("input/{name}"));
    let phase = below(&format!("{hashed}.phase"), 3, 512);
    let noise = below(&hashed, width * height * 3, 49);
    let level = |x: usize, y: usize, c: usize| {
        let q = ((x * (3 + c) + y * (2 + 2 * c)) as u64 + phase[c]) % 512;
        let triangle = if q < 256 { q } else { 511 - q };
        (triangle * 3 / 4 + noise[(y * width + x) * 3 + c]) as u8
    };
    let rgb =
        (0..width * height).flat_map(|at| [2, 1, 0].map(|c| level(at % width, at / width, c))).collect();
    Frame::new(0, 0.0, width, height, rgb)
}

/// Mask number `index` of a set for a box: a disc, and two in a hundred pixels turned over. 0 or 1.
fn mask(set: &Set, index: usize, bbox: &BBox, width: usize, height: usize) -> Vec<u8> {
    let turned = below(&set.hashed(&format!("input/mask{index}")), width * height, 50);
    let [x, y] = [(bbox.x1 + bbox.x2) / 2.0, (bbox.y1 + bbox.y2) / 2.0].map(|at| at as i64);
    let radius = ((bbox.x2 - bbox.x1).max(bbox.y2 - bbox.y1) / 3.0) as i64;
    (0..width * height)
        .map(|at| {
            let (dx, dy) = ((at % width) as i64 - x, (at / width) as i64 - y);
            let inside = dx * dx + dy * dy <= radius * radius;
            u8::from(inside ^ (turned[at] == 0))
        })
        .collect()
}

fn boxes(golden: &Golden, key: &str) -> Vec<BBox> {
    let values = golden.f32(key);
    values.as_chunks().0.iter().map(|&[x1, y1, x2, y2]| BBox { x1, y1, x2, y2 }).collect()
}

fn crc32(bytes: &[u8]) -> u64 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().into()
}

fn swapped(rgb: &[u8]) -> Vec<u8> {
    rgb.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]).collect()
}

/// Every fourth row and column of a plane or of interleaved pixels.
fn thinned<T: Copy>(values: &[T], width: usize, channels: usize, every: usize) -> Vec<T> {
    let row = width * channels;
    let rows = values.chunks_exact(row).step_by(every);
    rows.flat_map(|row| row.chunks_exact(channels).step_by(every).flatten().copied()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn golden_06_phalps_crops_to_the_bit() {
    for set in sets("hmr2") {
        let golden = set.golden("06_crops_cv4");
        let frame = frame(&set, "image", 480, 360);
        let (mut patches, mut normalized, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        let all = boxes(&golden, "boxes");
        let around: Vec<f32> = all.iter().map(padded).flat_map(|b| [b.x1, b.y1, b.x2, b.y2]).collect();
        golden.close("boxes_padded", &around, 0.0);
        for (index, bbox) in all.iter().enumerate() {
            let told = &golden.json["phalp"][index];
            let square = Square::of_phalp(bbox);
            same_map(&square, &told["trans"]);
            let rgb = square.cut(&frame, SIZE);
            assert_eq!(crc32(&swapped(&rgb)), told["patch_bgr_u8_crc32"], "crop {index} of set {}", set.name);
            let mut planes = vec![0.0; rgb.len()];
            normalize(&rgb, &mut planes);
            planes.chunks_exact(SIZE * SIZE).for_each(|plane| normalized.extend(thinned(plane, SIZE, 1, 4)));
            patches.extend(thinned(&swapped(&rgb), SIZE, 3, 4));
            let mask = mask(&set, index, bbox, 480, 360);
            let levels: Vec<u8> = mask.iter().map(|&inside| inside * 255).collect();
            let crop = square.cut_mask(&levels, 480, 360, SIZE);
            assert_eq!(crc32(&crop), told["mask_u8_crc32"], "mask {index} of set {}", set.name);
            masks.extend(thinned(&crop, SIZE, 1, 4));
            let text = run_lengths(&mask, 480, 360);
            assert_eq!(text.len() as u64, told["rle"]["counts_len"]);
            assert_eq!(
                crc32(text.as_bytes()),
                told["rle"]["counts_crc32"],
                "runs {index} of set {}",
                set.name
            );
        }
        assert_eq!(patches, golden.u8("phalp_patch_bgr_u8_s4"));
        assert_eq!(masks, golden.u8("phalp_mask_u8_s4"));
        golden.close("phalp_norm_rgb_s4", &normalized, 0.0);
    }
}

/// The map to a crop is OpenCV's, up to the last bit, which `serde_json` does not promise to read right.
fn same_map(square: &Square, told: &Value) {
    let map = crop_from_picture(square.center, square.side, SIZE);
    let told: Vec<f64> =
        told.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().iter().map(number)).collect();
    for (ours, told) in map.as_flattened().iter().zip(told) {
        assert!((ours - told).abs() <= 2.0 * f64::EPSILON * told.abs(), "{ours}, not {told}");
    }
}

#[test]
fn golden_06_the_demos_crops() {
    for set in sets("hmr2") {
        let golden = set.golden("06_crops_cv4");
        for (name, width, height, of, key) in
            [("image", 480, 360, "boxes", "demo"), ("image_big", 1280, 960, "boxes_big", "demo_big")]
        {
            let frame = frame(&set, name, width, height);
            let mut normalized = Vec::new();
            for (index, bbox) in boxes(&golden, of).iter().enumerate() {
                let told = &golden.json[key][index];
                let square = Square::of_demo(bbox);
                assert_eq!(f64::from(square.side), number(&told["box_size"]), "{key} {index}");
                assert_eq!(f64::from(square.center[0]), number(&told["box_center"][0]), "{key} {index}");
                let mut planes = vec![0.0; 3 * SIZE * SIZE];
                demo(&frame, bbox, SIZE, &mut planes);
                if told["blurred"] == false {
                    let bytes: Vec<u8> = planes.iter().flat_map(|value| value.to_le_bytes()).collect();
                    assert_eq!(crc32(&bytes), told["f32_crc32"], "{key} {index} of set {}", set.name);
                }
                planes
                    .chunks_exact(SIZE * SIZE)
                    .for_each(|plane| normalized.extend(thinned(plane, SIZE, 1, 4)));
            }
            golden.close(&format!("{key}_norm_rgb_s4"), &normalized, 2e-6);
        }
    }
}

#[test]
fn golden_06_the_blur() {
    for set in sets("hmr2") {
        let golden = set.golden("06_crops_cv4");
        for (name, width, height, sigma, every, key) in [
            ("image_big", 1280, 960, 0.8, 16, "gaussian_big_sigma0.8_s16"),
            ("image", 480, 360, 2.3, 8, "gaussian_image_sigma2.3_s8"),
        ] {
            let frame = frame(&set, name, width, height);
            let out = blurred(Picture::<_, 3>::new(frame.rgb(), width, height), sigma);
            let bgr: Vec<f32> =
                out.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r].map(|v| v as f32)).collect();
            golden.close(key, &thinned(&bgr, width, 3, every), 2e-6);
        }
    }
}
