//! Bodies against the truth of calibrated views: points in a laboratory that several cameras filmed.
//!
//! A truth file holds cameras and, for some frames, BlazePose's 33 points in meters in the laboratory, as
//! triangulation gives them. One view's people are scored on 12 joints in that camera's axes, so that a wrong
//! orientation or depth counts. Must not know how people were found, nor which file they come from.

#[cfg(test)]
mod tests;
mod truth;

pub use truth::{Camera, Truth};

use super::pose::{pa_mpjpe_mm, rooted_distance_mm};
use crate::geometry::Vec3;
use crate::landmarks::SCORED;
use crate::person::JOINTS;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use truth::Points;

/// The joints of a person's 44 that stand for [`SCORED`], in its order: left and right shoulder, elbow, wrist, hip,
/// knee, ankle. They are OpenPose's, which are SMPL's own joints 16 to 21, 1, 2, 4, 5, 7 and 8, and not those of
/// `SMPL_to_J19`, which are means of vertices about LSP's annotated hips.
pub const SCORED_JOINTS: [usize; 12] = [5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11];
/// The hips among the scored joints: both sides are aligned at the middle of them.
const HIPS: [usize; 2] = [6, 7];
/// A frame is scored where at least this many of the 12 joints are known, both hips among them.
const LEAST_JOINTS: usize = 6;
/// A person is the truth's where the joints' mean distance in the picture is at most this share of the truth's size.
const NEAREST: f64 = 0.5;

/// What is wrong with a truth of views, or with what is compared with it.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    #[error(
        "cannot read the truth {path}: {source}; give a file as written by triangulation of calibrated views"
    )]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the truth {path} is no truth of calibrated views: {reason}")]
    Form { path: PathBuf, reason: String },
    #[error("there is no view `{view}` in the truth; its views are {views}")]
    UnknownView { view: String, views: String },
    #[error(
        "truth and people have no frame in common: the truth has frames {first_truth} to {last_truth}, the people \
         {people}; frames count from 0 at the clip's start"
    )]
    NoFrame { first_truth: u64, last_truth: u64, people: String },
    #[error(
        "person {index} of the people, in frame {frame}, has {found}; {JOINTS} joints and as many points are needed"
    )]
    Person { index: usize, frame: u64, found: String },
}

/// A person of one frame, as the tables have them.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Counted from 0 at the clip's start.
    pub frame: u64,
    /// (44) in camera axes, meters.
    pub joints_m: Vec<Vec3>,
    /// (44 or more) in pixels of the frame.
    pub joints_px: Vec<[f32; 2]>,
}

/// What became of one frame of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrameScore {
    pub frame: u64,
    /// Null where nobody was near enough.
    pub mpjpe_mm: Option<f64>,
    /// Null as well where the person's joints all coincide.
    pub pa_mpjpe_mm: Option<f64>,
    /// Mean distance of the nearest person's joints from the truth's in the picture, pixels; null without people.
    pub distance_px: Option<f64>,
}

/// The scores of one view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViewScores {
    /// Mean over the scored frames of the mean distance of the joints; null where no frame is scored.
    pub mpjpe_mm: Option<f64>,
    /// The same after the best similarity transform of each frame.
    pub pa_mpjpe_mm: Option<f64>,
    /// Frames with a person near the truth.
    #[serde(rename = "frames")]
    pub frames_scored: usize,
    /// Frames within the people's first and last frame in which nobody is near the truth.
    pub frames_missed: usize,
    /// Frames of the truth before the people's first frame or behind their last.
    pub frames_outside: usize,
    /// Frames in which the truth itself lacks a hip or more than half of the joints.
    pub frames_without_truth: usize,
    /// Scored and missed frames.
    pub per_frame: Vec<FrameScore>,
}

