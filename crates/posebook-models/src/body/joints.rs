//! HMR2's 44 joints: 25 in OpenPose's order and 19 of the original HMR.
//!
//! The first 25 are joints of SMPL's skeleton or single vertices of the face and feet (4D-Humans,
//! `hmr2/models/smpl_wrapper.py`); the other 19 are linear regressions from posed vertices (`SMPL_to_J19`).

use super::SparseMatrix;
use posebook_core::geometry::Vec3;
use posebook_core::person::JOINTS;

/// The source of one of the first 25 joints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JointSource {
    /// A joint of the skeleton.
    Joint(usize),
    /// A vertex of the posed mesh.
    Vertex(usize),
}

/// Names of the vertices in `openpose_vertices`, in their order.
pub const OPENPOSE_VERTEX_NAMES: [&str; 11] = [
    "nose",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
];

/// The same vertices on SMPL's own mesh of 6,890 (smplx, `vertex_ids.py`).
pub(super) const SMPL_VERTICES: [usize; 11] =
    [332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787];

/// OpenPose's neck, right arm, left arm, pelvis, right leg, left leg among SMPL's 24 joints.
const OPENPOSE_JOINTS: [usize; 14] = [12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7];

/// How the 44 joints are computed from a posed body.
#[derive(Debug, Clone, PartialEq)]
pub struct Joints44 {
    /// The first 25.
    pub openpose: [JointSource; 25],
    /// Regressor of the other 19, (19, V): rows in the order right ankle, knee, hip, left hip, knee, ankle, right
    /// wrist, elbow, shoulder, left shoulder, elbow, wrist, neck, crown, pelvis, thorax, spine, jaw, head.
    pub extra: SparseMatrix,
}

impl Joints44 {
    /// From the eleven vertices of [`OPENPOSE_VERTEX_NAMES`] and the regressor of the other 19.
    ///
    /// # Panics
    /// If `extra` has not 19 rows.
    pub fn new(vertices: [usize; 11], extra: SparseMatrix) -> Joints44 {
        assert_eq!(extra.rows(), JOINTS - 25, "rows of the extra regressor");
        let openpose = std::array::from_fn(|joint| match joint {
            0 => JointSource::Vertex(vertices[0]),
            1..=14 => JointSource::Joint(OPENPOSE_JOINTS[joint - 1]),
            _ => JointSource::Vertex(vertices[joint - 14]),
        });
        Joints44 { openpose, extra }
    }

    /// The eleven vertices, in the order of [`OPENPOSE_VERTEX_NAMES`].
    pub fn vertices(&self) -> Vec<usize> {
        let vertices = self.openpose.iter().filter_map(|source| match source {
            JointSource::Vertex(vertex) => Some(*vertex),
            JointSource::Joint(_) => None,
        });
        vertices.collect()
    }

    /// The 44 joints of a posed body, from its 24 joints and its vertices.
    pub fn regress(&self, joints24: &[Vec3], vertices: &[Vec3]) -> Vec<Vec3> {
        let first = self.openpose.iter().map(|source| match *source {
            JointSource::Joint(joint) => joints24[joint],
            JointSource::Vertex(vertex) => vertices[vertex],
        });
        first.chain((0..self.extra.rows()).map(|row| self.extra.combine_row(row, vertices))).collect()
    }
}

/// 4D-Humans' `update_hips`: moves OpenPose's hips (9 and 12) apart by half their distance, and to the height of the
/// pelvis (8). Both are computed from the old values.
pub fn update_hips(joints: &mut [Vec3]) {
    let (pelvis, right, left) = (joints[8], joints[9], joints[12]);
    let moved = |hip: Vec3, other: Vec3| -> Vec3 {
        std::array::from_fn(|axis| {
            let outward = 0.25 * (hip[axis] - other[axis]);
            hip[axis] + outward + 0.5 * (pelvis[axis] - 0.5 * (hip[axis] + other[axis]))
        })
    };
    joints[9] = moved(right, left);
    joints[12] = moved(left, right);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openpose_order() {
        let joints = Joints44::new(SMPL_VERTICES, SparseMatrix::from_dense(&[0.0; 19], 1));
        assert_eq!(joints.openpose[0], JointSource::Vertex(332));
        assert_eq!(joints.openpose[8], JointSource::Joint(0));
        assert_eq!(joints.openpose[15], JointSource::Vertex(6260));
        assert_eq!(joints.openpose[24], JointSource::Vertex(6787));
        assert_eq!(joints.vertices(), SMPL_VERTICES);
    }

    #[test]
    fn hips_move_apart() {
        let mut joints = vec![[0.0; 3]; 13];
        joints[9] = [-0.1, -0.1, 0.0];
        joints[12] = [0.1, -0.1, 0.0];
        update_hips(&mut joints);
        let expected = [[-0.15, -0.05, 0.0], [0.15, -0.05, 0.0]];
        for (joint, expected) in [joints[9], joints[12]].iter().zip(expected) {
            assert!((0..3).all(|axis| (joint[axis] - expected[axis]).abs() < 1e-6), "{joint:?}");
        }
    }
}
