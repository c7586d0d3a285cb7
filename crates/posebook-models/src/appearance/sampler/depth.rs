//! The depth map of a mesh in the crop's camera.
//!
//! In: vertices in the camera's axes and triangles; out: for each of 256 x 256 pixels the depth of the nearest surface, meters.
//! As the renderer of 4D-Humans' texture sampler: pixel centers are at i + 0.5, a pixel belongs to a triangle if its center is
//! inside or on an edge, 1/z is linear, triangles are drawn from both sides, the nearest fragment remains. Fragments nearer
//! than [`NEAR`] or beyond [`FAR`] are dropped one by one. Pixels without a fragment have the depth [`FAR`].

use super::{CROP_SIDE, project};

/// Fragments up to this depth are not drawn, meters.
pub const NEAR: f64 = 0.1;
/// Far plane, meters: points at this depth or beyond are not drawn. Pixels without a surface have this depth.
pub const FAR: f64 = 100.0;

/// Depths of `CROP_SIDE` x `CROP_SIDE` pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    depths: Vec<f32>,
}

/// A vertex in the crop.
#[derive(Debug, Clone, Copy)]
struct Corner {
    /// In pixels, such that the center of pixel i is at i.
    position: [f64; 2],
    inverse_depth: f64,
}

impl DepthMap {
    /// Draws a mesh. Triangles with a vertex at or behind the camera's plane are left out.
    ///
    /// # Panics
    /// If a triangle refers to a vertex that there is not.
    pub fn draw(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> DepthMap {
        let corners: Vec<Corner> = vertices
            .iter()
            .map(|&vertex| {
                let [_, _, z] = vertex.map(f64::from);
                Corner { position: project(vertex.map(f64::from)), inverse_depth: 1.0 / z }
            })
            .collect();
        let mut map = DepthMap { depths: vec![FAR as f32; CROP_SIDE * CROP_SIDE] };
        for face in faces {
            map.draw_face(face.map(|corner| corners[corner as usize]));
        }
        map
    }

    fn draw_face(&mut self, corners: [Corner; 3]) {
        // also false for NaN
        let in_front = |corner: &Corner| corner.inverse_depth > 0.0 && corner.inverse_depth.is_finite();
        if !corners.iter().all(in_front) {
            return;
        }
        let [a, b, c] = corners.map(|corner| corner.position);
        let (ab, ac) = ([b[0] - a[0], b[1] - a[1]], [c[0] - a[0], c[1] - a[1]]);
        let determinant = ab[0] * ac[1] - ab[1] * ac[0];
        if determinant == 0.0 || !determinant.is_finite() {
            return;
        }
        let range = |axis: usize| {
            let low = a[axis].min(b[axis]).min(c[axis]).ceil().max(0.0);
            let high = a[axis].max(b[axis]).max(c[axis]).floor().min(CROP_SIDE as f64 - 1.0);
            if low <= high { low as usize..high as usize + 1 } else { 0..0 }
        };
        let columns = range(0);
        for row in range(1) {
            for column in columns.clone() {
                let (x, y) = (column as f64, row as f64);
                // each weight from its own edge, so that both triangles of an edge decide alike
                let weight = |p: [f64; 2], q: [f64; 2]| {
                    ((p[0] - x) * (q[1] - y) - (p[1] - y) * (q[0] - x)) / determinant
                };
                let weights = [weight(b, c), weight(c, a), weight(a, b)];
                if weights.iter().any(|&weight| weight < 0.0) {
                    continue;
                }
                let inverse: f64 =
                    weights.iter().zip(&corners).map(|(weight, corner)| weight * corner.inverse_depth).sum();
                let depth = weights.iter().sum::<f64>() / inverse;
                let nearest = &mut self.depths[row * CROP_SIDE + column];
                if depth > NEAR && depth < FAR && (depth as f32) < *nearest {
                    *nearest = depth as f32;
                }
            }
        }
    }

    /// The depths, row by row, meters.
    pub fn depths(&self) -> &[f32] {
        &self.depths
    }

    /// The depth at a position in pixels (the center of pixel i is at i), interpolated between four pixels; 0 outside of the
    /// map.
    pub fn interpolated(&self, [x, y]: [f64; 2]) -> f64 {
        let (left, top) = (x.floor(), y.floor());
        let (right_part, lower_part) = (x - left, y - top);
        let value = |column: f64, row: f64| {
            let inside = |index: f64| (0.0..CROP_SIDE as f64).contains(&index);
            match inside(column) && inside(row) {
                true => f64::from(self.depths[row as usize * CROP_SIDE + column as usize]),
                false => 0.0,
            }
        };
        let upper = value(left, top) * (1.0 - right_part) + value(left + 1.0, top) * right_part;
        let lower = value(left, top + 1.0) * (1.0 - right_part) + value(left + 1.0, top + 1.0) * right_part;
        upper * (1.0 - lower_part) + lower * lower_part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A triangle that covers the whole crop at a depth.
    fn covering(depth: f32) -> [[f32; 3]; 3] {
        let far = 0.2 * depth;
        [[-far, -far, depth], [far, -far, depth], [0.0, far, depth]]
    }

    #[test]
    fn the_nearest_triangle_is_drawn_from_either_side() {
        let vertices = [covering(50.0), covering(40.0)].concat();
        for faces in [[[0, 1, 2], [3, 4, 5]], [[0, 2, 1], [5, 4, 3]], [[3, 4, 5], [0, 1, 2]]] {
            let map = DepthMap::draw(&vertices, &faces);
            assert!(map.depths().iter().all(|depth| (depth - 40.0).abs() < 1e-5));
        }
    }

    #[test]
    fn nothing_behind_the_camera_or_beyond_the_far_plane_is_drawn() {
        for depth in [-40.0, 0.0, 0.05, 100.0, 130.0, f32::NAN, f32::INFINITY] {
            let map = DepthMap::draw(&covering(depth), &[[0, 1, 2]]);
            assert!(map.depths().iter().all(|&depth| depth == FAR as f32), "{depth}");
        }
    }

    #[test]
    fn reading_outside_is_zero_and_damped_at_the_border() {
        let map = DepthMap::draw(&[], &[]);
        assert_eq!(map.interpolated([10.25, 20.5]), FAR);
        assert_eq!(map.interpolated([-0.5, 20.0]), FAR / 2.0);
        assert_eq!(map.interpolated([300.0, 20.0]), 0.0);
    }
}
