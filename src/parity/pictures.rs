//! The goldens' pictures, masks and boxes, made by formula.

use super::ParityError;
use super::formula::below;
use super::golden::{Golden, Set};
use crate::frame::Frame;
use crate::person::BBox;

/// The picture `name` of a set (the formula speaks of B, G, R) as a frame.
pub fn picture(set: &Set, name: &str, width: usize, height: usize) -> Frame {
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
pub fn mask(set: &Set, index: usize, bbox: &BBox, width: usize, height: usize) -> Vec<u8> {
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

/// The boxes that stand in a golden.
///
/// # Errors
/// If there are none under `key`.
pub fn boxes(golden: &Golden, key: &str) -> Result<Vec<BBox>, ParityError> {
    let rows = golden.rows::<4>(key)?;
    Ok(rows.into_iter().map(|[x1, y1, x2, y2]| BBox { x1, y1, x2, y2 }).collect())
}
