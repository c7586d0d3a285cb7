//! One head that scores the classes of proposals and refines their boxes.

use super::convolutions::Convolutions;
use super::region_levels;
use super::relu::relu;
use crate::detect::mask_rcnn::boxes::{Corners, decode};
use crate::detect::mask_rcnn::budget::Budget;
use crate::detect::mask_rcnn::config::{self, Norm};
use crate::detect::mask_rcnn::layers::{Loader, Operators};
use crate::detect::mask_rcnn::roi_align::roi_align;
use crate::nn::Linear;
use candle_core::{DType, Module, Result, Tensor};

/// Rows and columns that a proposal is pooled to.
const SIDE: usize = 7;
/// Linear layers are computed for at least this many proposals, with zeros where there are fewer. A proposal's result must not
/// depend on how many are computed with it, but `gemm` sums in another order if a product has at most 64 rows or at most 256
/// results. The smallest layer has two results for each proposal: the scores of one class and of the background.
const LEAST_ROWS: usize = 192;
/// Maps of a proposal that exist at once: the input and the output of a convolution, and its norm's or its copy in another
/// precision.
const MAPS: usize = 3;

/// A head: convolutions, linear layers with a ReLU each, and the two linear layers for classes and boxes.
#[derive(Debug)]
pub struct BoxStage {
    convolutions: Convolutions,
    layers: Vec<Linear>,
    scores: Linear,
    deltas: Linear,
    /// What the deltas are divided by.
    weights: [f32; 4],
    channels: usize,
    operators: Operators,
}

/// What a head computes of proposals.
#[derive(Debug, Clone)]
pub struct StageOutput {
    /// The proposals.
    pub proposals: Vec<Corners>,
    /// A row for each proposal: the logits of the classes and, last, of the background.
    pub logits: Vec<f32>,
    /// The deltas of each box of [`StageOutput::boxes`].
    pub deltas: Vec<[f32; 4]>,
    /// The refined boxes, not clipped: one per proposal, or one per proposal and class.
    pub boxes: Vec<Corners>,
}

impl StageOutput {
    /// The softmax of each row of logits.
    pub fn probabilities(&self) -> Vec<f32> {
        let mut values = self.logits.clone();
        let columns = self.logits.len().checked_div(self.proposals.len()).unwrap_or(1);
        for row in values.chunks_exact_mut(columns.max(1)) {
            // NaN makes the sum NaN, whatever the largest is
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|value| *value = (*value - largest).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= sum);
        }
        values
    }
}

impl BoxStage {
    /// Reads a head at `head` and the layers for classes and boxes at `predictor`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(
        sizes: &config::BoxHead,
        channels: usize,
        [scores, boxes]: [usize; 2],
        weights: [f32; 4],
        [head, predictor]: [&Loader; 2],
    ) -> Result<BoxStage> {
        let mut layers = Vec::with_capacity(sizes.layers);
        for index in 1..=sizes.layers {
            let loader = head.pp(format!("fc{index}"));
            layers.push(match index {
                1 => first_layer(channels, sizes.width, &loader)?,
                _ => loader.linear(sizes.width, sizes.width)?,
            });
        }
        let norm = if sizes.convolutions == 0 { Norm::None } else { sizes.norm };
        Ok(BoxStage {
            convolutions: Convolutions::load(sizes.convolutions, norm, channels, "conv", head)?,
            layers,
            scores: predictor.pp("cls_score").linear(sizes.width, scores)?,
            deltas: predictor.pp("bbox_pred").linear(sizes.width, 4 * boxes)?,
            weights,
            channels,
            operators: head.operators(),
        })
    }

    /// Scores and refines proposals of an image. `on_activation` gets, for successive proposals, `pooled` `(n, 7, 7, c)` and
    /// `fc` `(n, width)`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn forward(
        &self,
        pyramid: &[Tensor],
        image: usize,
        proposals: Vec<Corners>,
        budget: Budget,
        on_activation: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<StageOutput> {
        let chunk = budget.chunk(proposals.len(), MAPS * self.map_bytes());
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for block in proposals.chunks(chunk.max(LEAST_ROWS)) {
            let mut rows = Vec::new();
            for proposals in block.chunks(chunk) {
                let pooled = roi_align(region_levels(pyramid), image, proposals, SIDE, self.operators)?;
                on_activation("pooled", &pooled);
                let maps = self.convolutions.forward(pooled)?;
                rows.push(maps.reshape((proposals.len(), SIDE * SIDE * self.channels))?);
            }
            let mut x = concatenate(rows, LEAST_ROWS)?;
            for layer in &self.layers {
                x = relu(layer.forward(&x)?)?;
            }
            on_activation("fc", &x.narrow(0, 0, block.len())?);
            logits.extend(first_rows(&self.scores.forward(&x)?, block.len())?);
            deltas.extend(first_rows(&self.deltas.forward(&x)?, block.len())?);
        }
        let deltas = deltas.as_chunks::<4>().0.to_vec();
        let boxes_per_proposal = deltas.len().checked_div(proposals.len()).unwrap_or(1);
        let decode = |(index, &deltas): (usize, &[f32; 4])| {
            decode(proposals[index / boxes_per_proposal], deltas, self.weights)
        };
        let boxes = deltas.iter().enumerate().map(decode).collect();
        Ok(StageOutput { proposals, logits, deltas, boxes })
    }

    /// Bytes of a proposal's map in `f32`.
    fn map_bytes(&self) -> usize {
        SIDE * SIDE * self.channels * size_of::<f32>()
    }
}

/// The first linear layer. The checkpoint's flattens maps `(c, 7, 7)`; ours are `(7, 7, c)`, so that its columns are reordered.
fn first_layer(channels: usize, outputs: usize, loader: &Loader) -> Result<Linear> {
    let inputs = channels * SIDE * SIDE;
    let weight = loader.tensor((outputs, inputs), "weight")?;
    let weight = weight.reshape((outputs, channels, SIDE * SIDE))?.transpose(1, 2)?.contiguous()?;
    Linear::new(&weight.reshape((outputs, inputs))?, Some(loader.tensor(outputs, "bias")?))
}

/// Rows one below the other, and zeros so that there are at least `least`.
fn concatenate(mut rows: Vec<Tensor>, least: usize) -> Result<Tensor> {
    let count: usize = rows.iter().map(|rows| rows.dim(0)).sum::<Result<_>>()?;
    if let Some(first) = rows.first().filter(|_| count < least) {
        rows.push(Tensor::zeros((least - count, first.dim(1)?), first.dtype(), first.device())?);
    }
    if rows.len() == 1 { Ok(rows.remove(0)) } else { Tensor::cat(&rows, 0) }
}

/// The values of the first `count` rows.
fn first_rows(x: &Tensor, count: usize) -> Result<Vec<f32>> {
    x.narrow(0, 0, count)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
