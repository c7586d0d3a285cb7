//! A calibrated camera of a scene with several views: pinhole with OpenCV's distortion, in double precision.
//!
//! World coordinates are those of the calibration (the laboratory), in meters. Camera axes are x right, y down, z away
//! from the camera.

use serde::{Deserialize, Serialize};

/// Steps of the fixed-point iteration that removes the distortion; lenses of a few percent need five.
const UNDISTORT_STEPS: usize = 20;

/// A stationary camera: `R x + t` takes world coordinates to camera axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// OpenCV's camera matrix: focal lengths, skew and principal point in pixels of the calibrated image.
    #[serde(rename = "K")]
    pub intrinsics: [[f64; 3]; 3],
    /// OpenCV's distortion coefficients: k1, k2, p1, p2, and k3 where there are five.
    #[serde(rename = "D")]
    pub distortion: Vec<f64>,
    /// Rotation from world to camera axes, row-major.
    #[serde(rename = "R")]
    pub rotation: [[f64; 3]; 3],
    /// Translation from world to camera axes, meters.
    #[serde(rename = "t")]
    pub translation: [f64; 3],
    /// Added to a pixel of the video to get the pixel of the calibrated image; zero unless the video was cropped.
    #[serde(skip)]
    pub offset_px: [f64; 2],
}

impl Camera {
    /// The camera of a video that was cropped: `offset_px` is the crop's top left corner in the calibrated image.
    pub fn with_offset(self, offset_px: [f64; 2]) -> Camera {
        Camera { offset_px, ..self }
    }

    /// A point from world coordinates to camera axes, meters.
    #[inline]
    pub fn to_camera(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            (0..3).map(|column| self.rotation[row][column] * point[column]).sum::<f64>()
                + self.translation[row]
        })
    }

    /// The video pixel of a point in world coordinates; `None` where the point is not in front of the camera.
    #[inline]
    pub fn project(&self, point: [f64; 3]) -> Option<[f64; 2]> {
        self.project_from_camera(self.to_camera(point))
    }

    /// The video pixel of a point in camera axes; `None` where the point is not in front of the camera.
    #[inline]
    pub fn project_from_camera(&self, [x, y, z]: [f64; 3]) -> Option<[f64; 2]> {
        if z <= 0.0 || !z.is_finite() {
            return None;
        }
        let direction = [x / z, y / z];
        let (radial, tangential) = self.distortion_at(direction);
        let [x, y] = [direction[0] * radial + tangential[0], direction[1] * radial + tangential[1]];
        let [[fx, skew, cx], [_, fy, cy], _] = self.intrinsics;
        Some([fx * x + skew * y + cx - self.offset_px[0], fy * y + cy - self.offset_px[1]])
    }

    /// The undistorted direction (x / z, y / z) in camera axes that a video pixel shows.
    pub fn undistort(&self, pixel: [f64; 2]) -> [f64; 2] {
        let [[fx, skew, cx], [_, fy, cy], _] = self.intrinsics;
        let y0 = (pixel[1] + self.offset_px[1] - cy) / fy;
        let x0 = (pixel[0] + self.offset_px[0] - cx - skew * y0) / fx;
        let mut direction = [x0, y0];
        for _ in 0..UNDISTORT_STEPS {
            let (radial, tangential) = self.distortion_at(direction);
            direction = [(x0 - tangential[0]) / radial, (y0 - tangential[1]) / radial];
        }
        direction
    }

    /// OpenCV's radial factor and tangential shift at a direction.
    #[inline]
    fn distortion_at(&self, [x, y]: [f64; 2]) -> (f64, [f64; 2]) {
        let coefficient = |index: usize| self.distortion.get(index).copied().unwrap_or(0.0);
        let [k1, k2, p1, p2, k3] = std::array::from_fn(coefficient);
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        let tangential =
            [2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x), p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y];
        (radial, tangential)
    }

    /// Checks that the numbers can be those of a camera.
    ///
    /// # Errors
    /// What is wrong: the number of distortion coefficients, a number that is not finite, a focal length of 0 or less, or a
    /// rotation that is none.
    pub fn check(&self) -> Result<(), String> {
        if !(4..=5).contains(&self.distortion.len()) {
            let length = self.distortion.len();
            return Err(format!("D has length {length}; give OpenCV's k1, k2, p1, p2 and, if known, k3"));
        }
        let numbers = self.intrinsics.as_flattened().iter().chain(&self.distortion);
        let numbers = numbers.chain(self.rotation.as_flattened()).chain(&self.translation);
        // JSON has no infinities, but a number may be too large for f64
        if !numbers.copied().all(f64::is_finite) {
            return Err("a number is not finite".into());
        }
        if !(self.intrinsics[0][0] > 0.0 && self.intrinsics[1][1] > 0.0) {
            return Err("the focal lengths K[0][0] and K[1][1] have to be above 0".into());
        }
        let r = &self.rotation;
        for row in 0..3 {
            for other in 0..3 {
                let product: f64 = (0..3).map(|axis| r[row][axis] * r[other][axis]).sum();
                let expected = if row == other { 1.0 } else { 0.0 };
                if (product - expected).abs() > 1e-3 {
                    return Err("R is no rotation: its rows are not orthonormal".into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A camera at world position `(distance sin a, distance cos a, 1)`, z up, that looks at the world's z axis.
    fn camera_around(angle: f64, distance: f64) -> Camera {
        let (sin, cos) = angle.sin_cos();
        // away = towards the axis, down = -z, right = down x away
        let rotation = [[-cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, -cos, 0.0]];
        let position = [distance * sin, distance * cos, 1.0];
        let translation = std::array::from_fn(|row: usize| {
            -(0..3).map(|column| rotation[row][column] * position[column]).sum::<f64>()
        });
        Camera {
            intrinsics: [[1000.0, 0.0, 640.0], [0.0, 1010.0, 360.0], [0.0, 0.0, 1.0]],
            distortion: vec![-0.05, 0.14, 0.001, -0.0007],
            rotation,
            translation,
            offset_px: [0.0; 2],
        }
    }

    #[test]
    fn undistorting_a_projected_point_gives_its_direction() {
        for (angle, distortion) in
            [(0.3, vec![-0.05, 0.14, 0.001, -0.0007]), (2.0, vec![-0.3, 0.1, 0.0, 0.0, 0.02])]
        {
            let camera = Camera { distortion, ..camera_around(angle, 4.0).with_offset([4.0, 0.0]) };
            for point in [[0.0, 0.0, 1.0], [0.6, -0.4, 1.7], [-0.5, 0.5, 0.1]] {
                let [x, y, z] = camera.to_camera(point);
                let [u, v] = camera.undistort(camera.project(point).unwrap());
                assert!((u - x / z).abs() < 1e-9 && (v - y / z).abs() < 1e-9, "{point:?}");
            }
        }
        let camera = camera_around(0.0, 4.0);
        assert!(camera.project([0.0, 5.0, 1.0]).is_none(), "behind the camera");
        // values of OpenCV 4.10's projectPoints for this camera and point
        let [u, v] = camera.project([0.3, 0.2, 1.5]).unwrap();
        assert!((u - 561.13501544).abs() < 1e-6 && (v - 227.29546851).abs() < 1e-6, "{u} {v}");
    }
}
