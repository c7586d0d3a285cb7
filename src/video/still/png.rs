//! PNG files to RGB of 8 bits, as OpenCV has them.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::check_size;

/// The pixels of a file of any depth, with or without palette, alpha and interlacing; of an animation the
/// picture that programs show which know no animations. Width, height and RGB bytes as stored, not turned.
pub fn decode(file: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let damaged = |error: ImageError| format!("the PNG cannot be decoded: {error}");
    let decoder = PngDecoder::new(Cursor::new(file)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let kind = decoder.color_type();
    let mut values = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut values).map_err(damaged)?;
    // samples of 16 bits come in the machine's order of bytes; their upper halves are kept
    let values = if matches!(kind, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16) {
        values.as_chunks::<2>().0.iter().map(|&sample| (u16::from_ne_bytes(sample) >> 8) as u8).collect()
    } else {
        values
    };
    let rgb = match kind.channel_count() {
        1 => values.into_iter().flat_map(|grey| [grey; 3]).collect(),
        2 => values.as_chunks::<2>().0.iter().flat_map(|&[grey, _]| [grey; 3]).collect(),
        3 => values,
        _ => values.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
    };
    Ok((width, height, rgb))
}
