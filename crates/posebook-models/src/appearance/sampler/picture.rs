//! The crop that textures are read from: normalized colors and a mask.

use super::{AppearanceError, CROP_SIDE};
use crate::hmr2::crop::normalization_table;

/// Pixels of a crop.
const PIXELS: usize = CROP_SIDE * CROP_SIDE;

/// A crop of 256 x 256 pixels: ImageNet-normalized red, green and blue, and the mask, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pixels: Vec<[f32; 4]>,
}

impl Picture {
    /// From the bytes of a crop, `(256, 256, 3)`, and of the person's mask in it, `(256, 256)`: any value but 0 counts as on.
    /// Without a mask every pixel of the crop is on, also those of the surroundings and outside of the frame.
    ///
    /// # Errors
    /// [`AppearanceError::CropSize`] if a length is wrong.
    pub fn from_crop(rgb: &[u8], mask: Option<&[u8]>) -> Result<Picture, AppearanceError> {
        let check = |found: usize, expected: usize| match found == expected {
            true => Ok(()),
            false => Err(AppearanceError::CropSize { expected, found }),
        };
        check(rgb.len(), 3 * PIXELS)?;
        mask.map_or(Ok(()), |mask| check(mask.len(), PIXELS))?;
        let [red, green, blue] = normalization_table();
        let mut pixels: Vec<[f32; 4]> = rgb
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&[r, g, b]| [red[usize::from(r)], green[usize::from(g)], blue[usize::from(b)], 1.0])
            .collect();
        for (pixel, &mask) in pixels.iter_mut().zip(mask.unwrap_or_default()) {
            // 0..255, cut to 0..1
            pixel[3] = f32::from(mask.min(1));
        }
        Ok(Picture { pixels })
    }

    /// From planes `(4, 256, 256)`: normalized colors, and a mask that is cut to 0..1. `None` if the length is wrong or a value
    /// is not finite.
    pub fn from_planes(planes: &[f32]) -> Option<Picture> {
        if planes.len() != 4 * PIXELS || planes.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let pixel = |index: usize| {
            let [red, green, blue, mask] = std::array::from_fn(|plane| planes[plane * PIXELS + index]);
            [red, green, blue, mask.clamp(0.0, 1.0)]
        };
        Some(Picture { pixels: (0..PIXELS).map(pixel).collect() })
    }

    /// Colors and mask at a position in pixels (the center of pixel i is at i), interpolated between four pixels; those
    /// outside are 0.
    pub fn interpolated(&self, [x, y]: [f64; 2]) -> [f32; 4] {
        let (left, top) = (x.floor(), y.floor());
        let (right_part, lower_part) = ((x - left) as f32, (y - top) as f32);
        let last = CROP_SIDE as f64 - 1.0;
        if !(-1.0..=last).contains(&left) || !(-1.0..=last).contains(&top) {
            return [0.0; 4];
        }
        let (left, top) = (left as isize, top as isize);
        let mut sum = [0.0; 4];
        for (column, row, weight) in [
            (left, top, (1.0 - right_part) * (1.0 - lower_part)),
            (left + 1, top, right_part * (1.0 - lower_part)),
            (left, top + 1, (1.0 - right_part) * lower_part),
            (left + 1, top + 1, right_part * lower_part),
        ] {
            let inside = |index: isize| usize::try_from(index).ok().filter(|&index| index < CROP_SIDE);
            if let (Some(column), Some(row)) = (inside(column), inside(row)) {
                let pixel = &self.pixels[row * CROP_SIDE + column];
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_normalized_and_read_with_zeros_around() {
        let mut rgb = vec![0; 3 * PIXELS];
        rgb[..3].copy_from_slice(&[255, 0, 0]);
        let mut mask = vec![0; PIXELS];
        mask[0] = 7;
        let picture = Picture::from_crop(&rgb, Some(&mask)).unwrap();
        let [red, _, _, on] = picture.interpolated([0.0, 0.0]);
        assert!((red - (255.0 - 123.675) / 58.395).abs() < 1e-5 && on == 1.0);
        assert_eq!(picture.interpolated([-0.75, 0.0])[3], 0.25);
        assert_eq!(picture.interpolated([-1.0, 0.0]), [0.0; 4]);
        assert_eq!(picture.interpolated([f64::NAN, 0.0]), [0.0; 4]);
        assert_eq!(picture.interpolated([1e300, 0.0]), [0.0; 4]);
        assert_eq!(Picture::from_crop(&rgb, None).unwrap().interpolated([100.0, 9.0])[3], 1.0);
        assert!(Picture::from_crop(&rgb[1..], None).is_err());
        assert!(Picture::from_crop(&rgb, Some(&mask[1..])).is_err());
    }

    #[test]
    fn planes_have_to_be_finite() {
        let mut planes = vec![0.5; 4 * PIXELS];
        planes[3 * PIXELS] = 255.0;
        assert_eq!(Picture::from_planes(&planes).unwrap().interpolated([0.0, 0.0]), [0.5, 0.5, 0.5, 1.0]);
        planes[9] = f32::NAN;
        assert!(Picture::from_planes(&planes).is_none());
        assert!(Picture::from_planes(&[]).is_none());
    }
}
