//! The forward pass on plain numbers: shape, pose correctives, chain of joints, linear blend skinning.

use super::{BETAS, Body, POSE_FEATURES, SKELETON, Sparse};
use crate::geometry::{Mat3, Vec3, add, apply, multiply, sub};
use crate::person::SmplParams;

/// A body in a pose, before any translation; metres, in SMPL's axes turned by `global_orient`.
#[derive(Debug, Clone, PartialEq)]
pub struct Posed {
    /// (V)
    pub vertices: Vec<Vec3>,
    /// The skeleton (24).
    pub joints24: Vec<Vec3>,
    /// HMR2's joints (44).
    pub joints44: Vec<Vec3>,
}

/// The joint regressor applied to template and shape directions: joints are linear in the betas.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RestJoints {
    /// (24)
    pub template: Vec<Vec3>,
    /// (10, 24)
    pub directions: Vec<Vec<Vec3>>,
}

impl RestJoints {
    pub fn new(regressor: &Sparse, v_template: &[Vec3], shapedirs: &[f32]) -> RestJoints {
        let vertices = v_template.len();
        let component = |k: usize| -> Vec<Vec3> {
            let values = &shapedirs[k * 3 * vertices..(k + 1) * 3 * vertices];
            values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect()
        };
        let directions = (0..BETAS).map(|k| regressor.points(&component(k))).collect();
        RestJoints { template: regressor.points(v_template), directions }
    }

    fn shaped(&self, betas: &[f32; BETAS]) -> [Vec3; SKELETON] {
        std::array::from_fn(|joint| {
            let mut at = self.template[joint];
            for (direction, beta) in self.directions.iter().zip(betas) {
                for axis in 0..3 {
                    at[axis] += beta * direction[joint][axis];
                }
            }
            at
        })
    }
}

/// Rotation and translation of a joint's frame, as a 3x4 matrix by rows.
type Rigid = [[f32; 4]; 3];

impl Body {
    /// Vertices and joints of `params` (Loper et al. 2015, equations 2 to 12).
    pub fn pose(&self, params: &SmplParams) -> Posed {
        let rest_joints = self.rest.shaped(&params.betas);
        let (rotations, joints24) = self.chain(&rest_joints, params);
        // what takes a rest vertex with the joint: x -> R (x - rest) + joint
        let rigids: [Rigid; SKELETON] = std::array::from_fn(|joint| {
            let offset = sub(joints24[joint], apply(&rotations[joint], rest_joints[joint]));
            std::array::from_fn(|row| {
                let r = rotations[joint][row];
                [r[0], r[1], r[2], offset[row]]
            })
        });
        let mut vertices = self.shaped(&params.betas);
        self.correct(&mut vertices, params);
        for (vertex, at) in vertices.iter_mut().enumerate() {
            *at = skin(&rigids, self.weights.row(vertex), *at);
        }
        let joints44 = self.joints44.read(&joints24, &vertices);
        Posed { vertices, joints24: joints24.to_vec(), joints44 }
    }

    /// The rest vertices (V) of a shape.
    pub fn shaped(&self, betas: &[f32; BETAS]) -> Vec<Vec3> {
        let mut vertices = self.v_template.clone();
        let flat = vertices.as_flattened_mut();
        let count = flat.len();
        for (direction, &beta) in self.shapedirs.chunks_exact(count).zip(betas) {
            if beta != 0.0 {
                flat.iter_mut().zip(direction).for_each(|(value, d)| *value += beta * d);
            }
        }
        vertices
    }

    /// The rest joints (24) of a shape.
    pub fn rest_joints(&self, betas: &[f32; BETAS]) -> Vec<Vec3> {
        self.rest.shaped(betas).to_vec()
    }

    /// World rotations and places of the joints.
    fn chain(&self, rest: &[Vec3; SKELETON], params: &SmplParams) -> ([Mat3; SKELETON], [Vec3; SKELETON]) {
        let mut rotations = [params.global_orient; SKELETON];
        let mut places = [rest[0]; SKELETON];
        for joint in 1..SKELETON {
            let parent = self.parents[joint].unwrap_or(0);
            rotations[joint] = multiply(&rotations[parent], &params.body_pose[joint - 1]);
            let bone = apply(&rotations[parent], sub(rest[joint], rest[parent]));
            places[joint] = add(places[parent], bone);
        }
        (rotations, places)
    }

    /// Adds the pose's corrective blend shapes.
    fn correct(&self, vertices: &mut [Vec3], params: &SmplParams) {
        let Some(posedirs) = &self.posedirs else { return };
        let flat = vertices.as_flattened_mut();
        let features = pose_features(params);
        for (direction, &feature) in posedirs.chunks_exact(flat.len()).zip(&features) {
            flat.iter_mut().zip(direction).for_each(|(value, d)| *value += feature * d);
        }
    }

    /// The joints before each joint, for those who draw skeletons: (parent, child).
    pub fn bones(&self) -> Vec<(usize, usize)> {
        (0..SKELETON).filter_map(|joint| Some((self.parents[joint]?, joint))).collect()
    }
}

/// The 23 rotations less the identity, row by row.
fn pose_features(params: &SmplParams) -> [f32; POSE_FEATURES] {
    std::array::from_fn(|i| {
        let (joint, row, column) = (i / 9, i % 9 / 3, i % 3);
        params.body_pose[joint][row][column] - if row == column { 1.0 } else { 0.0 }
    })
}

fn skin(rigids: &[Rigid; SKELETON], weights: &[(u32, f32)], at: Vec3) -> Vec3 {
    let mut blend: Rigid = [[0.0; 4]; 3];
    for &(joint, weight) in weights {
        let rigid = &rigids[joint as usize];
        for row in 0..3 {
            for column in 0..4 {
                blend[row][column] += weight * rigid[row][column];
            }
        }
    }
    blend.map(|row| row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3])
}
