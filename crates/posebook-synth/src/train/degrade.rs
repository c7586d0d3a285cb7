//! Image degradations: low resolution, occluding rectangles, brightness, noise, JPEG compression.
//!
//! Image files elsewhere in Posebook are encoded by `posebook-video`. Training has a JPEG codec of its own, `jpeg-encoder` and
//! the decoder of `image`, because its bits are part of the examples: with another codec the same settings would give other
//! weights than the shipped ones.

use super::SynthesisSettings;
use posebook_core::random::RandomStream;

/// Resizes a square RGB image by linear interpolation (pixel centers at halves).
pub fn resize(rgb: &[u8], side: usize, to: usize) -> Vec<u8> {
    if side == to {
        return rgb.to_vec();
    }
    let step = side as f32 / to as f32;
    let taps: Vec<(usize, usize, f32)> = (0..to)
        .map(|i| {
            let source = ((i as f32 + 0.5) * step - 0.5).clamp(0.0, side as f32 - 1.0);
            let low = source as usize;
            (low, (low + 1).min(side - 1), source - low as f32)
        })
        .collect();
    let mut out = Vec::with_capacity(to * to * 3);
    for &(top, bottom, down) in &taps {
        for &(left, right, across) in &taps {
            for channel in 0..3 {
                let value = |y: usize, x: usize| f32::from(rgb[(y * side + x) * 3 + channel]);
                let upper = value(top, left) * (1.0 - across) + value(top, right) * across;
                let lower = value(bottom, left) * (1.0 - across) + value(bottom, right) * across;
                out.push((upper * (1.0 - down) + lower * down + 0.5) as u8);
            }
        }
    }
    out
}

/// Applies an occluder, a brightness and color shift, noise, and JPEG compression, each by its probability.
pub fn degrade(
    mut rgb: Vec<u8>,
    side: usize,
    drawing: &SynthesisSettings,
    draws: &mut RandomStream,
) -> Vec<u8> {
    if draws.bernoulli(drawing.hidden) {
        occlude(&mut rgb, side, draws);
    }
    let gain = draws.range(0.75, 1.25) as f32;
    let tint: [f32; 3] = std::array::from_fn(|_| gain * draws.range(0.94, 1.06) as f32);
    let lift = draws.range(-12.0, 12.0) as f32;
    let noise = draws.range(0.0, 5.0) as f32;
    let mut bits = draws.next_u64() | 1;
    for (i, value) in rgb.iter_mut().enumerate() {
        // xorshift: fast, and random enough for noise
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        let jitter = ((bits >> 40) as f32 / (1u32 << 24) as f32 - 0.5) * 2.0 * noise;
        *value = (f32::from(*value) * tint[i % 3] + lift + jitter).clamp(0.0, 255.0) as u8;
    }
    if draws.bernoulli(drawing.compressed) {
        let quality = 25 + draws.below(60) as u8;
        rgb = compress_jpeg(&rgb, side, quality).unwrap_or(rgb);
    }
    rgb
}

