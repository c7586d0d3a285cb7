//! How the truth of a scene is made: its videos and calibration, the frames, whose points, and where it is kept.
//!
//! OpenPose's points come with the footage. A network's are found by whoever runs the network, and given to
//! [`ViewsPlan::make`]. Must not know networks.

use super::{Camera, ViewPoints, ViewsTruth, WORST_PX, choose_people, read_people, read_qualisys};
use crate::dataset::DatasetError;
use crate::video;
use std::path::{Path, PathBuf};

/// The origin of a truth of OpenPose's points, which come with the footage.
pub const OPENPOSE: &str = "openpose";
/// The origin of a truth of the points that BlazePose's heavy network finds.
pub const BLAZEPOSE_HEAVY: &str = "blazepose-heavy";
/// The limit for OpenPose's points, pixels: they scatter more than a network's that follows a person.
const WORST_OPENPOSE_PX: f64 = 40.0;

/// Gives the points of one frame: for the cameras, in their order, and the frame's number, one person in every view,
/// pixels of the videos.
pub type PointsOfFrame<'a> = &'a mut dyn FnMut(&[Camera], usize) -> Result<Vec<ViewPoints>, DatasetError>;

/// One view of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub name: String,
    /// The camera's name in the calibration.
    pub camera: String,
    pub video: PathBuf,
}

/// What the truth of a scene is made of, and where it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewsPlan {
    /// Whose points are triangulated.
    pub origin: String,
    /// Where the truth is kept once it is made; its name follows from all that it is made of.
    pub path: PathBuf,
    pub calibration: PathBuf,
    /// Paths of OpenPose's files: `{view}` is the view's name, `{frame}` the frame's number with four digits.
    pub openpose: Option<String>,
    /// All views of the scene, in the order of the truth's cameras.
    pub views: Vec<View>,
    /// Every so many frames, from frame 0 on, one has a truth.
    pub every: usize,
}

impl ViewsPlan {
    /// Whether the truth lies in its place.
    pub fn is_made(&self) -> bool {
        self.path.is_file()
    }

    /// A view farther than this from a point is left out of it, pixels.
    pub fn worst_px(&self) -> f64 {
        if self.origin == OPENPOSE { WORST_OPENPOSE_PX } else { WORST_PX }
    }

    /// The cameras of the views, in their order, each for its video's size. The footage has to be there.
    ///
    /// # Errors
    /// If calibration or a video cannot be read, or the calibration has no such camera.
    pub fn cameras(&self) -> Result<Vec<Camera>, DatasetError> {
        let all = read_qualisys(&self.calibration)?;
        let camera = |view: &View| {
            let camera = all.iter().find(|camera| camera.name == view.camera).ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|camera| camera.name.as_str()).collect();
                let message = format!("there is no camera `{}`; there are {}", view.camera, names.join(", "));
                DatasetError::invalid(&self.calibration, message)
            })?;
            let probe = probe(&view.video)?;
            let camera = Camera { name: view.name.clone(), ..camera.clone() };
            Ok(camera.for_video(probe.width, probe.height))
        };
        self.views.iter().map(camera).collect()
    }

    /// The frames that have a truth: as far as all videos go. The footage has to be there.
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

    /// Makes the truth of the points that `points` gives; it is asked for [`ViewsPlan::frames`] in rising order. The
    /// truth is written to its place and given back.
    ///
    /// # Errors
    /// If the footage cannot be read, `points` fails, or the truth cannot be written.
    pub fn make(&self, points: PointsOfFrame) -> Result<ViewsTruth, DatasetError> {
        let mut truth = ViewsTruth::new(&self.origin, self.cameras()?);
        for frame in self.frames()? {
            let views = points(&truth.cameras, frame)?;
            truth.push(frame, &views, self.worst_px());
        }
        truth.write(&self.path)?;
        Ok(truth)
    }

    /// Makes the truth of OpenPose's points.
    ///
    /// # Errors
    /// As [`ViewsPlan::make`], or if the footage has no such points.
    pub fn make_of_openpose(&self) -> Result<ViewsTruth, DatasetError> {
        let pattern = self.openpose.as_ref().ok_or_else(|| {
            DatasetError::invalid(
                &self.calibration,
                "the footage has no points of OpenPose (`views.openpose`)",
            )
        })?;
        self.make(&mut |cameras, frame| {
            let file = |view: &View| {
                pattern.replace("{view}", &view.name).replace("{frame}", &format!("{frame:04}"))
            };
            let people: Result<Vec<_>, _> =
                self.views.iter().map(|view| read_people(Path::new(&file(view)))).collect();
            Ok(choose_people(cameras, &people?, self.worst_px()))
        })
    }
}

fn probe(path: &Path) -> Result<video::Probe, DatasetError> {
    video::probe(path).map_err(|error| {
        DatasetError::invalid(path, format!("no video can be read from this file: {}", error.fault))
    })
}