impl Truth {
    /// Scores the people of one view.
    ///
    /// For each frame the person whose 12 joints lie nearest to the truth's in the picture (mean distance in pixels)
    /// is taken; where even they are farther than half of the truth's size in the picture (the longer side of
    /// the box around its joints), the frame counts as missed. Errors are in the camera's axes, both sides relative
    /// to the middle of the hips, over the joints that the truth has.
    ///
    /// # Errors
    /// If the view is unknown, no frame of the truth lies within the people's first and last, or a person lacks joints.
    pub fn score(&self, view: &str, people: &[Candidate]) -> Result<ViewScores, ViewsError> {
        let camera = self.cameras.get(view).ok_or_else(|| {
            let views: Vec<&str> = self.cameras.keys().map(String::as_str).collect();
            ViewsError::UnknownView { view: view.to_string(), views: views.join(", ") }
        })?;
        let by_frame = by_frame(people)?;
        let range = by_frame.keys().next().copied().zip(by_frame.keys().next_back().copied());
        let is_covered = |frame: &u64| range.is_some_and(|(first, last)| (first..=last).contains(frame));
        if !self.frames.iter().any(&is_covered) {
            let people = range.map_or("nobody in any".into(), |(first, last)| format!("{first} to {last}"));
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
            let Some(seen) = Seen::new(camera, points) else {
                scores.frames_without_truth += 1;
                continue;
            };
            let empty = Vec::new();
            let score = seen.score(frame, by_frame.get(&frame).unwrap_or(&empty));
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

/// People by their frame, each checked.
fn by_frame(people: &[Candidate]) -> Result<BTreeMap<u64, Vec<&Candidate>>, ViewsError> {
    let mut by_frame: BTreeMap<u64, Vec<&Candidate>> = BTreeMap::new();
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

/// One frame's truth in one view: the joints that are known.
struct Seen {
    /// Places among the 12 scored joints.
    known: Vec<usize>,
    camera_m: Vec<Vec3>,
    root: Vec3,
    pixels: Vec<[f64; 2]>,
    /// The longer side of the box around the joints, pixels.
    size_px: f64,
}

impl Seen {
    /// `None` where a hip or more than half of the joints are missing or behind the camera.
    fn new(camera: &Camera, points: &Points) -> Option<Seen> {
        let mut seen = Seen {
            known: Vec::new(),
            camera_m: Vec::new(),
            root: [0.0; 3],
            pixels: Vec::new(),
            size_px: 0.0,
        };
        let mut root = [0.0; 3];
        for (place, &landmark) in SCORED.iter().enumerate() {
            let viewed = points.get(landmark).copied().flatten().map(|at| camera.view(at));
            let found = viewed.and_then(|at| Some((at, camera.project(at)?)));
            match found {
                Some((at, pixel)) => {
                    if HIPS.contains(&place) {
                        root = std::array::from_fn(|axis| root[axis] + 0.5 * at[axis]);
                    }
                    seen.known.push(place);
                    seen.camera_m.push(at.map(|x| x as f32));
                    seen.pixels.push(pixel);
                }
                None if HIPS.contains(&place) => return None,
                None => {}
            }
        }
        seen.root = root.map(|x| x as f32);
        let side = |axis: usize| {
            let values = seen.pixels.iter().map(|pixel| pixel[axis]);
            let (low, high) =
                values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
            high - low
        };
        seen.size_px = side(0).max(side(1));
        (seen.known.len() >= LEAST_JOINTS).then_some(seen)
    }

    fn distance_px(&self, person: &Candidate) -> f64 {
        let distances = self.known.iter().zip(&self.pixels).map(|(&place, [x, y])| {
            let [own_x, own_y] = person.joints_px[SCORED_JOINTS[place]].map(f64::from);
            (own_x - x).hypot(own_y - y)
        });
        distances.sum::<f64>() / self.known.len() as f64
    }

    fn score(&self, frame: u64, people: &[&Candidate]) -> FrameScore {
        let far = people.iter().map(|person| (self.distance_px(person), *person));
        let nearest = far.min_by(|a, b| a.0.total_cmp(&b.0));
        let distance_px = nearest.map(|(distance, _)| distance);
        let near = nearest.filter(|(distance, _)| *distance <= NEAREST * self.size_px);
        let Some((_, person)) = near else {
            return FrameScore { frame, mpjpe_mm: None, pa_mpjpe_mm: None, distance_px };
        };
        let joints: Vec<Vec3> =
            self.known.iter().map(|&place| person.joints_m[SCORED_JOINTS[place]]).collect();
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
