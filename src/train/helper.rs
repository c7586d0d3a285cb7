//! What the backbone's own tokens are asked, beside what the head says: a signal at every patch teaches
//! them to see long before the head can use what they see. Forgotten after training.

use super::LossWeights;
use super::batch::{Batch, Cells};
use super::chart::{CELL, PARTS};
use crate::hmr2::config::Backbone;
use crate::person::JOINTS;
use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::log_softmax;

/// Of each token: which joints lie there, how deep each would lie there.
const OWN: usize = 2 * JOINTS;
/// Of each token: where all joints are from the pelvis and in the crop, so that what the tokens know comes
/// together in the backbone and one look of the head finds it anywhere.
const WHOLE: usize = 5 * JOINTS;
/// Of each cell of a token: the part seen, its depth, its place on the resting body.
const OF_CELL: usize = PARTS + 4;

/// Names of the helper's weights in a checkpoint.
pub const NAMES: [&str; 5] =
    ["helper.weight", "helper.whole.weight", "helper.whole.bias", "helper.cells.weight", "helper.cells.bias"];

/// Linear read-outs of a token.
pub struct Helper {
    weights: [Tensor; 5],
}

impl Helper {
    /// The shapes of the weights of these [`NAMES`].
    pub fn shapes(backbone: &Backbone) -> [Vec<usize>; 5] {
        let dim = backbone.dim;
        let cells = (backbone.patch_size / CELL).pow(2) * OF_CELL;
        [vec![OWN, dim], vec![WHOLE, dim], vec![WHOLE], vec![cells, dim], vec![cells]]
    }

    /// Weights of these [`Helper::shapes`].
    pub fn new(weights: [Tensor; 5]) -> Helper {
        Helper { weights }
    }

    /// How wrong the tokens are.
    ///
    /// # Shapes
    /// `features` `(b, dim, rows, columns)`, the backbone's.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn loss(
        &self,
        features: &Tensor,
        truth: &Batch,
        cells: &Cells,
        weights: &LossWeights,
    ) -> Result<Tensor> {
        let (b, dim, rows, columns) = features.dims4()?;
        let tokens = features.flatten_from(2)?.transpose(1, 2)?.reshape((b * rows * columns, dim))?;
        let own = self.own_loss(&tokens, &truth.places(rows, columns)?, truth, weights)?;
        let whole = (self.whole_loss(&tokens, truth)? * weights.whole)?;
        (own + whole)? + self.cells_loss(&tokens, cells, weights)?
    }

    /// Which joints lie where a token looks (cross entropy over the tokens), and how deep.
    fn own_loss(
        &self,
        tokens: &Tensor,
        places: &Tensor,
        truth: &Batch,
        weights: &LossWeights,
    ) -> Result<Tensor> {
        let b = truth.joints.dim(0)?;
        let said = tokens.matmul(&self.weights[0].t()?)?.reshape((b, (), OWN))?;
        let said = said.transpose(1, 2)?.contiguous()?; // (b, 88, rows * columns)
        let located = log_softmax(&said.narrow(1, 0, JOINTS)?.contiguous()?, D::Minus1)?;
        let seen = f64::from(places.sum_all()?.to_scalar::<f32>()?.max(1.0));
        let located_error = ((located * places)?.sum_all()? * (-weights.located / seen))?;
        let depth = truth.joints.narrow(2, 2, 1)?; // (b, 44, 1)
        let depths = said.narrow(1, JOINTS, JOINTS)?.broadcast_sub(&depth)?.abs()?;
        located_error + ((depths * places)?.sum_all()? * (weights.depth / seen))?
    }

    /// The mean distance along an axis of all joints, as each token tells them.
    fn whole_loss(&self, tokens: &Tensor, truth: &Batch) -> Result<Tensor> {
        let b = truth.joints.dim(0)?;
        let said = tokens.matmul(&self.weights[1].t()?)?.broadcast_add(&self.weights[2])?;
        let said = said.reshape((b, (), WHOLE))?;
        let joints = truth.joints.reshape((b, 1, 3 * JOINTS))?;
        let wanted = Tensor::cat(&[joints, truth.projected.reshape((b, 1, 2 * JOINTS))?], 2)?;
        said.broadcast_sub(&wanted)?.abs()?.mean_all()
    }

    /// What the cells show: cross entropy of the part; distances where the person is.
    fn cells_loss(&self, tokens: &Tensor, cells: &Cells, weights: &LossWeights) -> Result<Tensor> {
        let said = tokens.matmul(&self.weights[3].t()?)?.broadcast_add(&self.weights[4])?;
        let said = said.reshape(((), OF_CELL))?; // (b * tokens * 16, 29)
        let count = said.dim(0)? as f64;
        let parts = log_softmax(&said.narrow(1, 0, PARTS)?.contiguous()?, D::Minus1)?;
        let part_error = ((parts * &cells.parts)?.sum_all()? * (-weights.parts / count))?;
        let off = (said.narrow(1, PARTS, 4)? - &cells.places)?.abs()?;
        let covered = f64::from(cells.covered.sum_all()?.to_scalar::<f32>()?.max(1.0));
        let off = (off.broadcast_mul(&cells.covered)?.sum_all()? * (weights.surface / covered))?;
        part_error + off
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
