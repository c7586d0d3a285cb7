//! SMPL bodies: the file format, the forward pass, and the free built-in body.
//!
//! In: ten shape coefficients (betas) and 24 rotations; out: vertices and joints (Loper et al., "SMPL: A Skinned
//! Multi-Person Linear Model", 2015). A [`Body`] is read from a file in SMPL's format, or it is the built-in body,
//! baked from MakeHuman's CC0 mesh ([`bake`]). Axes in the rest pose: x to the body's left, y up, z to the front;
//! meters. Does not depend on networks, cameras or images.

pub mod bake;
mod batched;
mod built_in;
mod error;
mod format;
mod joints;
mod pose;
mod region;
mod sparse;
#[cfg(test)]
mod tests;

pub use batched::{BatchedBody, PosedBatch};
pub use error::BodyError;
pub use joints::{JointSource, Joints44, OPENPOSE_VERTEX_NAMES, update_hips};
pub use pose::PosedBody;
pub use region::Region;
pub use sparse::SparseMatrix;

use posebook_core::geometry::Vec3;

/// Number of joints of SMPL's skeleton; the pelvis is the first.
pub const NUM_JOINTS: usize = 24;
/// Number of shape coefficients.
pub const NUM_BETAS: usize = 10;
/// Number of features of the pose blend shapes: 23 rotation matrices minus the identity.
pub const NUM_POSE_FEATURES: usize = 207;

/// SMPL's names for its joints, in order.
pub const JOINT_NAMES: [&str; NUM_JOINTS] = [
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

/// SMPL's kinematic tree: the parent of each joint. A body from a file may have another tree in which parents precede
/// their children.
pub const PARENTS: [Option<usize>; NUM_JOINTS] = [
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

/// A UV map. It has its own points, since a vertex on a seam has several.
#[derive(Debug, Clone, PartialEq)]
pub struct Uv {
    /// UV points, u to the right and v up, 0 to 1.
    pub points: Vec<[f32; 2]>,
    /// For each face of the body, the index of each corner's point.
    pub faces: Vec<[u32; 3]>,
}

/// An SMPL body of V vertices and F triangles.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// The mean shape in T-pose (V), meters.
    pub v_template: Vec<Vec3>,
    /// Shape blend shapes, (10, 3V): for each coefficient the vertices' displacements x, y, z.
    pub shapedirs: Vec<f32>,
    /// Pose blend shapes, (207, 3V): displacements per pose feature; `None` where they are all zero.
    pub posedirs: Option<Vec<f32>>,
    /// Joint regressor: rest joints from shaped vertices, (24, V).
    pub joint_regressor: SparseMatrix,
    /// Skinning weights of each vertex, (V, 24); rows sum to one.
    pub weights: SparseMatrix,
    /// The parent of each joint; the first has none.
    pub parents: [Option<usize>; NUM_JOINTS],
    /// Triangles, counter-clockwise seen from outside (F).
    pub faces: Vec<[u32; 3]>,
    /// How HMR2's 44 joints are computed.
    pub joints44: Joints44,
    /// The UV map.
    pub uv: Option<Uv>,
    /// The surface region of each face (F).
    pub regions: Option<Vec<Region>>,
    /// The joint regressor applied to template and shape blend shapes.
    rest: pose::RestJoints,
}

impl Body {
    /// Number of vertices.
    pub fn vertex_count(&self) -> usize {
        self.v_template.len()
    }
}
