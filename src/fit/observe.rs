//! Selects the landmarks that correspond to points of the body, and computes the weight of each. A landmark with a
//! coordinate that is not finite counts as missing.

use super::linear::{Vector, widen};
use super::model::POINTS;
use super::{FitError, Settings};
use crate::landmarks::{LANDMARKS, Landmarks, SCORED, point};

/// The landmark of each observed point of the body, in the model's order.
const LANDMARK_OF: [usize; POINTS] = {
    let mut of = [0; POINTS];
    let vertices = [
        point::NOSE,
        point::LEFT_EYE,
        point::RIGHT_EYE,
        point::LEFT_EAR,
        point::RIGHT_EAR,
        point::LEFT_HEEL,
        point::RIGHT_HEEL,
        point::LEFT_TOE,
        point::RIGHT_TOE,
    ];
    let mut at = 0;
    while at < POINTS {
        of[at] = if at < SCORED.len() { SCORED[at] } else { vertices[at - SCORED.len()] };
        at += 1;
    }
    of
};

/// The first of the feet among the observed points; those behind it are feet as well.
const FIRST_FOOT: usize = super::model::at::LEFT_HEEL;

/// What is known of one point of the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// Meters about the middle of the hips, camera axes.
    pub world: Option<Vector>,
    pub pixel: Option<[f64; 2]>,
    /// 0 to 1, of either residual.
    pub weight: f64,
}

/// A person's landmarks, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observations {
    /// All 33 world points, for the closed-form pose.
    pub world: [Option<Vector>; LANDMARKS],
    pub visibility: [f64; LANDMARKS],
    /// The points that the body has.
    pub points: [Observation; POINTS],
}

impl Observations {
    /// Takes landmarks apart. A coordinate that is not finite makes its point missing in that space; a visibility
    /// that is not a number counts as 0, and others are cut to 0 to 1.
    ///
    /// # Errors
    /// [`FitError::Missing`] if fewer than two points have a place in the picture. The world points are asked
    /// for by the closed-form pose.
    pub fn new(landmarks: &Landmarks, settings: &Settings) -> Result<Observations, FitError> {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let world = landmarks.world.map(|at| finite(&at).then(|| widen(at)));
        let visibility =
            landmarks.visibility.map(|v| if v.is_nan() { 0.0 } else { f64::from(v).clamp(0.0, 1.0) });
        let points = std::array::from_fn(|place| {
            let landmark = LANDMARK_OF[place];
            let pixel = landmarks.pixels[landmark];
            let foot = if place >= FIRST_FOOT { settings.feet_weight } else { 1.0 };
            Observation {
                world: world[landmark],
                pixel: finite(&pixel).then(|| pixel.map(f64::from)),
                weight: visibility[landmark].max(settings.least_visibility) * foot,
            }
        });
        let observations = Observations { world, visibility, points };
        if observations.points.iter().filter(|point| point.pixel.is_some()).count() < 2 {
            return Err(FitError::Missing { name: "body's points (two are needed)", space: "picture" });
        }
        Ok(observations)
    }
}
