//! Measurements of a body at rest that motion needs: joints and the height of the soles.
//!
//! Does not depend on clothes or cameras.

use super::rotation::{V3, length, sub};
use posebook_core::geometry::IDENTITY;
use posebook_core::person::SmplParams;
use posebook_models::body::Body;

/// SMPL's 24 joints by name, in its order.
pub mod joint {
    /// Root joint.
    pub const PELVIS: usize = 0;
    /// Hips.
    pub const HIPS: [usize; 2] = [1, 2];
    /// Knees.
    pub const KNEES: [usize; 2] = [4, 5];
    /// The three spine joints, from the pelvis upwards.
    pub const SPINE: [usize; 3] = [3, 6, 9];
    /// Ankles.
    pub const ANKLES: [usize; 2] = [7, 8];
    /// Balls of the feet.
    pub const FEET: [usize; 2] = [10, 11];
    /// Neck.
    pub const NECK: usize = 12;
    /// Collar bones.
    pub const COLLARS: [usize; 2] = [13, 14];
    /// Head.
    pub const HEAD: usize = 15;
    /// Shoulders.
    pub const SHOULDERS: [usize; 2] = [16, 17];
    /// Elbows.
    pub const ELBOWS: [usize; 2] = [18, 19];
    /// Wrists.
    pub const WRISTS: [usize; 2] = [20, 21];
}

/// A body's joints at rest (SMPL's T-pose, y up, facing +z, x to its left). Pairs are left, right.
#[derive(Debug, Clone, PartialEq)]
pub struct RestSkeleton {
    /// The 24 joints at rest, meters.
    pub joints: [V3; 24],
    /// Height of the lowest point at rest, in the same axes.
    pub sole: f64,
}

impl RestSkeleton {
    /// From the 24 joints at rest and the height of the soles.
    ///
    /// # Panics
    /// If there are not 24 joints.
    fn from_rest(joints: &[[f32; 3]], sole: f32) -> RestSkeleton {
        assert_eq!(joints.len(), 24, "a skeleton has SMPL's 24 joints");
        let joints = std::array::from_fn(|i| joints[i].map(f64::from));
        RestSkeleton { joints, sole: f64::from(sole) }
    }

    /// From `body` with the shape `betas`.
    pub fn from_body(body: &Body, betas: &[f32; 10]) -> RestSkeleton {
        let rest = SmplParams { betas: *betas, global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let posed = body.pose(&rest);
        let sole = posed.vertices.iter().fold(f32::INFINITY, |lowest, v| lowest.min(v[1]));
        RestSkeleton::from_rest(&posed.joints24, sole)
    }

    /// Vector from joint `from` to joint `to` at rest, meters.
    pub fn bone(&self, from: usize, to: usize) -> V3 {
        sub(self.joints[to], self.joints[from])
    }

    /// Lengths of thigh and shank of a `side` (0 left, 1 right), meters.
    pub fn leg(&self, side: usize) -> [f64; 2] {
        let knee = joint::KNEES[side];
        [length(self.bone(joint::HIPS[side], knee)), length(self.bone(knee, joint::ANKLES[side]))]
    }

    /// Length of a stretched leg from hip to ankle, mean of both sides.
    pub fn leg_length(&self) -> f64 {
        [0, 1].map(|side| self.leg(side).iter().sum::<f64>()).iter().sum::<f64>() / 2.0
    }

    /// Height of an ankle above the sole of a flat foot.
    pub fn ankle_height(&self, side: usize) -> f64 {
        self.joints[joint::ANKLES[side]][1] - self.sole
    }
}

#[cfg(test)]
pub fn average() -> RestSkeleton {
    // approximately an adult of 1.72 m
    let left = [
        [0.0, 0.93, 0.0],
        [0.08, 0.86, 0.0],
        [-0.08, 0.86, 0.0],
        [0.0, 1.05, -0.01],
        [0.1, 0.47, 0.01],
        [-0.1, 0.47, 0.01],
        [0.0, 1.18, 0.0],
        [0.1, 0.08, -0.03],
        [-0.1, 0.08, -0.03],
        [0.0, 1.24, 0.01],
        [0.11, 0.03, 0.09],
        [-0.11, 0.03, 0.09],
        [0.0, 1.45, -0.02],
        [0.07, 1.36, -0.02],
        [-0.07, 1.36, -0.02],
        [0.0, 1.54, 0.02],
        [0.17, 1.38, -0.02],
        [-0.17, 1.38, -0.02],
        [0.43, 1.37, -0.03],
        [-0.43, 1.37, -0.03],
        [0.68, 1.37, -0.03],
        [-0.68, 1.37, -0.03],
        [0.76, 1.36, -0.03],
        [-0.76, 1.36, -0.03],
    ];
    RestSkeleton::from_rest(&left, 0.0)
}
