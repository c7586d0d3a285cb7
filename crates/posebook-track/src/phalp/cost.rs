//! Cost of assigning a detected person to a track (`nn_matching.py`: `_pdist`).

use super::cues::{Cues, LocationCue, PoseCue};
use super::features::{Observation, Prediction, pose_distance};
use serde::{Deserialize, Serialize};

/// Distances between a track's prediction and a person; the reference's names in parentheses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CostTerms {
    /// 100 times the squared distance of the texture embeddings (A0).
    pub texture: f64,
    /// Squared distance of the pose vectors without their cameras (P0).
    pub pose: f64,
    /// Distance in the image, in units of the padded square's side (L0).
    pub location: f64,
    /// Width of the prediction interval of the location, in the same units (LC).
    pub location_interval: f64,
    /// Absolute logarithm of the ratio of the depths (N0).
    pub depth: f64,
    /// Absolute logarithm of the width of the depth's prediction interval (NC).
    pub depth_interval: f64,
}

impl CostTerms {
    /// Distances of the enabled cues. `texture` is always 0; callers may set it.
    pub fn between(prediction: &Prediction, observation: &Observation, cues: Cues) -> CostTerms {
        let pose = match cues.pose {
            PoseCue::Off => 0.0,
            PoseCue::Last => pose_distance(&prediction.pose, &observation.pose),
        };
        if cues.location == LocationCue::Off {
            return CostTerms { pose, ..CostTerms::default() };
        }
        let to_f64 = |number: f32| f64::from(number);
        let [x, y] = prediction.location.in_square.map(to_f64);
        let [observed_x, observed_y] = observation.location.in_square.map(to_f64);
        let [interval_x, interval_y, interval_depth] = prediction.interval.map(to_f64);
        // depths of opposite sign give a negative ratio, whose logarithm is NaN
        let ratio = to_f64(prediction.location.in_camera[2]) / to_f64(observation.location.in_camera[2]);
        let depth_ratio = if ratio > 1.0 { 1.0 / ratio } else { ratio };
        CostTerms {
            texture: 0.0,
            pose,
            location: length(x - observed_x, y - observed_y),
            location_interval: length(interval_x, interval_y),
            depth: -depth_ratio.ln(),
            depth_interval: interval_depth.recip().ln().abs(),
        }
    }
}

/// Length of a vector; NaN if either component is NaN, where `f64::hypot` would return infinity for an infinite
/// one.
fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

/// How the distances are combined into one cost, with the constants of PHALP's paper and code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CostEquation {
    /// Tuned for clips with shot changes, at which location and depth are ignored.
    #[serde(rename = "EQ_010")]
    Eq010,
    /// The reference's default.
    #[default]
    #[serde(rename = "EQ_019")]
    Eq019,
}

/// The constants of an equation.
struct CostWeights {
    texture: f64,
    pose: f64,
    location: f64,
    depth: f64,
    /// Pose distances are clipped to this value.
    pose_ceiling: f64,
}

impl CostEquation {
    fn weights(self, shot: bool) -> CostWeights {
        match (self, shot) {
            (CostEquation::Eq019, _) => CostWeights {
                texture: 4.0536,
                pose: 1.3070,
                location: 0.3792,
                depth: 4.1658,
                pose_ceiling: 1.5,
            },
            (CostEquation::Eq010, false) => CostWeights {
                texture: 3.8303,
                pose: 1.5207,
                location: 0.4930,
                depth: 4.5831,
                pose_ceiling: 1.2,
            },
            (CostEquation::Eq010, true) => CostWeights {
                texture: 7.8303,
                pose: 1.5207,
                location: f64::INFINITY,
                depth: f64::INFINITY,
                pose_ceiling: 1.2,
            },
        }
    }

    /// Cost of an assignment, at least 0 and finite; `shot` marks the first frame of a new shot.
    ///
    /// As in the reference, a NaN cost (a depth behind the camera, an interval of zero width) becomes 0, the *best*
    /// cost, and an infinite cost becomes the largest number. Exponentials are rounded to f32, as in the reference,
    /// so that they overflow at the same values.
    pub fn cost(self, terms: &CostTerms, shot: bool) -> f64 {
        let weights = self.weights(shot);
        // `f64::min` would discard a NaN
        let pose = if terms.pose > weights.pose_ceiling { weights.pose_ceiling } else { terms.pose };
        let location = terms.location / (0.1 + terms.location_interval.tanh()) / weights.location;
        let depth = terms.depth / (0.1 + terms.depth_interval.tanh()) / weights.depth;
        let exp = |exponent: f64| f64::from(exponent.exp() as f32);
        let cost = (1.0 + terms.texture * weights.texture)
            * (1.0 + pose * weights.pose)
            * exp(location)
            * exp(depth);
        if cost.is_nan() { 0.0 } else { cost.clamp(0.0, f64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phalp::{Location, POSE_LENGTH};

    fn observation_at(x: f32, depth: f32) -> Observation {
        let location = Location { in_square: [x, 0.5], in_camera: [0.0, 0.0, depth] };
        Observation { frame_index: 0, pose: Box::new([0.0; POSE_LENGTH]), location, annotated: false }
    }

    fn cost(prediction: &Observation, observation: &Observation, cues: Cues) -> f64 {
        CostEquation::Eq019
            .cost(&CostTerms::between(&Prediction::stationary(prediction), observation, cues), false)
    }

    #[test]
    fn the_same_location_has_the_least_cost() {
        let cues = Cues::default();
        assert_eq!(cost(&observation_at(0.5, 30.0), &observation_at(0.5, 30.0), cues), 1.0);
        assert!(cost(&observation_at(0.5, 30.0), &observation_at(0.6, 30.0), cues) > 1.0);
        let deeper = cost(&observation_at(0.5, 30.0), &observation_at(0.5, 40.0), cues);
        assert!(deeper > 1.0);
        let off = Cues { location: LocationCue::Off, ..cues };
        assert_eq!(cost(&observation_at(0.5, 30.0), &observation_at(0.6, 40.0), off), 1.0);
    }

    #[test]
    fn a_nan_cost_becomes_zero() {
        assert_eq!(cost(&observation_at(0.5, -30.0), &observation_at(0.9, 30.0), Cues::default()), 0.0);
    }
}
