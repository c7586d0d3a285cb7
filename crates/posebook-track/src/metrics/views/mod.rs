//! Scores bodies against ground truth from calibrated views: points in world coordinates, triangulated from several
//! cameras.
//!
//! A truth file has cameras and, for some frames, BlazePose's 33 points in meters in world coordinates. The people
//! of one view are scored on 12 joints in that camera's axes, so that a wrong orientation or depth counts. Does not
//! depend on how people were detected or stored.

mod camera;
#[cfg(test)]
mod tests;
mod truth;

pub use camera::Camera;
pub use truth::ViewsTruth;

use super::pose::{pa_mpjpe_mm, rooted_distance_mm};
use posebook_core::geometry::Vec3;
use posebook_core::landmarks::SCORED_LANDMARKS;
use posebook_core::person::JOINTS;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use truth::Points;

/// The joints among a person's 44 that correspond to [`SCORED_LANDMARKS`], in its order: left and right shoulder, elbow,
/// wrist, hip, knee, ankle. They are OpenPose's, which are SMPL's own joints 16 to 21, 1, 2, 4, 5, 7 and 8, not
/// those of `SMPL_to_J19`, which are means of vertices about LSP's annotated hips.
pub const SCORED_JOINTS: [usize; 12] = [5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11];
/// Indices of the hips among the scored joints: both sides are aligned at their midpoint.
const HIPS: [usize; 2] = [6, 7];
/// Least number of known joints, of 12, with which a frame is scored; both hips have to be among them.
const MIN_JOINTS: usize = 6;
/// Largest mean distance of the joints in the image at which a person matches the ground truth, as a share of the
/// truth's size.
const MAX_RELATIVE_DISTANCE: f64 = 0.5;

/// Errors of ground truth files, and of people compared with them.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The file cannot be read.
    #[error(
        "cannot read the ground truth {path}: {source}; give a file as written by triangulation of calibrated views"
    )]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file's content is invalid.
    #[error("{path} is not ground truth of calibrated views: {reason}")]
    Form {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The truth has no such view.
    #[error("the ground truth has no view `{view}`; its views are {views}")]
    UnknownView {
        /// The requested view.
        view: String,
        /// The existing views.
        views: String,
    },
    /// The frame ranges do not overlap.
    #[error(
        "ground truth and people have no frame in common: the ground truth has frames {first_truth} to \
         {last_truth}, the people {people}; frames count from 0 at the clip's start"
    )]
    NoFrame {
        /// First frame of the ground truth.
        first_truth: u64,
        /// Last frame of the ground truth.
        last_truth: u64,
        /// Frame range of the people.
        people: String,
    },
    /// A person has too few joints or invalid values.
    #[error(
        "person {index} of the people, in frame {frame}, has {found}; {JOINTS} joints and as many points are needed"
    )]
    Person {
        /// Index of the person.
        index: usize,
        /// The frame.
        frame: u64,
        /// What the person has instead.
        found: String,
    },
}

/// A person in one frame of the scored view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewPerson {
    /// Counted from 0 at the clip's start.
    pub frame: u64,
    /// 44 joints in camera axes, meters.
    pub joints_m: Vec<Vec3>,
    /// 44 points or more, pixels of the frame.
    pub joints_px: Vec<[f32; 2]>,
}

/// Score of one frame of the ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrameScore {
    /// Counted from 0 at the clip's start.
    pub frame: u64,
    /// Null if no person is near enough.
    pub mpjpe_mm: Option<f64>,
    /// Null also if the person's joints all coincide.
    pub pa_mpjpe_mm: Option<f64>,
    /// Mean distance in the image between the nearest person's joints and the ground truth, pixels; null without
    /// people.
    pub distance_px: Option<f64>,
}

