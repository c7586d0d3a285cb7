//! The goldens' images, masks and boxes, from a formula.

use super::ParityError;
use super::golden::{Golden, GoldenSet};
use posebook_core::frame::Frame;
use posebook_core::person::BBox;
use posebook_models::hmr2::formula::integers_below;

/// The image `name` of a set as a frame; the formula's channels are in BGR order.
pub fn image(set: &GoldenSet, name: &str, width: usize, height: usize) -> Frame {
    let hashed = set.hashed_name(&format!("input/{name}"));
    let phase = integers_below(&format!("{hashed}.phase"), 3, 512);
    let noise = integers_below(&hashed, width * height * 3, 49);
    let byte = |x: usize, y: usize, c: usize| {
        let q = ((x * (3 + c) + y * (2 + 2 * c)) as u64 + phase[c]) % 512;
        let triangle = if q < 256 { q } else { 511 - q };
        (triangle * 3 / 4 + noise[(y * width + x) * 3 + c]) as u8
    };
    let rgb = (0..width * height).flat_map(|at| [2, 1, 0].map(|c| byte(at % width, at / width, c))).collect();
    Frame::new(0, 0.0, width, height, rgb)
}

/// Mask `index` of a set for a box: a disc, with two percent of the pixels inverted. 0 or 1.
pub fn mask(set: &GoldenSet, index: usize, bbox: &BBox, width: usize, height: usize) -> Vec<u8> {
    let noise = integers_below(&set.hashed_name(&format!("input/mask{index}")), width * height, 50);
    let [x, y] = [(bbox.x1 + bbox.x2) / 2.0, (bbox.y1 + bbox.y2) / 2.0].map(|center| center as i64);
    let radius = ((bbox.x2 - bbox.x1).max(bbox.y2 - bbox.y1) / 3.0) as i64;
    (0..width * height)
        .map(|at| {
            let (dx, dy) = ((at % width) as i64 - x, (at / width) as i64 - y);
            let inside = dx * dx + dy * dy <= radius * radius;
            u8::from(inside ^ (noise[at] == 0))
        })
        .collect()
}

/// The boxes of a golden.
///
/// # Errors
/// If there is no tensor `key`.
pub fn boxes(golden: &Golden, key: &str) -> Result<Vec<BBox>, ParityError> {
    let rows = golden.rows::<4>(key)?;
    Ok(rows.into_iter().map(|[x1, y1, x2, y2]| BBox { x1, y1, x2, y2 }).collect())
}
