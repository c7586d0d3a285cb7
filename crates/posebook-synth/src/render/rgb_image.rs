//! An 8-bit sRGB image: drawing target, scaling, PNG encoding.

use super::color::{SrgbEncoder, from_srgb};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use posebook_core::frame::Frame;
use rayon::prelude::*;
use thiserror::Error;

/// RGB, 8 bits per channel, rows top to bottom without padding (`height * width * 3` bytes).
#[derive(Debug, Clone, PartialEq)]
pub struct RgbImage {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// sRGB bytes.
    pub rgb: Vec<u8>,
}

/// An image could not be encoded as PNG.
#[derive(Debug, Error)]
#[error("cannot encode an image of {width}x{height} as png: {source}")]
pub struct EncodeError {
    width: usize,
    height: usize,
    source: image::ImageError,
}

impl RgbImage {
    /// An image of one color.
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> RgbImage {
        RgbImage { width, height, rgb: color.repeat(width * height) }
    }

    /// A copy of a frame.
    pub fn from_frame(frame: &Frame) -> RgbImage {
        RgbImage { width: frame.width, height: frame.height, rgb: frame.rgb().to_vec() }
    }

    /// Copies `other` into the image with its top left corner at `left`, `top`; what does not fit is cut off.
    pub fn paste(&mut self, other: &RgbImage, left: usize, top: usize) {
        let columns = other.width.min(self.width.saturating_sub(left));
        for row in 0..other.height.min(self.height.saturating_sub(top)) {
            let (from, to) = (row * other.width * 3, ((top + row) * self.width + left) * 3);
            self.rgb[to..to + columns * 3].copy_from_slice(&other.rgb[from..from + columns * 3]);
        }
    }

    /// Blends `color` into a pixel with `opacity` 0 to 1; positions outside the image are ignored.
    #[inline]
    pub fn blend(&mut self, x: i32, y: i32, color: [u8; 3], opacity: f32) {
        if x < 0 || y < 0 || x as usize >= self.width || y as usize >= self.height || opacity <= 0.0 {
            return;
        }
        let offset = (y as usize * self.width + x as usize) * 3;
        let share = (opacity.min(1.0) * 256.0) as i32;
        for (old, new) in self.rgb[offset..offset + 3].iter_mut().zip(color) {
            *old = (*old as i32 + (((new as i32 - *old as i32) * share) >> 8)) as u8;
        }
    }

    /// The image in another size. Shrinking averages linear light over each new pixel's area, so that thin lines and texture
    /// neither vanish nor flicker; enlarging is linear.
    pub fn resized(&self, width: usize, height: usize) -> RgbImage {
        let (columns, rows) = (taps(self.width, width), taps(self.height, height));
        let mut narrow = vec![[0.0f32; 3]; width * self.height];
        narrow.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
            for (pixel, column) in row.iter_mut().zip(&columns) {
                *pixel = column.sum(|i| {
                    let offset = (y * self.width + i) * 3;
                    from_srgb([self.rgb[offset], self.rgb[offset + 1], self.rgb[offset + 2]])
                });
            }
        });
        let encoder = SrgbEncoder::new();
        let mut rgb = vec![0u8; width * height * 3];
        rgb.par_chunks_mut((width * 3).max(1)).zip(&rows).for_each(|(line, row)| {
            for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&encoder.encode(row.sum(|i| narrow[i * width + x])));
            }
        });
        RgbImage { width, height, rgb }
    }

    /// The image, shrunk to fit `width` x `height` if it is larger, with the same aspect ratio.
    pub fn fit_within(&self, width: usize, height: usize) -> RgbImage {
        let scale = (width as f64 / self.width as f64).min(height as f64 / self.height as f64);
        if scale >= 1.0 {
            return self.clone();
        }
        let side = |length: usize| ((length as f64 * scale).round() as usize).max(1);
        self.resized(side(self.width), side(self.height))
    }

    /// Lossless PNG bytes.
    ///
    /// # Errors
    /// If the encoder refuses the size.
    pub fn to_png(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(&self.rgb, self.width as u32, self.height as u32, ExtendedColorType::Rgb8)
            .map_err(|source| EncodeError { width: self.width, height: self.height, source })?;
        Ok(bytes)
    }
}

/// The source pixels of one output pixel, and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    #[inline]
    fn sum(&self, pixel: impl Fn(usize) -> [f32; 3]) -> [f32; 3] {
        let mut sum = [0.0; 3];
        for (i, weight) in self.weights.iter().enumerate() {
            let color = pixel(self.first + i);
            sum = std::array::from_fn(|c| sum[c] + color[c] * weight);
        }
        sum
    }
}

/// One triangle filter per output pixel, as wide as two output pixels or two source pixels, whichever is more.
fn taps(old: usize, new: usize) -> Vec<Taps> {
    let step = old as f32 / new as f32;
    let reach = step.max(1.0);
    let tap = |i: usize| {
        let center = (i as f32 + 0.5) * step - 0.5;
        let first = (center - reach).ceil().max(0.0) as usize;
        let last = ((center + reach).floor() as usize).min(old - 1);
        let weights: Vec<f32> =
            (first..=last).map(|j| (1.0 - (j as f32 - center).abs() / reach).max(0.0)).collect();
        let sum: f32 = weights.iter().sum();
        Taps { first, weights: weights.iter().map(|w| w / sum).collect() }
    };
    (0..new).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_keeps_flat_colors_and_mean_light() {
        let flat = RgbImage::filled(37, 23, [10, 120, 250]);
        assert_eq!(flat.resized(11, 7), RgbImage::filled(11, 7, [10, 120, 250]));
        assert_eq!(flat.resized(50, 60), RgbImage::filled(50, 60, [10, 120, 250]));
        // half of the lines are white: half of the light, which is 188 in sRGB
        let mut lines = RgbImage::filled(64, 64, [0; 3]);
        for (i, pixel) in lines.rgb.chunks_mut(3).enumerate() {
            pixel.fill(if i % 2 == 0 { 255 } else { 0 });
        }
        let small = lines.resized(8, 8);
        assert!(small.rgb.iter().all(|&byte| (180..=196).contains(&byte)), "{:?}", &small.rgb[..24]);
    }

    #[test]
    fn fitting_keeps_the_aspect_ratio() {
        let wide = RgbImage::filled(640, 360, [1; 3]);
        let small = wide.fit_within(320, 320);
        assert_eq!((small.width, small.height), (320, 180));
        assert_eq!(wide.fit_within(2000, 2000), wide);
    }

    #[test]
    fn pngs_decode_to_the_same_bytes() {
        let mut image = RgbImage::filled(9, 5, [1, 2, 3]);
        image.blend(3, 2, [255, 0, 0], 1.0);
        image.blend(-1, 2, [255, 0, 0], 1.0);
        let decoded = image::load_from_memory(&image.to_png().unwrap()).unwrap().into_rgb8();
        assert_eq!(decoded.into_raw(), image.rgb);
    }
}
