//! SMPL's forward pass for one body: shape blend shapes, pose blend shapes, forward kinematics, linear blend skinning
//! (LBS).

use super::{Body, NUM_BETAS, NUM_JOINTS, NUM_POSE_FEATURES, SparseMatrix};
use posebook_core::geometry::{Mat3, Vec3, add, apply, multiply, sub};
use posebook_core::person::SmplParams;

/// A posed body before any translation; meters, in SMPL's axes rotated by `global_orient`.
#[derive(Debug, Clone, PartialEq)]
pub struct PosedBody {
    /// Vertices (V).
    pub vertices: Vec<Vec3>,
    /// Joints of SMPL's skeleton (24).
    pub joints24: Vec<Vec3>,
    /// HMR2's joints (44).
    pub joints44: Vec<Vec3>,
}

/// The joint regressor applied to the template and the shape blend shapes: rest joints are linear in the betas.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RestJoints {
    /// Joints of the mean shape (24).
    pub template: Vec<Vec3>,
    /// Displacements per shape coefficient (10, 24).
    pub directions: Vec<Vec<Vec3>>,
}

impl RestJoints {
    pub fn new(regressor: &SparseMatrix, v_template: &[Vec3], shapedirs: &[f32]) -> RestJoints {
        let vertices = v_template.len();
        let component = |k: usize| -> Vec<Vec3> {
            let values = &shapedirs[k * 3 * vertices..(k + 1) * 3 * vertices];
            values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect()
        };
        let directions = (0..NUM_BETAS).map(|k| regressor.combine(&component(k))).collect();
        RestJoints { template: regressor.combine(v_template), directions }
    }

    fn for_shape(&self, betas: &[f32; NUM_BETAS]) -> [Vec3; NUM_JOINTS] {
        std::array::from_fn(|joint| {
            let mut position = self.template[joint];
            for (direction, beta) in self.directions.iter().zip(betas) {
                for axis in 0..3 {
                    position[axis] += beta * direction[joint][axis];
                }
            }
            position
        })
    }
}

/// Rotation and translation of a joint's frame, as a 3x4 matrix by rows.
type RigidTransform = [[f32; 4]; 3];

impl Body {
    /// Poses the body: vertices and joints for `params` (Loper et al. 2015, equations 2 to 12).
    pub fn pose(&self, params: &SmplParams) -> PosedBody {
        let rest_joints = self.rest.for_shape(&params.betas);
        let (rotations, joints24) = self.forward_kinematics(&rest_joints, params);
        // moves a rest vertex with the joint: x -> R (x - rest) + joint
        let transforms: [RigidTransform; NUM_JOINTS] = std::array::from_fn(|joint| {
            let offset = sub(joints24[joint], apply(&rotations[joint], rest_joints[joint]));
            std::array::from_fn(|row| {
                let r = rotations[joint][row];
                [r[0], r[1], r[2], offset[row]]
            })
        });
        let mut vertices = self.shape_vertices(&params.betas);
        self.add_pose_correctives(&mut vertices, params);
        for (index, vertex) in vertices.iter_mut().enumerate() {
            *vertex = skin_vertex(&transforms, self.weights.row(index), *vertex);
        }
        let joints44 = self.joints44.regress(&joints24, &vertices);
        PosedBody { vertices, joints24: joints24.to_vec(), joints44 }
    }

    /// The rest-pose vertices (V) of a shape.
    pub fn shape_vertices(&self, betas: &[f32; NUM_BETAS]) -> Vec<Vec3> {
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

    /// The rest-pose joints (24) of a shape.
    pub fn rest_joints(&self, betas: &[f32; NUM_BETAS]) -> Vec<Vec3> {
        self.rest.for_shape(betas).to_vec()
    }

    /// World rotations and positions of the joints.
    fn forward_kinematics(
        &self,
        rest: &[Vec3; NUM_JOINTS],
        params: &SmplParams,
    ) -> ([Mat3; NUM_JOINTS], [Vec3; NUM_JOINTS]) {
        let mut rotations = [params.global_orient; NUM_JOINTS];
        let mut positions = [rest[0]; NUM_JOINTS];
        for joint in 1..NUM_JOINTS {
            let parent = self.parents[joint].unwrap_or(0);
            rotations[joint] = multiply(&rotations[parent], &params.body_pose[joint - 1]);
            let bone = apply(&rotations[parent], sub(rest[joint], rest[parent]));
            positions[joint] = add(positions[parent], bone);
        }
        (rotations, positions)
    }

    /// Adds the pose blend shapes to vertices (V).
    fn add_pose_correctives(&self, vertices: &mut [Vec3], params: &SmplParams) {
        let Some(posedirs) = &self.posedirs else { return };
        let flat = vertices.as_flattened_mut();
        let features = pose_features(params);
        for (direction, &feature) in posedirs.chunks_exact(flat.len()).zip(&features) {
            flat.iter_mut().zip(direction).for_each(|(value, d)| *value += feature * d);
        }
    }
}

/// The 23 body rotations minus the identity, row by row.
fn pose_features(params: &SmplParams) -> [f32; NUM_POSE_FEATURES] {
    std::array::from_fn(|i| {
        let (joint, row, column) = (i / 9, i % 9 / 3, i % 3);
        params.body_pose[joint][row][column] - if row == column { 1.0 } else { 0.0 }
    })
}

/// Linear blend skinning of one vertex.
fn skin_vertex(transforms: &[RigidTransform; NUM_JOINTS], weights: &[(u32, f32)], vertex: Vec3) -> Vec3 {
    let mut blend: RigidTransform = [[0.0; 4]; 3];
    for &(joint, weight) in weights {
        let transform = &transforms[joint as usize];
        for row in 0..3 {
            for column in 0..4 {
                blend[row][column] += weight * transform[row][column];
            }
        }
    }
    blend.map(|row| row[0] * vertex[0] + row[1] * vertex[1] + row[2] * vertex[2] + row[3])
}
