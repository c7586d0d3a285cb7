//! A regressor for HMR2's 19 extra joints, for a body that has no `SMPL_to_J19`.
//!
//! Each joint is defined by SMPL joints and landmarks, and then fitted as a convex combination of nearby vertices
//! over sampled shapes and poses, so that it follows the body.

use super::super::{Body, NUM_BETAS, NUM_JOINTS, SparseMatrix};
use super::joint_fit::{Case, fit, nearest};
use posebook_core::geometry::{IDENTITY, Mat3, Vec3, add, multiply, norm, scale};
use posebook_core::person::SmplParams;
use posebook_core::random::{RandomStream, stream};

/// Extra joints that are SMPL joints: (row of the regressor, SMPL joint).
const SMPL_JOINTS: [(usize, usize); 14] = [
    (0, 8),
    (1, 5),
    (2, 2),
    (3, 1),
    (4, 4),
    (5, 7),
    (6, 21),
    (7, 19),
    (8, 17),
    (9, 16),
    (10, 18),
    (11, 20),
    (12, 12),
    (16, 6),
];
const CRSMPL_JOINTS: usize = 13;
const PELVIS: usize = 14;
const THORAX: usize = 15;
const JAW: usize = 17;
const HEAD: usize = 18;
const SAMPLES: u64 = 40;

/// The (19, V) regressor for `body`; the body's own is ignored.
pub fn fit_extra(body: &Body) -> SparseMatrix {
    let bodies: Vec<Sample> = (0..SAMPLES)
        .map(|sample| Sample::new(body, &mut stream(1, "bake extra joints", &[sample]), sample == 0))
        .collect();
    let crown = crown(body);
    let rows = (0..19).map(|row| {
        if row == CRSMPL_JOINTS {
            return crown.clone();
        }
        let at_rest = bodies[0].target(row, body);
        let candidates = nearest(&bodies[0].vertices, at_rest, 220);
        let cases: Vec<Case> = bodies
            .iter()
            .map(|sample| Case { vertices: &sample.vertices, target: sample.target(row, body), weight: 1.0 })
            .collect();
        fit(&candidates, &cases)
    });
    SparseMatrix::from_rows(rows.collect(), body.vertex_count())
}

/// The top of the head: the mean of the vertices within two centimeters of its height.
fn crown(body: &Body) -> Vec<(u32, f32)> {
    let top = body.v_template.iter().map(|vertex| vertex[1]).fold(f32::MIN, f32::max);
    let near = (0..body.vertex_count()).filter(|&vertex| body.v_template[vertex][1] > top - 0.02);
    let near: Vec<u32> = near.map(|vertex| vertex as u32).collect();
    near.iter().map(|&vertex| (vertex, 1.0 / near.len() as f32)).collect()
}

/// A body of a random shape in a random pose.
struct Sample {
    vertices: Vec<Vec3>,
    joints: Vec<Vec3>,
}

impl Sample {
    fn new(body: &Body, draws: &mut RandomStream, at_rest: bool) -> Sample {
        let spread = if at_rest { 0.0 } else { 1.0 };
        let params = SmplParams {
            betas: std::array::from_fn::<f32, NUM_BETAS, _>(|_| (spread * draws.normal()) as f32),
            global_orient: IDENTITY,
            body_pose: std::array::from_fn(|joint| random_rotation(draws, spread * bend_angle(joint + 1))),
        };
        let posed = body.pose(&params);
        Sample { vertices: posed.vertices, joints: posed.joints24 }
    }

    /// The position of the joint of row `row` in this body.
    fn target(&self, row: usize, body: &Body) -> Vec3 {
        let landmarks = body.joints44.vertices();
        let midpoint = |a: Vec3, b: Vec3| scale(add(a, b), 0.5);
        let ears = midpoint(self.vertices[landmarks[3]], self.vertices[landmarks[4]]);
        match row {
            PELVIS => midpoint(self.joints[1], self.joints[2]),
            THORAX => midpoint(midpoint(self.joints[16], self.joints[17]), self.joints[12]),
            JAW => midpoint(self.vertices[landmarks[0]], self.joints[15]),
            HEAD => ears,
            _ => SMPL_JOINTS
                .iter()
                .find(|(extra, _)| *extra == row)
                .map_or(self.joints[0], |(_, joint)| self.joints[*joint]),
        }
    }
}

/// Typical rotation angle of each joint in the samples, radians.
fn bend_angle(joint: usize) -> f64 {
    const STIFF: [usize; 7] = [3, 6, 9, 12, 13, 14, 15];
    debug_assert!(joint < NUM_JOINTS);
    if STIFF.contains(&joint) { 0.12 } else { 0.4 }
}

/// A random rotation by about `typical_angle` radians.
fn random_rotation(draws: &mut RandomStream, typical_angle: f64) -> Mat3 {
    let axis: Vec3 = std::array::from_fn(|_| draws.normal() as f32);
    let angle = typical_angle as f32 * norm(axis);
    let unit = scale(axis, 1.0 / norm(axis).max(1e-6));
    let k = [[0.0, -unit[2], unit[1]], [unit[2], 0.0, -unit[0]], [-unit[1], unit[0], 0.0]];
    let square = multiply(&k, &k);
    let (sine, cosine) = (angle.sin(), angle.cos());
    std::array::from_fn(|i| {
        std::array::from_fn(|j| IDENTITY[i][j] + sine * k[i][j] + (1.0 - cosine) * square[i][j])
    })
}

/// The largest error of the fit over `count` random bodies, meters: the distance between a fitted joint and its SMPL
/// joint.
#[cfg(test)]
pub fn largest_error(body: &Body, count: u64) -> f32 {
    let errors = (0..count).flat_map(|sample| {
        let sample = Sample::new(body, &mut stream(2, "check extra joints", &[sample]), false);
        let joints = body.joints44.extra.combine(&sample.vertices);
        SMPL_JOINTS.map(|(row, joint)| norm(posebook_core::geometry::sub(joints[row], sample.joints[joint])))
    });
    errors.fold(0.0, f32::max)
}
