//! The 19 joints that HMR2 reads off posed vertices, for a body that has no `SMPL_to_J19`.
//!
//! Each is defined by joints and landmarks, then fitted as a non-negative mean of nearby vertices over
//! sampled shapes and poses, so that it stays where it belongs when the body bends.

use super::super::{BETAS, Body, SKELETON, Sparse};
use super::fit::{Case, fit, nearest};
use crate::geometry::{IDENTITY, Mat3, Vec3, add, multiply, norm, scale};
use crate::person::SmplParams;
use crate::random::{Stream, stream};

/// Joints that are SMPL's own: rows of the regressor, and which joint.
const OWN: [(usize, usize); 14] = [
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
const CROWN: usize = 13;
const PELVIS: usize = 14;
const THORAX: usize = 15;
const JAW: usize = 17;
const HEAD: usize = 18;
const SAMPLES: u64 = 40;

/// The (19, V) regressor of `body`, whose own is not looked at.
pub fn fit_extra(body: &Body) -> Sparse {
    let bodies: Vec<Sample> = (0..SAMPLES)
        .map(|sample| Sample::new(body, &mut stream(1, "bake extra joints", &[sample]), sample == 0))
        .collect();
    let crown = crown(body);
    let rows = (0..19).map(|row| {
        if row == CROWN {
            return crown.clone();
        }
        let at_rest = bodies[0].wanted(row, body);
        let candidates = nearest(&bodies[0].vertices, at_rest, 220);
        let cases: Vec<Case> = bodies
            .iter()
            .map(|sample| Case { vertices: &sample.vertices, wanted: sample.wanted(row, body), weight: 1.0 })
            .collect();
        fit(&candidates, &cases)
    });
    Sparse::from_rows(rows.collect(), body.vertex_count())
}

/// The top of the head: the mean of the vertices within two centimetres of its height.
fn crown(body: &Body) -> Vec<(u32, f32)> {
    let top = body.v_template.iter().map(|at| at[1]).fold(f32::MIN, f32::max);
    let near = (0..body.vertex_count()).filter(|&vertex| body.v_template[vertex][1] > top - 0.02);
    let near: Vec<u32> = near.map(|vertex| vertex as u32).collect();
    near.iter().map(|&vertex| (vertex, 1.0 / near.len() as f32)).collect()
}

/// A body of some shape in some pose.
struct Sample {
    vertices: Vec<Vec3>,
    joints: Vec<Vec3>,
}

impl Sample {
    fn new(body: &Body, draws: &mut Stream, at_rest: bool) -> Sample {
        let spread = if at_rest { 0.0 } else { 1.0 };
        let params = SmplParams {
            betas: std::array::from_fn::<f32, BETAS, _>(|_| (spread * draws.normal()) as f32),
            global_orient: IDENTITY,
            body_pose: std::array::from_fn(|joint| bend(draws, spread * bend_of(joint + 1))),
        };
        let posed = body.pose(&params);
        Sample { vertices: posed.vertices, joints: posed.joints24 }
    }

    /// Where row `row` of the regressor belongs in this body.
    fn wanted(&self, row: usize, body: &Body) -> Vec3 {
        let landmarks = body.joints44.vertices();
        let middle = |a: Vec3, b: Vec3| scale(add(a, b), 0.5);
        let ears = middle(self.vertices[landmarks[3]], self.vertices[landmarks[4]]);
        match row {
            PELVIS => middle(self.joints[1], self.joints[2]),
            THORAX => middle(middle(self.joints[16], self.joints[17]), self.joints[12]),
            JAW => middle(self.vertices[landmarks[0]], self.joints[15]),
            HEAD => ears,
            _ => OWN
                .iter()
                .find(|(own, _)| *own == row)
                .map_or(self.joints[0], |(_, joint)| self.joints[*joint]),
        }
    }
}

/// How far each joint bends in the samples, radians.
fn bend_of(joint: usize) -> f64 {
    const STIFF: [usize; 7] = [3, 6, 9, 12, 13, 14, 15];
    debug_assert!(joint < SKELETON);
    if STIFF.contains(&joint) { 0.12 } else { 0.4 }
}

/// A random rotation of about `size` radians.
fn bend(draws: &mut Stream, size: f64) -> Mat3 {
    let axis: Vec3 = std::array::from_fn(|_| draws.normal() as f32);
    let angle = size as f32 * norm(axis);
    let unit = scale(axis, 1.0 / norm(axis).max(1e-6));
    let k = [[0.0, -unit[2], unit[1]], [unit[2], 0.0, -unit[0]], [-unit[1], unit[0], 0.0]];
    let square = multiply(&k, &k);
    let (sine, cosine) = (angle.sin(), angle.cos());
    std::array::from_fn(|i| {
        std::array::from_fn(|j| IDENTITY[i][j] + sine * k[i][j] + (1.0 - cosine) * square[i][j])
    })
}

/// The largest distance, in metres, between the fitted joints that are SMPL's own and those, over
/// `count` random bodies: what the fit leaves.
#[cfg(test)]
pub fn largest_error(body: &Body, count: u64) -> f32 {
    let errors = (0..count).flat_map(|sample| {
        let sample = Sample::new(body, &mut stream(2, "check extra joints", &[sample]), false);
        let joints = body.joints44.extra.points(&sample.vertices);
        OWN.map(|(row, joint)| norm(crate::geometry::sub(joints[row], sample.joints[joint])))
    });
    errors.fold(0.0, f32::max)
}
