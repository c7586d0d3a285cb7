//! Procedural textures: noise and patterns as functions of two coordinates and a seed. Each takes the width of a pixel and
//! fades to its mean where its detail is finer, so that distant surfaces do not flicker.

use super::color::{Rgb, dim, mix};
use serde::{Deserialize, Serialize};

/// A pattern; lengths are in the units of the coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The first color.
    Plain,
    /// The first color with blotchy brightness.
    Mottled,
    /// Squares of alternating color.
    Checks,
    /// Bands of equal width along `v`.
    Stripes,
    /// A plaid: crossing bands of two widths.
    Plaid,
    /// Discs of the second color.
    Dots,
    /// Bricks twice as long as high with individual tones; joints of the second color.
    Bricks,
    /// Square slabs with individual tones; joints of the second color.
    Tiles,
    /// Boards along `u` with grain.
    Planks,
    /// Blades between the two colors.
    Grass,
    /// Small stones between the two colors.
    Asphalt,
}

/// A pattern with its colors and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture {
    /// The pattern.
    pub pattern: Pattern,
    /// Its two colors, linear light.
    pub colors: [Rgb; 2],
    /// Length of one repeat (a check, a brick's height, a blotch).
    pub scale: f32,
    /// Seed of the noise.
    pub seed: u32,
}

impl Texture {
    /// A texture of one color.
    pub fn plain(color: Rgb) -> Texture {
        Texture { pattern: Pattern::Plain, colors: [color; 2], scale: 1.0, seed: 0 }
    }

    /// The color at `(u, v)`, averaged over about `width` along each coordinate (a pixel's footprint).
    pub fn color_at(&self, [u, v]: [f32; 2], width: [f32; 2]) -> Rgb {
        let inverse = 1.0 / self.scale;
        let (u, v) = (u * inverse, v * inverse);
        let (wu, wv) = (width[0] * inverse, width[1] * inverse);
        let [first, second] = self.colors;
        let tone = |amount: f32, spread: f32| dim(first, 1.0 + (amount - 0.5) * spread);
        match self.pattern {
            Pattern::Plain => first,
            Pattern::Mottled => tone(fractal(self.seed, [u, v], wu.max(wv), 3), 0.7),
            Pattern::Checks => {
                let (a, b) = (band(u * 0.5, 0.5, wu * 0.5), band(v * 0.5, 0.5, wv * 0.5));
                mix(second, first, a * b + (1.0 - a) * (1.0 - b))
            }
            Pattern::Stripes => mix(second, first, band(v * 0.5, 0.5, wv * 0.5)),
            Pattern::Plaid => {
                let wide = band(u, 0.45, wu) + band(v, 0.45, wv);
                let thin = band(u + 0.3, 0.07, wu).max(band(v + 0.3, 0.07, wv));
                mix(mix(first, second, wide * 0.5), [0.9, 0.88, 0.8], thin * 0.6)
            }
            Pattern::Dots => mix(first, second, dots(u, v, wu.max(wv))),
            Pattern::Bricks => {
                let row = floor(v);
                let along = u * 0.5 + 0.5 * (row & 1) as f32;
                let stone = per_stone(self.seed, floor(along), row, wu.max(wv));
                let joint = joints(along, 0.04, wu * 0.5).max(joints(v, 0.08, wv));
                mix(tone(stone, 0.5), second, joint)
            }
            Pattern::Tiles => {
                let stone = per_stone(self.seed, floor(u), floor(v), wu.max(wv));
                mix(tone(stone, 0.25), second, joints(u, 0.025, wu).max(joints(v, 0.025, wv)))
            }
            Pattern::Planks => {
                let board = per_stone(self.seed, 0, floor(v), wv);
                let grain = fractal(self.seed ^ 0x5bd1, [u * 0.7 + board * 17.0, v * 14.0], wv * 14.0, 2);
                mix(tone(board * 0.6 + grain * 0.4, 0.7), second, joints(v, 0.03, wv))
            }
            Pattern::Grass => {
                let patches = fractal(self.seed, [u * 0.12, v * 0.12], wu.max(wv) * 0.12, 2);
                let blades = fractal(self.seed ^ 0x9e37, [u * 4.0, v * 4.0], wu.max(wv) * 4.0, 2);
                let tint = mix(first, second, (0.55 * patches + 0.45 * blades).clamp(0.0, 1.0));
                dim(tint, 0.65 + 0.7 * blades)
            }
            Pattern::Asphalt => {
                let stains = fractal(self.seed, [u * 0.15, v * 0.15], wu.max(wv) * 0.15, 2);
                let stones = fractal(self.seed ^ 0x51ed, [u * 8.0, v * 8.0], wu.max(wv) * 8.0, 1);
                dim(mix(first, second, stains), 0.8 + 0.4 * stones)
            }
        }
    }
}

/// Hash of a lattice point to 32 bits.
#[inline]
pub fn hash(seed: u32, x: i32, y: i32) -> u32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
    h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
    h ^ (h >> 16)
}

#[inline]
fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 / (1u32 << 24) as f32
}

/// Value noise, 0 to 1, one blotch per unit.
#[inline]
pub fn noise(seed: u32, [x, y]: [f32; 2]) -> f32 {
    let (x0, y0) = (floor(x), floor(y));
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (fx, fy) = (smooth(x - x0 as f32), smooth(y - y0 as f32));
    let at = |dx: i32, dy: i32| unit(hash(seed, x0.wrapping_add(dx), y0.wrapping_add(dy)));
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
    top + (bottom - top) * fy
}

