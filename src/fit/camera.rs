//! Weak-perspective cameras: pixels of the frame from meters in camera axes, and HMR2's in a square crop.

use super::FitError;
use super::linear::Vector;
use super::observe::Observation;

/// `pixel = scale * (x, y) + shift` for points relative to the body's origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Camera {
    /// Pixels per meter.
    pub scale: f64,
    /// Where the body's origin falls, pixels.
    pub shift: [f64; 2],
}

impl Camera {
    pub fn project(&self, at: Vector) -> [f64; 2] {
        [0, 1].map(|axis| self.scale * at[axis] + self.shift[axis])
    }

    /// The camera of least weighted squares (Gower 1975, without a turn).
    ///
    /// # Errors
    /// [`FitError::Degenerate`] if the points coincide or the picture shows them upside down or mirrored.
    pub fn between(points: &[Vector], observations: &[Observation]) -> Result<Camera, FitError> {
        let seen =
            || points.iter().zip(observations).filter_map(|(at, seen)| Some((at, seen.pixel?, seen.weight)));
        let total: f64 = seen().map(|(_, _, weight)| weight).sum();
        let mean = |axis: usize| {
            let sums = seen().fold([0.0; 2], |sum, (at, pixel, weight)| {
                [sum[0] + weight * at[axis], sum[1] + weight * pixel[axis]]
            });
            sums.map(|sum| sum / total)
        };
        let means = [mean(0), mean(1)];
        let (mut both, mut own) = (0.0, 0.0);
        for (at, pixel, weight) in seen() {
            for axis in 0..2 {
                let [own_mean, pixel_mean] = means[axis];
                both += weight * (at[axis] - own_mean) * (pixel[axis] - pixel_mean);
                own += weight * (at[axis] - own_mean) * (at[axis] - own_mean);
            }
        }
        let scale = both / own;
        if !(scale.is_finite() && scale > 1e-6) {
            return Err(FitError::Degenerate {
                what: "the points in the picture coincide, or contradict those in the world",
            });
        }
        Ok(Camera { scale, shift: means.map(|[own, pixel]| pixel - scale * own) })
    }
}

/// HMR2's weak-perspective camera (scale, x, y) in a square crop, from a camera of the frame.
///
/// `scale` is in pixels per meter and `shift` is where the body's origin falls, in pixels of the frame, both as in
/// [`super::Fit`]; the origin is that of `crate::body::Body::pose`, which HMR2's joints are relative to as well.
/// `crop_center` and `crop_side` are the crop's in pixels of the frame. HMR2 counts its scale in halves of the crop
/// per meter and its shift in meters: a joint (X, Y) falls at `crop_center + scale * (X + x, Y + y)`, up to the
/// perspective of a camera some 5000 / 128 meters away.
pub fn crop_camera(scale: f64, shift: [f64; 2], crop_center: [f64; 2], crop_side: f64) -> [f32; 3] {
    let off = |axis: usize| ((shift[axis] - crop_center[axis]) / scale) as f32;
    [(2.0 * scale / crop_side) as f32, off(0), off(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{project, translation_from_crop_camera};

    #[test]
    fn hmr2s_camera_shows_a_joint_where_ours_does() {
        let (scale, shift) = (210.0, [655.0, 310.0]);
        let (center, side) = ([700.0, 380.0], 480.0);
        let camera = crop_camera(scale, shift, center, side);
        let joint = [0.35, -0.6, 0.2];
        // HMR2's demo: a camera of focal length 5000 / 256 * the frame's longer side, principal point in the middle
        let (width, height) = (1920.0f32, 1080.0f32);
        let focal = 5000.0 / 256.0 * width;
        let translation = translation_from_crop_camera(
            camera,
            center.map(|c| c as f32),
            side as f32,
            [width, height],
            focal,
        );
        let standing = [0, 1, 2].map(|axis| joint[axis] + translation[axis]);
        let there = project(standing, [focal; 2], [width / 2.0, height / 2.0]);
        let here = Camera { scale, shift }.project(joint.map(f64::from));
        for axis in 0..2 {
            assert!((f64::from(there[axis]) - here[axis]).abs() < 0.5, "{there:?} {here:?}");
        }
    }

    #[test]
    fn hmars_square_shows_a_joint_where_our_camera_does() {
        // PHALP pads a frame of 640 x 360 to a square, scales it to 256 pixels and looks with a focal length of 5000
        let (scale, shift) = (95.0, [400.0, 190.0]);
        let (center, side) = ([410.0, 200.0], 240.0);
        let [s, x, y] = crop_camera(scale, shift, center, side).map(f64::from);
        let ratio = 256.0 / 640.0;
        let (square_center, square_side) = ([center[0] * ratio, (center[1] + 140.0) * ratio], side * ratio);
        let depth = 2.0 * 5000.0 / (s * square_side);
        let translation = [
            x + (square_center[0] - 128.0) * depth / 5000.0,
            y + (square_center[1] - 128.0) * depth / 5000.0,
            depth,
        ];
        let joint = [0.2, -0.4, 0.1];
        let there = [0, 1].map(|axis| {
            5000.0 * (joint[axis] + translation[axis]) / (joint[2] + translation[2]) / ratio + 320.0
        });
        let there = [there[0], there[1] - 140.0];
        let here = Camera { scale, shift }.project(joint);
        for axis in 0..2 {
            assert!((there[axis] - here[axis]).abs() < 0.5, "{there:?} {here:?}");
        }
    }
}
