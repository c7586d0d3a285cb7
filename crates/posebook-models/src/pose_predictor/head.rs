//! The heads that read a pose vector and action scores from a token.
//!
//! The regressor starts from the mean parameters and adds three corrections (Kanazawa et al. 2018, HMR); its camera only feeds
//! the next iteration. The last three values of a pose vector are the location, from a perceptron of its own.

use super::sizes::{BETAS, CAMERA, POSE_SIZE, Sizes};
use crate::hmr2::rotations_from_6d;
use crate::nn::{Linear, linear};
use candle_core::{D, Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Corrections of the regressor.
const ITERATIONS: usize = 3;

/// Result of the regressor after one iteration.
#[derive(Debug, Clone)]
pub struct Regressed {
    /// `(n, 144)`: 24 rotations of six values.
    pub pose6d: Tensor,
    /// `(n, 10)`: shape coefficients.
    pub betas: Tensor,
    /// `(n, 3)`: the camera.
    pub camera: Tensor,
}

impl Regressed {
    /// Rotation matrices of all joints, the global orientation first.
    ///
    /// # Shapes
    /// The result is `(n, 24, 3, 3)`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn rotations(&self) -> Result<Tensor> {
        rotations_from_6d(&self.pose6d.reshape(((), POSE_SIZE / 6, 6))?)
    }
}

/// The regressor of SMPL's parameters.
#[derive(Debug, Clone)]
pub struct Regressor {
    fc1: Linear,
    fc2: Linear,
    pose: Linear,
    betas: Linear,
    camera: Linear,
    first: Regressed,
}

impl Regressor {
    fn load(sizes: &Sizes, vb: VarBuilder) -> Result<Regressor> {
        let hidden = sizes.regressor_hidden;
        Ok(Regressor {
            fc1: linear(sizes.width + POSE_SIZE + BETAS + CAMERA, hidden, vb.pp("fc1"))?,
            fc2: linear(hidden, hidden, vb.pp("fc2"))?,
            pose: linear(hidden, POSE_SIZE, vb.pp("decpose"))?,
            betas: linear(hidden, BETAS, vb.pp("decshape"))?,
            camera: linear(hidden, CAMERA, vb.pp("deccam"))?,
            first: Regressed {
                pose6d: vb.get((1, POSE_SIZE), "init_body_pose")?,
                betas: vb.get((1, BETAS), "init_betas")?,
                camera: vb.get((1, CAMERA), "init_cam")?,
            },
        })
    }

    /// The result of each iteration.
    ///
    /// # Shapes
    /// `tokens` `(n, width)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn iterate(&self, tokens: &Tensor) -> Result<Vec<Regressed>> {
        let n = tokens.dim(0)?;
        let repeated = |row: &Tensor| row.broadcast_as((n, row.dim(1)?))?.contiguous();
        let mut current = Regressed {
            pose6d: repeated(&self.first.pose6d)?,
            betas: repeated(&self.first.betas)?,
            camera: repeated(&self.first.camera)?,
        };
        let mut all = Vec::with_capacity(ITERATIONS);
        for _ in 0..ITERATIONS {
            let input = Tensor::cat(&[tokens, &current.pose6d, &current.betas, &current.camera], 1)?;
            let hidden = self.fc2.forward(&self.fc1.forward(&input)?.relu()?)?.relu()?;
            current = Regressed {
                pose6d: self.pose.forward_residual(&hidden, &current.pose6d)?,
                betas: self.betas.forward_residual(&hidden, &current.betas)?,
                camera: self.camera.forward_residual(&hidden, &current.camera)?,
            };
            all.push(current.clone());
        }
        Ok(all)
    }
}

/// What the heads read from tokens.
#[derive(Debug, Clone)]
pub struct Readout {
    /// `(n, 229)`: pose vectors. 24 rotation matrices, 10 shape coefficients, 3 values of the location.
    pub poses: Tensor,
    /// `(n, actions)`: scores of action classes, where the weights have them.
    pub actions: Option<Tensor>,
}

/// All heads.
#[derive(Debug, Clone)]
pub struct Heads {
    regressor: Regressor,
    location: [Linear; 3],
    actions: Option<Linear>,
}

impl Heads {
    /// Reads the tensors `smpl_head.0`, `loca_head.0` and `action_head_ava.0`; further heads are not used, as in the
    /// reference.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(sizes: &Sizes, vb: VarBuilder) -> Result<Heads> {
        let width = sizes.width;
        let location = vb.pp("loca_head.0");
        Ok(Heads {
            regressor: Regressor::load(sizes, vb.pp("smpl_head.0"))?,
            location: [
                linear(width, width, location.pp("0"))?,
                linear(width, width, location.pp("2"))?,
                linear(width, CAMERA, location.pp("4"))?,
            ],
            actions: match sizes.actions {
                0 => None,
                classes => Some(linear(width, classes, vb.pp("action_head_ava.0.0"))?),
            },
        })
    }

    /// The regressor.
    pub fn regressor(&self) -> &Regressor {
        &self.regressor
    }

    /// Pose vectors and action scores of tokens.
    ///
    /// # Shapes
    /// `tokens` `(n, width)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn read(&self, tokens: &Tensor) -> Result<Readout> {
        let mut iterations = self.regressor.iterate(tokens)?;
        let Some(last) = iterations.pop() else { candle_core::bail!("the regressor has no iterations") };
        let [first, second, third] = &self.location;
        let location = third.forward(&second.forward(&first.forward(tokens)?.relu()?)?.relu()?)?;
        let rotations = last.rotations()?.flatten_from(1)?;
        Ok(Readout {
            poses: Tensor::cat(&[rotations, last.betas, location], D::Minus1)?,
            actions: self.actions.as_ref().map(|actions| actions.forward(tokens)).transpose()?,
        })
    }
}
