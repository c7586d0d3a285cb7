//! Crops of people as HMR2's input: PHALP's, and those of 4D-Humans' demo.
//!
//! In: a frame and a box in its pixels; out: a square crop of bytes, or normalized planes. Both methods pad the box
//! to 192:256, take the square of its longer side, resize it, and normalize the colors with ImageNet's mean and
//! deviation. PHALP only interpolates; the demo blurs first when it shrinks. Does not depend on where boxes come
//! from.

use super::mask::{MaskError, region_of_counts};
use crate::warp::{Affine, ImageRegion, ImageView, affine_to_crop, gaussian_blur_region, warp_f64, warp_u8};
use posebook_core::frame::Frame;
use posebook_core::person::{BBox, FrameMask};

/// Width and height of the aspect ratio that boxes are padded to: the part of a crop that the backbone uses.
const ASPECT: [f32; 2] = [192.0, 256.0];
/// Mean of red, green and blue, in 8-bit values (PHALP's `process_image`).
const MEAN: [f64; 3] = [123.675, 116.28, 103.53];
/// Their standard deviation.
const DEVIATION: [f64; 3] = [58.395, 57.12, 57.375];
/// Half the shrink factor above which the demo blurs.
const BLUR_ABOVE: f32 = 1.1;

/// A square region of a frame, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// Its center (x, y), pixels.
    pub center: [f32; 2],
    /// Its side, pixels.
    pub side: f32,
}

/// Enlarges width or height so that their ratio is `aspect` (4D-Humans' `expand_to_aspect_ratio`).
fn expand_to_aspect(width: f32, height: f32, aspect: [f32; 2]) -> [f32; 2] {
    let [target_width, target_height] = aspect;
    if height / width < target_height / target_width {
        [width, (width * target_height / target_width).max(height)]
    } else {
        [(height * target_width / target_height).max(width), height]
    }
}

/// A box padded to 192:256 around its center, as 4D-Humans does (`expand_bbox_to_aspect_ratio`).
pub fn pad_to_aspect(bbox: &BBox) -> BBox {
    pad_to(bbox, ASPECT)
}

/// A box padded to the ratio `aspect` of width and height around its center.
pub fn pad_to(bbox: &BBox, aspect: [f32; 2]) -> BBox {
    let [x, y] = bbox.center();
    let [width, height] = expand_to_aspect(bbox.width(), bbox.height(), aspect);
    BBox { x1: x - width / 2.0, y1: y - height / 2.0, x2: x + width / 2.0, y2: y + height / 2.0 }
}

impl Square {
    /// The square that 4D-Humans' tracker crops for a box: the longer side of the box padded to 192:256, around its center.
    pub fn phalp(bbox: &BBox) -> Square {
        Square::around(bbox, Some(ASPECT))
    }

    /// The square of the longer side of a box padded to the ratio `aspect` (`expand_bbox_shape`); `None` does not pad.
    pub fn around(bbox: &BBox, aspect: Option<[f32; 2]>) -> Square {
        let padded = aspect.map_or(*bbox, |aspect| pad_to(bbox, aspect));
        Square { center: padded.center(), side: padded.width().max(padded.height()) }
    }

    /// The square that 4D-Humans' demo crops: as PHALP's, with the rounding of its division by 200.
    pub fn demo(bbox: &BBox) -> Square {
        let [width, height] = [bbox.width(), bbox.height()].map(|length| length / 200.0 * 200.0);
        let [width, height] = expand_to_aspect(width, height, ASPECT);
        Square { center: bbox.center(), side: width.max(height) }
    }

    /// Whether the values are finite and the side is positive.
    pub fn is_valid(&self) -> bool {
        self.center.iter().all(|value| value.is_finite()) && self.side.is_finite() && self.side > 0.0
    }

    /// The map from pixels of the frame to pixels of a crop of `size` pixels.
    pub(super) fn affine(&self, size: usize) -> Affine {
        affine_to_crop(self.center, self.side, size)
    }

    /// Crops a frame: RGB bytes, `size * size * 3`, black outside the frame.
    pub fn crop(&self, frame: &Frame, size: usize) -> Vec<u8> {
        self.crop_rgb(frame.rgb(), frame.width, frame.height, size)
    }

