//! The z-buffer rasteriser: triangles in camera axes to a picture with depths and objects.
//!
//! Visibility first, colour after: each tile of 64 x 16 pixels gets its triangles in the order drawn, with
//! depth and coverage tested at four samples a pixel; then each pixel's shaders run once for every triangle
//! seen in it and never for what is hidden. A mesh whose faces are as small as pixels thus costs little
//! more than its pixels, and edges between two regions of one mesh are as smooth as its outline. Since
//! shading is one call per pixel rather than per sample, a shader is a plain `dyn Fn`.
//!
//! Bands of tiles are independent of each other, so any number of threads gives the same bytes.
//! Must not know what the meshes are.

mod resolve;
mod setup;
mod silhouette;
mod surface;
#[cfg(test)]
pub(super) mod test_shapes;
#[cfg(test)]
mod tests;
mod tile;

use super::color::Rgb;
use crate::geometry::Vec3;
use crate::person::BBox;
use rayon::prelude::*;
use resolve::Band;
use setup::{Bounds, Projected, Triangle};

pub use silhouette::{Silhouette, silhouette};
pub use surface::Surface;

pub(super) use setup::depth_from_above;

/// A pinhole camera, pixels; axes x right, y down, z away. Nothing nearer than 0.1 m is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    pub fx: f32,
    pub fy: f32,
    pub cx: f32,
    pub cy: f32,
}

impl Camera {
    /// Where a point before the camera is seen, pixels.
    #[inline]
    pub fn project(&self, point_in_camera: Vec3) -> [f32; 2] {
        let [x, y, z] = point_in_camera;
        [self.fx * x / z + self.cx, self.fy * y / z + self.cy]
    }

    /// The direction seen through `pixel`, scaled to z = 1.
    #[inline]
    pub fn ray(&self, pixel: [f32; 2]) -> Vec3 {
        [(pixel[0] - self.cx) / self.fx, (pixel[1] - self.cy) / self.fy, 1.0]
    }
}

/// Triangles in camera axes, metres.
#[derive(Clone, Copy)]
pub struct Mesh<'a> {
    pub positions: &'a [Vec3],
    /// Three indices into `positions` each; seen from the side `(p1 - p0) x (p2 - p0)` points to.
    pub faces: &'a [[u32; 3]],
    /// One per position where the surface is smooth (they need not be of length 1); without them faces are flat.
    pub normals: Option<&'a [Vec3]>,
}

/// The colour of a point: linear light that reaches the camera.
pub type Shade<'a> = dyn Fn(&Surface) -> Rgb + Sync + 'a;

/// One mesh to be drawn.
#[derive(Clone, Copy)]
pub struct Draw<'a> {
    pub mesh: Mesh<'a>,
    /// Whose share of the picture is counted; several draws may have one object. `None`: scenery.
    pub object: Option<u32>,
    /// Whether faces are seen from behind, too.
    pub two_sided: bool,
    pub shade: &'a Shade<'a>,
}

/// What is seen of one object, counted in samples, four to a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visibility {
    /// Samples in which the object is the nearest.
    pub visible_samples: u64,
    /// Samples within the picture that it would fill if nothing stood before it.
    pub covered_samples: u64,
    /// Around the visible samples, exact to a quarter of a pixel.
    pub visible_box: Option<BBox>,
    /// Around the covered samples.
    pub covered_box: Option<BBox>,
}

impl Visibility {
    /// Visible part of what lies within the picture, 0 to 1; 0 for what is not in it. See [`silhouette`]
    /// for what lies beyond the picture's edge.
    pub fn share(&self) -> f32 {
        if self.covered_samples == 0 {
            return 0.0;
        }
        (self.visible_samples as f64 / self.covered_samples as f64) as f32
    }
}

/// A picture under construction. Its buffers are kept from one picture to the next.
pub struct Raster {
    width: usize,
    height: usize,
    parallel: bool,
    rgb: Vec<u8>,
    depth: Vec<f32>,
    objects: Vec<u32>,
    coverage: Vec<u8>,
    triangles: Vec<Triangle>,
    projected: Vec<Projected>,
    bins: Bins,
    bands: Vec<Band>,
    slots: Slots,
}

/// Which of the picture's objects a draw belongs to: index 0 is scenery.
#[derive(Default)]
struct Slots {
    objects: Vec<u32>,
    of_draw: Vec<usize>,
    tallies: Vec<resolve::Tally>,
}

