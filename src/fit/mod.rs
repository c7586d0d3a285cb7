//! A body fitted to the landmarks of a person.
//!
//! [`Fitter`] turns a person's [`Landmarks`] into SMPL's parameters and a weak-perspective camera: first each
//! joint's rotation in closed form from the directions between world points (`inverse`), then a few Gauss-Newton
//! steps that bring the body onto the points in the world and in the picture (`solve`). [`TrackBetas`] shares the
//! shape along a track, [`smooth`] takes the jitter out of a track afterwards, and [`crop_camera`] gives HMR2's
//! camera of a crop.
//!
//! Must not know networks, pictures, or who asks.

mod betas;
mod camera;
mod error;
mod inverse;
mod linear;
mod model;
mod observe;
mod settings;
pub mod smooth;
mod solve;
#[cfg(test)]
mod tests;

pub use betas::TrackBetas;
pub use camera::crop_camera;
pub use error::FitError;
pub use settings::Settings;

use crate::body::{BETAS, Body};
use crate::landmarks::{Landmarks, SCORED};
use crate::person::SmplParams;
use linear::Matrix;
use model::Model;
use solve::{BETA_LIMIT, Problem};

/// Fits one body to people's landmarks. Made once for a body; a fit allocates nothing and takes some
/// 200 KB of stack.
#[derive(Debug, Clone)]
pub struct Fitter {
    model: Model,
}

/// A fitted body and its camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Rotations take the body from its rest pose to camera axes (x right, y down, z away), as HMR2's do.
    pub params: SmplParams,
    /// Pixels of the frame per meter.
    pub scale: f64,
    /// Where the body's origin falls in the frame, pixels: a point of the posed body at (x, y, z) falls at
    /// `scale * (x, y) + shift`. The origin is that of [`Body::pose`], which is not exactly the pelvis.
    pub shift: [f64; 2],
    /// How uncertain each joint of [`SCORED`] is relative to the middle of the hips: a standard deviation in
    /// millimeters, the root of the trace of its 3 x 3 covariance. The covariance is the inverse of the normal
    /// equations of the last step (observations weighted by visibility, and priors), times the mean squared
    /// residual in units of its deviation where that is above 1. It says which joints are held by what is
    /// visible; an error that landmarks share, such as a wrong depth of both legs, is not in it: on filmed people of
    /// known pose the errors were three to four times as large.
    pub deviation_mm: [f32; SCORED.len()],
    /// Mean distance of the observed points from the body's in the picture, pixels of the frame.
    pub residual_px: f32,
    /// Mean distance of the world points from the body's, both relative to the middle of the hips, millimeters.
    pub residual_mm: f32,
    /// Gauss-Newton steps taken.
    pub steps: usize,
}

impl Fitter {
    /// Prepares fits of `body`, or of a body in SMPL's format by its 24 joints and nine of its vertices.
    ///
    /// # Errors
    /// [`FitError::Skeleton`] if the body has another tree of joints than SMPL.
    pub fn new(body: &Body) -> Result<Fitter, FitError> {
        Ok(Fitter { model: Model::new(body)? })
    }

    /// Fits the body to one person's landmarks in one frame.
    ///
    /// `prior` is the shape to start from and to stay near to, [`TrackBetas::prior`] of the person's track where there
    /// is one (one with a number that is not finite counts as none); without it the fit starts from the mean shape.
    /// Shape coefficients are kept within -5 to 5. Points whose coordinates are not finite are missing; the visibility
    /// weighs the others. Equal inputs give equal fits; every number of a fit is finite.
    ///
    /// # Errors
    /// [`FitError::Missing`] if a hip or a shoulder has no world point, or the picture fewer than two points;
    /// [`FitError::Degenerate`] if the points coincide or contradict each other so that there is no pose or camera;
    /// [`FitError::Setting`] as [`Settings::check`].
    pub fn fit(
        &self,
        landmarks: &Landmarks,
        prior: Option<&[f32; BETAS]>,
        settings: &Settings,
    ) -> Result<Fit, FitError> {
        settings.check()?;
        let observations = observe::Observations::new(landmarks, settings)?;
        let track = prior.filter(|betas| betas.iter().all(|beta| beta.is_finite()));
        let track = track.map(|betas| betas.map(|beta| f64::from(beta).clamp(-BETA_LIMIT, BETA_LIMIT)));
        let rest = self.model.pose(&Model::at_rest(track.unwrap_or([0.0; BETAS])));
        let observed = inverse::Observed { world: &observations.world, visibility: &observations.visibility };
        let first = inverse::solve(&rest, &observed)?;
        let problem =
            Problem { model: &self.model, observations: &observations, settings, first: &first, track };
        let solution = problem.solve()?;
        let no_numbers = FitError::Degenerate { what: "the normal equations have no solution" };
        let deviations = problem.deviations(&solution).ok_or(no_numbers)?;
        let [residual_px, residual_m] = problem.residuals(&solution);
        let turns = solution.state.turns.map(|turn| narrow(&turn));
        let fit = Fit {
            params: SmplParams {
                betas: solution.state.betas.map(|beta| beta as f32),
                global_orient: turns[0],
                body_pose: std::array::from_fn(|joint| turns[joint + 1]),
            },
            scale: solution.camera.scale,
            shift: solution.camera.shift,
            deviation_mm: deviations.map(|deviation| (1000.0 * deviation) as f32),
            residual_px: residual_px as f32,
            residual_mm: (1000.0 * residual_m) as f32,
            steps: solution.steps,
        };
        if fit.is_finite() {
            Ok(fit)
        } else {
            Err(FitError::Degenerate { what: "coordinates are too large to compute with" })
        }
    }
}

impl Fit {
    fn is_finite(&self) -> bool {
        let SmplParams { betas, global_orient, body_pose } = &self.params;
        let turns = global_orient.as_flattened().iter().chain(body_pose.as_flattened().as_flattened());
        let singles =
            turns.chain(betas).chain(&self.deviation_mm).chain([&self.residual_px, &self.residual_mm]);
        singles.copied().all(f32::is_finite)
            && self.scale.is_finite()
            && self.shift.iter().all(|shift| shift.is_finite())
    }
}

fn narrow(matrix: &Matrix) -> crate::geometry::Mat3 {
    matrix.map(|row| row.map(|value| value as f32))
}
