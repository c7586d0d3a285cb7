//! Layers of convolutional networks over maps with their channels innermost.
//!
//! In and out: contiguous tensors `(b, h, w, c)`. On the CPU in `f32` our own kernels run (`crate::conv::blocked`); in half
//! precision on the CPU values are widened and results rounded; on other devices candle's operators run. Weights are read
//! in `f32`, norms are folded in, and the result is rounded to the network's precision.

mod conv;
mod deconv;
mod maps;
#[cfg(test)]
mod tests;
mod values;

pub use crate::conv::blocked::ConvSpec;
pub use conv::Conv2d;
pub use deconv::Deconv2x2;
pub use maps::{max_pool, subsample_2x, upsample_2x};
pub(super) use values::{rounded, with_values};

use crate::nn::{LayerNorm, Linear};
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// Epsilon of batch norms, also of frozen ones.
const BATCH_NORM_EPSILON: f64 = 1e-5;
/// Epsilon of layer norms over the channels of each pixel.
const LAYER_NORM_EPSILON: f64 = 1e-6;

/// Which operators compute a layer on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Operators {
    /// Our own kernels on the CPU, candle's operators elsewhere.
    #[default]
    Kernels,
    /// Candle's operators everywhere: what runs on a GPU, and the reference for the kernels.
    Candle,
}

impl Operators {
    /// Whether our kernels run on a device.
    pub(super) fn use_kernels_on(self, device: &Device) -> bool {
        self == Operators::Kernels && device.is_cpu()
    }
}

/// What follows a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(0, x)`; NaN stays NaN.
    Relu,
}

impl Activation {
    /// Applies it with candle's operators. candle's own ReLU makes NaN zero.
    pub(super) fn apply(self, x: Tensor) -> Result<Tensor> {
        match self {
            Activation::None => Ok(x),
            Activation::Relu => x.lt(0.0)?.where_cond(&x.zeros_like()?, &x),
        }
    }
}

/// Reads layers from the weights of a network.
#[derive(Clone)]
pub struct Loader<'a> {
    vb: VarBuilder<'a>,
    dtype: DType,
    operators: Operators,
}

impl<'a> Loader<'a> {
    /// Reads from `vb`, whose tensors are `f32` or already of `dtype`.
    pub fn new(vb: VarBuilder<'a>, dtype: DType, operators: Operators) -> Loader<'a> {
        Loader { vb, dtype, operators }
    }

    /// Reads below `name`.
    pub fn pp(&self, name: impl ToString) -> Loader<'a> {
        Loader { vb: self.vb.pp(name), ..self.clone() }
    }

    /// Precision of the layers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Device of the layers.
    pub fn device(&self) -> &Device {
        self.vb.device()
    }

    /// Which operators the layers use.
    pub fn operators(&self) -> Operators {
        self.operators
    }

    /// A tensor in the network's precision.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub fn tensor(&self, shape: impl Into<candle_core::Shape>, name: &str) -> Result<Tensor> {
        self.vb.get(shape, name)?.to_dtype(self.dtype)
    }

    /// The values of a tensor in `f32`, in row-major order.
    fn values(&self, shape: impl Into<candle_core::Shape>, name: &str) -> Result<Vec<f32>> {
        let tensor = self.vb.get_with_hints_dtype(shape, name, Init::Const(0.0), DType::F32)?;
        tensor.flatten_all()?.to_vec1()
    }

    /// `weight` `(outputs, inputs / groups, kernel, kernel)` and `bias`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn conv(&self, spec: ConvSpec, activation: Activation) -> Result<Conv2d> {
        let bias = self.values(spec.outputs, "bias")?;
        Conv2d::new(self.conv_weight(spec)?, Some(bias), spec, activation, self)
    }

    /// `weight` alone, without a bias.
    ///
    /// # Errors
    /// If the tensor is missing or has another shape.
    pub fn conv_no_bias(&self, spec: ConvSpec, activation: Activation) -> Result<Conv2d> {
        Conv2d::new(self.conv_weight(spec)?, None, spec, activation, self)
    }

    /// `weight`, with the batch norm below `norm` (`weight`, `bias`, `running_mean`, `running_var`; epsilon 1e-5)
    /// folded in. `norm` is a loader of its own, because some networks name it beside the convolution, not below it.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn conv_batch_norm(&self, norm: &Loader, spec: ConvSpec, activation: Activation) -> Result<Conv2d> {
        let mut weights = self.conv_weight(spec)?;
        let read = |name: &str| norm.values(spec.outputs, name);
        let (scale, mut bias) = (read("weight")?, read("bias")?);
        let (mean, variance) = (read("running_mean")?, read("running_var")?);
        let length = weights.len() / spec.outputs;
        let filters = weights.chunks_exact_mut(length);
        for (channel, filter) in filters.enumerate() {
            // in double precision, so that folding rounds each weight once
            let scale =
                f64::from(scale[channel]) / (f64::from(variance[channel]) + BATCH_NORM_EPSILON).sqrt();
            filter.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
            bias[channel] = (f64::from(bias[channel]) - f64::from(mean[channel]) * scale) as f32;
        }
        Conv2d::new(weights, Some(bias), spec, activation, self)
    }

    /// The weights of a convolution.
    fn conv_weight(&self, spec: ConvSpec) -> Result<Vec<f32>> {
        if !spec.is_possible() {
            bail!("{}: impossible sizes of a convolution: {spec:?}", self.vb.prefix());
        }
        let ConvSpec { inputs, outputs, kernel, groups, .. } = spec;
        self.values((outputs, inputs / groups, kernel, kernel), "weight")
    }

    /// `weight` `(inputs, outputs, 2, 2)` and `bias` of a transposed convolution with stride 2.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn deconv(&self, inputs: usize, outputs: usize, activation: Activation) -> Result<Deconv2x2> {
        let weights = self.values((inputs, outputs, 2, 2), "weight")?;
        Deconv2x2::new(&weights, &self.values(outputs, "bias")?, inputs, activation, self)
    }

    /// A linear layer.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn linear(&self, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.tensor((outputs, inputs), "weight")?;
        Linear::new(&weight, Some(self.tensor(outputs, "bias")?))
    }

    /// A layer norm over the last axis with epsilon 1e-6: detectron2's norm over the channels of each pixel.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn layer_norm(&self, size: usize) -> Result<LayerNorm> {
        LayerNorm::load(size, LAYER_NORM_EPSILON, self.vb.to_dtype(self.dtype))
    }
}
