//! Scenes filmed by several calibrated cameras: calibration, triangulation, and the ground truth made from them.
//!
//! Input: for each frame the points of one person in every view, each with a confidence. [`triangulate`] computes their
//! positions in world coordinates; [`TriangulatedTruth`] collects the frames and writes them as JSON, which
//! [`posebook_track::metrics::views::ViewsTruth`] reads for scoring. The truth's `origin` names the detector whose points were
//! used (BlazePose, OpenPose); every score against it has to name it too. Does not depend on pose networks.

mod calibration;
mod openpose;
mod plan;
#[cfg(test)]
mod test_cameras;
mod triangulate;

pub use calibration::{CalibratedCamera, read_qualisys};
pub use openpose::{choose_people, read_people};
pub use plan::{BLAZEPOSE_HEAVY, OPENPOSE, PointsCallback, View, ViewsPlan};
pub use triangulate::{MAX_RESIDUAL_PX, ObservedPoint, TriangulatedPoint, triangulate};

use super::DatasetError;
use posebook_core::files;
use posebook_core::landmarks::LANDMARKS;
use posebook_track::metrics::views::Camera;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The 33 points of a person in one view, in BlazePose's order; `None` where a point was not detected.
pub type ViewPoints = Vec<Option<ObservedPoint>>;

/// Positions of one person's points in world coordinates, for some frames of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct TriangulatedTruth {
    /// Which detector's points were triangulated: [`OPENPOSE`] or [`BLAZEPOSE_HEAVY`].
    pub origin: String,
    /// Names of the views, in the order of `cameras`.
    pub views: Vec<String>,
    /// One camera for each view.
    pub cameras: Vec<Camera>,
    /// Frames, counted from 0.
    pub frames: Vec<usize>,
    /// For each frame 33 points; `None` where a point could not be triangulated.
    pub points: Vec<Vec<Option<TriangulatedPoint>>>,
}

impl TriangulatedTruth {
    /// A truth without frames; `views` names the `cameras`.
    pub fn new(origin: &str, views: Vec<String>, cameras: Vec<Camera>) -> TriangulatedTruth {
        let origin = origin.to_string();
        TriangulatedTruth { origin, views, cameras, frames: Vec::new(), points: Vec::new() }
    }

    /// Adds a frame: the points of one person in every view (in the cameras' order), video pixels. A view whose
    /// reprojection error exceeds `max_residual_px` at a point is left out of that point.
    pub fn push(&mut self, frame: usize, views: &[ViewPoints], max_residual_px: f64) {
        let mut points = triangulate(&self.cameras, views, max_residual_px);
        points.resize(LANDMARKS, None);
        self.frames.push(frame);
        self.points.push(points);
    }

    /// Writes the truth as JSON, atomically: `unit`, `origin`, `frames`, `points`, `cameras` (by name: `K`, `D`, `R`,
    /// `t`), `world_m` (frames x 33 x 3, `null` for a point without a position), `reprojection_px` (frames x 33 x views,
    /// `null` for a view that was left out).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DatasetError> {
        let write_error = |source| DatasetError::io("write", path, source);
        let mut cameras = Map::new();
        for (name, camera) in self.views.iter().zip(&self.cameras) {
            let value = serde_json::to_value(camera).map_err(|error| write_error(error.into()))?;
            cameras.insert(name.clone(), value);
        }
        let points = |to_json: fn(&TriangulatedPoint) -> Value| -> Vec<Vec<Value>> {
            let value = |point: &Option<TriangulatedPoint>| point.as_ref().map_or(Value::Null, to_json);
            self.points.iter().map(|frame| frame.iter().map(value).collect()).collect()
        };
        let text = json!({
            "unit": "metres in the laboratory; reprojection errors in pixels, null where a view was left out",
            "origin": self.origin,
            "frames": self.frames,
            "points": "BlazePose's 33, in its order",
            "cameras": cameras,
            "world_m": points(|point| json!(point.position.map(|value| round_to(value, 1e5)))),
            "reprojection_px": points(|point| {
                json!(point.residual_px.iter().map(|px| px.map(|px| round_to(px, 1e2))).collect::<Vec<_>>())
            }),
        });
        files::write_atomically(path, text.to_string().as_bytes()).map_err(write_error)
    }
}

/// Rounds to multiples of 1 / `steps`.
fn round_to(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::test_cameras::camera_around;
    use super::*;
    use posebook_track::metrics::views::ViewsTruth;

    #[test]
    fn a_written_truth_is_read_back_for_scoring() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/truth.json");
        let cameras = [0.1, 1.7, 3.3].map(|angle| camera_around(angle, 4.0));
        let names = ["cam01", "cam02", "cam03"].map(String::from);
        let point = |index: usize| [0.1 * index as f64 - 1.0, 0.3, 0.05 * index as f64];
        let mut views: Vec<ViewPoints> = cameras
            .iter()
            .map(|camera| (0..LANDMARKS).map(|index| Some((camera.project(point(index))?, 0.9))).collect())
            .collect();
        let mut truth = TriangulatedTruth::new("a test", names.into(), cameras.into());
        truth.push(0, &views, MAX_RESIDUAL_PX);
        views.iter_mut().for_each(|view| view.truncate(20));
        truth.push(8, &views, MAX_RESIDUAL_PX);
        truth.write(&path).unwrap();
        let read = ViewsTruth::read(&path).unwrap();
        assert_eq!((read.origin.as_deref(), read.frames.as_slice()), (Some("a test"), [0, 8].as_slice()));
        assert_eq!(read.cameras["cam02"].rotation, truth.cameras[1].rotation);
        for (frame, index) in (0..2).flat_map(|frame| (0..LANDMARKS).map(move |index| (frame, index))) {
            let written = truth.points[frame][index].as_ref();
            assert_eq!(
                read.world_m[frame][index],
                written.map(|point| point.position.map(|value| round_to(value, 1e5)))
            );
            let residuals = written.iter().flat_map(|point| &point.residual_px);
            assert!(residuals.flatten().all(|residual| *residual < 1e-6));
        }
        assert!(read.world_m[1][20].is_none() && read.world_m[1][19].is_some());
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [("[0,8]", "[0]"), ("\"K\"", "\"k\""), ("world_m", "world"), ("[[[", "[[[null,")] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert!(ViewsTruth::read(&path).is_err(), "{to}");
        }
    }
}
