//! Resolves the samples of a tile to pixels: shades visible triangles and counts the visibility of objects.

use super::setup::{Bounds, Triangle};
use super::tile::{self, EMPTY, OFFSETS, QUARTERS, SAMPLES, Samples};
use super::{Camera, DrawCall, Raster, Rgb, Surface, Visibility};
use crate::render::color::SrgbEncoder;
use posebook_core::person::BBox;

/// Shared input of all bands.
pub struct Scene<'a> {
    pub camera: &'a Camera,
    pub draws: &'a [DrawCall<'a>],
    pub background: &'a (dyn Fn([f32; 2]) -> Rgb + Sync),
    pub triangles: &'a [Triangle],
    /// The slot of each draw; slot 0 is scenery.
    pub slots: &'a [usize],
    /// The object of each slot.
    pub objects: &'a [u32],
    pub bin_starts: &'a [u32],
    pub bin_items: &'a [u32],
    pub width: usize,
    pub height: usize,
}

/// The rows of one band in the image's buffers.
pub struct Rows<'a> {
    pub rgb: &'a mut [u8],
    pub depth: &'a mut [f32],
    pub objects: &'a mut [u32],
    pub coverage: &'a mut [u8],
}

/// Samples of one object and their bounding box, in quarters of pixels.
#[derive(Clone, Copy)]
struct SampleCount {
    samples: u64,
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Default for SampleCount {
    fn default() -> Self {
        SampleCount { samples: 0, left: i32::MAX, top: i32::MAX, right: i32::MIN, bottom: i32::MIN }
    }
}

impl SampleCount {
    /// Counts the samples whose bits are set in the pixel at `x`, `y`.
    #[inline]
    fn pixel(&mut self, x: i32, y: i32, bits: u8) {
        self.samples += bits.count_ones() as u64;
        // only pixels at the rim of the box so far can extend it
        let (x, y) = (x * 4, y * 4);
        if x >= self.left && x + 4 <= self.right && y >= self.top && y + 4 <= self.bottom {
            return;
        }
        for (s, [column, row]) in QUARTERS.iter().enumerate() {
            if bits & (1 << s) != 0 {
                self.left = self.left.min(x + column);
                self.right = self.right.max(x + column + 1);
                self.top = self.top.min(y + row);
                self.bottom = self.bottom.max(y + row + 1);
            }
        }
    }

    fn add(&mut self, other: &SampleCount) {
        self.samples += other.samples;
        self.left = self.left.min(other.left);
        self.right = self.right.max(other.right);
        self.top = self.top.min(other.top);
        self.bottom = self.bottom.max(other.bottom);
    }

    fn bbox(&self) -> Option<BBox> {
        let pixels = |quarters: i32| quarters as f32 / 4.0;
        (self.samples > 0).then(|| BBox {
            x1: pixels(self.left),
            y1: pixels(self.top),
            x2: pixels(self.right),
            y2: pixels(self.bottom),
        })
    }
}

/// Counts of one object.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    visible: SampleCount,
    covered: SampleCount,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.visible.add(&other.visible);
        self.covered.add(&other.covered);
    }

    pub fn visibility(&self) -> Visibility {
        Visibility {
            visible_samples: self.visible.samples,
            covered_samples: self.covered.samples,
            visible_box: self.visible.bbox(),
        }
    }
}

/// The samples of a pixel in which one triangle is visible.
struct VisiblePart {
    triangle: u32,
    bits: u8,
}

/// Working memory of a thread that renders the tiles of a band.
pub struct Band {
    samples: Samples,
    /// Per slot a byte per pixel of the tile, one bit per sample: covered by the object, visible or not.
    covered: Vec<Vec<u8>>,
    touched: Vec<bool>,
    tallies: Vec<Tally>,
}

impl Band {
    pub fn new() -> Band {
        Band { samples: Samples::new(), covered: Vec::new(), touched: Vec::new(), tallies: Vec::new() }
    }

    /// Resets the counts.
    pub fn begin(&mut self, slots: usize) {
        self.tallies.clear();
        self.tallies.resize(slots, Tally::default());
        if self.covered.len() < slots {
            self.covered.resize_with(slots, || vec![0; tile::WIDTH * tile::HEIGHT]);
        }
        self.touched.clear();
        self.touched.resize(slots, false);
    }

    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Draws band number `row`.
    pub fn draw(&mut self, scene: &Scene, row: usize, mut rows: Rows) {
        let columns = scene.width.div_ceil(tile::WIDTH);
        for column in 0..columns {
            let bin = row * columns + column;
            let items = &scene.bin_items[scene.bin_starts[bin] as usize..scene.bin_starts[bin + 1] as usize];
            let bounds = Bounds {
                left: (column * tile::WIDTH) as i32,
                top: (row * tile::HEIGHT) as i32,
                right: ((column + 1) * tile::WIDTH).min(scene.width) as i32,
                bottom: ((row + 1) * tile::HEIGHT).min(scene.height) as i32,
            };
            self.samples.clear();
            for &item in items {
                let triangle = &scene.triangles[item as usize];
                let slot = scene.slots[triangle.draw as usize];
                self.touched[slot] = true;
                self.samples.fill(triangle, item, bounds, &mut self.covered[slot]);
            }
            self.count_covered(bounds);
            self.resolve(scene, bounds, &mut rows);
        }
    }

