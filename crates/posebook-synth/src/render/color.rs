//! Linear light and sRGB bytes (IEC 61966-2-1).

use std::sync::LazyLock;

/// Linear light: red, green, blue. 1 is white; larger values are clipped on output.
pub type Rgb = [f32; 3];

/// Entries of the table from linear light to bytes; near black, one step is less than half a byte.
const STEPS: usize = 8192;

static BYTE_FROM_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=STEPS)
        .map(|step| {
            let linear = step as f64 / STEPS as f64;
            let srgb = if linear <= 0.003_130_8 {
                12.92 * linear
            } else {
                1.055 * libm::pow(linear, 1.0 / 2.4) - 0.055
            };
            (srgb * 255.0 + 0.5) as u8
        })
        .collect()
});

static LINEAR_FROM_BYTE: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let srgb = byte as f64 / 255.0;
        let linear = if srgb <= 0.040_45 { srgb / 12.92 } else { libm::pow((srgb + 0.055) / 1.055, 2.4) };
        linear as f32
    })
});

/// Encodes linear light as sRGB bytes with a table, fetched once per image rather than once per pixel.
#[derive(Clone, Copy)]
pub struct SrgbEncoder(&'static [u8]);

impl SrgbEncoder {
    /// Fetches the table.
    pub fn new() -> SrgbEncoder {
        SrgbEncoder(&BYTE_FROM_LINEAR)
    }

    /// sRGB bytes of linear light; values outside 0..1 are clipped.
    #[inline]
    pub fn encode(&self, color: Rgb) -> [u8; 3] {
        // the cast from f32 saturates, and NaN becomes 0
        color.map(|value| self.0[((value * STEPS as f32 + 0.5) as i32).clamp(0, STEPS as i32) as usize])
    }
}

impl Default for SrgbEncoder {
    fn default() -> Self {
        SrgbEncoder::new()
    }
}

/// sRGB bytes of linear light; values outside 0..1 are clipped.
pub fn to_srgb(color: Rgb) -> [u8; 3] {
    SrgbEncoder::new().encode(color)
}

/// Linear light of sRGB bytes.
pub fn from_srgb(bytes: [u8; 3]) -> Rgb {
    bytes.map(|byte| LINEAR_FROM_BYTE[byte as usize])
}

/// Linear interpolation: `a` at 0, `b` at 1.
#[inline]
pub fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// Multiplies every channel by `by`.
#[inline]
pub fn dim(color: Rgb, by: f32) -> Rgb {
    [color[0] * by, color[1] * by, color[2] * by]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_round_trip() {
        for byte in 0..=255u8 {
            assert_eq!(to_srgb(from_srgb([byte; 3])), [byte; 3]);
        }
    }

    #[test]
    fn values_out_of_range_are_clipped() {
        assert_eq!(to_srgb([-1.0, 2.0, f32::NAN]), [0, 255, 0]);
    }
}
