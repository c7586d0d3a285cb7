//! SMPL's 24 joints on MakeHuman's rig, and the conversion of its A-pose to SMPL's T-pose.

use super::super::{BodyError, NUM_JOINTS, PARENTS, SparseMatrix};
use super::source::{BODY_VERTICES, Bone};
use posebook_core::geometry::{IDENTITY, Mat3, Vec3, add, apply, cross, dot, multiply, norm, scale, sub};
use std::path::Path;

/// The rig's bone for each SMPL joint.
const BONES: [&str; NUM_JOINTS] = [
    "pelvis",
    "thigh_l",
    "thigh_r",
    "spine_01",
    "calf_l",
    "calf_r",
    "spine_02",
    "foot_l",
    "foot_r",
    "spine_03",
    "ball_l",
    "ball_r",
    "neck_01",
    "clavicle_l",
    "clavicle_r",
    "head",
    "upperarm_l",
    "upperarm_r",
    "lowerarm_l",
    "lowerarm_r",
    "hand_l",
    "hand_r",
    "middle_01_l",
    "middle_01_r",
];

/// Joints of the arms whose bone to the next joint is aligned with x: (joint, next joint, sign of x).
const ARMS: [(usize, usize, f32); 6] =
    [(16, 18, 1.0), (17, 19, -1.0), (18, 20, 1.0), (19, 21, -1.0), (20, 22, 1.0), (21, 23, -1.0)];

/// The skeleton of the full mesh; its joints are linear in the vertices.
pub struct Skeleton {
    /// The vertices whose mean is each joint.
    heads: Vec<Vec<u32>>,
    /// Skinning weights, (13380, 24).
    pub weights: SparseMatrix,
    /// World rotation of each joint from A-pose to T-pose.
    rotations: [Mat3; NUM_JOINTS],
}

impl Skeleton {
    /// Maps the rig's bones to SMPL's joints and computes the rotations that bring `neutral` to T-pose.
    ///
    /// # Errors
    /// If a bone is missing.
    pub fn new(bones: &[Bone], neutral: &[Vec3], source: &Path) -> Result<Skeleton, BodyError> {
        let missing = |name: &str| BodyError::Bake {
            path: source.to_path_buf(),
            reason: format!("the rig has no bone `{name}`"),
        };
        let mut heads = Vec::new();
        for name in BONES {
            let bone = bones.iter().find(|bone| bone.name == name).ok_or_else(|| missing(name))?;
            heads.push(bone.head.clone());
        }
        let mut dense = vec![0f32; BODY_VERTICES * NUM_JOINTS];
        for bone in bones {
            let joint = joint_of(bone, bones);
            for &(vertex, weight) in bone.weights.iter().filter(|(v, _)| (*v as usize) < BODY_VERTICES) {
                dense[vertex as usize * NUM_JOINTS + joint] += weight;
            }
        }
        for row in dense.chunks_exact_mut(NUM_JOINTS) {
            keep_largest(row, 4);
        }
        let weights = SparseMatrix::from_dense(&dense, NUM_JOINTS);
        let mut skeleton = Skeleton { heads, weights, rotations: [IDENTITY; NUM_JOINTS] };
        skeleton.rotations = t_pose_rotations(&skeleton.joints(neutral));
        Ok(skeleton)
    }

    /// The 24 joints of a person in A-pose.
    pub fn joints(&self, vertices: &[Vec3]) -> Vec<Vec3> {
        let mean = |head: &Vec<u32>| {
            let sum = head.iter().fold([0.0; 3], |sum, vertex| add(sum, vertices[*vertex as usize]));
            scale(sum, 1.0 / head.len() as f32)
        };
        self.heads.iter().map(mean).collect()
    }

