//! Rasterizes triangles into the samples of one tile.

use super::setup::{Bounds, FIXED, Triangle};
use std::ops::{Add, BitOr, Mul};

/// A tile's size in pixels: its samples (32 KiB) stay in the first-level cache.
pub const WIDTH: usize = 64;
pub const HEIGHT: usize = 16;
/// Samples per pixel, one in each quarter column and each quarter row (rotated grid).
pub const SAMPLES: usize = 4;
/// Their positions in 1/16 pixel.
const POSITIONS: [[i32; 2]; SAMPLES] = [[6, 2], [14, 6], [2, 10], [10, 14]];
/// Side of the blocks tested before single pixels for large triangles.
const BLOCK: i32 = 8;
/// No triangle.
pub const EMPTY: u32 = u32::MAX;

/// Positions of the samples within a pixel, in pixels.
pub const OFFSETS: [[f32; 2]; SAMPLES] = {
    let mut offsets = [[0.0; 2]; SAMPLES];
    let mut s = 0;
    while s < SAMPLES {
        offsets[s] = [POSITIONS[s][0] as f32 / 16.0, POSITIONS[s][1] as f32 / 16.0];
        s += 1;
    }
    offsets
};

/// The quarter of its pixel that a sample represents: column, row.
pub const QUARTERS: [[i32; 2]; SAMPLES] = {
    let mut quarters = [[0; 2]; SAMPLES];
    let mut s = 0;
    while s < SAMPLES {
        quarters[s] = [POSITIONS[s][0] / 4, POSITIONS[s][1] / 4];
        s += 1;
    }
    quarters
};

/// The samples of one tile.
pub struct Samples {
    /// 1/meter; 0 where nothing is drawn.
    pub inverse_depth: Vec<[f32; SAMPLES]>,
    /// Index into the triangles, or [`EMPTY`].
    pub triangle: Vec<[u32; SAMPLES]>,
}

impl Samples {
    /// Empty samples.
    pub fn new() -> Samples {
        let pixels = WIDTH * HEIGHT;
        Samples { inverse_depth: vec![[0.0; SAMPLES]; pixels], triangle: vec![[EMPTY; SAMPLES]; pixels] }
    }

    /// Empties all samples.
    pub fn clear(&mut self) {
        self.inverse_depth.fill([0.0; SAMPLES]);
        self.triangle.fill([EMPTY; SAMPLES]);
    }

    /// Draws `triangle` where it is nearer than the present content; of equals the first drawn stays. `covered` gets a bit for
    /// every sample inside the triangle, hidden or not.
    pub fn fill(&mut self, triangle: &Triangle, index: u32, tile: Bounds, covered: &mut [u8]) {
        let region = Bounds {
            left: triangle.left.max(tile.left),
            top: triangle.top.max(tile.top),
            right: triangle.right.min(tile.right),
            bottom: triangle.bottom.min(tile.bottom),
        };
        let mut target = Target { samples: self, covered, triangle, index, tile };
        if triangle.small {
            target.fill_pixels::<i32>(region);
        } else {
            target.fill_blocks(region);
        }
    }
}

/// Integer types of the edge equations.
trait Integer: Copy + Add<Output = Self> + BitOr<Output = Self> + Mul<Output = Self> {
    /// Converts a value that is known to fit.
    fn from(value: i64) -> Self;
    /// All bits set if the value is not negative.
    fn mask(self) -> u32;
}

impl Integer for i32 {
    #[inline(always)]
    fn from(value: i64) -> i32 {
        value as i32
    }
    #[inline(always)]
    fn mask(self) -> u32 {
        !(self >> 31) as u32
    }
}

impl Integer for i64 {
    #[inline(always)]
    fn from(value: i64) -> i64 {
        value
    }
    #[inline(always)]
    fn mask(self) -> u32 {
        !(self >> 63) as u32
    }
}

/// One triangle being drawn into one tile.
struct Target<'a> {
    samples: &'a mut Samples,
    covered: &'a mut [u8],
    triangle: &'a Triangle,
    index: u32,
    tile: Bounds,
}

