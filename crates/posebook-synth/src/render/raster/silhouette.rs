//! Counts the samples that a mesh would cover alone, including the part beyond the image's edges.

use super::setup::{self, Bounds, Projected, Triangle};
use super::tile::{self, Samples};
use super::{Camera, Mesh};
use posebook_core::person::BBox;

/// Extent of a mesh without occlusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silhouette {
    /// Covered samples, four per pixel, inside and outside the image.
    pub samples: u64,
    /// Bounding box of the vertices in front of the camera, pixels, inside and outside the image; `None` if there are none.
    pub bbox: Option<BBox>,
}

/// Maximum distance from the origin, pixels.
const REACH: i32 = 4096;

/// Extent of `mesh` in an image without edges (up to 4,096 pixels from the origin). [`super::Visibility::visible_samples`]
/// divided by `samples` is the visible fraction of a person if the image's edges count as occluders.
pub fn silhouette(camera: &Camera, mesh: &Mesh) -> Silhouette {
    let bounds = Bounds { left: -REACH, top: -REACH, right: REACH, bottom: REACH };
    let (mut projected, mut triangles): (Vec<Projected>, Vec<Triangle>) = (Vec::new(), Vec::new());
    setup::set_up(camera, mesh, false, 0, bounds, &mut projected, &mut triangles);
    let bbox = box_around(camera, mesh);
    let extent = triangles.iter().fold(None, |extent: Option<Bounds>, t| {
        let e = extent.unwrap_or(Bounds { left: t.left, top: t.top, right: t.right, bottom: t.bottom });
        Some(Bounds {
            left: e.left.min(t.left),
            top: e.top.min(t.top),
            right: e.right.max(t.right),
            bottom: e.bottom.max(t.bottom),
        })
    });
    let Some(extent) = extent else { return Silhouette { samples: 0, bbox } };
    let columns = (extent.right - extent.left + tile::WIDTH as i32 - 1) / tile::WIDTH as i32;
    let rows = (extent.bottom - extent.top + tile::HEIGHT as i32 - 1) / tile::HEIGHT as i32;
    let bins = bin(&triangles, extent, columns, rows);
    let mut scratch = Samples::new();
    let mut covered = vec![0u8; tile::WIDTH * tile::HEIGHT];
    let mut samples = 0;
    for (i, items) in bins.iter().enumerate().filter(|(_, items)| !items.is_empty()) {
        let (column, row) = (i as i32 % columns, i as i32 / columns);
        let (left, top) = (extent.left + column * tile::WIDTH as i32, extent.top + row * tile::HEIGHT as i32);
        let bounds =
            Bounds { left, top, right: left + tile::WIDTH as i32, bottom: top + tile::HEIGHT as i32 };
        for &item in items {
            scratch.fill(&triangles[item as usize], item, bounds, &mut covered);
        }
        samples += covered.iter().map(|bits| bits.count_ones() as u64).sum::<u64>();
        covered.fill(0);
    }
    Silhouette { samples, bbox }
}

fn bin(triangles: &[Triangle], extent: Bounds, columns: i32, rows: i32) -> Vec<Vec<u32>> {
    let mut bins = vec![Vec::new(); (columns * rows) as usize];
    let (width, height) = (tile::WIDTH as i32, tile::HEIGHT as i32);
    for (i, t) in triangles.iter().enumerate() {
        for row in (t.top - extent.top) / height..=(t.bottom - 1 - extent.top) / height {
            for column in (t.left - extent.left) / width..=(t.right - 1 - extent.left) / width {
                bins[(row * columns + column) as usize].push(i as u32);
            }
        }
    }
    bins
}

fn box_around(camera: &Camera, mesh: &Mesh) -> Option<BBox> {
    let mut bbox: Option<BBox> = None;
    for &position in mesh.positions.iter().filter(|position| position[2] >= setup::NEAR) {
        let [x, y] = camera.project(position);
        let b = bbox.unwrap_or(BBox { x1: x, y1: y, x2: x, y2: y });
        bbox = Some(BBox { x1: b.x1.min(x), y1: b.y1.min(y), x2: b.x2.max(x), y2: b.y2.max(y) });
    }
    bbox
}
