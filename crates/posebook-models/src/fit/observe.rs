//! Selects the landmarks that correspond to points of the body, and computes their weights. A landmark with a coordinate
//! that is not finite is missing.

use super::linear::{Vector, widen};
use super::model::POINTS;
use super::{FitError, Settings};
use posebook_core::landmarks::{LANDMARKS, Landmarks, SCORED_LANDMARKS, point};

/// The landmark of each observed point of the body, in the model's order.
const LANDMARK_INDICES: [usize; POINTS] = {
    let mut indices = [0; POINTS];
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
    let mut point = 0;
    while point < POINTS {
        indices[point] = if point < SCORED_LANDMARKS.len() {
            SCORED_LANDMARKS[point]
        } else {
            vertices[point - SCORED_LANDMARKS.len()]
        };
        point += 1;
    }
    indices
};

/// The first of the foot points, which are the last points.
const FIRST_FOOT: usize = super::model::point_index::LEFT_HEEL;

/// The observation of one body point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// Meters relative to the midpoint of the hips, camera axes.
    pub world: Option<Vector>,
    /// Pixels of the frame.
    pub pixel: Option<[f64; 2]>,
    /// Weight of both residuals, 0 to 1.
    pub weight: f64,
}

/// A person's validated landmarks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observations {
    /// All 33 world points, for the closed-form pose.
    pub world: [Option<Vector>; LANDMARKS],
    pub visibility: [f64; LANDMARKS],
    /// The points of the reduced body model.
    pub points: [Observation; POINTS],
}

impl Observations {
    /// Validates landmarks. A point with a coordinate that is not finite is missing in that space; a NaN visibility is 0, and
    /// others are clamped to 0 to 1.
    ///
    /// # Errors
    /// [`FitError::Missing`] if fewer than two points have image coordinates. The required world points are checked by
    /// the closed-form pose.
    pub fn new(landmarks: &Landmarks, settings: &Settings) -> Result<Observations, FitError> {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let world = landmarks.world.map(|point| finite(&point).then(|| widen(point)));
        let visibility =
            landmarks.visibility.map(|v| if v.is_nan() { 0.0 } else { f64::from(v).clamp(0.0, 1.0) });
        let points = std::array::from_fn(|index| {
            let landmark = LANDMARK_INDICES[index];
            let pixel = landmarks.pixels[landmark];
            let part_weight = if index >= FIRST_FOOT { settings.feet_weight } else { 1.0 };
            Observation {
                world: world[landmark],
                pixel: finite(&pixel).then(|| pixel.map(f64::from)),
                weight: visibility[landmark].max(settings.least_visibility) * part_weight,
            }
        });
        let observations = Observations { world, visibility, points };
        if observations.points.iter().filter(|point| point.pixel.is_some()).count() < 2 {
            return Err(FitError::Missing { name: "body's points (two are needed)", space: "image" });
        }
        Ok(observations)
    }
}
