//! Convolutions of tensors: our kernels on the CPU, candle's operators elsewhere.

use super::values::{rounded, with_values};
use super::{Activation, ConvSpec, Loader};
use crate::conv::blocked::{Convolution, Epilogue};
use candle_core::{DType, Device, Result, Tensor, bail};
use std::sync::Arc;

/// A convolution with what follows it.
#[derive(Debug, Clone)]
pub struct Conv2d {
    spec: ConvSpec,
    activation: Activation,
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    /// For our kernels.
    Packed(Arc<Convolution>),
    /// For candle's operators: `(outputs, inputs / groups, kernel, kernel)` and `(outputs)`.
    Tensors { weight: Tensor, bias: Option<Tensor> },
}

impl Conv2d {
    /// Takes weights `(outputs, inputs / groups, kernel, kernel)` and a bias, rounded to the precision of the loader.
    pub(super) fn new(
        weights: Vec<f32>,
        bias: Option<Vec<f32>>,
        spec: ConvSpec,
        activation: Activation,
        loader: &Loader,
    ) -> Result<Conv2d> {
        let ConvSpec { inputs, outputs, kernel, groups, .. } = spec;
        let weight = Tensor::from_vec(weights, (outputs, inputs / groups, kernel, kernel), &Device::Cpu)?;
        let weight = weight.to_dtype(loader.dtype())?;
        let bias = bias.map(|bias| Tensor::from_vec(bias, outputs, &Device::Cpu)?.to_dtype(loader.dtype()));
        let bias = bias.transpose()?;
        let weights = if loader.operators().use_kernels_on(loader.device()) {
            let pack = |bias: Option<&[f32]>| {
                with_values(&weight, |weight| Ok(Convolution::pack(weight, bias, spec)))
            };
            let packed = match &bias {
                Some(bias) => with_values(bias, |bias| pack(Some(bias)))?,
                None => pack(None)?,
            };
            Weights::Packed(Arc::new(packed))
        } else {
            let move_to = |tensor: Tensor| tensor.to_device(loader.device());
            Weights::Tensors { weight: move_to(weight)?, bias: bias.map(move_to).transpose()? }
        };
        Ok(Conv2d { spec, activation, weights })
    }

    /// `(b, h, w, inputs)` to `(b, h', w', outputs)`.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.compute(x, None)
    }

    /// As [`Conv2d::forward`], with a map of the output's shape added before the activation.
    ///
    /// # Errors
    /// If a shape is another, or the device fails.
    pub fn forward_add(&self, x: &Tensor, added: &Tensor) -> Result<Tensor> {
        self.compute(x, Some(added))
    }

    fn compute(&self, x: &Tensor, added: Option<&Tensor>) -> Result<Tensor> {
        let (b, h, w, channels) = x.dims4()?;
        let spec = self.spec;
        let (Some(rows), Some(columns)) = (spec.output_length(h), spec.output_length(w)) else {
            bail!("convolution: a kernel of {} pixels does not fit into a map of {h} x {w}", spec.kernel);
        };
        if channels != spec.inputs {
            bail!("convolution: a map of {channels} channels for a kernel of {}", spec.inputs);
        }
        let shape = (b, rows, columns, spec.outputs);
        if let Some(added) = added.filter(|added| added.dims() != [b, rows, columns, spec.outputs]) {
            bail!("convolution: a map of {:?} cannot be added to {shape:?}", added.dims());
        }
        match &self.weights {
            Weights::Packed(packed) => {
                let relu = self.activation == Activation::Relu;
                let run = |added: Option<&[f32]>| {
                    with_values(x, |x| {
                        let mut out = vec![0.0; b * rows * columns * spec.outputs];
                        packed.run(x, [b, h, w], Epilogue { added, relu }, &mut out);
                        Ok(out)
                    })
                };
                let out = match added {
                    Some(added) => with_values(added, |added| run(Some(added)))?,
                    None => run(None)?,
                };
                rounded(out, shape, x.dtype())
            }
            Weights::Tensors { weight, bias } => {
                let mut out = self.with_candle(x, weight)?;
                if let Some(bias) = bias {
                    out = out.broadcast_add(bias)?;
                }
                if let Some(added) = added {
                    out = (out + added)?;
                }
                self.activation.apply(out)
            }
        }
    }

    /// The convolution by candle's operators, without a bias.
    fn with_candle(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let ConvSpec { inputs, outputs, kernel, stride, padding, groups } = self.spec;
        if (kernel, stride, padding, groups) == (1, 1, 0, 1) {
            let (b, h, w, _) = x.dims4()?;
            let weight = weight.reshape((outputs, inputs))?;
            return x
                .contiguous()?
                .reshape((b * h * w, inputs))?
                .matmul(&weight.t()?)?
                .reshape((b, h, w, outputs));
        }
        // candle's kernels compute in (b, c, h, w), and on the CPU not in bf16
        let wide = |tensor: &Tensor| {
            let is_half = tensor.device().is_cpu() && tensor.dtype() != DType::F32;
            if is_half { tensor.to_dtype(DType::F32) } else { Ok(tensor.clone()) }
        };
        let planes = wide(x)?.permute((0, 3, 1, 2))?.contiguous()?;
        let out = planes.conv2d(&wide(weight)?, padding, stride, 1, groups)?;
        out.permute((0, 2, 3, 1))?.contiguous()?.to_dtype(x.dtype())
    }
}
