//! A scene filmed by several calibrated cameras: cameras, triangulation, and the truth that comes of it.
//!
//! A frame's points are given in every view, each with a confidence; [`triangulate`] makes points of space of them,
//! and a [`ViewsTruth`] collects the frames and is written as JSON. Whose points they are (a network's, OpenPose's) is
//! the truth's `origin`, which every number measured against it has to name. Must not know how points are found.

mod calibration;
mod camera;
mod openpose;
mod plan;
mod triangulate;

pub use calibration::read_qualisys;
pub use camera::Camera;
pub use openpose::{choose_people, read_people};
pub use plan::{BLAZEPOSE_HEAVY, OPENPOSE, PointsOfFrame, View, ViewsPlan};
pub use triangulate::{Seen, TriangulatedPoint, WORST_PX, triangulate, triangulate_within};

use super::DatasetError;
use crate::files;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Points of a person in BlazePose's order.
pub const POINTS: usize = 33;
pub use crate::landmarks::SCORED;
/// The hips, in whose middle the root is.
pub const HIPS: [usize; 2] = [23, 24];

/// The points of a person in one view, in BlazePose's order; `None` where a point was not seen.
pub type ViewPoints = Vec<Option<Seen>>;

/// Where a person's points are in space, for some frames of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewsTruth {
    /// Whose points were triangulated.
    pub origin: String,
    /// The views' cameras.
    pub cameras: Vec<Camera>,
    /// Frames, counted from 0.
    pub frames: Vec<usize>,
    /// For each of the frames, [`POINTS`] points.
    pub points: Vec<Vec<Option<TriangulatedPoint>>>,
}

/// The truth as JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    unit: String,
    #[serde(default)]
    origin: Option<String>,
    frames: Vec<usize>,
    points: String,
    cameras: Map<String, Value>,
    world_m: Vec<Vec<Option<[f64; 3]>>>,
    reprojection_px: Vec<Vec<Option<Vec<Option<f64>>>>>,
}

impl ViewsTruth {
    /// A truth without frames.
    pub fn new(origin: &str, cameras: Vec<Camera>) -> ViewsTruth {
        ViewsTruth { origin: origin.to_string(), cameras, frames: Vec::new(), points: Vec::new() }
    }

    /// Adds a frame: the points of one person in every view (in the cameras' order), pixels of the videos. A view
    /// farther than `worst_px` from a point is left out of it.
    pub fn push(&mut self, frame: usize, views: &[ViewPoints], worst_px: f64) {
        let mut points = triangulate_within(&self.cameras, views, worst_px);
        points.resize(POINTS, None);
        self.frames.push(frame);
        self.points.push(points);
    }

    /// The median distance of reprojected from seen points over all frames, points and views, pixels; `None` where
    /// there is no point.
    pub fn median_reprojection_px(&self) -> Option<f64> {
        let points = self.points.iter().flatten().flatten();
        median(points.flat_map(|point| point.residual_px.iter().flatten().copied()).collect())
    }

    /// The distances of the scored points from those of another truth at the same frames, both relative to the middle
    /// of the hips, metres.
    pub fn distances_m(&self, other: &ViewsTruth) -> Vec<f64> {
        let mut distances = Vec::new();
        for (frame, points) in self.frames.iter().zip(&self.points) {
            let Some(at) = other.frames.iter().position(|of_other| of_other == frame) else { continue };
            let (Some(mine), Some(theirs)) =
                (relative(points), other.points.get(at).and_then(|points| relative(points)))
            else {
                continue;
            };
            let both = mine.iter().zip(&theirs).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
            distances.extend(both.map(|(a, b)| length([a[0] - b[0], a[1] - b[1], a[2] - b[2]])));
        }
        distances
    }

    /// Length of the limb between two points in every frame that has both, metres.
    pub fn lengths_m(&self, [from, to]: [usize; 2]) -> Vec<f64> {
        let position = |points: &[Option<TriangulatedPoint>], index: usize| {
            points.get(index).and_then(Option::as_ref).map(|point| point.position)
        };
        let length = |points: &Vec<Option<TriangulatedPoint>>| {
            let (a, b) = (position(points, from)?, position(points, to)?);
            Some(length([a[0] - b[0], a[1] - b[1], a[2] - b[2]]))
        };
        self.points.iter().filter_map(length).collect()
    }

