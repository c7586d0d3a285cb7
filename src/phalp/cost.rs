//! From cues to the cost of pairing a track with a person (`nn_matching.py`: `_pdist`).

use super::features::{Expected, Observation, pose_distance};
use super::settings::{Cues, LocationCue, PoseCue};
use serde::{Deserialize, Serialize};

/// The distances between what a track expects and a person; the reference's names in parentheses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Terms {
    /// 100 times the squared distance of the texture embeddings (A0).
    pub texture: f64,
    /// Squared distance of the pose vectors without their cameras (P0).
    pub pose: f64,
    /// Distance in the picture, in sides of the padded square (L0).
    pub location: f64,
    /// The width of the predicted location, likewise (LC).
    pub location_interval: f64,
    /// Absolute logarithm of the depths' ratio (N0).
    pub depth: f64,
    /// Absolute logarithm of the width of the predicted depth (NC).
    pub depth_interval: f64,
}

impl Terms {
    /// The terms of the cues that are on; texture is for others to fill in.
    pub fn between(expected: &Expected, seen: &Observation, cues: Cues) -> Terms {
        let pose = match cues.pose {
            PoseCue::Off => 0.0,
            PoseCue::Last => pose_distance(&expected.pose, &seen.pose),
        };
        if cues.location == LocationCue::Off {
            return Terms { pose, ..Terms::default() };
        }
        let wide = |number: f32| f64::from(number);
        let [x, y] = expected.place.in_square.map(wide);
        let [seen_x, seen_y] = seen.place.in_square.map(wide);
        let [interval_x, interval_y, interval_depth] = expected.interval.map(wide);
        // the ratio of two depths of one sign; of two signs it is negative and its logarithm NaN
        let ratio = wide(expected.place.in_camera[2]) / wide(seen.place.in_camera[2]);
        let nearness = if ratio > 1.0 { 1.0 / ratio } else { ratio };
        Terms {
            texture: 0.0,
            pose,
            location: length(x - seen_x, y - seen_y),
            location_interval: length(interval_x, interval_y),
            depth: -nearness.ln(),
            depth_interval: interval_depth.recip().ln().abs(),
        }
    }
}

/// The length of a vector, NaN if either number is; `f64::hypot` would let an infinite one win.
fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

/// How terms become a cost, by the numbers that PHALP's paper and code give them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Equation {
    /// Tuned for clips with shot changes: there location and depth do not count.
    #[serde(rename = "EQ_010")]
    Eq010,
    /// The reference's default.
    #[default]
    #[serde(rename = "EQ_019")]
    Eq019,
}

/// The constants of an equation.
struct Weights {
    texture: f64,
    pose: f64,
    location: f64,
    depth: f64,
    /// Larger pose distances count as this one.
    pose_ceiling: f64,
}

impl Equation {
    fn weights(self, shot: bool) -> Weights {
        match (self, shot) {
            (Equation::Eq019, _) => {
                Weights { texture: 4.0536, pose: 1.3070, location: 0.3792, depth: 4.1658, pose_ceiling: 1.5 }
            }
            (Equation::Eq010, false) => {
                Weights { texture: 3.8303, pose: 1.5207, location: 0.4930, depth: 4.5831, pose_ceiling: 1.2 }
            }
            (Equation::Eq010, true) => Weights {
                texture: 7.8303,
                pose: 1.5207,
                location: f64::INFINITY,
                depth: f64::INFINITY,
                pose_ceiling: 1.2,
            },
        }
    }

    /// The cost of a pairing, at least 0 and finite; `shot` where the frame begins a new shot.
    ///
    /// As in the reference a cost that is not a number (a depth behind the camera, an interval without
    /// a width) becomes 0, which is the *best* cost, and an infinite one the largest number. The
    /// exponentials are rounded to f32, as they are there, so that they overflow where they do there.
    pub fn cost(self, terms: &Terms, shot: bool) -> f64 {
        let weights = self.weights(shot);
        // spelled out because f64::min would drop a NaN
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
    use crate::phalp::{POSE_LENGTH, Place};

    fn standing(x: f32, depth: f32) -> Observation {
        let place = Place { in_square: [x, 0.5], in_camera: [0.0, 0.0, depth] };
        Observation { frame_index: 0, pose: Box::new([0.0; POSE_LENGTH]), place, annotated: false }
    }

    fn cost(expected: &Observation, seen: &Observation, cues: Cues) -> f64 {
        Equation::Eq019.cost(&Terms::between(&Expected::again(expected), seen, cues), false)
    }

    #[test]
    fn nothing_is_nearer_than_the_same_place() {
        let cues = Cues::default();
        assert_eq!(cost(&standing(0.5, 30.0), &standing(0.5, 30.0), cues), 1.0);
        assert!(cost(&standing(0.5, 30.0), &standing(0.6, 30.0), cues) > 1.0);
        let farther = cost(&standing(0.5, 30.0), &standing(0.5, 40.0), cues);
        assert!(farther > 1.0);
        let off = Cues { location: LocationCue::Off, ..cues };
        assert_eq!(cost(&standing(0.5, 30.0), &standing(0.6, 40.0), off), 1.0);
    }

    #[test]
    fn what_is_not_a_number_costs_nothing() {
        assert_eq!(cost(&standing(0.5, -30.0), &standing(0.9, 30.0), Cues::default()), 0.0);
    }
}
