//! What frames do to pictures: few pixels, things in the way, noise, compression.

use super::Drawing;
use crate::random::Stream;

/// Resizes a square RGB picture, interpolating linearly (pixel centres at halves).
pub fn resized(rgb: &[u8], side: usize, to: usize) -> Vec<u8> {
    if side == to {
        return rgb.to_vec();
    }
    let step = side as f32 / to as f32;
    let taps: Vec<(usize, usize, f32)> = (0..to)
        .map(|i| {
            let at = ((i as f32 + 0.5) * step - 0.5).clamp(0.0, side as f32 - 1.0);
            let low = at as usize;
            (low, (low + 1).min(side - 1), at - low as f32)
        })
        .collect();
    let mut out = Vec::with_capacity(to * to * 3);
    for &(top, bottom, down) in &taps {
        for &(left, right, across) in &taps {
            for channel in 0..3 {
                let at = |y: usize, x: usize| f32::from(rgb[(y * side + x) * 3 + channel]);
                let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
                let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
                out.push((upper * (1.0 - down) + lower * down + 0.5) as u8);
            }
        }
    }
    out
}

/// Puts things before the person, a shift of brightness, noise and compression over a picture.
pub fn degrade(mut rgb: Vec<u8>, side: usize, drawing: &Drawing, draws: &mut Stream) -> Vec<u8> {
    if draws.chance(drawing.hidden) {
        hide(&mut rgb, side, draws);
    }
    let gain = draws.range(0.75, 1.25) as f32;
    let tint: [f32; 3] = std::array::from_fn(|_| gain * draws.range(0.94, 1.06) as f32);
    let lift = draws.range(-12.0, 12.0) as f32;
    let noise = draws.range(0.0, 5.0) as f32;
    let mut bits = draws.bits() | 1;
    for (i, value) in rgb.iter_mut().enumerate() {
        // a fast generator is good enough for noise (xorshift)
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        let jitter = ((bits >> 40) as f32 / (1u32 << 24) as f32 - 0.5) * 2.0 * noise;
        *value = (f32::from(*value) * tint[i % 3] + lift + jitter).clamp(0.0, 255.0) as u8;
    }
    if draws.chance(drawing.compressed) {
        let quality = 25 + draws.below(60) as u8;
        rgb = compressed(&rgb, side, quality).unwrap_or(rgb);
    }
    rgb
}

/// A plain or striped rectangle over a part of the picture, seldom its middle.
fn hide(rgb: &mut [u8], side: usize, draws: &mut Stream) {
    let full = side as f64;
    let (width, height) = (draws.range(0.1, 0.45) * full, draws.range(0.1, 0.45) * full);
    let (x, y) = (draws.range(0.0, full - width * 0.5), draws.range(0.0, full - height * 0.5));
    let colors: [[u8; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| draws.below(256) as u8));
    let stripe = 2 + draws.below(14);
    for row in y as usize..((y + height) as usize).min(side) {
        for column in x as usize..((x + width) as usize).min(side) {
            let color = colors[(row + column) / stripe % 2];
            rgb[(row * side + column) * 3..][..3].copy_from_slice(&color);
        }
    }
}

/// A picture through JPEG and back; none if a codec refuses it.
fn compressed(rgb: &[u8], side: usize, quality: u8) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.encode(rgb, side as u16, side as u16, jpeg_encoder::ColorType::Rgb).ok()?;
    let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).ok()?;
    Some(picture.into_rgb8().into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn resizing_keeps_a_plain_colour_and_an_edge_in_its_place() {
        let plain = [10u8, 200, 30].repeat(16);
        assert_eq!(resized(&plain, 4, 8), [10u8, 200, 30].repeat(64));
        let halves: Vec<u8> = (0..16).flat_map(|i| [if i % 4 < 2 { 0 } else { 255 }; 3]).collect();
        let large = resized(&halves, 4, 8);
        assert!(large[2 * 3] < 20 && large[5 * 3] > 235);
    }

    #[test]
    fn degraded_pictures_have_the_same_size() {
        let all = Drawing { hidden: 1.0, compressed: 1.0, ..Drawing::default() };
        let picture = degrade(vec![120; 64 * 64 * 3], 64, &all, &mut stream(1, "degrade", &[]));
        assert_eq!(picture.len(), 64 * 64 * 3);
        assert_ne!(picture, vec![120; 64 * 64 * 3]);
    }
}