    /// As [`Square::crop`], from the frame's RGB bytes (`height * width * 3`).
    pub fn crop_rgb(&self, rgb: &[u8], width: usize, height: usize, size: usize) -> Vec<u8> {
        warp_u8(ImageView::<_, 3>::new(rgb, width, height), &self.affine(size), size)
    }

    /// The position in the frame of a position in a crop of `size` pixels; centers of pixels are at integers in both.
    pub fn frame_position(&self, [x, y]: [f64; 2], size: usize) -> [f64; 2] {
        let (scale, half) = (f64::from(self.side) / size as f64, size as f64 / 2.0);
        let [center_x, center_y] = self.center.map(f64::from);
        [center_x + (x - half) * scale, center_y + (y - half) * scale]
    }

    /// Crops a mask of bytes (`height * width`, 0 or 255), interpolated at its edge: `size * size` (PHALP's
    /// `process_mask`, which does not divide by 255).
    pub fn crop_mask(&self, mask: &[u8], width: usize, height: usize, size: usize) -> Vec<u8> {
        warp_u8(ImageView::<_, 1>::new(mask, width, height), &self.affine(size), size)
    }

    /// As [`Square::crop_mask`], from run lengths. Only the part of the mask that the crop shows is decoded.
    ///
    /// # Errors
    /// If the mask's counts are invalid.
    pub fn crop_frame_mask(&self, mask: &FrameMask, size: usize) -> Result<Vec<u8>, MaskError> {
        let FrameMask { width, height, counts } = mask;
        let map = self.affine(size);
        let part = ImageRegion::source_of_crop(&map, size, *width, *height);
        let bytes = region_of_counts(counts, *width, *height, &part)?;
        let view = ImageView::<_, 1>::new(&bytes, part.columns.len(), part.rows.len());
        Ok(warp_u8(view.with_origin(part.columns.start, part.rows.start), &map, size))
    }
}

/// The normalized value of each 8-bit value of red, green and blue.
pub fn normalization_table() -> [[f32; 256]; 3] {
    let normalized =
        |channel: usize, byte: usize| ((byte as f64 - MEAN[channel]) / DEVIATION[channel]) as f32;
    std::array::from_fn(|channel| std::array::from_fn(|byte| normalized(channel, byte)))
}

/// Normalizes an RGB crop for the network.
///
/// # Shapes
/// `rgb` `(size, size, 3)`, interleaved; `out` `(3, size, size)`, planes.
///
/// # Panics
/// If the lengths differ.
pub fn normalize(rgb: &[u8], out: &mut [f32]) {
    assert_eq!(rgb.len(), out.len(), "a crop's planes do not match its pixels");
    let tables = normalization_table();
    for (channel, plane) in out.chunks_exact_mut(rgb.len() / 3).enumerate() {
        let table = &tables[channel];
        for (value, pixel) in plane.iter_mut().zip(rgb.as_chunks::<3>().0) {
            *value = table[usize::from(pixel[channel])];
        }
    }
}

/// The demo's crop of a box, normalized (`ViTDetDataset`), into `out` `(3, size, size)`. If it shrinks by more than
/// 2.2, the part of the frame that it reads is blurred first, and nothing is rounded to 8 bits.
pub fn demo_crop(frame: &Frame, bbox: &BBox, size: usize, out: &mut [f32]) {
    let square = Square::demo(bbox);
    let half_shrink = square.side / size as f32 / 2.0;
    if half_shrink <= BLUR_ABOVE {
        return normalize(&square.crop(frame, size), out);
    }
    let image = ImageView::<_, 3>::new(frame.rgb(), frame.width, frame.height);
    let map = square.affine(size);
    let part = ImageRegion::source_of_crop(&map, size, frame.width, frame.height);
    let blurred = gaussian_blur_region(image, f64::from((half_shrink - 1.0) / 2.0), &part);
    let smooth = ImageView::<_, 3>::new(&blurred, part.columns.len(), part.rows.len());
    let values = warp_f64(smooth.with_origin(part.columns.start, part.rows.start), &map, size);
    for (channel, plane) in out.chunks_exact_mut(size * size).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(values.as_chunks::<3>().0) {
            *value = ((f64::from(pixel[channel] as f32) - MEAN[channel]) / DEVIATION[channel]) as f32;
        }
    }
}

