//! Training loss of a prediction.

use super::LossWeights;
use super::batch::Batch;
use candle_core::{Result, Tensor};
use posebook_core::person::PELVIS;
use posebook_models::body::BatchedBody;
use posebook_models::hmr2::Prediction;

/// Weighted sum of the errors, a scalar with a gradient.
///
/// # Errors
/// If shapes do not match.
pub fn loss(
    prediction: &Prediction,
    truth: &Batch,
    body: &BatchedBody,
    weights: &LossWeights,
) -> Result<Tensor> {
    let joints = body.forward(&prediction.betas, &prediction.rotations)?.joints44; // (B, 44, 3)
    let from_pelvis = joints.broadcast_sub(&joints.narrow(1, PELVIS, 1)?)?;
    let joint_error = distance(&from_pelvis, &truth.joints)?;

    // weak perspective: s / 2 * (joint + shift)
    let half = (prediction.camera.narrow(1, 0, 1)? * 0.5)?.unsqueeze(2)?; // (B, 1, 1)
    let shift = prediction.camera.narrow(1, 1, 2)?.unsqueeze(1)?; // (B, 1, 2)
    let projected = joints.narrow(2, 0, 2)?.broadcast_add(&shift)?.broadcast_mul(&half)?;
    let projected_error = distance(&projected, &truth.projected)?;

    let turned = (&prediction.rotations - &truth.rotations)?.sqr()?;
    let orientation_error = turned.narrow(1, 0, 1)?.mean_all()?;
    let pose_error = turned.narrow(1, 1, 23)?.mean_all()?;
    let shape_error = (&prediction.betas - &truth.betas)?.sqr()?.mean_all()?;
    let camera_error = distance(&prediction.camera, &truth.camera)?;

    let sum = (joint_error * weights.joints)?;
    let sum = (sum + (projected_error * weights.projected)?)?;
    let sum = (sum + (orientation_error * weights.orientation)?)?;
    let sum = (sum + (pose_error * weights.pose)?)?;
    let sum = (sum + (shape_error * weights.shape)?)?;
    sum + (camera_error * weights.camera)?
}

/// Mean absolute error.
fn distance(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a - b)?.abs()?.mean_all()
}
