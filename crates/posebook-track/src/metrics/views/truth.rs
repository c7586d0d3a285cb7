//! Ground truth files of scenes filmed by several calibrated cameras: the cameras, and triangulated points in world
//! coordinates for some frames (JSON).

use super::{Camera, ViewsError};
use posebook_core::landmarks::LANDMARKS;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;

/// Points of one frame; `None` where one could not be triangulated.
pub type Points = Vec<Option<[f64; 3]>>;

/// Ground truth of a scene that several calibrated cameras filmed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsTruth {
    /// Description of the units, for people.
    pub unit: String,
    /// Which detector's points were triangulated, such as `openpose`.
    #[serde(default)]
    pub origin: Option<String>,
    /// Frames that have points, counted from 0, ascending.
    pub frames: Vec<u64>,
    /// Description of the points, for people.
    pub points: String,
    /// Cameras by the name of their view.
    pub cameras: BTreeMap<String, Camera>,
    /// For each frame 33 points in BlazePose's order, meters in world coordinates.
    pub world_m: Vec<Points>,
    /// For each frame and point the reprojection error in each view, pixels; not read.
    #[serde(default)]
    pub reprojection_px: Option<IgnoredAny>,
}

impl ViewsTruth {
    /// Reads ground truth of calibrated views from a JSON file.
    ///
    /// # Errors
    /// If the file cannot be read, has another form (unknown keys included), or has impossible numbers.
    pub fn read(path: &Path) -> Result<ViewsTruth, ViewsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ViewsError::Unreadable { path: path.to_path_buf(), source })?;
        let form = |reason: String| ViewsError::Form { path: path.to_path_buf(), reason };
        let truth: ViewsTruth = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
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
        for (index, pair) in self.frames.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                return Err(format!(
                    "`frames` has {} after {} (element {}); frames have to ascend",
                    pair[1],
                    pair[0],
                    index + 1
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
