//! Color conversion and chroma resampling of rows: RGB to YCbCr and back (`jccolor.c`, `jdcolor.c`), 2x2 subsampling
//! and upsampling (`jcsample.c`, `jdsample.c`).

/// One half in 16-bit fixed point.
const HALF: i32 = 1 << 15;
/// Chroma of gray (128) in 16-bit fixed point.
const CHROMA_CENTER: i32 = 128 << 16;

/// Converts one row of RGB to luma and full-resolution chroma. Where the output rows are longer, the last pixel is
/// repeated.
pub fn rgb_to_ycc(rgb: &[u8], luma: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    let (pixels, _) = rgb.as_chunks::<3>();
    let width = pixels.len();
    for (((&[r, g, b], luma), cb), cr) in pixels.iter().zip(&mut *luma).zip(&mut *cb).zip(&mut *cr) {
        let (r, g, b) = (i32::from(r), i32::from(g), i32::from(b));
        *luma = ((19595 * r + 38470 * g + 7471 * b + HALF) >> 16) as u8;
        *cb = ((-11059 * r - 21709 * g + 32768 * b + CHROMA_CENTER + HALF - 1) >> 16) as u8;
        *cr = ((32768 * r - 27439 * g - 5329 * b + CHROMA_CENTER + HALF - 1) >> 16) as u8;
    }
    for row in [luma, cb, cr] {
        if let Some((inside, outside)) = row.split_at_mut_checked(width) {
            outside.fill(inside.last().copied().unwrap_or(0));
        }
    }
}

/// Two rows of full-resolution chroma to one row of half the length: the mean of each 2x2 samples, with an alternating
/// rounding bias (as in libjpeg, to avoid a drift).
pub fn downsample_2x2(upper: &[u8], lower: &[u8], out: &mut [u8]) {
    let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    for (n, (out, (&[a, b], &[c, d]))) in out.iter_mut().zip(pairs).enumerate() {
        let sum = u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d);
        *out = ((sum + 1 + (n as u16 & 1)) >> 2) as u8;
    }
}

/// A row of subsampled chroma, `near`, to a row of twice its length: in each direction 3/4 of the nearer sample and 1/4 of
/// the farther. `far` is the next row on the other side; `sums` is scratch space of `near`'s length.
pub fn upsample_2x2(near: &[u8], far: &[u8], sums: &mut [u16], out: &mut [u8]) {
    if near.len() <= 2 {
        // libjpeg replicates samples at such widths
        out.iter_mut().enumerate().for_each(|(n, out)| *out = near[n / 2]);
        return;
    }
    for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
        *sum = u16::from(near) * 3 + u16::from(far);
    }
    let last = near.len() - 1;
    let first_half = |n: usize, before: u16| ((sums[n] * 3 + before + 8) >> 4) as u8;
    let second_half = |n: usize, after: u16| ((sums[n] * 3 + after + 7) >> 4) as u8;
    let (pairs, _) = out.as_chunks_mut::<2>();
    pairs[0] = [first_half(0, sums[0]), second_half(0, sums[1])];
    for (pair, sums) in pairs[1..last].iter_mut().zip(sums.windows(3)) {
        *pair = [((sums[1] * 3 + sums[0] + 8) >> 4) as u8, ((sums[1] * 3 + sums[2] + 7) >> 4) as u8];
    }
    pairs[last] = [first_half(last, sums[last - 1]), second_half(last, sums[last])];
}

/// Converts one row of luma and full-resolution chroma to RGB.
pub fn ycc_to_rgb(luma: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    for (((pixel, &y), &cb), &cr) in pixels.iter_mut().zip(luma).zip(cb).zip(cr) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let r = y + ((91881 * cr + HALF) >> 16);
        let g = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
        let b = y + ((116130 * cb + HALF) >> 16);
        *pixel = [r, g, b].map(|value| value.clamp(0, 255) as u8);
    }
}
