//! Cost of assigning a detected person to a track (`nn_matching.py`: `_pdist`).

use super::cues::{Cues, LocationCue, PoseCue};
use super::features::{Observation, Prediction};
use serde::{Deserialize, Serialize};

/// Distances between a track's prediction and a person; the reference's names in parentheses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CostTerms {
    /// Squared distance of the appearances (A0): of the embeddings, or 100 times that of the encoded texture maps; both
    /// are divided by 1000 before.
    pub texture: f64,
    /// Squared distance of the poses (P0).
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
    /// Distances of the enabled cues without texture, which is left 0.
    pub fn between(prediction: &Prediction, observation: &Observation, cues: Cues) -> CostTerms {
        let pose = match cues.pose {
            PoseCue::Off => 0.0,
            PoseCue::Last | PoseCue::Predictor => prediction.pose.squared_distance(&observation.pose),
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

/// How the distances are combined into one cost (PHALP's `distance_type`): by an equation with the constants of PHALP's
/// paper and code, or one distance alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CostEquation {
    /// Tuned for clips with shot changes, at which location and depth are ignored and embeddings are compared.
    #[serde(rename = "EQ_010")]
    Eq010,
    /// The reference's default.
    #[default]
    #[serde(rename = "EQ_019")]
    Eq019,
    /// [`CostTerms::texture`] alone.
    A0,
    /// [`CostTerms::pose`] alone.
    P0,
    /// [`CostTerms::location`] alone.
    L0,
    /// [`CostTerms::location_interval`] alone, which is the same for all people.
    #[serde(rename = "LC")]
    Lc,
    /// [`CostTerms::depth`] alone.
    N0,
    /// [`CostTerms::depth_interval`] alone, which is the same for all people.
    #[serde(rename = "NC")]
    Nc,
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
    /// The constants, if this is an equation; else the distance that is the cost. `shot` as in [`CostEquation::cost`].
    fn weights(self, terms: &CostTerms, shot: bool) -> Result<CostWeights, f64> {
        match (self, shot) {
            (CostEquation::Eq019, _) => Ok(CostWeights {
                texture: 4.0536,
                pose: 1.3070,
                location: 0.3792,
                depth: 4.1658,
                pose_ceiling: 1.5,
            }),
            (CostEquation::Eq010, false) => Ok(CostWeights {
                texture: 3.8303,
                pose: 1.5207,
                location: 0.4930,
                depth: 4.5831,
                pose_ceiling: 1.2,
            }),
            (CostEquation::Eq010, true) => Ok(CostWeights {
                texture: 7.8303,
                pose: 1.5207,
                location: 1e100,
                depth: 1e100,
                pose_ceiling: 1.2,
            }),
            (CostEquation::A0, _) => Err(terms.texture),
            (CostEquation::P0, _) => Err(terms.pose),
            (CostEquation::L0, _) => Err(terms.location),
            (CostEquation::Lc, _) => Err(terms.location_interval),
            (CostEquation::N0, _) => Err(terms.depth),
            (CostEquation::Nc, _) => Err(terms.depth_interval),
        }
    }

    /// Cost of an assignment, at least 0 and finite; `shot` marks the first frame of a new shot.
    ///
    /// As in the reference, an equation's NaN (a depth behind the camera, an interval of zero width) becomes 0, the *best*
    /// cost, and an infinite cost becomes the largest number. Exponentials are rounded to f32, as in the reference,
    /// so that they overflow at the same values. A single distance that is NaN, with which the reference's assignment is
    /// undefined, becomes the largest number.
    ///
    /// Every factor of an equation is at least 1: a cost never falls when its texture distance rises from 0. Callers use
    /// this to leave out texture distances that cannot matter.
    pub fn cost(self, terms: &CostTerms, shot: bool) -> f64 {
        let weights = match self.weights(terms, shot) {
            Ok(weights) => weights,
            Err(distance) if distance.is_nan() => return f64::MAX,
            Err(distance) => return distance.clamp(0.0, f64::MAX),
        };
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

    /// The cost without texture if it is the cost whatever the texture is, or if both are above `threshold`; else `None`.
    pub(super) fn cost_without_texture(self, bare: &CostTerms, shot: bool, threshold: f64) -> Option<f64> {
        match self {
            CostEquation::A0 => None,
            CostEquation::Eq010 | CostEquation::Eq019 => {
                let cost = self.cost(bare, shot);
                // an equation gives 0 for NaN only, which no texture changes
                (cost > threshold || cost == 0.0).then_some(cost)
            }
            _ => Some(self.cost(bare, shot)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phalp::{Location, Pose, PoseDistance};
    use proptest::prelude::*;

    fn observation_at(x: f32, depth: f32) -> Observation {
        let location = Location { in_square: [x, 0.5], in_camera: [0.0, 0.0, depth] };
        Observation::at(0, Pose::zero(PoseDistance::Smpl), location)
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
    #[test]
    fn a_single_distance_that_is_nan_costs_most() {
        let terms = CostTerms { depth: f64::NAN, depth_interval: f64::INFINITY, ..CostTerms::default() };
        assert_eq!(CostEquation::N0.cost(&terms, false), f64::MAX);
        assert_eq!(CostEquation::Nc.cost(&terms, false), f64::MAX);
        assert_eq!(CostEquation::L0.cost(&terms, false), 0.0);
    }

    #[test]
    fn phalps_names() {
        use CostEquation::{A0, Eq010, Eq019, L0, Lc, N0, Nc, P0};
        let names = [A0, P0, L0, Lc, N0, Nc, Eq010, Eq019].map(|of| serde_json::to_value(of).unwrap());
        assert_eq!(names, ["A0", "P0", "L0", "LC", "N0", "NC", "EQ_010", "EQ_019"]);
    }

    proptest! {
        #[test]
        fn texture_never_lowers_a_cost(
            texture in 0.0f64..100.0,
            pose in 0.0f64..3.0,
            location in prop_oneof![0.0f64..1.0, 0.0f64..1e4, Just(f64::NAN), Just(f64::INFINITY)],
            location_interval in prop_oneof![0.0f64..1.0, Just(f64::NAN), Just(f64::INFINITY)],
            depth in prop_oneof![0.0f64..2.0, 0.0f64..1e3, Just(f64::NAN), Just(f64::INFINITY)],
            depth_interval in 0.0f64..1.0,
            equation in prop_oneof![Just(CostEquation::Eq010), Just(CostEquation::Eq019)],
            shot in any::<bool>(),
        ) {
            let bare =
                CostTerms { texture: 0.0, pose, location, location_interval, depth, depth_interval };
            let (without, with) =
                (equation.cost(&bare, shot), equation.cost(&CostTerms { texture, ..bare }, shot));
            prop_assert!(with >= without, "{with} {without}");
            match equation.cost_without_texture(&bare, shot, 100.0) {
                Some(0.0) => prop_assert_eq!(with, 0.0),
                Some(cost) => prop_assert!(cost > 100.0 && with > 100.0),
                None => {}
            }
        }
    }
}
