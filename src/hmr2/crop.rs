//! Crops of people as HMR2 sees them: PHALP's, and those of 4D-Humans' demo.
//!
//! Both pad a box to 192:256, take the square of its longer side, resize it, and normalise the colours
//! with ImageNet's mean and deviation. PHALP just interpolates; the demo blurs first where it shrinks.
//! Must not know where boxes come from.

use crate::frame::Frame;
use crate::person::BBox;
use crate::warp::{Affine, Part, Picture, blurred_part, crop_from_picture, warp_f64, warp_u8};

/// Width and height that a box is padded to the ratio of: what the backbone sees of a crop.
const SHAPE: [f32; 2] = [192.0, 256.0];
/// Mean and deviation of red, green and blue, in levels (PHALP's `process_image`).
const MEAN: [f64; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f64; 3] = [58.395, 57.12, 57.375];
/// How many times a crop may shrink, over two, before the demo blurs.
const BLUR_ABOVE: f32 = 1.1;

/// A square of a frame, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    pub center: [f32; 2],
    pub side: f32,
}

/// A width and a height enlarged, one of them, to 192:256 (4D-Humans' `expand_to_aspect_ratio`).
fn expanded(width: f32, height: f32) -> [f32; 2] {
    let [target_width, target_height] = SHAPE;
    if height / width < target_height / target_width {
        [width, (width * target_height / target_width).max(height)]
    } else {
        [(height * target_width / target_height).max(width), height]
    }
}

/// A box padded to 192:256 around its centre (PHALP's `expand_bbox_to_aspect_ratio`).
pub fn padded(bbox: &BBox) -> BBox {
    let [x, y] = bbox.center();
    let [width, height] = expanded(bbox.width(), bbox.height());
    BBox { x1: x - width / 2.0, y1: y - height / 2.0, x2: x + width / 2.0, y2: y + height / 2.0 }
}

impl Square {
    /// The square that PHALP crops for a box: the longer side of the padded box, around its centre.
    pub fn of_phalp(bbox: &BBox) -> Square {
        let padded = padded(bbox);
        Square { center: padded.center(), side: padded.width().max(padded.height()) }
    }

    /// The square that 4D-Humans' demo crops: the same in the reals, by way of a two hundredth.
    pub fn of_demo(bbox: &BBox) -> Square {
        let [width, height] = [bbox.width(), bbox.height()].map(|length| length / 200.0 * 200.0);
        let [width, height] = expanded(width, height);
        Square { center: bbox.center(), side: width.max(height) }
    }

    /// Whether there is a square at all: numbers, and a positive side.
    pub fn exists(&self) -> bool {
        self.center.iter().all(|at| at.is_finite()) && self.side.is_finite() && self.side > 0.0
    }

    /// The way from the frame into the crop.
    pub(super) fn map(&self, size: usize) -> Affine {
        crop_from_picture(self.center, self.side, size)
    }

    /// The square of a frame in levels: RGB, `size * size * 3`, black outside the frame.
    pub fn cut(&self, frame: &Frame, size: usize) -> Vec<u8> {
        let picture = Picture::<_, 3>::new(frame.rgb(), frame.width, frame.height);
        warp_u8(picture, &self.map(size), size)
    }

    /// The square of a mask of bytes (`height * width`, 0 or 255), with what lies between at its edge:
    /// `size * size` (PHALP's `process_mask`, which leaves it in levels).
    pub fn cut_mask(&self, mask: &[u8], width: usize, height: usize, size: usize) -> Vec<u8> {
        warp_u8(Picture::<_, 1>::new(mask, width, height), &self.map(size), size)
    }
}

/// What the network takes for each level of red, green and blue.
pub(super) fn levels() -> [[f32; 256]; 3] {
    let of = |channel: usize, level: usize| ((level as f64 - MEAN[channel]) / DEVIATION[channel]) as f32;
    std::array::from_fn(|channel| std::array::from_fn(|level| of(channel, level)))
}

/// Levels to what the network takes.
///
/// # Shapes
/// `rgb` `(size, size, 3)`, interleaved; `out` `(3, size, size)`, planes.
///
/// # Panics
/// If the two have not the same length.
pub fn normalize(rgb: &[u8], out: &mut [f32]) {
    assert_eq!(rgb.len(), out.len(), "a crop's planes do not match its pixels");
    let tables = levels();
    for (channel, plane) in out.chunks_exact_mut(rgb.len() / 3).enumerate() {
        let table = &tables[channel];
        for (value, pixel) in plane.iter_mut().zip(rgb.as_chunks::<3>().0) {
            *value = table[usize::from(pixel[channel])];
        }
    }
}

