//! Smoothing along a track: the One-Euro filter on vectors and rotations (Casiez, Roussel and Vogel, CHI 2012).
//!
//! A low-pass filter whose cut-off frequency grows with speed: slow motion is smoothed much, and fast motion lags
//! little. Speed is the low-passed difference of raw neighbors, as in the authors' own implementation. Must not know
//! how bodies were found, nor where shots begin.

mod filter;
#[cfg(test)]
mod tests;

use super::linear::{Matrix, widen};
use super::{FitError, narrow};
use crate::body::BETAS;
use crate::geometry::{Mat3, Vec3};
use crate::person::SmplParams;
use filter::{PlaceFilter, TurnFilter, VectorFilter, low_pass_share, mix};
use serde::{Deserialize, Serialize};

/// The One-Euro filter's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smoothing {
    /// Cut-off frequency at rest, hertz.
    pub min_cutoff_hz: f64,
    /// How the cut-off grows with speed: hertz per meter per second.
    pub beta: f64,
    /// Cut-off frequency of the speed itself, hertz.
    pub derivative_cutoff_hz: f64,
    /// What a radian of a joint's rotation counts as, meters: about the length of the bones behind it.
    pub radian_m: f64,
    /// Longer time between two frames of a track is a gap, behind which smoothing begins anew, seconds.
    pub max_gap_secs: f64,
}

impl Default for Smoothing {
    fn default() -> Smoothing {
        Smoothing {
            min_cutoff_hz: 1.0,
            beta: 10.0,
            derivative_cutoff_hz: 1.0,
            radian_m: 0.3,
            max_gap_secs: 0.25,
        }
    }
}

impl Smoothing {
    /// Checks that every number is one that the filter can work with.
    ///
    /// # Errors
    /// [`FitError::Setting`], naming the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        let above_zero = [
            ("smoothing.min_cutoff_hz", self.min_cutoff_hz),
            ("smoothing.derivative_cutoff_hz", self.derivative_cutoff_hz),
            ("smoothing.max_gap_secs", self.max_gap_secs),
        ];
        for (name, value) in above_zero {
            if !(value > 0.0 && value.is_finite()) {
                return Err(FitError::Setting { name, value, allowed: "a finite number above 0" });
            }
        }
        for (name, value) in [("smoothing.beta", self.beta), ("smoothing.radian_m", self.radian_m)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(FitError::Setting { name, value, allowed: "a finite number, 0 or more" });
            }
        }
        Ok(())
    }

    /// The new value's share after `secs`, where the low-passed speed is `speed`.
    fn share(&self, speed: f64, secs: f64) -> f64 {
        low_pass_share(self.min_cutoff_hz + self.beta * speed, secs)
    }
}

/// What is kept of one track between two frames.
#[derive(Debug, Clone, PartialEq)]
struct Memory {
    time_secs: f64,
    turns: [TurnFilter; 24],
    betas: [f64; BETAS],
    translation: PlaceFilter,
}

/// Smooths the bodies of one track, frame by frame; the raw ones are the caller's to keep.
///
/// Rotations and place go through One-Euro filters, betas through a low-pass filter at the smallest cut-off. With
/// the defaults at 30 frames a second a motion of 1 m/s lags less than a frame, and jitter falls to less than half.
#[derive(Debug, Clone)]
pub struct BodySmoother {
    smoothing: Smoothing,
    memory: Option<Box<Memory>>,
}

impl BodySmoother {
    /// A smoother for one track.
    ///
    /// # Errors
    /// As [`Smoothing::check`].
    pub fn new(smoothing: Smoothing) -> Result<BodySmoother, FitError> {
        smoothing.check()?;
        Ok(BodySmoother { smoothing, memory: None })
    }

    /// Forgets the track so far: the next body comes out as it is. Call it where a shot begins.
    pub fn restart(&mut self) {
        self.memory = None;
    }

    /// Smooths the body of one frame. `time_secs` is the frame's presentation time and `translation` where the
    /// body stands before a camera (z away from it, above 0), meters, such as `crate::person::Person`'s.
    ///
    /// The first body, one behind a gap longer than [`Smoothing::max_gap_secs`], and one whose time is not later
    /// than the frame's before come out exactly as they are, and smoothing begins anew with them. So does a body
    /// with a number that is not finite or behind the camera, and nothing is remembered of it.
    pub fn push(&mut self, time_secs: f64, params: &SmplParams, translation: Vec3) -> (SmplParams, Vec3) {
        if !(time_secs.is_finite() && is_finite(params, translation) && translation[2] > 0.0) {
            self.memory = None;
            return (params.clone(), translation);
        }
        let turn = |joint: usize| match joint {
            0 => wide(&params.global_orient),
            _ => wide(&params.body_pose[joint - 1]),
        };
        let secs = self.memory.as_ref().map(|memory| time_secs - memory.time_secs);
        let continues = secs.filter(|secs| *secs > 0.0 && *secs <= self.smoothing.max_gap_secs);
        let (Some(memory), Some(secs)) = (&mut self.memory, continues) else {
            self.memory = Some(Box::new(Memory {
                time_secs,
                turns: std::array::from_fn(|joint| TurnFilter::new(turn(joint))),
                betas: params.betas.map(f64::from),
                translation: PlaceFilter::new(widen(translation)),
            }));
            return (params.clone(), translation);
        };
        memory.time_secs = time_secs;
        let smoothing = &self.smoothing;
        let turns: [Mat3; 24] =
            std::array::from_fn(|joint| narrow(&memory.turns[joint].push(turn(joint), secs, smoothing)));
        mix(&mut memory.betas, params.betas.map(f64::from), smoothing.share(0.0, secs));
        let place = memory.translation.push(widen(translation), secs, smoothing);
        let smooth = SmplParams {
            betas: memory.betas.map(|beta| beta as f32),
            global_orient: turns[0],
            body_pose: std::array::from_fn(|joint| turns[joint + 1]),
        };
        (smooth, place.map(|x| x as f32))
    }
}

/// Smooths one point in meters along a track, such as a landmark.
#[derive(Debug, Clone)]
pub struct PointSmoother {
    smoothing: Smoothing,
    memory: Option<(f64, VectorFilter<3>)>,
}

impl PointSmoother {
    /// A smoother for one point.
    ///
    /// # Errors
    /// As [`Smoothing::check`].
    pub fn new(smoothing: Smoothing) -> Result<PointSmoother, FitError> {
        smoothing.check()?;
        Ok(PointSmoother { smoothing, memory: None })
    }

    /// Forgets the track so far.
    pub fn restart(&mut self) {
        self.memory = None;
    }

    /// Smooths one frame's point; restarts as [`BodySmoother::push`].
    pub fn push(&mut self, time_secs: f64, at: Vec3) -> Vec3 {
        if !(time_secs.is_finite() && at.iter().all(|x| x.is_finite())) {
            self.memory = None;
            return at;
        }
        if let Some((before, filter)) = &mut self.memory {
            let secs = time_secs - *before;
            if secs > 0.0 && secs <= self.smoothing.max_gap_secs {
                *before = time_secs;
                return filter.push(widen(at), 1.0, secs, &self.smoothing).map(|x| x as f32);
            }
        }
        self.memory = Some((time_secs, VectorFilter::new(widen(at))));
        at
    }
}

fn wide(m: &Mat3) -> Matrix {
    m.map(widen)
}

fn is_finite(params: &SmplParams, translation: Vec3) -> bool {
    let turns =
        params.global_orient.as_flattened().iter().chain(params.body_pose.as_flattened().as_flattened());
    turns.chain(&params.betas).chain(&translation).all(|value| value.is_finite())
}