/// Noise summed over octaves, 0 to 1, mean one half; octaves finer than `width` fade out.
pub fn fractal(seed: u32, [x, y]: [f32; 2], width: f32, octaves: u32) -> f32 {
    let (mut sum, mut total, mut amplitude, mut frequency) = (0.0, 0.0, 1.0, 1.0);
    for octave in 0..octaves {
        let keep = (1.5 - width * frequency).clamp(0.0, 1.0);
        if keep > 0.0 {
            let value = noise(seed.wrapping_add(octave * 0x632b), [x * frequency, y * frequency]);
            sum += (value - 0.5) * amplitude * keep;
        }
        total += amplitude;
        amplitude *= 0.5;
        frequency *= 2.0;
    }
    0.5 + sum / total
}

/// `f32::floor` as an integer; faster on targets without a rounding instruction.
#[inline]
fn floor(x: f32) -> i32 {
    let truncated = x as i32;
    truncated - ((truncated as f32 > x) as i32)
}

/// Fraction of `[x - width/2, x + width/2]` in the first `duty` of each unit: a box filter.
fn band(x: f32, duty: f32, width: f32) -> f32 {
    let width = width.max(1e-4);
    let integral = |x: f32| {
        let whole = floor(x) as f32;
        whole * duty + (x - whole).min(duty)
    };
    ((integral(x + width * 0.5) - integral(x - width * 0.5)) / width).clamp(0.0, 1.0)
}

/// Coverage of joints of `thickness`, centered on integers.
fn joints(x: f32, thickness: f32, width: f32) -> f32 {
    band(x + thickness * 0.5, thickness, width)
}

/// One random value per stone, fading to one half where stones are finer than pixels.
fn per_stone(seed: u32, column: i32, row: i32, width: f32) -> f32 {
    let keep = (2.0 - width * 2.0).clamp(0.0, 1.0);
    0.5 + (unit(hash(seed, column, row)) - 0.5) * keep
}

/// Staggered discs of radius 0.28; where they are finer than pixels, their fraction of the area.
fn dots(u: f32, v: f32, width: f32) -> f32 {
    const RADIUS: f32 = 0.28;
    let shift = if floor(v) & 1 == 0 { 0.0 } else { 0.5 };
    let (du, dv) = ((u + shift) - floor(u + shift) as f32 - 0.5, v - floor(v) as f32 - 0.5);
    let soft = width.max(1e-3);
    let sharp = ((RADIUS - (du * du + dv * dv).sqrt()) / soft + 0.5).clamp(0.0, 1.0);
    let far = (width * 1.5 - 0.5).clamp(0.0, 1.0);
    sharp + (std::f32::consts::PI * RADIUS * RADIUS - sharp) * far
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Pattern; 11] = [
        Pattern::Plain,
        Pattern::Mottled,
        Pattern::Checks,
        Pattern::Stripes,
        Pattern::Plaid,
        Pattern::Dots,
        Pattern::Bricks,
        Pattern::Tiles,
        Pattern::Planks,
        Pattern::Grass,
        Pattern::Asphalt,
    ];

    fn texture(pattern: Pattern) -> Texture {
        Texture { pattern, colors: [[0.6, 0.3, 0.2], [0.1, 0.2, 0.4]], scale: 0.3, seed: 9 }
    }

    #[test]
    fn noise_is_continuous_and_spread() {
        let mut sum = 0.0;
        for i in 0..4000 {
            let at = [i as f32 * 0.037 - 60.0, i as f32 * 0.011];
            let (here, near) = (noise(3, at), noise(3, [at[0] + 1e-3, at[1]]));
            assert!((here - near).abs() < 0.01 && (0.0..=1.0).contains(&here));
            sum += here;
        }
        assert!((sum / 4000.0 - 0.5).abs() < 0.05);
    }

    #[test]
    fn a_band_is_the_mean_over_its_pixel() {
        assert_eq!(band(0.25, 0.5, 0.1), 1.0);
        assert_eq!(band(0.75, 0.5, 0.1), 0.0);
        assert!((band(0.5, 0.5, 0.2) - 0.5).abs() < 1e-5);
        assert!((band(-7.3, 0.5, 40.0) - 0.5).abs() < 0.02);
    }

    #[test]
    fn distant_patterns_equal_their_mean() {
        for pattern in ALL {
            let t = texture(pattern);
            let n = 150;
            let mut near = [0.0f32; 3];
            for i in 0..n * n {
                let at = [(i % n) as f32 * 0.0613, (i / n) as f32 * 0.0617];
                near = std::array::from_fn(|c| near[c] + t.color_at(at, [0.01; 2])[c] / (n * n) as f32);
            }
            for at in [[0.1, 0.2], [5.0, -3.0]] {
                let far = t.color_at(at, [12.0; 2]);
                let off = (0..3).map(|c| (far[c] - near[c]).abs()).fold(0.0, f32::max);
                assert!(off < 0.06, "{pattern:?}: far {far:?}, mean of near {near:?}");
            }
        }
    }

    #[test]
    fn a_seed_determines_the_texture() {
        let (a, b) = (texture(Pattern::Grass), Texture { seed: 10, ..texture(Pattern::Grass) });
        let at = |t: &Texture| t.color_at([0.33, 0.71], [0.001; 2]);
        assert_eq!(at(&a), at(&a));
        assert_ne!(at(&a), at(&b));
    }
}