/// Scores of one view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViewScores {
    /// MPJPE, mean over the scored frames; null if there are none.
    pub mpjpe_mm: Option<f64>,
    /// PA-MPJPE, with a similarity transform for each frame.
    pub pa_mpjpe_mm: Option<f64>,
    /// Frames with a matching person.
    #[serde(rename = "frames")]
    pub frames_scored: usize,
    /// Frames between the people's first and last frame without a matching person.
    pub frames_missed: usize,
    /// Frames of the ground truth before the people's first frame or after their last.
    pub frames_outside: usize,
    /// Frames in which the ground truth lacks a hip or more than half of the joints.
    pub frames_without_truth: usize,
    /// One entry for each scored or missed frame.
    pub per_frame: Vec<FrameScore>,
}

impl ViewsTruth {
    /// Scores the people of one view.
    ///
    /// For each frame the person is chosen whose 12 joints are nearest to the ground truth in the image (mean
    /// distance in pixels); if that distance exceeds half of the truth's size in the image (the longer side of the
    /// box around its joints), the frame counts as missed. Errors are in the camera's axes, both sides relative to
    /// the midpoint of the hips, over the joints that the ground truth has.
    ///
    /// # Errors
    /// If the view is unknown, no frame of the ground truth lies between the people's first and last, or a person
    /// lacks joints.
    pub fn score(&self, view: &str, people: &[ViewPerson]) -> Result<ViewScores, ViewsError> {
        let camera = self.cameras.get(view).ok_or_else(|| {
            let views: Vec<&str> = self.cameras.keys().map(String::as_str).collect();
            ViewsError::UnknownView { view: view.to_string(), views: views.join(", ") }
        })?;
        let by_frame = by_frame(people)?;
        let range = by_frame.keys().next().copied().zip(by_frame.keys().next_back().copied());
        let is_covered = |frame: &u64| range.is_some_and(|(first, last)| (first..=last).contains(frame));
        if !self.frames.iter().any(&is_covered) {
            let people = range.map_or("none".into(), |(first, last)| format!("{first} to {last}"));
            let first_truth = self.frames.first().copied().unwrap_or(0);
            let last_truth = self.frames.last().copied().unwrap_or(0);
            return Err(ViewsError::NoFrame { first_truth, last_truth, people });
        }
        let mut scores = ViewScores {
            mpjpe_mm: None,
            pa_mpjpe_mm: None,
            frames_scored: 0,
            frames_missed: 0,
            frames_outside: 0,
            frames_without_truth: 0,
            per_frame: Vec::new(),
        };
        for (&frame, points) in self.frames.iter().zip(&self.world_m) {
            if !is_covered(&frame) {
                scores.frames_outside += 1;
                continue;
            }
            let Some(frame_truth) = FrameTruth::new(camera, points) else {
                scores.frames_without_truth += 1;
                continue;
            };
            let empty = Vec::new();
            let score = frame_truth.score(frame, by_frame.get(&frame).unwrap_or(&empty));
            match score.mpjpe_mm {
                Some(_) => scores.frames_scored += 1,
                None => scores.frames_missed += 1,
            }
            scores.per_frame.push(score);
        }
        scores.mpjpe_mm = mean(scores.per_frame.iter().filter_map(|score| score.mpjpe_mm));
        scores.pa_mpjpe_mm = mean(scores.per_frame.iter().filter_map(|score| score.pa_mpjpe_mm));
        Ok(scores)
    }
}