/// Draws a striped rectangle over a part of the image, seldom over its center.
fn occlude(rgb: &mut [u8], side: usize, draws: &mut RandomStream) {
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

/// Encodes and decodes the image as JPEG; `None` if a codec fails.
fn compress_jpeg(rgb: &[u8], side: usize, quality: u8) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.encode(rgb, side as u16, side as u16, jpeg_encoder::ColorType::Rgb).ok()?;
    let decoded = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).ok()?;
    Some(decoded.into_rgb8().into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::random::stream;

    #[test]
    fn resizing_keeps_flat_colors_and_the_position_of_an_edge() {
        let plain = [10u8, 200, 30].repeat(16);
        assert_eq!(resize(&plain, 4, 8), [10u8, 200, 30].repeat(64));
        let halves: Vec<u8> = (0..16).flat_map(|i| [if i % 4 < 2 { 0 } else { 255 }; 3]).collect();
        let large = resize(&halves, 4, 8);
        assert!(large[2 * 3] < 20 && large[5 * 3] > 235);
    }

    const SIDE: usize = 64;

    fn gray(value: u8) -> Vec<u8> {
        vec![value; SIDE * SIDE * 3]
    }

    /// A horizontal gradient with noise of 10 levels.
    fn textured() -> Vec<u8> {
        let mut draws = stream(7, "textured", &[]);
        (0..SIDE * SIDE * 3).map(|i| (60 + 2 * (i / 3 % SIDE) + draws.below(21)) as u8).collect()
    }

    fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
        values.clone().sum::<f64>() / values.count() as f64
    }

    fn channel(rgb: &[u8], channel: usize) -> impl Iterator<Item = f64> + Clone {
        rgb.iter().skip(channel).step_by(3).map(|value| f64::from(*value))
    }

    fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
        let mean = mean(values.clone());
        self::mean(values.map(|value| (value - mean).powi(2))).sqrt()
    }

    /// Mean square of the differences between horizontal neighbors.
    fn detail(rgb: &[u8], side: usize) -> f64 {
        let rows = rgb.chunks_exact(3 * side);
        let squares = rows
            .flat_map(|row| row.iter().zip(&row[3..]).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)));
        mean(squares)
    }

    fn rms(a: &[u8], b: &[u8]) -> f64 {
        mean(a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))).sqrt()
    }

    fn settings(hidden: f64, compressed: f64) -> SynthesisSettings {
        SynthesisSettings { hidden, compressed, ..SynthesisSettings::default() }
    }

    fn degraded(rgb: Vec<u8>, settings: &SynthesisSettings, seed: u64) -> Vec<u8> {
        degrade(rgb, SIDE, settings, &mut stream(seed, "degrade", &[]))
    }

    #[test]
    fn a_round_trip_through_few_pixels_blurs_and_keeps_the_mean() {
        let image = textured();
        let blurred = resize(&resize(&image, SIDE, SIDE / 4), SIDE / 4, SIDE);
        assert_eq!(blurred.len(), image.len());
        assert!(detail(&blurred, SIDE) < 0.2 * detail(&image, SIDE));
        for c in 0..3 {
            assert!((mean(channel(&blurred, c)) - mean(channel(&image, c))).abs() < 1.5);
        }
    }

    #[test]
    fn an_occluder_is_one_rectangle_of_two_colors() {
        let mut areas = Vec::new();
        for seed in 0..100 {
            // mid-gray pixels of 1, 2, 3 are not drawn by chance
            let plain = [1u8, 2, 3].repeat(SIDE * SIDE);
            let mut image = plain.clone();
            occlude(&mut image, SIDE, &mut stream(seed, "occlude", &[]));
            let changed: Vec<usize> =
                (0..SIDE * SIDE).filter(|i| image[i * 3..][..3] != plain[i * 3..][..3]).collect();
            let range = |values: &dyn Fn(usize) -> usize| {
                let all = changed.iter().map(|i| values(*i));
                (all.clone().min().unwrap(), all.max().unwrap())
            };
            let ((left, right), (top, bottom)) = (range(&|i| i % SIDE), range(&|i| i / SIDE));
            let (width, height) = (right - left + 1, bottom - top + 1);
            assert_eq!(changed.len(), width * height, "seed {seed}: not a full rectangle");
            // sides are 10% to 45% of the image; the edge cuts off half at most
            let sides = 3..=30;
            assert!(sides.contains(&width) && sides.contains(&height), "seed {seed}: {width} x {height}");
            let mut colors: Vec<&[u8]> = changed.iter().map(|i| &image[i * 3..][..3]).collect();
            colors.sort();
            colors.dedup();
            assert!(colors.len() <= 2, "seed {seed}: {colors:?}");
            areas.push(changed.len() as f64);
        }
        assert!(deviation(areas.iter().copied()) > 50.0, "all occluders have the same size");
    }

    #[test]
    fn light_scales_each_channel_and_noise_is_small_and_even() {
        let settings = settings(0.0, 0.0);
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for seed in 0..60 {
            let image = degraded(gray(120), &settings, seed);
            for c in 0..3 {
                let level = mean(channel(&image, c));
                // a gain of 0.75 to 1.25, a tint of 0.94 to 1.06, a shift of 12, half a level of rounding
                assert!((72.0..171.5).contains(&level), "seed {seed}: mean {level}");
                // uniform noise of at most 5 levels has a deviation of 2.9; rounding adds a little
                let noise = deviation(channel(&image, c));
                assert!(noise < 3.1, "seed {seed}: deviation {noise}");
                let half = mean(channel(&image[..image.len() / 2], c));
                assert!((half - level).abs() < 0.35, "seed {seed}: {half} in the upper half, {level} in all");
                means.push(level);
                deviations.push(noise);
            }
            // the same light on a brighter image: the difference is that of the gain
            let brighter = degraded(gray(160), &settings, seed);
            for c in 0..3 {
                let gain = (mean(channel(&brighter, c)) - mean(channel(&image, c))) / 40.0;
                assert!((0.69..1.34).contains(&gain), "seed {seed}: gain {gain}");
            }
        }
        assert!(deviation(means.iter().copied()) > 10.0, "the light hardly varies");
        assert!(deviations.iter().any(|x| *x > 2.0) && deviations.iter().any(|x| *x < 1.0));
    }

    #[test]
    fn compression_removes_detail_the_more_the_lower_the_quality() {
        let image = textured();
        let [low, high] = [25, 85].map(|quality| compress_jpeg(&image, SIDE, quality).unwrap());
        assert_eq!((low.len(), high.len()), (image.len(), image.len()));
        let (low_error, high_error) = (rms(&image, &low), rms(&image, &high));
        assert!(0.5 < high_error && high_error < low_error && low_error < 12.0, "{high_error} {low_error}");
        assert!(detail(&low, SIDE) < 0.5 * detail(&image, SIDE));
        // in `degrade`: the same random numbers without compression give an image with more detail
        let [compressed, plain] = [1.0, 0.0].map(|share| degraded(image.clone(), &settings(0.0, share), 3));
        assert!(detail(&compressed, SIDE) < 0.9 * detail(&plain, SIDE));
    }

    #[test]
    fn a_seed_gives_one_result() {
        let all = settings(1.0, 1.0);
        let image = textured();
        let first = degraded(image.clone(), &all, 1);
        assert_eq!(first.len(), image.len());
        assert_eq!(first, degraded(image.clone(), &all, 1));
        assert_ne!(first, degraded(image, &all, 2));
    }
}