    /// Writes the truth as JSON, whole or not at all: `unit`, `origin`, `frames`, `points`, `cameras` (by name: `K`,
    /// `D`, `R`, `t`), `world_m` (frames x 33 x 3, `null` for a point without position), `reprojection_px` (frames x 33 x
    /// views, `null` for a view that was left out).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DatasetError> {
        let unwritten = |source| DatasetError::io("write", path, source);
        let mut cameras = Map::new();
        for camera in &self.cameras {
            let value = serde_json::to_value(camera).map_err(|error| unwritten(error.into()))?;
            cameras.insert(camera.name.clone(), value);
        }
        let points = |of: fn(&TriangulatedPoint) -> Value| -> Vec<Vec<Value>> {
            let value = |point: &Option<TriangulatedPoint>| point.as_ref().map_or(Value::Null, of);
            self.points.iter().map(|frame| frame.iter().map(value).collect()).collect()
        };
        let text = json!({
            "unit": "metres in the laboratory; reprojection errors in pixels, null where a view was left out",
            "origin": self.origin,
            "frames": self.frames,
            "points": "BlazePose's 33, in its order",
            "cameras": cameras,
            "world_m": points(|point| json!(point.position.map(|value| rounded(value, 1e5)))),
            "reprojection_px": points(|point| {
                json!(point.residual_px.iter().map(|px| px.map(|px| rounded(px, 1e2))).collect::<Vec<_>>())
            }),
        });
        files::write_whole(path, text.to_string().as_bytes()).map_err(unwritten)
    }

    /// Reads a truth that [`ViewsTruth::write`] wrote, or one of the same form.
    ///
    /// # Errors
    /// If the file cannot be read, is no such JSON, or its lists have other lengths than its frames.
    pub fn read(path: &Path) -> Result<ViewsTruth, DatasetError> {
        let bytes = std::fs::read(path).map_err(|source| DatasetError::io("read the truth", path, source))?;
        let written: Written = serde_json::from_slice(&bytes)
            .map_err(|error| DatasetError::wrong(path, error.line(), error.to_string()))?;
        let wrong = |what: String| DatasetError::invalid(path, what);
        let mut cameras = Vec::new();
        for (name, value) in written.cameras {
            let camera: Camera = serde_json::from_value(value)
                .map_err(|error| wrong(format!("cameras: `{name}`: {error}")))?;
            cameras.push(Camera { name, ..camera });
        }
        let frames = written.frames.len();
        if (written.world_m.len(), written.reprojection_px.len()) != (frames, frames) {
            return Err(wrong(format!("it has {frames} frames, and another number of lists of points")));
        }
        let mut points = Vec::new();
        for (frame, (world, residuals)) in
            written.world_m.into_iter().zip(written.reprojection_px).enumerate()
        {
            if (world.len(), residuals.len()) != (POINTS, POINTS) {
                let (frame, count) = (written.frames[frame], world.len());
                return Err(wrong(format!("frame {frame} has {count} points, and {POINTS} are wanted")));
            }
            let point = |(position, residual_px): (Option<[f64; 3]>, Option<Vec<Option<f64>>>)| {
                position.map(|position| TriangulatedPoint {
                    position,
                    residual_px: residual_px.unwrap_or_default(),
                })
            };
            points.push(world.into_iter().zip(residuals).map(point).collect());
        }
        let origin = written.origin.unwrap_or_default();
        Ok(ViewsTruth { origin, cameras, frames: written.frames, points })
    }
}

/// The scored points relative to the middle of the hips; `None` where a hip is missing.
fn relative(points: &[Option<TriangulatedPoint>]) -> Option<Vec<Option<[f64; 3]>>> {
    let position = |index: usize| points.get(index).and_then(Option::as_ref).map(|point| point.position);
    let [left, right] = [position(HIPS[0])?, position(HIPS[1])?];
    let root: [f64; 3] = std::array::from_fn(|axis| (left[axis] + right[axis]) / 2.0);
    let from_root = |point: [f64; 3]| std::array::from_fn(|axis| point[axis] - root[axis]);
    Some(SCORED.map(|index| position(index).map(from_root)).to_vec())
}

fn length(vector: [f64; 3]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The median of some numbers: the upper one of two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::camera::tests::looking_in;
    use super::*;

    #[test]
    fn a_truth_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/truth.json");
        let cameras: Vec<Camera> = [("cam01", 0.1), ("cam02", 1.7), ("cam03", 3.3)]
            .map(|(name, angle)| looking_in(name, angle, 4.0))
            .into();
        let point = |index: usize| [0.1 * index as f64 - 1.0, 0.3, 0.05 * index as f64];
        let mut views: Vec<ViewPoints> = cameras
            .iter()
            .map(|camera| (0..POINTS).map(|index| Some((camera.project(point(index))?, 0.9))).collect())
            .collect();
        let mut truth = ViewsTruth::new("a test", cameras);
        truth.push(0, &views, WORST_PX);
        views.iter_mut().for_each(|view| view.truncate(20));
        truth.push(8, &views, WORST_PX);
        truth.write(&path).unwrap();
        let again = ViewsTruth::read(&path).unwrap();
        assert_eq!((&again.origin, &again.frames), (&truth.origin, &truth.frames));
        assert_eq!(again.cameras[1].r, truth.cameras[1].r);
        let position = |truth: &ViewsTruth, frame: usize, index: usize| {
            truth.points[frame][index].as_ref().map(|point| point.position.map(|value| rounded(value, 1e5)))
        };
        for (frame, index) in (0..2).flat_map(|frame| (0..POINTS).map(move |index| (frame, index))) {
            assert_eq!(position(&again, frame, index), position(&truth, frame, index));
        }
        assert!(position(&again, 1, 20).is_none() && position(&again, 1, 19).is_some());
        assert!(truth.median_reprojection_px().unwrap() < 1e-6);
        // the second frame has no hips: the first alone can be compared
        assert_eq!(again.distances_m(&truth).len(), SCORED.len());
        assert!(again.distances_m(&truth).iter().all(|distance| *distance < 2e-5));
        assert_eq!((again.lengths_m([11, 13]).len(), again.lengths_m([23, 25]).len()), (2, 1));
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [("[0,8]", "[0]"), ("\"K\"", "\"k\""), ("world_m", "world"), ("[[[", "[[[null,")] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert!(ViewsTruth::read(&path).is_err(), "{to}");
        }
    }
}