/// Groups people by frame, after checking each.
fn by_frame(people: &[ViewPerson]) -> Result<BTreeMap<u64, Vec<&ViewPerson>>, ViewsError> {
    let mut by_frame: BTreeMap<u64, Vec<&ViewPerson>> = BTreeMap::new();
    for (index, person) in people.iter().enumerate() {
        let (joints, points) = (person.joints_m.len(), person.joints_px.len());
        let frame = person.frame;
        if joints != JOINTS || points < JOINTS {
            let found = format!("{joints} joints and {points} points in the picture");
            return Err(ViewsError::Person { index, frame, found });
        }
        let finite = person.joints_m.as_flattened().iter().chain(person.joints_px.as_flattened());
        if !finite.copied().all(f32::is_finite) {
            let found = "a coordinate that is not a number".to_string();
            return Err(ViewsError::Person { index, frame, found });
        }
        by_frame.entry(frame).or_default().push(person);
    }
    Ok(by_frame)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Ground truth of one frame in one view: the known joints.
struct FrameTruth {
    /// Indices among the 12 scored joints.
    known: Vec<usize>,
    camera_m: Vec<Vec3>,
    root: Vec3,
    pixels: Vec<[f64; 2]>,
    /// The longer side of the box around the joints, pixels.
    size_px: f64,
}

impl FrameTruth {
    /// `None` if a hip or more than half of the joints are missing or behind the camera.
    fn new(camera: &Camera, points: &Points) -> Option<FrameTruth> {
        let mut frame_truth = FrameTruth {
            known: Vec::new(),
            camera_m: Vec::new(),
            root: [0.0; 3],
            pixels: Vec::new(),
            size_px: 0.0,
        };
        let mut root = [0.0; 3];
        for (joint, &landmark) in SCORED_LANDMARKS.iter().enumerate() {
            let in_camera = points.get(landmark).copied().flatten().map(|point| camera.to_camera(point));
            let found = in_camera.and_then(|point| Some((point, camera.project_from_camera(point)?)));
            match found {
                Some((point, pixel)) => {
                    if HIPS.contains(&joint) {
                        root = std::array::from_fn(|axis| root[axis] + 0.5 * point[axis]);
                    }
                    frame_truth.known.push(joint);
                    frame_truth.camera_m.push(point.map(|x| x as f32));
                    frame_truth.pixels.push(pixel);
                }
                None if HIPS.contains(&joint) => return None,
                None => {}
            }
        }
        frame_truth.root = root.map(|x| x as f32);
        let side = |axis: usize| {
            let values = frame_truth.pixels.iter().map(|pixel| pixel[axis]);
            let (low, high) =
                values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
            high - low
        };
        frame_truth.size_px = side(0).max(side(1));
        (frame_truth.known.len() >= MIN_JOINTS).then_some(frame_truth)
    }

    fn distance_px(&self, person: &ViewPerson) -> f64 {
        let distances = self.known.iter().zip(&self.pixels).map(|(&joint, [x, y])| {
            let [own_x, own_y] = person.joints_px[SCORED_JOINTS[joint]].map(f64::from);
            (own_x - x).hypot(own_y - y)
        });
        distances.sum::<f64>() / self.known.len() as f64
    }

    fn score(&self, frame: u64, people: &[&ViewPerson]) -> FrameScore {
        let distances = people.iter().map(|person| (self.distance_px(person), *person));
        let nearest = distances.min_by(|a, b| a.0.total_cmp(&b.0));
        let distance_px = nearest.map(|(distance, _)| distance);
        let matching = nearest.filter(|(distance, _)| *distance <= MAX_RELATIVE_DISTANCE * self.size_px);
        let Some((_, person)) = matching else {
            return FrameScore { frame, mpjpe_mm: None, pa_mpjpe_mm: None, distance_px };
        };
        let joints: Vec<Vec3> =
            self.known.iter().map(|&joint| person.joints_m[SCORED_JOINTS[joint]]).collect();
        let hips = HIPS.map(|hip| person.joints_m[SCORED_JOINTS[hip]]);
        let root = std::array::from_fn(|axis| 0.5 * (hips[0][axis] + hips[1][axis]));
        FrameScore {
            frame,
            mpjpe_mm: Some(rooted_distance_mm(&joints, root, &self.camera_m, self.root)),
            pa_mpjpe_mm: pa_mpjpe_mm(&joints, &self.camera_m),
            distance_px,
        }
    }
}
