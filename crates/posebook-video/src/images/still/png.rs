//! PNG files to 8-bit RGB, as OpenCV reads them.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::limits::check_size;

/// Most bytes of all chunks but the pixels: texts, and the color profile, which is compressed and not used. Larger profiles
/// are left out by the decoder, larger texts are an error.
const MAX_CHUNK_BYTES: u64 = 64 << 20;

/// Width, height and RGB bytes of a PNG of any depth, with or without palette, alpha and interlacing, before EXIF
/// orientation; of an animation its default image.
///
/// # Errors
/// If the file is damaged or the image too large.
pub fn decode(file: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let damaged = |error: ImageError| format!("the PNG cannot be decoded: {error}");
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_CHUNK_BYTES);
    let decoder = PngDecoder::with_limits(Cursor::new(file), limits).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let kind = decoder.color_type();
    let bytes = usize::try_from(decoder.total_bytes()).map_err(|error| error.to_string())?;
    // zeroed pages take no memory before they are written, so that a truncated file costs little
    let mut values = vec![0; bytes];
    decoder.read_image(&mut values).map_err(damaged)?;
    if matches!(kind, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16) {
        // samples are in native byte order; the upper 8 bits are used
        shorten(&mut values, |sample: [u8; 2]| [(u16::from_ne_bytes(sample) >> 8) as u8]);
    }
    let rgb = match kind.channel_count() {
        1 => values.into_iter().flat_map(|gray| [gray; 3]).collect(),
        2 => values.as_chunks::<2>().0.iter().flat_map(|&[gray, _]| [gray; 3]).collect(),
        3 => values,
        _ => {
            shorten(&mut values, |[r, g, b, _]: [u8; 4]| [r, g, b]);
            values
        }
    };
    Ok((width, height, rgb))
}

/// Replaces each `N` values by the `M` that `change` gives, in place: of a large image there is only one copy.
fn shorten<const N: usize, const M: usize>(values: &mut Vec<u8>, change: impl Fn([u8; N]) -> [u8; M]) {
    let groups = values.len() / N;
    for n in 0..groups {
        let mut group = [0; N];
        group.copy_from_slice(&values[n * N..(n + 1) * N]);
        values[n * M..(n + 1) * M].copy_from_slice(&change(group));
    }
    values.truncate(groups * M);
    values.shrink_to_fit();
}
