//! Sets up triangles: projection, clipping, culling, and edge equations in fixed point.

use super::{Camera, Mesh};
use posebook_core::geometry::Vec3;

/// Subpixel steps: positions are rounded to 1/256 pixel, so that coverage is integer arithmetic.
pub const FIXED: i32 = 256;
/// Near plane, meters.
pub const NEAR: f32 = 0.1;
/// Guard band: triangles are clipped only beyond this many pixels from the origin.
const GUARD: f32 = 8192.0;
/// Triangles up to this size are tested in 32 bits, larger ones in 64.
const SMALL: i32 = 64 * FIXED;

/// `a * x + b * y + c >= 0` inside; `x`, `y` in 1/[`FIXED`] pixel relative to the triangle's corner.
#[derive(Clone, Copy)]
pub struct Edge {
    pub a: i32,
    pub b: i32,
    pub c: i64,
}

/// A triangle ready for rasterization.
pub struct Triangle {
    pub edges: [Edge; 3],
    /// 1/meter at the top left of the pixel `(left, top)`, and its increments per pixel right and down.
    pub inverse_depth: [f32; 3],
    /// The range of pixels within the image: `left..right`, `top..bottom`.
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
    /// Whether the edge equations fit in 32 bits over the whole triangle.
    pub small: bool,
    pub face: u32,
    pub draw: u32,
}

/// A projected vertex.
#[derive(Clone, Copy)]
pub struct Projected {
    x: i32,
    y: i32,
    inverse_depth: f32,
    needs_clipping: bool,
}

/// A range of pixels: `left..right`, `top..bottom`.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

/// Rounds to the nearest fixed-point step, halves up. The offset makes truncation a floor.
#[inline]
fn snap(pixels: f32) -> i32 {
    const OFFSET: f32 = 16384.0;
    ((pixels + OFFSET) as f64 * FIXED as f64 + 0.5) as i32 - (OFFSET as i32 * FIXED)
}

#[inline]
fn project(camera: &Camera, p: Vec3) -> Projected {
    let inverse_depth = 1.0 / p[2];
    let x = camera.fx * p[0] * inverse_depth + camera.cx;
    let y = camera.fy * p[1] * inverse_depth + camera.cy;
    // written so that NaN counts as outside
    let inside = p[2] >= NEAR && x.abs() <= GUARD && y.abs() <= GUARD;
    if inside {
        Projected { x: snap(x), y: snap(y), inverse_depth, needs_clipping: false }
    } else {
        Projected { x: 0, y: 0, inverse_depth: 0.0, needs_clipping: true }
    }
}

/// Appends every visible triangle of `mesh`, in order, to `triangles`. `projected` is a reused buffer.
pub fn set_up(
    camera: &Camera,
    mesh: &Mesh,
    two_sided: bool,
    draw: u32,
    bounds: Bounds,
    projected: &mut Vec<Projected>,
    triangles: &mut Vec<Triangle>,
) {
    projected.clear();
    projected.extend(mesh.positions.iter().map(|&p| project(camera, p)));
    for (face, corners) in mesh.faces.iter().enumerate() {
        let vertices = corners.map(|corner| projected[corner as usize]);
        let mut push = |corners: [Projected; 3]| {
            if let Some(triangle) = triangle(corners, two_sided, bounds, face as u32, draw) {
                triangles.push(triangle);
            }
        };
        if !vertices.iter().any(|vertex| vertex.needs_clipping) {
            push(vertices);
            continue;
        }
        let (polygon, n) = clip(camera, corners.map(|corner| mesh.positions[corner as usize]));
        for i in 2..n {
            let fan = [polygon[0], polygon[i - 1], polygon[i]].map(|p| project_clipped(camera, p));
            push(fan);
        }
    }
}

/// Projects a point after clipping: inside up to rounding.
fn project_clipped(camera: &Camera, p: Vec3) -> Projected {
    let inverse_depth = 1.0 / p[2];
    let x = (camera.fx * p[0] * inverse_depth + camera.cx).clamp(-GUARD, GUARD);
    let y = (camera.fy * p[1] * inverse_depth + camera.cy).clamp(-GUARD, GUARD);
    Projected { x: snap(x), y: snap(y), inverse_depth, needs_clipping: false }
}

/// Clips a triangle to the near plane and the guard band (Sutherland and Hodgman 1974): up to eight corners and their
/// number. New corners are computed from the inner to the outer vertex, so that neighbors agree to the last bit.
fn clip(camera: &Camera, corners: [Vec3; 3]) -> ([Vec3; 8], usize) {
    let mut polygon = [[0.0; 3]; 8];
    let mut n = 0;
    if corners.iter().flatten().any(|value| !value.is_finite()) {
        return (polygon, n);
    }
    polygon[..3].copy_from_slice(&corners);
    n += 3;
    let planes: [[f32; 4]; 5] = [
        [0.0, 0.0, 1.0, -NEAR],
        [camera.fx, 0.0, GUARD + camera.cx, 0.0],
        [-camera.fx, 0.0, GUARD - camera.cx, 0.0],
        [0.0, camera.fy, GUARD + camera.cy, 0.0],
        [0.0, -camera.fy, GUARD - camera.cy, 0.0],
    ];
    for plane in planes {
        let height = |p: Vec3| plane[0] * p[0] + plane[1] * p[1] + plane[2] * p[2] + plane[3];
        let mut clipped = [[0.0; 3]; 8];
        let mut m = 0;
        for i in 0..n {
            let (from, to) = (polygon[i], polygon[(i + 1) % n]);
            let (a, b) = (height(from), height(to));
            if a >= 0.0 {
                clipped[m] = from;
                m += 1;
            }
            if (a >= 0.0) != (b >= 0.0) {
                clipped[m] = if a >= 0.0 { cut(from, to, a / (a - b)) } else { cut(to, from, b / (b - a)) };
                m += 1;
            }
        }
        (polygon, n) = (clipped, m);
        if n < 3 {
            return (polygon, 0);
        }
    }
    (polygon, n)
}

