//! How the 3D ground truth of a scene is created: videos, calibration, frames, the origin of the points, and the
//! file.
//!
//! OpenPose's points come with the footage. A network's points are computed by the caller of
//! [`ViewsPlan::create_truth`], so that this module does not depend on networks.

use super::{MAX_RESIDUAL_PX, TriangulatedTruth, ViewPoints, choose_people, read_people, read_qualisys};
use crate::dataset::DatasetError;
use posebook_track::metrics::views::Camera;
use posebook_video as video;
use std::path::{Path, PathBuf};

/// Origin of ground truth from OpenPose's points, which come with the footage.
pub const OPENPOSE: &str = "openpose";
/// Origin of ground truth from the points of BlazePose's heavy network.
pub const BLAZEPOSE_HEAVY: &str = "blazepose-heavy";
/// Largest reprojection error of OpenPose's points, pixels: they are noisier than those of a network that tracks a
/// person.
const MAX_OPENPOSE_RESIDUAL_PX: f64 = 40.0;

/// Returns the points of one frame: called with the cameras and the frame index, it returns one person's points in
/// every view, in the cameras' order, video pixels.
pub type PointsCallback<'a> = &'a mut dyn FnMut(&[Camera], usize) -> Result<Vec<ViewPoints>, DatasetError>;

/// One view of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The view's name.
    pub name: String,
    /// The camera's name in the calibration.
    pub camera: String,
    /// The video file.
    pub video: PathBuf,
}

/// What a scene's ground truth is created from, and its file.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewsPlan {
    /// Which detector's points are triangulated.
    pub origin: String,
    /// The ground truth file; its name is derived from everything it is created from.
    pub path: PathBuf,
    /// Qualisys calibration file.
    pub calibration: PathBuf,
    /// Path pattern of OpenPose's files: `{view}` is the view's name, `{frame}` the frame number with four digits.
    pub openpose: Option<String>,
    /// All views of the scene, in the order of the cameras.
    pub views: Vec<View>,
    /// Interval of the frames with ground truth, from frame 0.
    pub every: usize,
}

impl ViewsPlan {
    /// Whether the ground truth file exists.
    pub fn truth_exists(&self) -> bool {
        self.path.is_file()
    }

    /// Largest reprojection error of a view before it is left out of a point, pixels.
    pub fn max_residual_px(&self) -> f64 {
        if self.origin == OPENPOSE { MAX_OPENPOSE_RESIDUAL_PX } else { MAX_RESIDUAL_PX }
    }

    /// The cameras of the views, in their order, for their videos' sizes. Needs the footage.
    ///
    /// # Errors
    /// If the calibration or a video cannot be read, or the calibration has no such camera.
    pub fn cameras(&self) -> Result<Vec<Camera>, DatasetError> {
        let all = read_qualisys(&self.calibration)?;
        let camera = |view: &View| {
            let camera = all.iter().find(|camera| camera.name == view.camera).ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|camera| camera.name.as_str()).collect();
                let message =
                    format!("there is no camera `{}`; the cameras are {}", view.camera, names.join(", "));
                DatasetError::invalid(&self.calibration, message)
            })?;
            let probe = probe(&view.video)?;
            Ok(camera.for_video(probe.width, probe.height))
        };
        self.views.iter().map(camera).collect()
    }

    /// The frames with ground truth, up to the end of the shortest video. Needs the footage.
    ///
    /// # Errors
    /// If a video cannot be read.
    pub fn frames(&self) -> Result<Vec<usize>, DatasetError> {
        let mut shortest = None;
        for view in &self.views {
            let frames = probe(&view.video)?.frames();
            shortest = Some(shortest.map_or(frames, |shortest: usize| shortest.min(frames)));
        }
        Ok((0..shortest.unwrap_or(0)).step_by(self.every.max(1)).collect())
    }

    /// Creates, writes and returns the ground truth from the points that `points` returns for
    /// [`ViewsPlan::frames`], in ascending order.
    ///
    /// # Errors
    /// If the footage cannot be read, `points` fails, or the file cannot be written.
    pub fn create_truth(&self, points: PointsCallback) -> Result<TriangulatedTruth, DatasetError> {
        let names = self.views.iter().map(|view| view.name.clone()).collect();
        let mut truth = TriangulatedTruth::new(&self.origin, names, self.cameras()?);
        for frame in self.frames()? {
            let views = points(&truth.cameras, frame)?;
            truth.push(frame, &views, self.max_residual_px());
        }
        truth.write(&self.path)?;
        Ok(truth)
    }

    /// Creates the ground truth from OpenPose's points.
    ///
    /// # Errors
    /// As [`ViewsPlan::create_truth`], or if the footage has no such points.
    pub fn create_truth_from_openpose(&self) -> Result<TriangulatedTruth, DatasetError> {
        let pattern = self.openpose.as_ref().ok_or_else(|| {
            DatasetError::invalid(
                &self.calibration,
                "the footage has no points of OpenPose (`views.openpose`)",
            )
        })?;
        self.create_truth(&mut |cameras, frame| {
            let file = |view: &View| {
                pattern.replace("{view}", &view.name).replace("{frame}", &format!("{frame:04}"))
            };
            let people: Result<Vec<_>, _> =
                self.views.iter().map(|view| read_people(Path::new(&file(view)))).collect();
            Ok(choose_people(cameras, &people?, self.max_residual_px()))
        })
    }
}

fn probe(path: &Path) -> Result<video::Probe, DatasetError> {
    video::probe(path)
        .map_err(|error| DatasetError::invalid(path, format!("cannot be read as a video: {}", error.kind)))
}
