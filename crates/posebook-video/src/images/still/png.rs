//! PNG files to 8-bit RGB, as OpenCV reads them.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::limits::check_size;

/// Width, height and RGB bytes of a PNG of any depth, with or without palette, alpha and interlacing, before EXIF
/// orientation; of an animation its default image.
///
/// # Errors
/// If the file is damaged or the image too large.
pub fn decode(file: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let damaged = |error: ImageError| format!("the PNG cannot be decoded: {error}");
    let decoder = PngDecoder::new(Cursor::new(file)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let kind = decoder.color_type();
    let bytes = usize::try_from(decoder.total_bytes()).map_err(|error| error.to_string())?;
    let mut values = vec![0; bytes];
    decoder.read_image(&mut values).map_err(damaged)?;
    // 16-bit samples are in native byte order; the upper 8 bits are used
    let values = if matches!(kind, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16) {
        values.as_chunks::<2>().0.iter().map(|&sample| (u16::from_ne_bytes(sample) >> 8) as u8).collect()
    } else {
        values
    };
    let rgb = match kind.channel_count() {
        1 => values.into_iter().flat_map(|gray| [gray; 3]).collect(),
        2 => values.as_chunks::<2>().0.iter().flat_map(|&[gray, _]| [gray; 3]).collect(),
        3 => values,
        _ => values.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
    };
    Ok((width, height, rgb))
}
