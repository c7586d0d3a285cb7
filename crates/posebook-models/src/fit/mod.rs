//! Fits an SMPL body to the landmarks of a person.
//!
//! [`Fitter`] converts [`Landmarks`] to SMPL parameters and a weak-perspective camera: an initial pose in closed form from
//! the directions between world points (`inverse`), then a few Gauss-Newton steps that minimize the distances to the world
//! and image points (`solve`). [`TrackBetas`] averages the shape along a track, [`smooth`] reduces jitter along a track,
//! and [`crop_camera`] converts the camera to HMR2's camera of a crop.

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

use crate::body::{Body, NUM_BETAS};
use linear::Matrix;
use model::Model;
use posebook_core::landmarks::{Landmarks, SCORED_LANDMARKS};
use posebook_core::person::SmplParams;
use solve::{BETA_LIMIT, Problem};

/// Fits a body to landmarks. Create it once per body; a fit does not allocate and uses about 200 KB of stack.
#[derive(Debug, Clone)]
pub struct Fitter {
    model: Model,
}

/// A fitted body and its camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Pose and shape; rotations are from the rest pose to camera axes (x right, y down, z away), as in HMR2.
    pub params: SmplParams,
    /// Scale of the weak-perspective camera: pixels of the frame per meter.
    pub scale_px_per_m: f64,
    /// Position of the body's origin in the frame, pixels: a point of the posed body at (x, y, z) is projected to
    /// `scale_px_per_m * (x, y) + offset_px`. The origin is that of [`Body::pose`], which is not exactly the pelvis.
    pub offset_px: [f64; 2],
    /// Uncertainty of each joint of [`SCORED_LANDMARKS`] relative to the midpoint of the hips: a standard deviation in
    /// millimeters, the root of the trace of its 3 x 3 covariance. The covariance is the inverse of the normal
    /// equations of the last step (observations weighted by visibility, and priors), times the mean squared
    /// residual in units of its deviation if that is above 1. It measures how well visible points determine each
    /// joint. Errors shared by several landmarks, such as a wrong depth of both legs, are not included: on filmed
    /// people with known poses the errors were three to four times as large.
    pub deviation_mm: [f32; SCORED_LANDMARKS.len()],
    /// Mean distance between landmarks and projected body points, pixels of the frame.
    pub residual_px: f32,
    /// Mean distance between world landmarks and body points, both relative to the midpoint of the hips, millimeters.
    pub residual_mm: f32,
    /// Gauss-Newton steps taken.
    pub steps: usize,
}

impl Fitter {
    /// Prepares the reduced model of a body in SMPL's format.
    ///
    /// # Errors
    /// [`FitError::Skeleton`] if the body's kinematic tree is not SMPL's.
    pub fn new(body: &Body) -> Result<Fitter, FitError> {
        Ok(Fitter { model: Model::new(body)? })
    }

    /// Fits the body to one person's landmarks in one frame.
    ///
    /// `prior` is the initial shape and the center of the shape prior: [`TrackBetas::prior`] of the person's track. It is
    /// ignored if it has a value that is not finite; without it the fit starts from the mean shape. Shape coefficients are
    /// limited to -5 to 5. Points with coordinates that are not finite are missing; others are weighted by their
    /// visibility. Fits are deterministic, and all values of a fit are finite.
    ///
    /// # Errors
    /// [`FitError::Missing`] if a hip or a shoulder has no world point, or the image has fewer than two points;
    /// [`FitError::Degenerate`] if the points coincide or contradict each other so that there is no pose or camera;
    /// [`FitError::InvalidSetting`] as [`Settings::check`].
    pub fn fit(
        &self,
        landmarks: &Landmarks,
        prior: Option<&[f32; NUM_BETAS]>,
        settings: &Settings,
    ) -> Result<Fit, FitError> {
        settings.check()?;
        let observations = observe::Observations::new(landmarks, settings)?;
        let track_betas = prior.filter(|betas| betas.iter().all(|beta| beta.is_finite()));
        let track_betas =
            track_betas.map(|betas| betas.map(|beta| f64::from(beta).clamp(-BETA_LIMIT, BETA_LIMIT)));
        let rest = self.model.pose(&Model::rest_state(track_betas.unwrap_or([0.0; NUM_BETAS])));
        let observed = inverse::Observed { world: &observations.world, visibility: &observations.visibility };
        let initial_pose = inverse::solve(&rest, &observed)?;
        let problem = Problem {
            model: &self.model,
            observations: &observations,
            settings,
            initial_pose: &initial_pose,
            track_betas,
        };
        let solution = problem.solve()?;
        let singular = FitError::Degenerate { what: "the normal equations have no solution" };
        let deviations = problem.deviations(&solution).ok_or(singular)?;
        let [residual_px, residual_m] = problem.residuals(&solution);
        let rotations = solution.state.rotations.map(|turn| narrow(&turn));
        let fit = Fit {
            params: SmplParams {
                betas: solution.state.betas.map(|beta| beta as f32),
                global_orient: rotations[0],
                body_pose: std::array::from_fn(|joint| rotations[joint + 1]),
            },
            scale_px_per_m: solution.camera.scale,
            offset_px: solution.camera.offset,
            deviation_mm: deviations.map(|deviation| (1000.0 * deviation) as f32),
            residual_px: residual_px as f32,
            residual_mm: (1000.0 * residual_m) as f32,
            steps: solution.steps,
        };
        if fit.is_finite() {
            Ok(fit)
        } else {
            Err(FitError::Degenerate { what: "coordinates are too large" })
        }
    }
}

impl Fit {
    fn is_finite(&self) -> bool {
        let SmplParams { betas, global_orient, body_pose } = &self.params;
        let rotations = global_orient.as_flattened().iter().chain(body_pose.as_flattened().as_flattened());
        let values =
            rotations.chain(betas).chain(&self.deviation_mm).chain([&self.residual_px, &self.residual_mm]);
        values.copied().all(f32::is_finite)
            && self.scale_px_per_m.is_finite()
            && self.offset_px.iter().all(|shift| shift.is_finite())
    }
}

fn narrow(matrix: &Matrix) -> posebook_core::geometry::Mat3 {
    matrix.map(|row| row.map(|value| value as f32))
}
