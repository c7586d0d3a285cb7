//! Auxiliary heads on the backbone's tokens, used only in training: a loss at every patch trains the backbone's features
//! long before the pose head can use them.

use super::LossWeights;
use super::batch::{Batch, CellTargets};
use super::part_map::{CELL_PIXELS, PART_COUNT};
use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::log_softmax;
use posebook_core::person::JOINTS;
use posebook_models::hmr2::BackboneConfig;

/// Outputs per token: which joints lie in its patch, and the depth of each.
const LOCAL_OUTPUTS: usize = 2 * JOINTS;
/// Outputs per token: all joints relative to the pelvis and in the crop. They make global information available at every
/// token, where the cross-attention of the head can read it.
const GLOBAL_OUTPUTS: usize = 5 * JOINTS;
/// Outputs per cell of a token: part, depth, and point on the body at rest.
const OUTPUTS_PER_CELL: usize = PART_COUNT + 4;

/// Names of the weights in a checkpoint.
pub const WEIGHT_NAMES: [&str; 5] =
    ["helper.weight", "helper.whole.weight", "helper.whole.bias", "helper.cells.weight", "helper.cells.bias"];

/// Linear heads on a token.
pub struct AuxiliaryHeads {
    weights: [Tensor; 5],
}

impl AuxiliaryHeads {
    /// Shapes of the weights of [`WEIGHT_NAMES`].
    pub fn shapes(backbone: &BackboneConfig) -> [Vec<usize>; 5] {
        let dim = backbone.dim;
        let cells = (backbone.patch_size / CELL_PIXELS).pow(2) * OUTPUTS_PER_CELL;
        [
            vec![LOCAL_OUTPUTS, dim],
            vec![GLOBAL_OUTPUTS, dim],
            vec![GLOBAL_OUTPUTS],
            vec![cells, dim],
            vec![cells],
        ]
    }

    /// Takes weights of [`AuxiliaryHeads::shapes`].
    pub fn new(weights: [Tensor; 5]) -> AuxiliaryHeads {
        AuxiliaryHeads { weights }
    }

    /// Weighted loss of all heads.
    ///
    /// # Shapes
    /// `features` `(b, dim, rows, columns)` of the backbone.
    ///
    /// # Errors
    /// If shapes do not match.
    pub fn loss(
        &self,
        features: &Tensor,
        truth: &Batch,
        cells: &CellTargets,
        weights: &LossWeights,
    ) -> Result<Tensor> {
        let (b, dim, rows, columns) = features.dims4()?;
        let tokens = features.flatten_from(2)?.transpose(1, 2)?.reshape((b * rows * columns, dim))?;
        let own = self.local_loss(&tokens, &truth.joint_heatmaps(rows, columns)?, truth, weights)?;
        let whole = (self.global_loss(&tokens, truth)? * weights.whole)?;
        (own + whole)? + self.cells_loss(&tokens, cells, weights)?
    }

    /// Location of each joint (cross entropy over the tokens), and its depth.
    fn local_loss(
        &self,
        tokens: &Tensor,
        heatmaps: &Tensor,
        truth: &Batch,
        weights: &LossWeights,
    ) -> Result<Tensor> {
        let b = truth.joints.dim(0)?;
        let outputs = tokens.matmul(&self.weights[0].t()?)?.reshape((b, (), LOCAL_OUTPUTS))?;
        let outputs = outputs.transpose(1, 2)?.contiguous()?; // (b, 88, rows * columns)
        let located = log_softmax(&outputs.narrow(1, 0, JOINTS)?.contiguous()?, D::Minus1)?;
        let seen = f64::from(heatmaps.sum_all()?.to_scalar::<f32>()?.max(1.0));
        let located_error = ((located * heatmaps)?.sum_all()? * (-weights.located / seen))?;
        let depth = truth.joints.narrow(2, 2, 1)?; // (b, 44, 1)
        let depths = outputs.narrow(1, JOINTS, JOINTS)?.broadcast_sub(&depth)?.abs()?;
        located_error + ((depths * heatmaps)?.sum_all()? * (weights.depth / seen))?
    }

    /// Mean absolute error of all joints, as predicted by every token.
    fn global_loss(&self, tokens: &Tensor, truth: &Batch) -> Result<Tensor> {
        let b = truth.joints.dim(0)?;
        let outputs = tokens.matmul(&self.weights[1].t()?)?.broadcast_add(&self.weights[2])?;
        let outputs = outputs.reshape((b, (), GLOBAL_OUTPUTS))?;
        let joints = truth.joints.reshape((b, 1, 3 * JOINTS))?;
        let wanted = Tensor::cat(&[joints, truth.projected.reshape((b, 1, 2 * JOINTS))?], 2)?;
        outputs.broadcast_sub(&wanted)?.abs()?.mean_all()
    }

    /// Part-map loss: cross entropy of the part; absolute errors of depth and coordinates where the person is.
    fn cells_loss(&self, tokens: &Tensor, cells: &CellTargets, weights: &LossWeights) -> Result<Tensor> {
        let outputs = tokens.matmul(&self.weights[3].t()?)?.broadcast_add(&self.weights[4])?;
        let outputs = outputs.reshape(((), OUTPUTS_PER_CELL))?; // (b * tokens * 16, 29)
        let count = outputs.dim(0)? as f64;
        let parts = log_softmax(&outputs.narrow(1, 0, PART_COUNT)?.contiguous()?, D::Minus1)?;
        let part_error = ((parts * &cells.parts)?.sum_all()? * (-weights.parts / count))?;
        let off = (outputs.narrow(1, PART_COUNT, 4)? - &cells.coordinates)?.abs()?;
        let covered = f64::from(cells.mask.sum_all()?.to_scalar::<f32>()?.max(1.0));
        let off = (off.broadcast_mul(&cells.mask)?.sum_all()? * (weights.surface / covered))?;
        part_error + off
    }
}

impl Batch {
    /// Weights of the patches around each joint, bilinear over the four nearest; zero for joints outside.
    ///
    /// # Shapes
    /// `(b, 44, rows * columns)`.
    fn joint_heatmaps(&self, rows: usize, columns: usize) -> Result<Tensor> {
        let projected = self.projected.to_vec3::<f32>()?;
        let mut heatmaps = vec![0f32; projected.len() * JOINTS * rows * columns];
        let joints = projected.iter().flatten();
        for (point, place) in joints.zip(heatmaps.chunks_exact_mut(rows * columns)) {
            // patches cover the crop's height and the middle three quarters of its width
            let x = (point[0] / 0.75 + 0.5) * columns as f32 - 0.5;
            let y = (point[1] + 0.5) * rows as f32 - 0.5;
            for (row, down) in [(y.floor(), 1.0 - fraction(y)), (y.floor() + 1.0, fraction(y))] {
                for (column, across) in [(x.floor(), 1.0 - fraction(x)), (x.floor() + 1.0, fraction(x))] {
                    let inside = (0.0..rows as f32).contains(&row) && (0.0..columns as f32).contains(&column);
                    if inside {
                        place[row as usize * columns + column as usize] += down * across;
                    }
                }
            }
        }
        Tensor::from_vec(heatmaps, (projected.len(), JOINTS, rows * columns), &Device::Cpu)
    }
}

/// The fraction above the next lower integer, also below zero.
fn fraction(value: f32) -> f32 {
    value - value.floor()
}
