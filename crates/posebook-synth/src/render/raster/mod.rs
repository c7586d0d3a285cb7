//! The z-buffer rasterizer: renders triangles in camera axes to an image with depth and object buffers.
//!
//! Visibility is resolved before shading: each tile of 64 x 16 pixels gets its triangles in drawing order, with depth and
//! coverage tested at four samples per pixel; then each pixel's shader runs once for every triangle visible in it, never
//! for hidden ones. A mesh with faces as small as pixels therefore costs little more than its pixels, and edges between two
//! regions of a mesh are as smooth as its outline. Since shading is one call per pixel rather than per sample, a shader is
//! a plain `dyn Fn`.
//!
//! Bands of tiles are independent, so any number of threads gives the same bytes.

mod resolve;
mod setup;
mod silhouette;
mod surface;
#[cfg(test)]
pub mod test_shapes;
#[cfg(test)]
mod tests;
mod tile;

use super::color::Rgb;
use posebook_core::geometry::Vec3;
use posebook_core::person::BBox;
use rayon::prelude::*;
use resolve::Band;
use setup::{Bounds, Projected, Triangle};

pub use silhouette::{Silhouette, silhouette};
pub use surface::Surface;

pub use setup::depth_from_above;

/// A pinhole camera; focal lengths and principal point in pixels; axes x right, y down, z forward. Nothing nearer than
/// 0.1 m is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Horizontal focal length.
    pub fx: f32,
    /// Vertical focal length.
    pub fy: f32,
    /// Column of the principal point.
    pub cx: f32,
    /// Row of the principal point.
    pub cy: f32,
}

impl Camera {
    /// Projects a point in front of the camera to pixels.
    #[inline]
    pub fn project(&self, point_in_camera: Vec3) -> [f32; 2] {
        let [x, y, z] = point_in_camera;
        [self.fx * x / z + self.cx, self.fy * y / z + self.cy]
    }

    /// Direction of the ray through `pixel`, scaled to z = 1.
    #[inline]
    pub fn ray(&self, pixel: [f32; 2]) -> Vec3 {
        [(pixel[0] - self.cx) / self.fx, (pixel[1] - self.cy) / self.fy, 1.0]
    }
}

/// Triangles in camera axes, meters.
#[derive(Clone, Copy)]
pub struct Mesh<'a> {
    /// Vertices.
    pub positions: &'a [Vec3],
    /// Indices of the corners; a face is visible from the side `(p1 - p0) x (p2 - p0)` points to.
    pub faces: &'a [[u32; 3]],
    /// One normal per vertex for smooth surfaces (need not be normalized); without them faces are flat.
    pub normals: Option<&'a [Vec3]>,
}

/// Computes the color of a surface point: linear light toward the camera.
pub type Shader<'a> = dyn Fn(&Surface) -> Rgb + Sync + 'a;

/// A mesh to draw.
#[derive(Clone, Copy)]
pub struct DrawCall<'a> {
    /// The mesh.
    pub mesh: Mesh<'a>,
    /// The object whose visibility is counted; several draw calls may have the same. `None`: scenery.
    pub object: Option<u32>,
    /// Whether faces are visible from behind, too.
    pub two_sided: bool,
    /// Its shader.
    pub shade: &'a Shader<'a>,
}

/// Visibility of one object, counted in samples (four per pixel).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visibility {
    /// Samples in which the object is the nearest.
    pub visible_samples: u64,
    /// Samples inside the image that it would cover if nothing were in front of it.
    pub covered_samples: u64,
    /// Bounding box of the visible samples, exact to a quarter of a pixel.
    pub visible_box: Option<BBox>,
}

impl Visibility {
    /// Visible fraction of the part inside the image, 0 to 1; 0 if it is outside. See [`silhouette()`] for the part beyond the
    /// edges.
    pub fn visible_fraction(&self) -> f32 {
        if self.covered_samples == 0 {
            return 0.0;
        }
        (self.visible_samples as f64 / self.covered_samples as f64) as f32
    }
}

/// The rasterizer with its buffers, which are reused between images.
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

/// Object of each draw call; index 0 is scenery.
#[derive(Default)]
struct Slots {
    objects: Vec<u32>,
    of_draw: Vec<usize>,
    tallies: Vec<resolve::Tally>,
}

/// Triangles of each tile in drawing order.
#[derive(Default)]
struct Bins {
    /// `items[starts[tile]..starts[tile + 1]]`.
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Raster {
    /// Value in [`Raster::objects`] for no object.
    pub const NO_OBJECT: u32 = u32::MAX;

    /// A rasterizer for images of `width` x `height` pixels. Small images (crops) are rendered on the caller's thread, large
    /// ones on rayon's; see [`Raster::parallel`].
    ///
    /// # Panics
    /// If a side is zero or above 8,192.
    pub fn new(width: usize, height: usize) -> Raster {
        assert!((1..=8192).contains(&width) && (1..=8192).contains(&height), "no image of {width}x{height}");
        let pixels = width * height;
        Raster {
            width,
            height,
            parallel: pixels > 256 * 256,
            rgb: vec![0; pixels * 3],
            depth: vec![f32::INFINITY; pixels],
            objects: vec![Self::NO_OBJECT; pixels],
            coverage: vec![0; pixels],
            triangles: Vec::new(),
            projected: Vec::new(),
            bins: Bins::default(),
            bands: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// Whether to use rayon's threads; the image is the same either way.
    pub fn parallel(mut self, parallel: bool) -> Raster {
        self.parallel = parallel;
        self
    }

    /// Renders all draw calls over `background`, which is called with the centers of pixels that are not fully covered.
    pub fn render(
        &mut self,
        camera: &Camera,
        draws: &[DrawCall],
        background: &(dyn Fn([f32; 2]) -> Rgb + Sync),
    ) {
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

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// sRGB, `height * width * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Depth of the nearest sample per pixel, meters; infinity for the background.
    pub fn depth(&self) -> &[f32] {
        &self.depth
    }

    /// Per pixel the object with the most samples in it (of equals the one drawn first), or [`Raster::NO_OBJECT`] if scenery
    /// or background has more.
    pub fn objects(&self) -> &[u32] {
        &self.objects
    }

    /// Number of covered samples per pixel (0 to 4): an alpha channel.
    pub fn coverage(&self) -> &[u8] {
        &self.coverage
    }

    /// Visibility of `object` in the last image.
    pub fn visibility(&self, object: u32) -> Visibility {
        let slot = self.slots.objects.iter().skip(1).position(|&other| other == object);
        slot.map_or(resolve::Tally::default(), |slot| self.slots.tallies[slot + 1]).visibility()
    }
}

impl Slots {
    fn assign(&mut self, draws: &[DrawCall]) {
        self.objects.clear();
        self.objects.push(Raster::NO_OBJECT);
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
    /// Sorts triangles into the tiles that their bounding boxes touch, keeping their order (a counting sort).
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
