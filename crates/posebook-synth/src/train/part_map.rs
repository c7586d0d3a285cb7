//! Dense part map of a crop: for each cell of 4 x 4 pixels the visible body part, its depth, and its point on the body at
//! rest.
//!
//! Joints alone are a weak training signal for image features. Dense targets let the backbone learn within some ten
//! thousand crops (dense correspondences, Güler et al. 2018).

use posebook_core::geometry::Vec3;
use posebook_models::body::Body;

/// Side of a cell, pixels.
pub const CELL_PIXELS: usize = 4;
/// Number of classes: background first, then the 24 joints.
pub const PART_COUNT: usize = 25;

/// Cells of a crop, row by row.
#[derive(Debug, Clone)]
pub struct PartMap {
    /// Number of cells in a row, and of rows.
    pub side: usize,
    /// 0: background or another person; otherwise one more than the joint with the highest skinning weight.
    pub parts: Vec<u8>,
    /// Depth relative to the pelvis, meters; 0 outside the person.
    pub depths: Vec<f32>,
    /// Point on the body at rest, meters.
    pub rest_points: Vec<Vec3>,
    nearest: Vec<f32>,
}

/// A projected vertex: x and y in cells, depth in meters.
pub type ProjectedVertex = [f32; 3];

impl PartMap {
    /// An empty map of a crop `pixels` wide.
    pub fn new(pixels: usize) -> PartMap {
        let side = pixels / CELL_PIXELS;
        let cells = side * side;
        PartMap {
            side,
            parts: vec![0; cells],
            depths: vec![0.0; cells],
            rest_points: vec![[0.0; 3]; cells],
            nearest: vec![f32::MAX; cells],
        }
    }

    /// Rasterizes a body. `pelvis` is the depth of its pelvis if it is the crop's person, `None` for another person.
    pub fn rasterize(&mut self, body: &Body, rest: &[Vec3], seen: &[ProjectedVertex], pelvis: Option<f32>) {
        for face in &body.faces {
            let corners = face.map(|vertex| seen[vertex as usize]);
            self.for_each_covered_cell(&corners, |part_map, cell, shares| {
                let depth = (0..3).map(|i| shares[i] * corners[i][2]).sum::<f32>();
                if depth >= part_map.nearest[cell] {
                    return;
                }
                part_map.nearest[cell] = depth;
                match pelvis {
                    Some(pelvis) => {
                        part_map.parts[cell] = 1 + dominant_joint(body, face[0] as usize);
                        part_map.depths[cell] = depth - pelvis;
                        part_map.rest_points[cell] = std::array::from_fn(|axis| {
                            (0..3).map(|i| shares[i] * rest[face[i] as usize][axis]).sum()
                        });
                    }
                    None => {
                        part_map.parts[cell] = 0;
                        part_map.depths[cell] = 0.0;
                        part_map.rest_points[cell] = [0.0; 3];
                    }
                }
            });
        }
    }

    /// Calls `found` for each cell whose center the triangle covers, with barycentric weights.
    fn for_each_covered_cell(
        &mut self,
        corners: &[ProjectedVertex; 3],
        mut found: impl FnMut(&mut PartMap, usize, [f32; 3]),
    ) {
        let [a, b, c] = corners;
        let doubled = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if doubled.abs() < 1e-9 {
            return;
        }
        let range = |axis: usize| {
            let low = corners.iter().map(|corner| corner[axis]).fold(f32::MAX, f32::min);
            let high = corners.iter().map(|corner| corner[axis]).fold(f32::MIN, f32::max);
            let last = self.side as f32;
            ((low - 0.5).ceil().clamp(0.0, last) as usize, (high + 0.5).floor().clamp(0.0, last) as usize)
        };
        let ((left, right), (top, bottom)) = (range(0), range(1));
        for row in top..bottom {
            for column in left..right {
                let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
                let share = |p: &ProjectedVertex, q: &ProjectedVertex| {
                    ((p[0] - x) * (q[1] - y) - (q[0] - x) * (p[1] - y)) / doubled
                };
                let shares = [share(b, c), share(c, a), share(a, b)];
                if shares.iter().all(|share| *share >= 0.0) {
                    found(self, row * self.side + column, shares);
                }
            }
        }
    }
}

/// The joint with the highest skinning weight.
fn dominant_joint(body: &Body, vertex: usize) -> u8 {
    let shares = body.weights.row(vertex).iter();
    shares.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(joint, _)| *joint as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body at rest from the front, 30 cells high.
    fn project(body: &Body, away: f32) -> Vec<ProjectedVertex> {
        body.v_template.iter().map(|v| [16.0 + 16.0 * v[0], 14.0 - 16.0 * v[1], away - v[2]]).collect()
    }

    #[test]
    fn parts_and_depths_of_a_body_are_mapped() {
        let body = Body::built_in();
        let mut part_map = PartMap::new(128);
        part_map.rasterize(&body, &body.v_template, &project(&body, 3.0), Some(3.0));
        let at = |x: f32, y: f32| (14.0 - 16.0 * y) as usize * 32 + (16.0 + 16.0 * x) as usize;
        let hand = body.joint_regressor.combine(&body.v_template)[20];
        assert_eq!(part_map.parts[0], 0);
        assert!([17, 19, 21, 23].contains(&part_map.parts[at(hand[0] - 0.1, hand[1])]));
        let cell = at(0.0, 0.0);
        assert!(
            part_map.depths[cell] < 0.0 && part_map.rest_points[cell][2] > 0.0,
            "the belly is nearer than the pelvis"
        );
        assert!(part_map.parts.iter().filter(|part| **part > 0).count() > 60);
    }

    #[test]
    fn a_nearer_person_occludes() {
        let body = Body::built_in();
        let mut part_map = PartMap::new(128);
        part_map.rasterize(&body, &body.v_template, &project(&body, 3.0), Some(3.0));
        part_map.rasterize(&body, &body.v_template, &project(&body, 2.0), None);
        assert!(part_map.parts.iter().all(|part| *part == 0));
    }
}
