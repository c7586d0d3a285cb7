//! Transposed convolutions of a 2 x 2 kernel with stride 2: each pixel becomes 2 x 2 pixels of their own.

use super::values::{rounded, with_values};
use super::{Activation, ConvSpec, Loader};
use crate::conv::blocked::{Convolution, Epilogue};
use candle_core::{Device, Result, Tensor, bail};
use std::sync::Arc;

/// A transposed convolution of a 2 x 2 kernel with stride 2, and what follows it.
#[derive(Debug, Clone)]
pub struct Deconv2x2 {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    /// For our kernels: a pointwise convolution to (row, column, output).
    Packed(Arc<Convolution>),
    /// For candle's operators: `(inputs, 4 outputs)` and `(4 outputs)`, in the same order.
    Tensors { weight: Tensor, bias: Tensor },
}

impl Deconv2x2 {
    /// Takes weights `(inputs, outputs, 2, 2)` and a bias `(outputs)`, rounded to the precision of the loader.
    pub(super) fn new(
        weights: &[f32],
        bias: &[f32],
        inputs: usize,
        activation: Activation,
        loader: &Loader,
    ) -> Result<Deconv2x2> {
        let outputs = bias.len();
        // (inputs, outputs, 4) to (4, outputs, inputs)
        let weight = Tensor::from_slice(weights, (inputs, outputs, 4), &Device::Cpu)?;
        let weight = weight.to_dtype(loader.dtype())?.permute((2, 1, 0))?.reshape((4 * outputs, inputs))?;
        let bias = Tensor::from_slice(bias, outputs, &Device::Cpu)?.to_dtype(loader.dtype())?.repeat(4)?;
        let weights = if loader.operators().use_kernels_on(loader.device()) {
            let spec = ConvSpec { inputs, outputs: 4 * outputs, kernel: 1, stride: 1, padding: 0, groups: 1 };
            if !spec.is_possible() {
                bail!("transposed convolution: {inputs} to {outputs} channels");
            }
            let packed = with_values(&weight, |weight| {
                with_values(&bias, |bias| Ok(Convolution::pack(weight, Some(bias), spec)))
            })?;
            Weights::Packed(Arc::new(packed))
        } else {
            let weight = weight.t()?.contiguous()?.to_device(loader.device())?;
            Weights::Tensors { weight, bias: bias.to_device(loader.device())? }
        };
        Ok(Deconv2x2 { inputs, outputs, activation, weights })
    }

    /// `(b, h, w, inputs)` to `(b, 2 h, 2 w, outputs)`.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, h, w, channels) = x.dims4()?;
        if channels != self.inputs {
            bail!("transposed convolution: a map of {channels} channels for a kernel of {}", self.inputs);
        }
        let shape = (b, 2 * h, 2 * w, self.outputs);
        match &self.weights {
            Weights::Packed(packed) => {
                let relu = self.activation == Activation::Relu;
                let out = with_values(x, |x| {
                    let mut out = vec![0.0; 4 * b * h * w * self.outputs];
                    packed.run_to_quads(x, [b, h, w], Epilogue { added: None, relu }, &mut out);
                    Ok(out)
                })?;
                rounded(out, shape, x.dtype())
            }
            Weights::Tensors { weight, bias } => {
                let rows = x.contiguous()?.reshape((b * h * w, self.inputs))?;
                let out = self.activation.apply(rows.matmul(weight)?.broadcast_add(bias)?)?;
                // each row of pixels becomes two
                let rows = out.reshape((b * h, w, 2, 2 * self.outputs))?.transpose(1, 2)?.contiguous()?;
                rows.reshape(shape)
            }
        }
    }
}