/// PHALP's crop of a box, normalised (`process_image`), into `out` `(3, size, size)`.
pub fn phalp(frame: &Frame, bbox: &BBox, size: usize, out: &mut [f32]) {
    normalize(&Square::of_phalp(bbox).cut(frame, size), out);
}

/// The demo's crop of a box, normalised (`ViTDetDataset`), into `out` `(3, size, size)`: where a crop
/// shrinks by more than 2.2 the frame is blurred before (what the crop reads of it) and nothing is rounded.
pub fn demo(frame: &Frame, bbox: &BBox, size: usize, out: &mut [f32]) {
    let square = Square::of_demo(bbox);
    let shrinks = square.side / size as f32 / 2.0;
    if shrinks <= BLUR_ABOVE {
        return normalize(&square.cut(frame, size), out);
    }
    let picture = Picture::<_, 3>::new(frame.rgb(), frame.width, frame.height);
    let map = square.map(size);
    let part = Part::read_by(&map, size, frame.width, frame.height);
    let blurred = blurred_part(picture, f64::from((shrinks - 1.0) / 2.0), &part);
    let smooth = Picture::<_, 3>::new(&blurred, part.columns.len(), part.rows.len());
    let levels = warp_f64(smooth.at(part.columns.start, part.rows.start), &map, size);
    for (channel, plane) in out.chunks_exact_mut(size * size).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(levels.as_chunks::<3>().0) {
            *value = ((f64::from(pixel[channel] as f32) - MEAN[channel]) / DEVIATION[channel]) as f32;
        }
    }
}

/// What the network takes back to levels, rounded as a picture of it is written.
///
/// # Shapes
/// `planes` `(3, size, size)`; the result `(size, size, 3)`, interleaved.
pub fn levels_of(planes: &[f32]) -> Vec<u8> {
    let pixels = planes.len() / 3;
    let level = |at: usize, channel: usize| {
        let value = f64::from(planes[channel * pixels + at]) * DEVIATION[channel] + MEAN[channel];
        value.round_ties_even().clamp(0.0, 255.0) as u8
    };
    (0..pixels).flat_map(|at| [0, 1, 2].map(|channel| level(at, channel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_grow_to_three_by_four() {
        let tall = padded(&BBox { x1: 0.0, y1: 0.0, x2: 10.0, y2: 400.0 });
        assert_eq!((tall.width(), tall.height(), tall.center()), (300.0, 400.0, [5.0, 200.0]));
        let wide = Square::of_phalp(&BBox { x1: 10.0, y1: 20.0, x2: 100.0, y2: 30.0 });
        assert_eq!(wide, Square { center: [55.0, 25.0], side: 120.0 });
    }

    #[test]
    fn a_box_without_a_square_is_known() {
        let none = BBox { x1: 5.0, y1: 5.0, x2: 5.0, y2: 5.0 };
        assert!(!Square::of_phalp(&none).exists());
        assert!(!Square::of_phalp(&BBox { x1: f32::NAN, ..none }).exists());
        assert!(Square::of_phalp(&BBox { x2: 6.0, y2: 9.0, ..none }).exists());
    }

    #[test]
    fn colours_keep_their_planes() {
        let frame = Frame::new(0, 0.0, 2, 2, [[255, 0, 0]; 4].concat());
        let mut out = vec![0.0; 3 * 4];
        phalp(&frame, &BBox { x1: 0.25, y1: 0.0, x2: 1.75, y2: 2.0 }, 2, &mut out);
        assert!((out[0] as f64 - (255.0 - MEAN[0]) / DEVIATION[0]).abs() < 1e-6);
        assert!((out[4] as f64 + MEAN[1] / DEVIATION[1]).abs() < 1e-6);
    }

    #[test]
    fn what_the_network_takes_can_be_looked_at() {
        let rgb: Vec<u8> = (0..12 * 12 * 3).map(|at| (at * 7 % 256) as u8).collect();
        let mut planes = vec![0.0; rgb.len()];
        normalize(&rgb, &mut planes);
        assert_eq!(levels_of(&planes), rgb);
    }
}
