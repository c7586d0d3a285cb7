//! Size limits of decoded images.

/// The longest side, in pixels, that OpenCV's `warpAffine` supports.
const MAX_SIDE: usize = 32_767;
/// The most pixels that are decoded: 768 MiB as RGB.
const MAX_PIXELS: usize = 1 << 28;

/// Rejects empty and too large images.
///
/// # Errors
/// If a side is 0 or too long, or there are too many pixels.
pub fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("an image of {width}x{height} pixels"));
    }
    let pixels = width.saturating_mul(height);
    if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(format!(
            "{width}x{height} pixels are too many: at most {MAX_SIDE} per side and {MAX_PIXELS} in all; make the image \
             smaller"
        ));
    }
    Ok(())
}
