//! A training example: a crop with its ground truth.

use super::part_map::PartMap;
use posebook_core::geometry::Vec3;
use posebook_core::person::{JOINTS, PELVIS, SmplParams};

/// A crop with its ground truth.
#[derive(Debug, Clone)]
pub struct Example {
    /// sRGB, `side * side * 3` bytes.
    pub rgb: Vec<u8>,
    /// Width and height, pixels.
    pub side: usize,
    /// Pose and shape, in camera axes.
    pub params: SmplParams,
    /// The 44 joints relative to the pelvis, camera axes, meters.
    pub joints: Vec<Vec3>,
    /// The 44 joints in the crop, in crop sides from its center.
    pub projected: Vec<[f32; 2]>,
    /// HMR2's camera that projects the joints there: scale, x, y.
    pub camera: [f32; 3],
    /// Dense part map of the crop.
    pub part_map: PartMap,
}

impl Example {
    /// `joints` (44) relative to the body's origin; `projected` as in the field of that name.
    pub fn new(
        rgb: Vec<u8>,
        side: usize,
        params: SmplParams,
        joints: &[Vec3],
        projected: Vec<[f32; 2]>,
        part_map: PartMap,
    ) -> Example {
        assert_eq!(joints.len(), JOINTS, "HMR2 has 44 joints");
        let camera = fit_camera(joints, &projected);
        let pelvis = joints[PELVIS];
        let joints = joints.iter().map(|joint| posebook_core::geometry::sub(*joint, pelvis)).collect();
        Example { rgb, side, params, joints, projected, camera, part_map }
    }
}

/// Least-squares fit of a weak-perspective camera to the projected joints: `projected = s / 2 * (joint + shift)`.
fn fit_camera(joints: &[Vec3], projected: &[[f32; 2]]) -> [f32; 3] {
    let n = joints.len() as f64;
    let mean =
        |values: &dyn Fn(usize) -> f32| (0..joints.len()).map(|i| f64::from(values(i))).sum::<f64>() / n;
    let center = [0, 1].map(|axis| mean(&|i| joints[i][axis]));
    let middle = [0, 1].map(|axis| mean(&|i| projected[i][axis]));
    let (mut both, mut square) = (0.0, 0.0);
    for (joint, point) in joints.iter().zip(projected) {
        for axis in 0..2 {
            let from_center = f64::from(joint[axis]) - center[axis];
            both += from_center * (f64::from(point[axis]) - middle[axis]);
            square += from_center * from_center;
        }
    }
    let half = (both / square.max(1e-9)).max(1e-3);
    let shift = [0, 1].map(|axis| (middle[axis] / half - center[axis]) as f32);
    [2.0 * half as f32, shift[0], shift[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::IDENTITY;
    use posebook_models::hmr2::camera::{project_to_crop, translation_in_crop};

    #[test]
    fn the_camera_is_recovered() {
        let camera = [0.85, 0.1, -0.2];
        let joints: Vec<Vec3> = (0..44)
            .map(|i| [(i as f32).sin() * 0.4, (i as f32 * 0.7).cos() * 0.8, (i as f32).cos() * 0.2])
            .collect();
        let translation = translation_in_crop(camera, 256);
        let projected = joints.iter().map(|joint| project_to_crop(*joint, translation)).collect();
        let params = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let example = Example::new(Vec::new(), 0, params, &joints, projected, PartMap::new(0));
        for (found, true_value) in example.camera.iter().zip(camera) {
            assert!((found - true_value).abs() < 0.01, "{:?}", example.camera);
        }
        assert_eq!(example.joints[PELVIS], [0.0; 3]);
    }
}
