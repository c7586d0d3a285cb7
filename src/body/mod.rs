//! The body: SMPL's format, its forward pass, and the free stand-in for it.
//!
//! A [`Body`] turns ten shape coefficients and 24 rotations into vertices and joints (Loper et al.,
//! "SMPL: A Skinned Multi-Person Linear Model", 2015). It is read from a file in SMPL's format, or it
//! is the stand-in that comes with the program, baked from MakeHuman's CC0 mesh ([`bake`]).
//! Axes in rest pose: x to the body's left, y up, z to the front; metres.
//!
//! Must not know networks, cameras or pictures.

pub mod bake;
mod error;
mod format;
mod joints;
mod pose;
mod region;
mod sparse;
mod standin;
pub mod tensor;
#[cfg(test)]
mod tests;

pub use error::BodyError;
pub use joints::{Joints44, OPENPOSE_VERTICES, Source, update_hips};
pub use pose::Posed;
pub use region::Region;
pub use sparse::Sparse;

use crate::geometry::Vec3;

/// Joints of SMPL's skeleton, the pelvis first.
pub const SKELETON: usize = 24;
/// Shape coefficients.
pub const BETAS: usize = 10;
/// Pose features of the corrective blend shapes: 23 rotations less the identity.
pub const POSE_FEATURES: usize = 207;

/// SMPL's names for its joints, in order.
pub const JOINT_NAMES: [&str; SKELETON] = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
];

/// SMPL's tree. A body read from a file may have another, but each parent must come before its child.
pub const PARENTS: [Option<usize>; SKELETON] = [
    None,
    Some(0),
    Some(0),
    Some(0),
    Some(1),
    Some(2),
    Some(3),
    Some(4),
    Some(5),
    Some(6),
    Some(7),
    Some(8),
    Some(9),
    Some(9),
    Some(9),
    Some(12),
    Some(13),
    Some(14),
    Some(16),
    Some(17),
    Some(18),
    Some(19),
    Some(20),
    Some(21),
];

/// A texture atlas: coordinates of its own corners, since a vertex on a seam has several.
#[derive(Debug, Clone, PartialEq)]
pub struct Uv {
    /// Points of the atlas, u to the right and v up, 0 to 1.
    pub points: Vec<[f32; 2]>,
    /// For each face of the body, the point of each of its corners.
    pub faces: Vec<[u32; 3]>,
}

/// A linearly shaped, linearly skinned body of V vertices and F triangles.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// The mean shape in T-pose (V), metres.
    pub v_template: Vec<Vec3>,
    /// Displacements per shape coefficient, (10, 3V): component by component, the vertices' x, y, z within.
    pub shapedirs: Vec<f32>,
    /// Corrective displacements per pose feature, (207, 3V); `None` where they are all zero.
    pub posedirs: Option<Vec<f32>>,
    /// Joints from shaped vertices, (24, V).
    pub joint_regressor: Sparse,
    /// Share of each joint in each vertex, (V, 24), rows sum to one.
    pub weights: Sparse,
    /// The joint before each joint; the first has none.
    pub parents: [Option<usize>; SKELETON],
    /// Triangles, counter-clockwise seen from outside (F).
    pub faces: Vec<[u32; 3]>,
    /// How HMR2's 44 joints are read off.
    pub joints44: Joints44,
    pub uv: Option<Uv>,
    /// What covers each face (F).
    pub regions: Option<Vec<Region>>,
    /// Joints of the mean shape (24) and their displacements (10 x 24): the regressor applied once.
    rest: pose::RestJoints,
}

impl Body {
    /// Number of vertices.
    pub fn vertex_count(&self) -> usize {
        self.v_template.len()
    }
}