/// Converts normalized planes back to RGB bytes, rounded: the inverse of [`normalize`].
///
/// # Shapes
/// `planes` `(3, size, size)`; the result `(size, size, 3)`, interleaved.
pub fn denormalize(planes: &[f32]) -> Vec<u8> {
    let pixels = planes.len() / 3;
    let byte = |pixel: usize, channel: usize| {
        let value = f64::from(planes[channel * pixels + pixel]) * DEVIATION[channel] + MEAN[channel];
        value.round_ties_even().clamp(0.0, 255.0) as u8
    };
    (0..pixels).flat_map(|pixel| [0, 1, 2].map(|channel| byte(pixel, channel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_padded_to_three_by_four() {
        let tall = pad_to_aspect(&BBox { x1: 0.0, y1: 0.0, x2: 10.0, y2: 400.0 });
        assert_eq!((tall.width(), tall.height(), tall.center()), (300.0, 400.0, [5.0, 200.0]));
        let wide = Square::phalp(&BBox { x1: 10.0, y1: 20.0, x2: 100.0, y2: 30.0 });
        assert_eq!(wide, Square { center: [55.0, 25.0], side: 120.0 });
        let unpadded = Square::around(&BBox { x1: 10.0, y1: 20.0, x2: 100.0, y2: 30.0 }, None);
        assert_eq!(unpadded, Square { center: [55.0, 25.0], side: 90.0 });
    }

    #[test]
    fn boxes_without_area_or_with_nan_are_invalid() {
        let none = BBox { x1: 5.0, y1: 5.0, x2: 5.0, y2: 5.0 };
        assert!(!Square::phalp(&none).is_valid());
        assert!(!Square::phalp(&BBox { x1: f32::NAN, ..none }).is_valid());
        assert!(Square::phalp(&BBox { x2: 6.0, y2: 9.0, ..none }).is_valid());
    }

    #[test]
    fn colors_keep_their_planes() {
        let frame = Frame::new(0, 0.0, 2, 2, [[255, 0, 0]; 4].concat());
        let mut out = vec![0.0; 3 * 4];
        let bbox = BBox { x1: 0.25, y1: 0.0, x2: 1.75, y2: 2.0 };
        normalize(&Square::phalp(&bbox).crop(&frame, 2), &mut out);
        assert!((out[0] as f64 - (255.0 - MEAN[0]) / DEVIATION[0]).abs() < 1e-6);
        assert!((out[4] as f64 + MEAN[1] / DEVIATION[1]).abs() < 1e-6);
    }

    #[test]
    fn masks_from_run_lengths_are_cropped_as_bytes() {
        let (width, height) = (97usize, 61usize);
        let mask: Vec<u8> = (0..width * height)
            .map(|i| if (i % width).abs_diff(40) + (i / width).abs_diff(30) < 25 { 255 } else { 0 })
            .collect();
        let counts = super::super::mask::rle_counts(&mask, width, height);
        let runs = FrameMask { width, height, counts };
        for bbox in [
            [10.0, 5.0, 60.0, 55.0],
            [-20.0, -30.0, 45.5, 70.25],
            [80.3, 40.7, 120.0, 90.0],
            [38.0, 20.0, 42.0, 28.5],
            [500.0, 500.0, 600.0, 900.0],
            [-900.0, -500.0, -600.0, -100.0],
        ] {
            let [x1, y1, x2, y2] = bbox;
            let square = Square::phalp(&BBox { x1, y1, x2, y2 });
            for size in [64, 256] {
                let expected = square.crop_mask(&mask, width, height, size);
                assert!(square.crop_frame_mask(&runs, size).unwrap() == expected, "{bbox:?} {size}");
            }
        }
        let wrong = FrameMask { counts: "1".into(), ..runs };
        let square = Square { center: [40.0, 30.0], side: 50.0 };
        assert!(matches!(square.crop_frame_mask(&wrong, 64), Err(MaskError::Size { width: 97, height: 61 })));
    }

    #[test]
    fn denormalize_inverts_normalize() {
        let rgb: Vec<u8> = (0..12 * 12 * 3).map(|index| (index * 7 % 256) as u8).collect();
        let mut planes = vec![0.0; rgb.len()];
        normalize(&rgb, &mut planes);
        assert_eq!(denormalize(&planes), rgb);
    }
}
