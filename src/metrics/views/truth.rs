//! Truth files: calibrated cameras, and points in the laboratory for some frames.
//!
//! Must not know people or scores.

use super::ViewsError;
use crate::landmarks::LANDMARKS;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;

/// A calibrated camera: `R x + t` takes the laboratory to camera axes (x right, y down, z away).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Focal lengths and principal point, pixels, as OpenCV has them.
    #[serde(rename = "K")]
    pub intrinsics: [[f64; 3]; 3],
    /// OpenCV's first four distortion coefficients: k1, k2, p1, p2.
    #[serde(rename = "D")]
    pub distortion: [f64; 4],
    #[serde(rename = "R")]
    pub rotation: [[f64; 3]; 3],
    /// Meters.
    #[serde(rename = "t")]
    pub translation: [f64; 3],
}

/// Points of one frame; `None` where one could not be triangulated.
pub(super) type Points = Vec<Option<[f64; 3]>>;

/// The truth of a scene that several calibrated cameras filmed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// What the numbers are in, in words.
    pub unit: String,
    /// Whose points were triangulated, in a word.
    #[serde(default)]
    pub origin: Option<String>,
    /// Which frames have points, counted from 0.
    pub frames: Vec<u64>,
    /// What the points are, in words.
    pub points: String,
    pub cameras: BTreeMap<String, Camera>,
    /// For each frame 33 points in BlazePose's order, meters in the laboratory.
    pub world_m: Vec<Points>,
    /// For each frame and point the error of reprojection in each view, pixels; not read.
    #[serde(default)]
    pub reprojection_px: Option<IgnoredAny>,
}

impl Truth {
    /// Reads a truth of calibrated views from a JSON file.
    ///
    /// # Errors
    /// If the file cannot be read, is not of this form (unknown keys included), or its numbers make no sense.
    pub fn read(path: &Path) -> Result<Truth, ViewsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ViewsError::Unreadable { path: path.to_path_buf(), source })?;
        let form = |reason: String| ViewsError::Form { path: path.to_path_buf(), reason };
        let truth: Truth = serde_json::from_str(&text).map_err(|e| form(e.to_string()))?;
        truth.check().map_err(form)?;
        Ok(truth)
    }

    fn check(&self) -> Result<(), String> {
        let (frames, rows) = (self.frames.len(), self.world_m.len());
        if frames != rows {
            return Err(format!("`frames` names {frames} frames, and `world_m` has points of {rows}"));
        }
        if frames == 0 {
            return Err("it has no frames".into());
        }
        for (at, pair) in self.frames.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                let place = at + 1;
                return Err(format!(
                    "`frames` has {} behind {} (element {place}); frames ascend",
                    pair[1], pair[0]
                ));
            }
        }
        for (frame, points) in self.frames.iter().zip(&self.world_m) {
            if points.len() != LANDMARKS {
                return Err(format!("frame {frame} has {} points instead of {LANDMARKS}", points.len()));
            }
        }
        if self.cameras.is_empty() {
            return Err("it has no cameras".into());
        }
        for (name, camera) in &self.cameras {
            camera.check().map_err(|reason| format!("camera `{name}`: {reason}"))?;
        }
        Ok(())
    }
}

impl Camera {
    fn check(&self) -> Result<(), String> {
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

    /// A point of the laboratory in the camera's axes.
    pub fn view(&self, at: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            self.rotation[row].iter().zip(at).map(|(r, x)| r * x).sum::<f64>() + self.translation[row]
        })
    }

    /// Pixels of a point in the camera's axes (OpenCV's model of distortion); `None` behind the camera.
    pub fn project(&self, [x, y, z]: [f64; 3]) -> Option<[f64; 2]> {
        if z <= 0.0 {
            return None;
        }
        let (x, y) = (x / z, y / z);
        let [k1, k2, p1, p2] = self.distortion;
        let square = x * x + y * y;
        let radial = 1.0 + k1 * square + k2 * square * square;
        let bent_x = x * radial + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x);
        let bent_y = y * radial + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y;
        let [[fx, skew, cx], [_, fy, cy], _] = self.intrinsics;
        Some([fx * bent_x + skew * bent_y + cx, fy * bent_y + cy])
    }
}
