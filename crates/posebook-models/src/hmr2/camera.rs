//! Converts HMR2's weak-perspective camera of a crop to translations and points in the crop and in the frame.
//!
//! The camera has a scale `s` and a shift `x`, `y` in meters. It is equivalent to a perspective camera of focal
//! length `f` pixels and a body at depth `2 f / (side s)`, in a crop of `side` pixels. `s` is in half crops per
//! meter, so it does not depend on the network's input size.

use super::crop::Square;
use posebook_core::geometry::{Vec3, add, project};

/// HMR2's focal length (`EXTRA.FOCAL_LENGTH`), pixels, for an image of [`HMAR_IMAGE_SIZE`] pixels.
pub const FOCAL_LENGTH: f32 = 5000.0;
/// Side of the square to which HMAR scales every padded frame, pixels (`render.res`).
pub const HMAR_IMAGE_SIZE: f64 = 256.0;

/// Translation of a body relative to the crop's perspective camera, meters: HMR2's `pred_cam_t`.
///
/// The focal length is 5000 pixels for the published network (256 pixels), and the same `5000 / 256` crops for any
/// other `image_size`, so that equal cameras give equal translations.
pub fn translation_in_crop(camera: [f32; 3], image_size: usize) -> Vec3 {
    let [scale, x, y] = camera;
    let focal = FOCAL_LENGTH * (image_size as f32 / HMAR_IMAGE_SIZE as f32);
    [x, y, 2.0 * focal / (image_size as f32 * scale + 1e-9)]
}

/// Projects a joint to the crop, in units of its side from its center (-0.5 to 0.5): HMR2's `pred_keypoints_2d`.
pub fn project_to_crop(joint: Vec3, translation_in_crop: Vec3) -> [f32; 2] {
    let focal = FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32;
    project(add(joint, translation_in_crop), [focal; 2], [0.0; 2])
}

/// A crop's square in HMAR's coordinates: the frame padded to a square (whole pixels, centered) and scaled to 256
/// pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HmarSquare {
    /// Its center (x, y).
    pub center: [f64; 2],
    /// Its side.
    pub side: f64,
}

impl HmarSquare {
    /// Converts a square of a frame of `width` by `height` pixels (PHALP's `get_human_features`).
    pub fn from_frame_square(square: &Square, width: usize, height: usize) -> HmarSquare {
        let longer = width.max(height);
        let border = [(longer - width) / 2, (longer - height) / 2];
        let ratio = 1.0 / longer as f64 * HMAR_IMAGE_SIZE;
        let center = [0, 1].map(|axis| (f64::from(square.center[axis]) + border[axis] as f64) * ratio);
        HmarSquare { center, side: f64::from(square.side) * ratio }
    }

    /// The whole padded frame, which HMAR assumes by default.
    pub fn full_frame() -> HmarSquare {
        HmarSquare { center: [HMAR_IMAGE_SIZE / 2.0; 2], side: HMAR_IMAGE_SIZE }
    }

    /// Translation of a body relative to HMAR's camera (focal length 5000 at 256 pixels), meters: the `cam_t` of
    /// `HMAR.get_3d_parameters`.
    pub fn translation(&self, camera: [f32; 3]) -> Vec3 {
        let [scale, x, y] = camera;
        let depth = 2.0 * FOCAL_LENGTH / (scale * self.side as f32 + 1e-9);
        let offset = self.center.map(|value| (value - HMAR_IMAGE_SIZE / 2.0) as f32 * depth / FOCAL_LENGTH);
        [x + offset[0], y + offset[1], depth]
    }
}

/// Projects joints, and then the body's origin, to HMAR's 256 pixels (`HMAR.get_3d_parameters` appends a joint of
/// zeros).
pub fn project_to_hmar(joints: &[Vec3], translation: Vec3) -> Vec<[f32; 2]> {
    let (focal, side) = (FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32, HMAR_IMAGE_SIZE as f32);
    let with_origin = joints.iter().copied().chain([[0.0; 3]]);
    with_origin
        .map(|joint| project(add(joint, translation), [focal; 2], [0.0; 2]).map(|value| (value + 0.5) * side))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_has_the_same_meaning_at_every_input_size() {
        let camera = [0.8, 0.1, -0.2];
        let large = translation_in_crop(camera, 256);
        let small = translation_in_crop(camera, 128);
        assert!((large[2] - small[2]).abs() < 1e-4 * large[2]);
        let [x, _] = project_to_crop([0.4, 0.0, 0.0], large);
        assert!((x - 0.8 / 2.0 * 0.5).abs() < 1e-6, "half a crop's width per meter and scale");
    }

    #[test]
    fn crop_and_frame_cameras_project_to_the_same_pixel() {
        // a frame of 640 x 360 pixels and a crop of 90 pixels
        let square = Square { center: [400.0, 200.0], side: 90.0 };
        let (camera, joint) = ([0.9, 0.05, 0.3], [0.2, -0.4, 0.0]);
        let in_crop = project_to_crop(joint, translation_in_crop(camera, 256));
        let hmar_square = HmarSquare::from_frame_square(&square, 640, 360);
        let in_hmar = project_to_hmar(&[joint], hmar_square.translation(camera))[0];
        let frame_x = in_hmar[0] / 256.0 * 640.0;
        let frame_y = in_hmar[1] / 256.0 * 640.0 - 140.0;
        assert!((frame_x - (400.0 + 90.0 * in_crop[0])).abs() < 0.1, "{frame_x}");
        assert!((frame_y - (200.0 + 90.0 * in_crop[1])).abs() < 0.1, "{frame_y}");
    }
}
