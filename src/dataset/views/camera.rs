//! A calibrated camera of a scene with several views: pinhole with OpenCV's distortion, in double precision.
//!
//! Must not know where the calibration comes from.

use serde::{Deserialize, Serialize};

/// Steps of the fixed-point iteration that takes the distortion away; lenses of a few percent need five.
const UNDISTORT_STEPS: usize = 20;

/// A camera at rest. A point X of the laboratory (metres) is R X + t before the camera: x right, y down, z away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// The view's name.
    #[serde(skip)]
    pub name: String,
    /// The matrix of focal lengths and principal point, pixels of the calibration.
    #[serde(rename = "K")]
    pub k: [[f64; 3]; 3],
    /// OpenCV's distortion coefficients: k1, k2, p1, p2, and k3 where there are five.
    #[serde(rename = "D")]
    pub d: Vec<f64>,
    #[serde(rename = "R")]
    pub r: [[f64; 3]; 3],
    pub t: [f64; 3],
    /// Width and height of the pictures that were calibrated, pixels.
    #[serde(skip)]
    pub size: Option<[f64; 2]>,
    /// What is added to a pixel of the video to get the pixel of the calibration.
    #[serde(skip)]
    pub offset_px: [f64; 2],
}

impl Camera {
    /// The camera for a video of `width` x `height` pixels that was cut out of the middle of the calibrated picture.
    pub fn for_video(mut self, width: usize, height: usize) -> Camera {
        if let Some([full_width, full_height]) = self.size {
            self.offset_px = [(full_width - width as f64) / 2.0, (full_height - height as f64) / 2.0];
        }
        self
    }

    /// A point of the laboratory in the camera's axes, metres.
    pub fn in_camera(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            (0..3).map(|column| self.r[row][column] * point[column]).sum::<f64>() + self.t[row]
        })
    }

    /// The pixel of the video that shows a point of the laboratory; `None` where it is not before the camera.
    pub fn project(&self, point: [f64; 3]) -> Option<[f64; 2]> {
        let [x, y, z] = self.in_camera(point);
        if z <= 0.0 || !z.is_finite() {
            return None;
        }
        let [x, y] = self.distort([x / z, y / z]);
        let u = self.k[0][0] * x + self.k[0][1] * y + self.k[0][2];
        let v = self.k[1][1] * y + self.k[1][2];
        Some([u - self.offset_px[0], v - self.offset_px[1]])
    }

    /// A pixel of the video as a direction (x / z, y / z) in the camera's axes, without distortion.
    pub fn undistort(&self, pixel: [f64; 2]) -> [f64; 2] {
        let y0 = (pixel[1] + self.offset_px[1] - self.k[1][2]) / self.k[1][1];
        let x0 = (pixel[0] + self.offset_px[0] - self.k[0][2] - self.k[0][1] * y0) / self.k[0][0];
        let mut at = [x0, y0];
        for _ in 0..UNDISTORT_STEPS {
            let (radial, tangential) = self.distortion(at);
            at = [(x0 - tangential[0]) / radial, (y0 - tangential[1]) / radial];
        }
        at
    }

    fn distort(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (radial, tangential) = self.distortion([x, y]);
        [x * radial + tangential[0], y * radial + tangential[1]]
    }

    /// OpenCV's radial factor and tangential shift at a direction.
    fn distortion(&self, [x, y]: [f64; 2]) -> (f64, [f64; 2]) {
        let coefficient = |index: usize| self.d.get(index).copied().unwrap_or(0.0);
        let [k1, k2, p1, p2, k3] = std::array::from_fn(coefficient);
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        let tangential =
            [2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x), p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y];
        (radial, tangential)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A camera at `(distance sin a, distance cos a, 1)` of the laboratory (z up) that looks at its z axis.
    pub fn looking_in(name: &str, angle: f64, distance: f64) -> Camera {
        let (sin, cos) = angle.sin_cos();
        // away = towards the axis, down = -z, right = down x away
        let r = [[-cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, -cos, 0.0]];
        let at = [distance * sin, distance * cos, 1.0];
        let t =
            std::array::from_fn(|row: usize| -(0..3).map(|column| r[row][column] * at[column]).sum::<f64>());
        Camera {
            name: name.into(),
            k: [[1000.0, 0.0, 640.0], [0.0, 1010.0, 360.0], [0.0, 0.0, 1.0]],
            d: vec![-0.05, 0.14, 0.001, -0.0007],
            r,
            t,
            size: Some([1280.0, 720.0]),
            offset_px: [0.0; 2],
        }
    }

    #[test]
    fn a_pixel_undistorted_is_the_direction_of_its_point() {
        for (angle, d) in [(0.3, vec![-0.05, 0.14, 0.001, -0.0007]), (2.0, vec![-0.3, 0.1, 0.0, 0.0, 0.02])] {
            let mut camera = looking_in("a", angle, 4.0).for_video(1272, 720);
            camera.d = d;
            assert_eq!(camera.offset_px, [4.0, 0.0]);
            for point in [[0.0, 0.0, 1.0], [0.6, -0.4, 1.7], [-0.5, 0.5, 0.1]] {
                let [x, y, z] = camera.in_camera(point);
                let [u, v] = camera.undistort(camera.project(point).unwrap());
                assert!((u - x / z).abs() < 1e-9 && (v - y / z).abs() < 1e-9, "{point:?}");
            }
        }
        let camera = looking_in("a", 0.0, 4.0);
        assert!(camera.project([0.0, 5.0, 1.0]).is_none(), "behind it");
        // the numbers of OpenCV 4.10's projectPoints for this camera and point
        let [u, v] = camera.project([0.3, 0.2, 1.5]).unwrap();
        assert!((u - 561.13501544).abs() < 1e-6 && (v - 227.29546851).abs() < 1e-6, "{u} {v}");
    }
}
