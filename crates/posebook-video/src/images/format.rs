//! Encodes and decodes extracted frames as JPEG or PNG, in memory.
//!
//! JPEG is bit-identical to OpenCV's (see [`super::jpeg`]), since PHALP extracts frames with OpenCV.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageDecoder, ImageEncoder, ImageResult};

use super::jpeg;

/// File format of an extracted frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Lossy.
    Jpeg {
        /// 1 to 100.
        quality: u8,
    },
    /// Lossless, compressed for speed.
    Png,
}

impl ImageFormat {
    /// Extension of the file name.
    pub fn extension(self) -> &'static str {
        match self {
            ImageFormat::Jpeg { .. } => "jpg",
            ImageFormat::Png => "png",
        }
    }

    /// Replaces the content of `file` by the encoded frame.
    ///
    /// # Shapes
    /// `rgb`: `height * width * 3`.
    pub fn encode(self, rgb: &[u8], width: usize, height: usize, file: &mut Vec<u8>) -> Result<(), String> {
        file.clear();
        match self {
            ImageFormat::Jpeg { quality } => {
                jpeg::encode(rgb, width, height, quality, file).map_err(|error| error.to_string())
            }
            ImageFormat::Png => PngEncoder::new_with_quality(file, CompressionType::Fast, FilterType::Sub)
                .write_image(rgb, width as u32, height as u32, ExtendedColorType::Rgb8)
                .map_err(|error| error.to_string()),
        }
    }

    /// Decodes `file` into `rgb`, which must have the frame's size.
    pub fn decode(self, file: &[u8], rgb: &mut [u8]) -> Result<(), String> {
        match self {
            ImageFormat::Jpeg { .. } => jpeg::decode_extracted(file, rgb),
            ImageFormat::Png => PngDecoder::new(Cursor::new(file))
                .and_then(|decoder| read(decoder, rgb))
                .map_err(|error| error.to_string()),
        }
        .and_then(|fits| if fits { Ok(()) } else { Err("the image has another size".into()) })
    }
}

/// Fills `rgb` with the decoded pixels; false if their number differs.
fn read(decoder: impl ImageDecoder, rgb: &mut [u8]) -> ImageResult<bool> {
    let fits = decoder.total_bytes() == rgb.len() as u64;
    if fits {
        decoder.read_image(rgb)?;
    }
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_is_lossless_and_jpeg_is_close() {
        let (width, height) = (37, 23);
        let smooth = |n: usize| (128.0 + 80.0 * ((n / 3) as f64 * 0.01).sin()) as u8;
        let rgb: Vec<u8> = (0..width * height * 3).map(smooth).collect();
        let (mut file, mut back) = (Vec::new(), vec![0; rgb.len()]);
        for (format, most) in [(ImageFormat::Png, 0), (ImageFormat::Jpeg { quality: 95 }, 8)] {
            format.encode(&rgb, width, height, &mut file).unwrap();
            format.decode(&file, &mut back).unwrap();
            let worst = rgb.iter().zip(&back).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= most, "{format:?}: {worst}");
            assert!(format.decode(&file, &mut back[3..]).unwrap_err().contains("another size"));
            assert!(format.decode(&file[..file.len() / 2], &mut back).is_err() || worst > 0);
        }
    }
}