impl Target<'_> {
    /// Tests every pixel of `region`.
    #[inline(always)]
    fn fill_pixels<I: Integer>(&mut self, region: Bounds) {
        let t = self.triangle;
        let (dx, dy) = (region.left - t.left, region.top - t.top);
        let slopes = t.edges.map(|e| [I::from(e.a as i64), I::from(e.b as i64)]);
        let along = |[a, b]: [I; 2], x: i32, y: i32| a * I::from(x as i64) + b * I::from(y as i64);
        let mut row: [I; 3] =
            std::array::from_fn(|k| I::from(t.edges[k].c) + along(slopes[k], dx * FIXED, dy * FIXED));
        let right = slopes.map(|[a, _]| a * I::from(FIXED as i64));
        let down = slopes.map(|[_, b]| b * I::from(FIXED as i64));
        let to_sample =
            slopes.map(|slope| POSITIONS.map(|[x, y]| along(slope, x * (FIXED / 16), y * (FIXED / 16))));
        let depth_to_sample = self.depth_offsets();
        for y in region.top..region.bottom {
            let mut edge = row;
            let depth_row = t.inverse_depth[0] + t.inverse_depth[2] * (y - t.top) as f32;
            let first = ((y - self.tile.top) as usize) * WIDTH + (region.left - self.tile.left) as usize;
            for i in 0..(region.right - region.left) as usize {
                let inside: [u32; SAMPLES] = std::array::from_fn(|s| {
                    let [e0, e1, e2] = to_sample;
                    ((edge[0] + e0[s]) | (edge[1] + e1[s]) | (edge[2] + e2[s])).mask()
                });
                if inside[0] | inside[1] | inside[2] | inside[3] != 0 {
                    let depth = depth_row + t.inverse_depth[1] * (dx + i as i32) as f32;
                    self.update(first + i, inside, depth, &depth_to_sample);
                }
                edge = std::array::from_fn(|k| edge[k] + right[k]);
            }
            row = std::array::from_fn(|k| row[k] + down[k]);
        }
    }

    /// Tests blocks by their corners: outside, inside, or pixel by pixel.
    fn fill_blocks(&mut self, region: Bounds) {
        let t = self.triangle;
        for top in (region.top..region.bottom).step_by(BLOCK as usize) {
            for left in (region.left..region.right).step_by(BLOCK as usize) {
                let block = Bounds {
                    left,
                    top,
                    right: (left + BLOCK).min(region.right),
                    bottom: (top + BLOCK).min(region.bottom),
                };
                let (mut outside, mut inside) = (false, true);
                for e in &t.edges {
                    let value = |x: i32, y: i32| {
                        e.a as i64 * ((x - t.left) * FIXED) as i64 + e.b as i64 * ((y - t.top) * FIXED) as i64
                    };
                    let corners = [
                        value(block.left, block.top),
                        value(block.right, block.top),
                        value(block.left, block.bottom),
                        value(block.right, block.bottom),
                    ];
                    let [a, b, c, d] = corners.map(|corner| corner + e.c);
                    outside |= a.max(b).max(c).max(d) < 0;
                    inside &= a.min(b).min(c).min(d) >= 0;
                }
                if inside {
                    self.fill_block(block);
                } else if !outside {
                    self.fill_pixels::<i64>(block);
                }
            }
        }
    }

    /// Draws every sample of `block`.
    fn fill_block(&mut self, block: Bounds) {
        let t = self.triangle;
        let depth_to_sample = self.depth_offsets();
        for y in block.top..block.bottom {
            let depth_row = t.inverse_depth[0] + t.inverse_depth[2] * (y - t.top) as f32;
            let row = (y - self.tile.top) as usize * WIDTH;
            for x in block.left..block.right {
                let depth = depth_row + t.inverse_depth[1] * (x - t.left) as f32;
                self.update(
                    row + (x - self.tile.left) as usize,
                    [u32::MAX; SAMPLES],
                    depth,
                    &depth_to_sample,
                );
            }
        }
    }

    fn depth_offsets(&self) -> [f32; SAMPLES] {
        let [_, right, down] = self.triangle.inverse_depth;
        OFFSETS.map(|[x, y]| right * x + down * y)
    }

    #[inline(always)]
    fn update(&mut self, offset: usize, inside: [u32; SAMPLES], depth: f32, to_sample: &[f32; SAMPLES]) {
        let old_depth = &mut self.samples.inverse_depth[offset];
        let old_triangle = &mut self.samples.triangle[offset];
        let mut bits = 0;
        for s in 0..SAMPLES {
            let new = depth + to_sample[s];
            let wins = inside[s] & (0u32.wrapping_sub((new > old_depth[s]) as u32));
            old_depth[s] = f32::from_bits((new.to_bits() & wins) | (old_depth[s].to_bits() & !wins));
            old_triangle[s] = (self.index & wins) | (old_triangle[s] & !wins);
            bits |= (inside[s] & (1 << s)) as u8;
        }
        self.covered[offset] |= bits;
    }
}
