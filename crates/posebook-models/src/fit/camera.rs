//! Weak-perspective cameras: from meters in camera axes to pixels of the frame, and HMR2's camera of a square crop.

use super::FitError;
use super::linear::Vector;
use super::observe::Observation;

/// `pixel = scale * (x, y) + offset` for points relative to the body's origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Camera {
    /// Pixels per meter.
    pub scale: f64,
    /// Projection of the body's origin, pixels.
    pub offset: [f64; 2],
}

impl Camera {
    /// Projects a point to pixels.
    pub fn project(&self, point: Vector) -> [f64; 2] {
        [0, 1].map(|axis| self.scale * point[axis] + self.offset[axis])
    }

    /// The weighted least squares camera (Gower 1975, without rotation).
    ///
    /// # Errors
    /// [`FitError::Degenerate`] if the points coincide, or if the image points are mirrored or upside down.
    pub fn between(points: &[Vector], observations: &[Observation]) -> Result<Camera, FitError> {
        let visible = || {
            points
                .iter()
                .zip(observations)
                .filter_map(|(point, observed)| Some((point, observed.pixel?, observed.weight)))
        };
        let total: f64 = visible().map(|(_, _, weight)| weight).sum();
        let mean = |axis: usize| {
            let sums = visible().fold([0.0; 2], |sum, (point, pixel, weight)| {
                [sum[0] + weight * point[axis], sum[1] + weight * pixel[axis]]
            });
            sums.map(|sum| sum / total)
        };
        let means = [mean(0), mean(1)];
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (point, pixel, weight) in visible() {
            for axis in 0..2 {
                let [point_mean, pixel_mean] = means[axis];
                covariance += weight * (point[axis] - point_mean) * (pixel[axis] - pixel_mean);
                variance += weight * (point[axis] - point_mean) * (point[axis] - point_mean);
            }
        }
        let scale = covariance / variance;
        if !(scale.is_finite() && scale > 1e-6) {
            return Err(FitError::Degenerate {
                what: "the points in the image coincide, or contradict those in the world",
            });
        }
        Ok(Camera { scale, offset: means.map(|[point, pixel]| pixel - scale * point) })
    }
}

/// HMR2's weak-perspective camera (scale, x, y) in a square crop, from a camera of the frame.
///
/// `scale` (pixels per meter) and `offset` (projection of the body's origin, pixels of the frame) are those of
/// [`super::Fit`]; the origin is that of `crate::body::Body::pose`, to which HMR2's joints are relative as well.
/// `crop_center` and `crop_side` are in pixels of the frame. HMR2's scale is in half crop sides per meter and its x, y in
/// meters: a joint (X, Y) is projected to `crop_center + scale * (X + x, Y + y)`, up to the perspective of a camera
/// about 5000 / 128 meters away.
pub fn crop_camera(scale: f64, offset: [f64; 2], crop_center: [f64; 2], crop_side: f64) -> [f32; 3] {
    let translation = |axis: usize| ((offset[axis] - crop_center[axis]) / scale) as f32;
    [(2.0 * scale / crop_side) as f32, translation(0), translation(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::{project, translation_from_crop_camera};

    #[test]
    fn hmr2s_camera_projects_a_joint_to_the_same_pixel() {
        let (scale, offset) = (210.0, [655.0, 310.0]);
        let (center, side) = ([700.0, 380.0], 480.0);
        let camera = crop_camera(scale, offset, center, side);
        let joint = [0.35, -0.6, 0.2];
        // HMR2's demo: a camera of focal length 5000 / 256 * the frame's longer side, principal point in the midpoint
        let (width, height) = (1920.0f32, 1080.0f32);
        let focal = 5000.0 / 256.0 * width;
        let translation = translation_from_crop_camera(
            camera,
            center.map(|c| c as f32),
            side as f32,
            [width, height],
            focal,
        );
        let translated = [0, 1, 2].map(|axis| joint[axis] + translation[axis]);
        let expected = project(translated, [focal; 2], [width / 2.0, height / 2.0]);
        let found = Camera { scale, offset }.project(joint.map(f64::from));
        for axis in 0..2 {
            assert!((f64::from(expected[axis]) - found[axis]).abs() < 0.5, "{expected:?} {found:?}");
        }
    }

    #[test]
    fn hmars_camera_projects_a_joint_to_the_same_pixel() {
        // PHALP pads a frame of 640 x 360 to a square, scales it to 256 pixels and uses a focal length of 5000
        let (scale, offset) = (95.0, [400.0, 190.0]);
        let (center, side) = ([410.0, 200.0], 240.0);
        let [s, x, y] = crop_camera(scale, offset, center, side).map(f64::from);
        let ratio = 256.0 / 640.0;
        let (square_center, square_side) = ([center[0] * ratio, (center[1] + 140.0) * ratio], side * ratio);
        let depth = 2.0 * 5000.0 / (s * square_side);
        let translation = [
            x + (square_center[0] - 128.0) * depth / 5000.0,
            y + (square_center[1] - 128.0) * depth / 5000.0,
            depth,
        ];
        let joint = [0.2, -0.4, 0.1];
        let expected = [0, 1].map(|axis| {
            5000.0 * (joint[axis] + translation[axis]) / (joint[2] + translation[2]) / ratio + 320.0
        });
        let expected = [expected[0], expected[1] - 140.0];
        let found = Camera { scale, offset }.project(joint);
        for axis in 0..2 {
            assert!((expected[axis] - found[axis]).abs() < 0.5, "{expected:?} {found:?}");
        }
    }
}