/// The triangles of each tile, in the order drawn.
#[derive(Default)]
struct Bins {
    /// `items[starts[tile]..starts[tile + 1]]`.
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Raster {
    /// In [`Raster::objects`]: no counted object.
    pub const NOBODY: u32 = u32::MAX;

    /// A picture of `width` x `height` pixels. Small ones (crops) are drawn on the caller's thread, large
    /// ones by rayon's; see [`Raster::parallel`].
    ///
    /// # Panics
    /// If a side is zero or above 8,192.
    pub fn new(width: usize, height: usize) -> Raster {
        assert!(
            (1..=8192).contains(&width) && (1..=8192).contains(&height),
            "no picture of {width}x{height}"
        );
        let pixels = width * height;
        Raster {
            width,
            height,
            parallel: pixels > 256 * 256,
            rgb: vec![0; pixels * 3],
            depth: vec![f32::INFINITY; pixels],
            objects: vec![Self::NOBODY; pixels],
            coverage: vec![0; pixels],
            triangles: Vec::new(),
            projected: Vec::new(),
            bins: Bins::default(),
            bands: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// Whether the work is spread over rayon's threads; the picture is the same either way.
    pub fn parallel(mut self, parallel: bool) -> Raster {
        self.parallel = parallel;
        self
    }

    /// Draws everything anew over `background`, which is asked for pixel centres that nothing covers whole.
    pub fn render(&mut self, camera: &Camera, draws: &[Draw], background: &(dyn Fn([f32; 2]) -> Rgb + Sync)) {
        let bounds = Bounds { left: 0, top: 0, right: self.width as i32, bottom: self.height as i32 };
        self.triangles.clear();
        for (i, draw) in draws.iter().enumerate() {
            setup::set_up(
                camera,
                &draw.mesh,
                draw.two_sided,
                i as u32,
                bounds,
                &mut self.projected,
                &mut self.triangles,
            );
        }
        self.slots.assign(draws);
        self.bins.sort(&self.triangles, self.width, self.height);
        let scene = resolve::Scene {
            camera,
            draws,
            background,
            triangles: &self.triangles,
            slots: &self.slots.of_draw,
            objects: &self.slots.objects,
            bin_starts: &self.bins.starts,
            bin_items: &self.bins.items,
            width: self.width,
            height: self.height,
        };
        let rows = tile::HEIGHT * self.width;
        let bands = self.height.div_ceil(tile::HEIGHT);
        self.bands.resize_with(if self.parallel { bands } else { 1 }, Band::new);
        for band in &mut self.bands {
            band.begin(self.slots.objects.len());
        }
        if self.parallel {
            let rgb = self.rgb.par_chunks_mut(rows * 3);
            let depth = self.depth.par_chunks_mut(rows);
            let objects = self.objects.par_chunks_mut(rows);
            let coverage = self.coverage.par_chunks_mut(rows);
            let chunks = (rgb, depth, objects, coverage, self.bands.par_iter_mut()).into_par_iter();
            chunks.enumerate().for_each(|(i, (rgb, depth, objects, coverage, band))| {
                band.draw(&scene, i, resolve::Rows { rgb, depth, objects, coverage });
            });
        } else {
            let chunks = self.rgb.chunks_mut(rows * 3).zip(self.depth.chunks_mut(rows));
            let chunks = chunks.zip(self.objects.chunks_mut(rows)).zip(self.coverage.chunks_mut(rows));
            for (i, (((rgb, depth), objects), coverage)) in chunks.enumerate() {
                self.bands[0].draw(&scene, i, resolve::Rows { rgb, depth, objects, coverage });
            }
        }
        self.slots.sum(&self.bands);
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// sRGB, `height * width * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Depth of the nearest sample per pixel, metres; infinity where nothing is.
    pub fn depth(&self) -> &[f32] {
        &self.depth
    }

    /// Per pixel the counted object with the most samples in it (of equals the one drawn first), or
    /// [`Raster::NOBODY`] where scenery or nothing has more.
    pub fn objects(&self) -> &[u32] {
        &self.objects
    }

    /// Per pixel how many of its four samples anything covers: an alpha channel in steps of a quarter.
    pub fn coverage(&self) -> &[u8] {
        &self.coverage
    }

    /// What is seen of `object` in the last picture.
    pub fn visibility(&self, object: u32) -> Visibility {
        let slot = self.slots.objects.iter().skip(1).position(|&other| other == object);
        slot.map_or(resolve::Tally::default(), |slot| self.slots.tallies[slot + 1]).visibility()
    }
}

impl Slots {
    fn assign(&mut self, draws: &[Draw]) {
        self.objects.clear();
        self.objects.push(Raster::NOBODY);
        self.of_draw.clear();
        for draw in draws {
            let Some(object) = draw.object else {
                self.of_draw.push(0);
                continue;
            };
            let known = self.objects.iter().skip(1).position(|&other| other == object);
            let slot = known.map_or(self.objects.len(), |slot| slot + 1);
            if slot == self.objects.len() {
                self.objects.push(object);
            }
            self.of_draw.push(slot);
        }
    }

    fn sum(&mut self, bands: &[Band]) {
        self.tallies.clear();
        self.tallies.resize(self.objects.len(), resolve::Tally::default());
        for band in bands {
            for (tally, more) in self.tallies.iter_mut().zip(band.tallies()) {
                tally.add(more);
            }
        }
    }
}

impl Bins {
    /// Sorts triangles into the tiles that their boxes touch, keeping their order (a counting sort).
    fn sort(&mut self, triangles: &[Triangle], width: usize, height: usize) {
        let columns = width.div_ceil(tile::WIDTH);
        let tiles = columns * height.div_ceil(tile::HEIGHT);
        let touched = |t: &Triangle| {
            let (left, right) = (t.left as usize / tile::WIDTH, (t.right as usize - 1) / tile::WIDTH);
            let (top, bottom) = (t.top as usize / tile::HEIGHT, (t.bottom as usize - 1) / tile::HEIGHT);
            (top..=bottom).flat_map(move |row| (left..=right).map(move |column| row * columns + column))
        };
        self.starts.clear();
        self.starts.resize(tiles + 2, 0);
        for triangle in triangles {
            touched(triangle).for_each(|tile| self.starts[tile + 2] += 1);
        }
        for tile in 2..self.starts.len() {
            self.starts[tile] += self.starts[tile - 1];
        }
        self.items.clear();
        self.items.resize(self.starts[tiles + 1] as usize, 0);
        // starts[tile + 1] walks from the tile's first item to its end
        for (i, triangle) in triangles.iter().enumerate() {
            touched(triangle).for_each(|tile| {
                self.items[self.starts[tile + 1] as usize] = i as u32;
                self.starts[tile + 1] += 1;
            });
        }
    }
}