    /// The body's vertices and joints in T-pose, the pelvis at the origin. Linear in `vertices`, because the
    /// rotations are the same for all people.
    pub fn t_pose(&self, vertices: &[Vec3]) -> (Vec<Vec3>, Vec<Vec3>) {
        let rest = self.joints(vertices);
        let mut positions = vec![[0.0; 3]; NUM_JOINTS];
        for joint in 1..NUM_JOINTS {
            let parent = PARENTS[joint].unwrap_or(0);
            positions[joint] =
                add(positions[parent], apply(&self.rotations[parent], sub(rest[joint], rest[parent])));
        }
        let skin = |vertex: usize| {
            let mut position = [0.0; 3];
            for &(joint, weight) in self.weights.row(vertex) {
                let joint = joint as usize;
                let moved =
                    add(apply(&self.rotations[joint], sub(vertices[vertex], rest[joint])), positions[joint]);
                position = add(position, scale(moved, weight));
            }
            position
        };
        ((0..BODY_VERTICES).map(skin).collect(), positions)
    }
}

/// The SMPL joint that a bone moves with: its own, or that of its nearest ancestor. All fingers but the thumb belong
/// to SMPL's hand joint.
fn joint_of(bone: &Bone, bones: &[Bone]) -> usize {
    let smpl_joint = |name: &str| BONES.iter().position(|bone| *bone == name);
    let is_finger = ["index", "middle", "ring", "pinky"].iter().any(|finger| bone.name.starts_with(finger));
    if is_finger {
        return if bone.name.ends_with("_l") { 22 } else { 23 };
    }
    let mut current = Some(bone);
    while let Some(bone) = current {
        if let Some(joint) = smpl_joint(&bone.name) {
            return joint;
        }
        current = bone.parent.as_ref().and_then(|parent| bones.iter().find(|bone| bone.name == *parent));
    }
    0
}

/// Keeps the `count` largest weights of a row and normalizes their sum to one.
fn keep_largest(row: &mut [f32], count: usize) {
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let threshold = sorted[count - 1].max(0.01);
    row.iter_mut().filter(|weight| **weight < threshold).for_each(|weight| *weight = 0.0);
    let sum: f32 = row.iter().sum();
    if sum > 0.0 {
        row.iter_mut().for_each(|weight| *weight /= sum);
    } else {
        row[0] = 1.0;
    }
}

/// World rotations of the joints that align both arms with x; other joints follow their parent.
fn t_pose_rotations(rest: &[Vec3]) -> [Mat3; NUM_JOINTS] {
    let mut rotations = [IDENTITY; NUM_JOINTS];
    for joint in 1..NUM_JOINTS {
        rotations[joint] = rotations[PARENTS[joint].unwrap_or(0)];
        if let Some(&(_, next, side)) = ARMS.iter().find(|(arm, _, _)| *arm == joint) {
            let bone = apply(&rotations[joint], sub(rest[next], rest[joint]));
            rotations[joint] = multiply(&align(bone, [side, 0.0, 0.0]), &rotations[joint]);
        }
    }
    rotations
}

/// The smallest rotation of the direction of `from` to the unit vector `to`.
fn align(from: Vec3, to: Vec3) -> Mat3 {
    let from = scale(from, 1.0 / norm(from));
    let axis = cross(from, to);
    let cosine = dot(from, to);
    // Rodrigues' formula with sine and cosine from the vectors; opposite vectors do not occur on arms
    let k = [[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]];
    let square = multiply(&k, &k);
    std::array::from_fn(|i| std::array::from_fn(|j| IDENTITY[i][j] + k[i][j] + square[i][j] / (1.0 + cosine)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::transpose;

    fn is_rotation(m: &Mat3) -> bool {
        let product = multiply(m, &transpose(m));
        (0..3).all(|i| (0..3).all(|j| (product[i][j] - IDENTITY[i][j]).abs() < 1e-5))
    }

    #[test]
    fn align_rotates_one_vector_onto_another() {
        let from = [0.3, -0.8, 0.2];
        let rotation = align(from, [1.0, 0.0, 0.0]);
        assert!(is_rotation(&rotation));
        let rotated = apply(&rotation, scale(from, 1.0 / norm(from)));
        assert!((rotated[0] - 1.0).abs() < 1e-5, "{rotated:?}");
    }

    #[test]
    fn the_largest_weights_are_kept() {
        let mut row = [0.3, 0.2, 0.005, 0.1, 0.25, 0.145];
        keep_largest(&mut row, 4);
        assert_eq!(row.iter().filter(|weight| **weight > 0.0).count(), 4);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
