//! The head that computes a mask for each box.

use super::convolutions::Convolutions;
use super::{HeadError, region_levels};
use crate::detect::mask_rcnn::boxes::Corners;
use crate::detect::mask_rcnn::budget::Budget;
use crate::detect::mask_rcnn::config;
use crate::detect::mask_rcnn::layers::{Activation, Deconv2x2, Loader, Operators};
use crate::detect::mask_rcnn::paste;
use crate::detect::mask_rcnn::roi_align::roi_align;
use crate::nn::Linear;
use candle_core::{DType, Device, Module, Result, Tensor, bail};

/// Rows and columns that a box is pooled to: half of the mask's.
const SIDE: usize = paste::SIDE / 2;
/// Maps of [`SIDE`] x [`SIDE`] that exist at once for each box: the input of the transposed convolution and its four times
/// larger output, twice while it is converted.
const MAPS: usize = 9;

/// Convolutions, a transposed convolution that doubles the sides, and a linear layer over the channels of each pixel.
#[derive(Debug)]
pub struct MaskHead {
    convolutions: Convolutions,
    upsample: Deconv2x2,
    /// `(classes, channels)`.
    weight: Tensor,
    bias: Tensor,
    channels: usize,
    classes: usize,
    operators: Operators,
}

impl MaskHead {
    /// Reads `mask_head` below `loader`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(
        sizes: &config::MaskHead,
        channels: usize,
        classes: usize,
        loader: &Loader,
    ) -> Result<MaskHead> {
        let loader = loader.pp("mask_head");
        let predictor = loader.pp("predictor");
        Ok(MaskHead {
            convolutions: Convolutions::load(sizes.convolutions, sizes.norm, channels, "mask_fcn", &loader)?,
            upsample: loader.pp("deconv").deconv(channels, channels, Activation::Relu)?,
            weight: predictor.tensor((classes, channels, 1, 1), "weight")?.reshape((classes, channels))?,
            bias: predictor.tensor(classes, "bias")?,
            channels,
            classes,
            operators: loader.operators(),
        })
    }

    /// The maps of boxes before the convolutions.
    ///
    /// # Shapes
    /// The result is `(n, 14, 14, channels)`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn pool(&self, pyramid: &[Tensor], image: usize, boxes: &[Corners]) -> Result<Tensor> {
        roi_align(region_levels(pyramid), image, boxes, SIDE, self.operators)
    }

    /// The logits of every class; for comparisons.
    ///
    /// # Shapes
    /// `pooled` `(n, 14, 14, channels)` to `(n, 28, 28, classes)`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn logits(&self, pooled: Tensor) -> Result<Tensor> {
        Linear::new(&self.weight, Some(self.bias.clone()))?.forward(&self.features(pooled)?)
    }

    /// For each box of image `image` of the pyramid's batch, the probability that a cell of its 28 x 28 belongs to the box's
    /// class, row by row.
    ///
    /// # Errors
    /// [`HeadError::NotFinite`] if a probability is not a number; if a class does not exist, or the device fails.
    pub fn probabilities(
        &self,
        pyramid: &[Tensor],
        image: usize,
        boxes: &[Corners],
        classes: &[usize],
        budget: Budget,
    ) -> std::result::Result<Vec<Vec<f32>>, HeadError> {
        self.check_classes(boxes, classes)?;
        let chunk = budget.chunk(boxes.len(), MAPS * SIDE * SIDE * self.channels * size_of::<f32>());
        let mut masks = Vec::with_capacity(boxes.len());
        for (boxes, classes) in boxes.chunks(chunk).zip(classes.chunks(chunk)) {
            let features = self.features(self.pool(pyramid, image, boxes)?)?;
            let logits = self.logits_of(&features, classes)?;
            masks.extend(
                logits
                    .chunks_exact(paste::SIDE * paste::SIDE)
                    .map(|mask| mask.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect::<Vec<f32>>()),
            );
        }
        if masks.iter().flatten().any(|probability| probability.is_nan()) {
            return Err(HeadError::NotFinite { head: "mask" });
        }
        Ok(masks)
    }

    fn check_classes(&self, boxes: &[Corners], classes: &[usize]) -> Result<()> {
        if boxes.len() != classes.len() {
            bail!("{} boxes with {} classes", boxes.len(), classes.len());
        }
        match classes.iter().find(|&&class| class >= self.classes) {
            Some(class) => bail!("a mask of class {class}, but there are {} classes", self.classes),
            None => Ok(()),
        }
    }

    /// `(n, 14, 14, channels)` to `(n, 28, 28, channels)`.
    fn features(&self, pooled: Tensor) -> Result<Tensor> {
        self.upsample.forward(&self.convolutions.forward(pooled)?)
    }

    /// The logits of one class for each map of `(n, 28, 28, channels)`: those of the other classes are not computed.
    fn logits_of(&self, features: &Tensor, classes: &[usize]) -> Result<Vec<f32>> {
        let indices: Vec<u32> = classes.iter().map(|&class| class as u32).collect();
        let indices = Tensor::from_vec(indices, classes.len(), &Device::Cpu)?.to_device(features.device())?;
        let in_f32 = |x: &Tensor| x.index_select(&indices, 0)?.to_dtype(DType::F32);
        let (weights, biases) = (in_f32(&self.weight)?, in_f32(&self.bias)?);
        let pixels = paste::SIDE * paste::SIDE;
        let features = features.reshape((classes.len(), pixels, self.channels))?.to_dtype(DType::F32)?;
        let logits = features.matmul(&weights.unsqueeze(2)?)?.squeeze(2)?;
        logits.broadcast_add(&biases.unsqueeze(1)?)?.flatten_all()?.to_vec1()
    }
}
