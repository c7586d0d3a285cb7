//! One frame as one picture file, JPEG or PNG, in memory.
//!
//! JPEG as OpenCV writes and reads it, bit for bit (see [`super::jpeg`]), since PHALP extracts frames with it.
//! Must not know where the files lie.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageDecoder, ImageEncoder, ImageResult};

use super::jpeg;

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Lossy; quality 1 to 100.
    Jpeg { quality: u8 },
    /// Lossless, compressed for speed.
    Png,
}

impl Format {
    pub fn extension(self) -> &'static str {
        match self {
            Format::Jpeg { .. } => "jpg",
            Format::Png => "png",
        }
    }

    /// Replaces `file` by the bytes of the picture.
    pub fn encode(self, rgb: &[u8], width: usize, height: usize, file: &mut Vec<u8>) -> Result<(), String> {
        file.clear();
        match self {
            Format::Jpeg { quality } => jpeg::encode(rgb, width, height, quality, file),
            Format::Png => PngEncoder::new_with_quality(file, CompressionType::Fast, FilterType::Sub)
                .write_image(rgb, width as u32, height as u32, ExtendedColorType::Rgb8)
                .map_err(|error| error.to_string()),
        }
    }

    /// Fills `rgb` with the picture's pixels.
    pub fn decode(self, file: &[u8], rgb: &mut [u8]) -> Result<(), String> {
        match self {
            Format::Jpeg { .. } => jpeg::decode(file, rgb),
            Format::Png => PngDecoder::new(Cursor::new(file))
                .and_then(|picture| read(picture, rgb))
                .map_err(|error| error.to_string()),
        }
        .and_then(|fits| if fits { Ok(()) } else { Err("the picture has another size".into()) })
    }
}

fn read(picture: impl ImageDecoder, rgb: &mut [u8]) -> ImageResult<bool> {
    let fits = picture.total_bytes() == rgb.len() as u64;
    if fits {
        picture.read_image(rgb)?;
    }
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_is_exact_and_jpeg_is_near() {
        let (width, height) = (37, 23);
        let smooth = |n: usize| (128.0 + 80.0 * ((n / 3) as f64 * 0.01).sin()) as u8;
        let rgb: Vec<u8> = (0..width * height * 3).map(smooth).collect();
        let (mut file, mut back) = (Vec::new(), vec![0; rgb.len()]);
        for (format, most) in [(Format::Png, 0), (Format::Jpeg { quality: 95 }, 8)] {
            format.encode(&rgb, width, height, &mut file).unwrap();
            format.decode(&file, &mut back).unwrap();
            let worst = rgb.iter().zip(&back).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= most, "{format:?}: {worst}");
            assert!(format.decode(&file, &mut back[3..]).unwrap_err().contains("another size"));
            assert!(format.decode(&file[..file.len() / 2], &mut back).is_err() || worst > 0);
        }
    }
}
