//! Smooths the bodies of a track with the One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) on vectors and rotations.
//!
//! A low-pass filter whose cut-off frequency increases with speed: slow motion is smoothed strongly, and fast motion has
//! little lag. The speed is the low-pass filtered difference of consecutive raw values, as in the authors' implementation.

mod filter;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::Smoothing;

use super::linear::{Matrix, widen};
use super::{FitError, narrow};
use crate::body::NUM_BETAS;
use filter::{PositionFilter, RotationFilter, mix};
use posebook_core::geometry::{Mat3, Vec3};
use posebook_core::person::SmplParams;

/// The filters of one track.
#[derive(Debug, Clone, PartialEq)]
struct FilterState {
    time_secs: f64,
    rotations: [RotationFilter; 24],
    betas: [f64; NUM_BETAS],
    translation: PositionFilter,
}

/// Smooths the bodies of one track, frame by frame.
///
/// Rotations and positions use One-Euro filters, betas a low-pass filter with the minimum cut-off. With the defaults and 30
/// frames per second a motion of 1 m/s lags by less than a frame, and jitter is reduced by more than half.
#[derive(Debug, Clone)]
pub struct BodySmoother {
    smoothing: Smoothing,
    state: Option<Box<FilterState>>,
}

impl BodySmoother {
    /// Creates a smoother for one track.
    ///
    /// # Errors
    /// As [`Smoothing::check`].
    pub fn new(smoothing: Smoothing) -> Result<BodySmoother, FitError> {
        smoothing.check()?;
        Ok(BodySmoother { smoothing, state: None })
    }

    /// Resets the filters: the next body is returned unchanged. To be called at the start of a shot.
    pub fn reset(&mut self) {
        self.state = None;
    }

    /// Smooths the body of one frame. `time_secs` is the frame's presentation time and `translation` the body's
    /// position in camera coordinates (z away from the camera, above 0), meters, as in `posebook_core::person::Person`.
    ///
    /// The first body, one after a gap longer than [`Smoothing::max_gap_secs`], and one whose time is not after the previous
    /// frame's are returned unchanged and restart the filters. A body behind the camera or with a value that is not finite
    /// is returned unchanged and resets the filters.
    pub fn push(&mut self, time_secs: f64, params: &SmplParams, translation: Vec3) -> (SmplParams, Vec3) {
        if !(time_secs.is_finite() && is_finite(params, translation) && translation[2] > 0.0) {
            self.state = None;
            return (params.clone(), translation);
        }
        let rotation = |joint: usize| match joint {
            0 => widen_matrix(&params.global_orient),
            _ => widen_matrix(&params.body_pose[joint - 1]),
        };
        let dt_secs = self.state.as_ref().map(|state| time_secs - state.time_secs);
        let continues = dt_secs.filter(|dt_secs| *dt_secs > 0.0 && *dt_secs <= self.smoothing.max_gap_secs);
        let (Some(state), Some(dt_secs)) = (&mut self.state, continues) else {
            self.state = Some(Box::new(FilterState {
                time_secs,
                rotations: std::array::from_fn(|joint| RotationFilter::new(rotation(joint))),
                betas: params.betas.map(f64::from),
                translation: PositionFilter::new(widen(translation)),
            }));
            return (params.clone(), translation);
        };
        state.time_secs = time_secs;
        let smoothing = &self.smoothing;
        let rotations: [Mat3; 24] = std::array::from_fn(|joint| {
            narrow(&state.rotations[joint].push(rotation(joint), dt_secs, smoothing))
        });
        mix(&mut state.betas, params.betas.map(f64::from), smoothing.weight(0.0, dt_secs));
        let position = state.translation.push(widen(translation), dt_secs, smoothing);
        let smooth = SmplParams {
            betas: state.betas.map(|beta| beta as f32),
            global_orient: rotations[0],
            body_pose: std::array::from_fn(|joint| rotations[joint + 1]),
        };
        (smooth, position.map(|x| x as f32))
    }
}

fn widen_matrix(m: &Mat3) -> Matrix {
    m.map(widen)
}

fn is_finite(params: &SmplParams, translation: Vec3) -> bool {
    let rotations =
        params.global_orient.as_flattened().iter().chain(params.body_pose.as_flattened().as_flattened());
    rotations.chain(&params.betas).chain(&translation).all(|value| value.is_finite())
}
