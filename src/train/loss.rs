//! How wrong a prediction is.
//!
//! Beside what the head says, the backbone's own tokens are asked where each joint lies and how deep
//! ([`Helper`]): a signal at every patch teaches them to see long before the head can use what they see.
//! The helper is forgotten after training.

use super::LossWeights;
use super::batch::Batch;
use crate::body::tensor::TensorBody;
use crate::hmr2::Prediction;
use crate::person::{JOINTS, PELVIS};
use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::log_softmax;

/// The weighted sum of the errors, one number with a gradient.
///
/// # Errors
/// If shapes do not fit.
pub fn loss(
    prediction: &Prediction,
    truth: &Batch,
    body: &TensorBody,
    weights: &LossWeights,
) -> Result<Tensor> {
    let joints = body.forward(&prediction.betas, &prediction.rotations)?.joints44; // (B, 44, 3)
    let from_pelvis = joints.broadcast_sub(&joints.narrow(1, PELVIS, 1)?)?;
    let joint_error = distance(&from_pelvis, &truth.joints)?;

    // the view from far away: s / 2 * (joint + shift)
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

/// The mean distance along an axis.
fn distance(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a - b)?.abs()?.mean_all()
}

/// What every token is asked: which joints lie there, how deep each would lie there; and, each for itself,
/// where all joints of the body are, so that what the tokens know comes together in the backbone and one
/// look of the head finds it anywhere.
pub struct Helper {
    weight: Tensor,
    whole_weight: Tensor,
    whole_bias: Tensor,
}

impl Helper {
    /// Numbers read out of a token about its own place.
    pub const WIDTH: usize = 2 * JOINTS;
    /// Numbers about the whole body: 44 joints from the pelvis, 44 in the crop.
    pub const WHOLE: usize = 5 * JOINTS;

    /// # Shapes
    /// `weight` `(88, dim)`, `whole_weight` `(220, dim)`, `whole_bias` `(220)`.
    pub fn new(weight: Tensor, whole_weight: Tensor, whole_bias: Tensor) -> Helper {
        Helper { weight, whole_weight, whole_bias }
    }

    /// The mean distance along an axis of all joints, as each token tells them.
    fn whole_loss(&self, tokens: &Tensor, truth: &Batch) -> Result<Tensor> {
        let b = truth.joints.dim(0)?;
        let said = tokens.matmul(&self.whole_weight.t()?)?.broadcast_add(&self.whole_bias)?;
        let said = said.reshape((b, (), Helper::WHOLE))?;
        let joints = truth.joints.reshape((b, 1, 3 * JOINTS))?;
        let wanted = Tensor::cat(&[joints, truth.projected.reshape((b, 1, 2 * JOINTS))?], 2)?;
        said.broadcast_sub(&wanted)?.abs()?.mean_all()
    }

    /// How wrong the tokens are about where the joints lie, and how deep.
    ///
    /// # Shapes
    /// `features` `(b, dim, rows, columns)`, the backbone's.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn loss(&self, features: &Tensor, truth: &Batch, weights: &LossWeights) -> Result<Tensor> {
        let (b, dim, rows, columns) = features.dims4()?;
        let tokens = features.flatten_from(2)?.transpose(1, 2)?.reshape((b * rows * columns, dim))?;
        let said = tokens.matmul(&self.weight.t()?)?.reshape((b, rows * columns, Helper::WIDTH))?;
        let said = said.transpose(1, 2)?.contiguous()?; // (b, 88, rows * columns)
        let places = truth.places(rows, columns)?; // (b, 44, rows * columns)
        let located = log_softmax(&said.narrow(1, 0, JOINTS)?.contiguous()?, D::Minus1)?;
        let seen = places.sum_all()?.to_scalar::<f32>()?.max(1.0) as f64;
        let located_error = ((located * &places)?.sum_all()? * (-1.0 / seen))?;
        let depth = truth.joints.narrow(2, 2, 1)?; // (b, 44, 1)
        let depths = said.narrow(1, JOINTS, JOINTS)?.broadcast_sub(&depth)?.abs()?;
        let depth_error = ((depths * &places)?.sum_all()? * (1.0 / seen))?;
        let whole_error = self.whole_loss(&tokens, truth)?;
        let sum = ((located_error * weights.located)? + (depth_error * weights.depth)?)?;
        sum + (whole_error * weights.whole)?
    }
}

impl Batch {
    /// The patches that each joint lies in, shared between the four nearest; nothing for joints outside.
    ///
    /// # Shapes
    /// `(b, 44, rows * columns)`.
    fn places(&self, rows: usize, columns: usize) -> Result<Tensor> {
        let projected = self.projected.to_vec3::<f32>()?;
        let mut places = vec![0f32; projected.len() * JOINTS * rows * columns];
        let joints = projected.iter().flatten();
        for (at, place) in joints.zip(places.chunks_exact_mut(rows * columns)) {
            // patches fill the crop's height and the middle three quarters of its width
            let x = (at[0] / 0.75 + 0.5) * columns as f32 - 0.5;
            let y = (at[1] + 0.5) * rows as f32 - 0.5;
            for (row, down) in [(y.floor(), 1.0 - y.fract_up()), (y.floor() + 1.0, y.fract_up())] {
                for (column, across) in [(x.floor(), 1.0 - x.fract_up()), (x.floor() + 1.0, x.fract_up())] {
                    let inside = (0.0..rows as f32).contains(&row) && (0.0..columns as f32).contains(&column);
                    if inside {
                        place[row as usize * columns + column as usize] += down * across;
                    }
                }
            }
        }
        Tensor::from_vec(places, (projected.len(), JOINTS, rows * columns), &Device::Cpu)
    }
}

/// The fraction above the next lower whole number, also below zero.
trait FractUp {
    fn fract_up(self) -> f32;
}

impl FractUp for f32 {
    fn fract_up(self) -> f32 {
        self - self.floor()
    }
}
