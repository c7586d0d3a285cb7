//! From HMR2's camera in a crop back to the frame.
//!
//! HMR2's camera is weak: scale `s`, and a shift `x`, `y` in metres. A body at depth `2 f / (side s)` before
//! a camera of focal length `f` pixels fills a crop of `side` pixels as the camera says. Neither depends on
//! the network's own input size: `s` counts halves of the crop per metre, whatever the crop is resized to.

use super::crop::Square;
use crate::geometry::{Vec3, add, project};

/// HMR2's focal length (`EXTRA.FOCAL_LENGTH`), in pixels of a picture of [`SQUARE`] pixels.
pub const FOCAL: f32 = 5000.0;
/// The side of the square that HMAR thinks of every frame in, pixels (`render.res`).
pub const SQUARE: f64 = 256.0;

/// Where a body stands before the crop's own camera, metres: HMR2's `pred_cam_t`.
///
/// For the published network (256 pixels) the focal length is 5000. For another `image_size` it is
/// `5000 / 256` crops as well, so that the same camera means the same place.
pub fn translation_in_crop(camera: [f32; 3], image_size: usize) -> Vec3 {
    let [scale, x, y] = camera;
    let focal = FOCAL * (image_size as f32 / SQUARE as f32);
    [x, y, 2.0 * focal / (image_size as f32 * scale + 1e-9)]
}

/// A joint's place in the crop, in units of its side from its middle (-0.5 to 0.5): HMR2's
/// `pred_keypoints_2d`.
pub fn point_in_crop(joint: Vec3, translation_in_crop: Vec3) -> [f32; 2] {
    let focal = FOCAL / SQUARE as f32;
    project(add(joint, translation_in_crop), [focal; 2], [0.0; 2])
}

/// A crop's square where the frame is padded to a square (whole pixels, centred) and that is scaled to 256.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SquareInHmar {
    pub center: [f64; 2],
    pub side: f64,
}

impl SquareInHmar {
    /// A square of a frame of `width` by `height` pixels (PHALP's `get_human_features`).
    pub fn of(square: &Square, width: usize, height: usize) -> SquareInHmar {
        let longer = width.max(height);
        let border = [(longer - width) / 2, (longer - height) / 2];
        let ratio = 1.0 / longer as f64 * SQUARE;
        let center = [0, 1].map(|axis| (f64::from(square.center[axis]) + border[axis] as f64) * ratio);
        SquareInHmar { center, side: f64::from(square.side) * ratio }
    }

    /// The whole padded frame: what HMAR assumes where it is told no crop.
    pub fn whole() -> SquareInHmar {
        SquareInHmar { center: [SQUARE / 2.0; 2], side: SQUARE }
    }

    /// Where a body stands before HMAR's camera (focal length 5000 on the padded frame at 256 pixels),
    /// metres: the `cam_t` of `HMAR.get_3d_parameters`.
    pub fn translation(&self, camera: [f32; 3]) -> Vec3 {
        let [scale, x, y] = camera;
        let depth = 2.0 * FOCAL / (scale * self.side as f32 + 1e-9);
        let off = self.center.map(|at| (at - SQUARE / 2.0) as f32 * depth / FOCAL);
        [x + off[0], y + off[1], depth]
    }
}

/// Points of the padded frame at 256 pixels, each joint's and then the body's origin's
/// (`HMAR.get_3d_parameters` appends a joint of zeros).
pub fn points_in_hmar(joints: &[Vec3], translation: Vec3) -> Vec<[f32; 2]> {
    let (focal, side) = (FOCAL / SQUARE as f32, SQUARE as f32);
    let with_origin = joints.iter().copied().chain([[0.0; 3]]);
    with_origin
        .map(|joint| project(add(joint, translation), [focal; 2], [0.0; 2]).map(|at| (at + 0.5) * side))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_means_the_same_at_every_input_size() {
        let camera = [0.8, 0.1, -0.2];
        let large = translation_in_crop(camera, 256);
        let small = translation_in_crop(camera, 128);
        assert!((large[2] - small[2]).abs() < 1e-4 * large[2]);
        let [x, _] = point_in_crop([0.4, 0.0, 0.0], large);
        assert!((x - 0.8 / 2.0 * 0.5).abs() < 1e-6, "half a crop's width per metre and scale");
    }

    #[test]
    fn the_frame_sees_the_body_where_the_crop_does() {
        // a frame of 640 x 360 and a crop of 90 pixels: a joint's place by way of either camera
        let square = Square { center: [400.0, 200.0], side: 90.0 };
        let (camera, joint) = ([0.9, 0.05, 0.3], [0.2, -0.4, 0.0]);
        let in_crop = point_in_crop(joint, translation_in_crop(camera, 256));
        let there = SquareInHmar::of(&square, 640, 360);
        let in_hmar = points_in_hmar(&[joint], there.translation(camera))[0];
        let frame_x = in_hmar[0] / 256.0 * 640.0;
        let frame_y = in_hmar[1] / 256.0 * 640.0 - 140.0;
        assert!((frame_x - (400.0 + 90.0 * in_crop[0])).abs() < 0.1, "{frame_x}");
        assert!((frame_y - (200.0 + 90.0 * in_crop[1])).abs() < 0.1, "{frame_y}");
    }
}