    /// Adds up the covered samples and clears them for the next tile. Scenery is not counted.
    fn count_covered(&mut self, bounds: Bounds) {
        for slot in 0..self.touched.len() {
            if !std::mem::take(&mut self.touched[slot]) {
                continue;
            }
            if slot > 0 {
                for y in bounds.top..bounds.bottom {
                    let row = (y - bounds.top) as usize * tile::WIDTH;
                    for x in bounds.left..bounds.right {
                        let bits = self.covered[slot][row + (x - bounds.left) as usize];
                        if bits != 0 {
                            self.tallies[slot].covered.pixel(x, y, bits);
                        }
                    }
                }
            }
            self.covered[slot].fill(0);
        }
    }

    fn resolve(&mut self, scene: &Scene, bounds: Bounds, rows: &mut Rows) {
        let encoder = SrgbEncoder::new();
        for y in bounds.top..bounds.bottom {
            let in_tile = (y - bounds.top) as usize * tile::WIDTH;
            let in_rows = (y - bounds.top) as usize * scene.width;
            for x in bounds.left..bounds.right {
                let index = in_tile + (x - bounds.left) as usize;
                let out = in_rows + x as usize;
                let visible = self.samples.triangle[index];
                let (color, covered) = color(scene, visible, x, y);
                rows.rgb[out * 3..out * 3 + 3].copy_from_slice(&encoder.encode(color));
                let nearest = self.samples.inverse_depth[index].iter().fold(0.0f32, |a, &b| a.max(b));
                rows.depth[out] = 1.0 / nearest;
                rows.coverage[out] = covered as u8;
                rows.objects[out] = self.count_visible(scene, visible, x, y);
            }
        }
    }

    /// Counts the visible samples of a pixel by object, and returns the object with the most.
    #[inline]
    fn count_visible(&mut self, scene: &Scene, visible: [u32; SAMPLES], x: i32, y: i32) -> u32 {
        let slot = |triangle| match triangle {
            EMPTY => 0,
            triangle => scene.slots[scene.triangles[triangle as usize].draw as usize],
        };
        let slots =
            if visible == [visible[0]; SAMPLES] { [slot(visible[0]); SAMPLES] } else { visible.map(slot) };
        if slots == [0; SAMPLES] {
            return Raster::NO_OBJECT;
        }
        let (mut best, mut most, mut counted) = (0, 0, 0u8);
        for slot in slots {
            let bits = (0..SAMPLES).fold(0u8, |bits, s| bits | (((slots[s] == slot) as u8) << s));
            if counted & bits != 0 {
                continue;
            }
            counted |= bits;
            if slot > 0 {
                self.tallies[slot].visible.pixel(x, y, bits);
            }
            if bits.count_ones() > most || (bits.count_ones() == most && slot < best) {
                (best, most) = (slot, bits.count_ones());
            }
        }
        scene.objects[best]
    }
}

/// Color of a pixel, and its number of covered samples.
#[inline]
fn color(scene: &Scene, visible: [u32; SAMPLES], x: i32, y: i32) -> (Rgb, u32) {
    let all = SAMPLES as u32;
    let center = [x as f32 + 0.5, y as f32 + 0.5];
    if visible == [visible[0]; SAMPLES] {
        return match visible[0] {
            EMPTY => ((scene.background)(center), 0),
            triangle => (shade(scene, triangle, center), all),
        };
    }
    let (mut color, mut covered) = ([0.0; 3], 0);
    for part in parts(visible) {
        let samples = part.bits.count_ones();
        covered += samples;
        add_weighted(&mut color, shade(scene, part.triangle, middle(part.bits, x, y)), samples);
    }
    if covered < all {
        add_weighted(&mut color, (scene.background)(center), all - covered);
    }
    (color, covered)
}

/// The triangles visible in a pixel with their samples.
#[inline]
fn parts(visible: [u32; SAMPLES]) -> impl Iterator<Item = VisiblePart> {
    let mut left = (0..SAMPLES).fold(0u8, |bits, s| bits | (((visible[s] != EMPTY) as u8) << s));
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let triangle = visible[left.trailing_zeros() as usize];
        let bits = (0..SAMPLES).fold(0u8, |bits, s| bits | (((visible[s] == triangle) as u8) << s));
        left &= !bits;
        Some(VisiblePart { triangle, bits })
    })
}

/// Center of some of a pixel's samples. A triangle is convex, so the center is inside the triangle that covers them.
#[inline]
fn middle(bits: u8, x: i32, y: i32) -> [f32; 2] {
    let mut sum = [0.0f32; 2];
    for (s, offset) in OFFSETS.iter().enumerate() {
        if bits & (1 << s) != 0 {
            sum[0] += offset[0];
            sum[1] += offset[1];
        }
    }
    let n = bits.count_ones() as f32;
    [x as f32 + sum[0] / n, y as f32 + sum[1] / n]
}

#[inline]
fn shade(scene: &Scene, triangle: u32, pixel: [f32; 2]) -> Rgb {
    let triangle = &scene.triangles[triangle as usize];
    let draw = &scene.draws[triangle.draw as usize];
    let surface = Surface::at_pixel(&draw.mesh, scene.camera, triangle.face as usize, pixel, draw.two_sided);
    (draw.shade)(&surface)
}

#[inline]
fn add_weighted(sum: &mut Rgb, color: Rgb, samples: u32) {
    let weight = samples as f32 / SAMPLES as f32;
    for (sum, color) in sum.iter_mut().zip(color) {
        *sum += color * weight;
    }
}