fn cut(inner: Vec3, outer: Vec3, t: f32) -> Vec3 {
    std::array::from_fn(|i| inner[i] + (outer[i] - inner[i]) * t)
}

#[inline]
fn triangle(
    corners: [Projected; 3],
    two_sided: bool,
    bounds: Bounds,
    face: u32,
    draw: u32,
) -> Option<Triangle> {
    let [p0, mut p1, mut p2] = corners;
    let area = |p1: &Projected, p2: &Projected| {
        (p1.x - p0.x) as i64 * (p2.y - p0.y) as i64 - (p2.x - p0.x) as i64 * (p1.y - p0.y) as i64
    };
    // y points down and z forward: a face turned toward the camera has a negative area
    let mut twice_area = area(&p1, &p2);
    if twice_area == 0 || (twice_area > 0 && !two_sided) {
        return None;
    }
    if twice_area < 0 {
        (p1, p2) = (p2, p1);
        twice_area = -twice_area;
    }
    let (min_x, max_x) = (p0.x.min(p1.x).min(p2.x), p0.x.max(p1.x).max(p2.x));
    let (min_y, max_y) = (p0.y.min(p1.y).min(p2.y), p0.y.max(p1.y).max(p2.y));
    let left = min_x.div_euclid(FIXED).max(bounds.left);
    let right = (max_x.div_euclid(FIXED) + 1).min(bounds.right);
    let top = min_y.div_euclid(FIXED).max(bounds.top);
    let bottom = (max_y.div_euclid(FIXED) + 1).min(bounds.bottom);
    if left >= right || top >= bottom {
        return None;
    }
    let (origin_x, origin_y) = (left * FIXED, top * FIXED);
    let edge = |from: &Projected, to: &Projected| {
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        // a sample exactly on a shared edge belongs to the triangle for which it is a top or left edge
        let owned = (dy == 0 && dx > 0) || dy < 0;
        let c = dx as i64 * (origin_y - from.y) as i64 - dy as i64 * (origin_x - from.x) as i64;
        Edge { a: -dy, b: dx, c: if owned { c } else { c - 1 } }
    };
    Some(Triangle {
        edges: [edge(&p0, &p1), edge(&p1, &p2), edge(&p2, &p0)],
        inverse_depth: depth_plane([p0, p1, p2], twice_area, origin_x, origin_y),
        left,
        top,
        right,
        bottom,
        small: max_x - min_x <= SMALL && max_y - min_y <= SMALL,
        face,
        draw,
    })
}

/// Plane through the inverse depths of three rounded vertices: value at the origin, increments per pixel right and down.
#[inline]
fn depth_plane([p0, p1, p2]: [Projected; 3], twice_area: i64, origin_x: i32, origin_y: i32) -> [f32; 3] {
    let d1 = (p1.inverse_depth - p0.inverse_depth) as f64;
    let d2 = (p2.inverse_depth - p0.inverse_depth) as f64;
    let scale = 1.0 / twice_area as f64;
    let right = (d1 * (p2.y - p0.y) as f64 - d2 * (p1.y - p0.y) as f64) * scale;
    let down = (d2 * (p1.x - p0.x) as f64 - d1 * (p2.x - p0.x) as f64) * scale;
    let at_origin =
        p0.inverse_depth as f64 + right * (origin_x - p0.x) as f64 + down * (origin_y - p0.y) as f64;
    [at_origin as f32, (right * FIXED as f64) as f32, (down * FIXED as f64) as f32]
}

/// Maximum height of a surface over each cell of a `size` x `size` grid, seen from above. `points` are column, row (in
/// cells) and height; faces turned away are skipped. Cells without a surface keep their value.
pub fn depth_from_above(points: &[Vec3], faces: &[[u32; 3]], size: usize, heights: &mut [f32]) {
    let bounds = Bounds { left: 0, top: 0, right: size as i32, bottom: size as i32 };
    for face in faces {
        let corners = face.map(|corner| {
            let [x, y, height] = points[corner as usize];
            Projected { x: snap(x), y: snap(y), inverse_depth: height, needs_clipping: false }
        });
        let Some(t) = triangle(corners, false, bounds, 0, 0) else { continue };
        let center = (FIXED / 2) as i64;
        for y in t.top..t.bottom {
            for x in t.left..t.right {
                let (dx, dy) = (x - t.left, y - t.top);
                let (fx, fy) = ((dx * FIXED) as i64 + center, (dy * FIXED) as i64 + center);
                if t.edges.iter().all(|e| e.a as i64 * fx + e.b as i64 * fy + e.c >= 0) {
                    let [base, right, down] = t.inverse_depth;
                    let height = base + right * (dx as f32 + 0.5) + down * (dy as f32 + 0.5);
                    let cell = &mut heights[y as usize * size + x as usize];
                    *cell = cell.max(height);
                }
            }
        }
    }
}
