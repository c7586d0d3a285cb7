//! The linear layer `x Wᵀ + b` as one operator with a gradient.
//!
//! On the CPU in `f32`, bias and what follows the layer (GELU or residual) are fused into the product where no
//! operand needs a gradient; otherwise they are separate operators with the same bits. The gradients are three
//! matrix products, without the transposed and zeroed copies that candle makes. In half precision on the CPU the
//! layer is widened, computed in `f32`, and its result is rounded. Does not depend on any network.

use super::ops::{self, compute_in_f32, contiguous_f32, is_half_on_cpu, to_f32, uses_cpu_kernels};
use super::products::{self, Epilogue};
use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, Device, Layout, Module, Result, Shape, Storage, Tensor, bail,
};
use candle_nn::{Init, VarBuilder};

/// A linear layer, `x Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

/// Reads `weight` `(outputs, inputs)` and `bias` `(outputs)`.
///
/// # Errors
/// If a tensor is missing or has another shape.
pub fn linear(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Linear> {
    let bias = vb.get_with_hints(outputs, "bias", Init::Const(0.0))?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(inputs, outputs, vb)? })
}

/// Reads `weight` `(outputs, inputs)`.
///
/// # Errors
/// If the tensor is missing or has another shape.
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Linear> {
    let weight = vb.get_with_hints((outputs, inputs), "weight", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
    Ok(Linear { weight, bias: None })
}

impl Module for Linear {
    /// # Shapes
    /// `(.., inputs)` to `(.., outputs)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_half_on_cpu(x) {
            return compute_in_f32(x, |x| self.to_f32()?.forward(&x));
        }
        if !uses_cpu_kernels(x) {
            return candle_nn::Linear::new(self.weight.clone(), self.bias.clone()).forward(x);
        }
        let x = x.contiguous()?;
        match &self.bias {
            Some(bias) => x.apply_op3(&self.weight, bias, LinearOp),
            None => x.apply_op2(&self.weight, LinearOp),
        }
    }
}

impl Linear {
    /// A layer of existing tensors: `weight` `(outputs, inputs)` and `bias` `(outputs)`.
    ///
    /// # Errors
    /// If the shapes do not fit each other, or there is no memory.
    pub fn new(weight: &Tensor, bias: Option<Tensor>) -> Result<Linear> {
        let (outputs, _) = weight.dims2()?;
        if let Some(bias) = bias.as_ref().filter(|bias| bias.dims() != [outputs]) {
            bail!("linear: a bias of {:?} for {outputs} outputs", bias.dims());
        }
        Ok(Linear { weight: weight.contiguous()?, bias })
    }

    /// The exact GELU of [`Module::forward`], in the same pass where no gradient is needed.
    ///
    /// # Shapes
    /// `(.., inputs)` to `(.., outputs)`.
    ///
    /// # Errors
    /// If `x` does not fit the layer.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        if is_half_on_cpu(x) {
            return compute_in_f32(x, |x| self.to_f32()?.forward_gelu(&x));
        }
        if self.can_fuse(x) { self.forward_fused(x, None) } else { ops::gelu(&self.forward(x)?) }
    }

    /// `residual` plus [`Module::forward`], in the same pass where no gradient is needed.
    ///
    /// # Shapes
    /// `x` `(.., inputs)`, `residual` and the result `(.., outputs)`.
    ///
    /// # Errors
    /// If `x` does not fit the layer, or the residual not its result.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        if is_half_on_cpu(x) {
            let residual = to_f32(residual)?;
            return compute_in_f32(x, |x| self.to_f32()?.forward_residual(&x, &residual));
        }
        let can_fuse = self.can_fuse(x) && uses_cpu_kernels(residual) && !residual.track_op();
        if can_fuse { self.forward_fused(x, Some(residual)) } else { residual + self.forward(x)? }
    }

    /// The layer widened to `f32`, for the duration of one product.
    fn to_f32(&self) -> Result<Linear> {
        let bias = self.bias.as_ref().map(to_f32).transpose()?;
        Ok(Linear { weight: to_f32(&self.weight)?, bias })
    }

    /// Whether the product runs on the CPU kernels and no operand needs a gradient.
    fn can_fuse(&self, x: &Tensor) -> bool {
        let needs_gradient = |tensor: &Tensor| tensor.track_op();
        let bias_needs_gradient = self.bias.as_ref().is_some_and(needs_gradient);
        uses_cpu_kernels(x) && !needs_gradient(x) && !needs_gradient(&self.weight) && !bias_needs_gradient
    }

    /// The layer and its epilogue in one pass: adding the residual where there is one, else GELU.
    fn forward_fused(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let x = x.contiguous()?;
        let shape = output_shape(x.layout(), self.weight.layout())?;
        let residual = residual.map(Tensor::contiguous).transpose()?;
        if let Some(residual) = residual.as_ref().filter(|residual| *residual.shape() != shape) {
            bail!("linear: a residual of {:?} cannot be added to {shape:?}", residual.dims());
        }
        let (outputs, inputs) = self.weight.dims2()?;
        let (x, weight) = (x.storage_and_layout(), self.weight.storage_and_layout());
        let bias = self.bias.as_ref().map(Tensor::storage_and_layout);
        let bias = bias.as_ref().map(|(storage, layout)| cpu_values(storage, layout)).transpose()?;
        let residual = residual.as_ref().map(Tensor::storage_and_layout);
        let epilogue = match &residual {
            Some((storage, layout)) => Epilogue::AddResidual(cpu_values(storage, layout)?),
            None => Epilogue::Gelu,
        };
        let (x, weight) = (cpu_values(&x.0, x.1)?, cpu_values(&weight.0, weight.1)?);
        let values = products::linear(x, weight, bias, inputs, outputs, epilogue);
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}

/// The values of an operand, which has to be contiguous and on the CPU.
pub(super) fn cpu_values<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => contiguous_f32(storage, layout, "linear"),
        _ => bail!("linear: the operand has to be on the CPU"),
    }
}

/// The shape of the layer's result: that of `x` with the last axis replaced.
fn output_shape(x: &Layout, weight: &Layout) -> Result<Shape> {
    let (outputs, inputs) = weight.shape().dims2()?;
    let mut dims = x.dims().to_vec();
    match dims.last_mut() {
        Some(last) if *last == inputs => *last = outputs,
        _ => bail!("linear: the last axis of {:?} is not the layer's {inputs}", x.dims()),
    }
    Ok(Shape::from(dims))
}

/// The candle operator: `x Wᵀ`, with or without a bias.
struct LinearOp;

impl LinearOp {
    fn compute(
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = output_shape(x.1, weight.1)?;
        let (outputs, inputs) = weight.1.shape().dims2()?;
        let (x, weight) =
            (contiguous_f32(x.0, x.1, "linear")?, contiguous_f32(weight.0, weight.1, "linear")?);
        let out = products::linear(x, weight, bias, inputs, outputs, Epilogue::None);
        Ok((CpuStorage::F32(out), shape))
    }

    /// Gradients of `x` and of the weight, and the result's gradient as rows `(.., outputs)`.
    fn gradients(x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (outputs, inputs) = weight.dims2()?;
        let rows = gradient.contiguous()?.reshape(((), outputs))?;
        let x_gradient = rows.matmul(&weight.detach())?.reshape(x.shape())?;
        let weight_gradient = rows.t()?.matmul(&x.detach().reshape(((), inputs))?)?;
        Ok((x_gradient, weight_gradient, rows))
    }
}

impl CustomOp2 for LinearOp {
    fn name(&self) -> &'static str {
        "linear-no-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        LinearOp::compute((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x_gradient, weight_gradient, _) = LinearOp::gradients(x, weight, gradient)?;
        Ok((Some(x_gradient), Some(weight_gradient)))
    }
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = contiguous_f32(bias, bias_layout, "linear")?;
        LinearOp::compute((x, x_layout), (weight, weight_layout), Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x_gradient, weight_gradient, rows) = LinearOp::gradients(x, weight, gradient)?;
        // candle's sum over rows jumps through memory; a product with ones reads it in order
        let ones = Tensor::ones((1, rows.dim(0)?), rows.dtype(), rows.device())?;
        Ok((Some(x_gradient), Some(weight_gradient), Some(ones.matmul(&rows)?.squeeze(0)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::test_tensors::{max_difference, wavy};
    use candle_core::{DType, Var};

    #[test]
    fn fused_epilogues_equal_separate_operators_bit_for_bit() {
        let detached = |var: Var| var.as_tensor().detach();
        let x = detached(wavy(&[2, 5, 7], 0.1));
        let (weight, bias) = (detached(wavy(&[3, 7], 0.2)), detached(wavy(&[3], 0.3)));
        let layer = Linear { weight, bias: Some(bias) };
        let (product, residual) = (layer.forward(&x).unwrap(), detached(wavy(&[2, 5, 3], 0.5)));
        let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let added = layer.forward_residual(&x, &residual).unwrap();
        assert_eq!(values(added), values((&residual + &product).unwrap()));
        assert_eq!(values(layer.forward_gelu(&x).unwrap()), values(ops::gelu(&product).unwrap()));
        assert!(layer.forward_residual(&x, &product.narrow(1, 0, 4).unwrap()).is_err());
        assert!(layer.forward_gelu(&residual).is_err());
    }

    #[test]
    fn half_precision_rounds_only_the_result() {
        for dtype in [DType::BF16, DType::F16] {
            check_half_precision(dtype);
        }
    }

    fn check_half_precision(dtype: DType) {
        let half = |var: Var| var.as_tensor().detach().to_dtype(dtype).unwrap();
        let (x, weight, bias) =
            (half(wavy(&[2, 5, 7], 0.1)), half(wavy(&[3, 7], 0.2)), half(wavy(&[3], 0.3)));
        let residual = half(wavy(&[2, 5, 3], 0.4));
        let layer = Linear { weight, bias: Some(bias) };
        let widened = layer.to_f32().unwrap();
        let wide = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
        for (result, expected) in [
            (layer.forward(&x), widened.forward(&wide(&x))),
            (layer.forward_gelu(&x), widened.forward_gelu(&wide(&x))),
            (layer.forward_residual(&x, &residual), widened.forward_residual(&wide(&x), &wide(&residual))),
        ] {
            let (result, expected) = (result.unwrap(), expected.unwrap().to_dtype(dtype).unwrap());
            assert_eq!(result.dtype(), dtype);
            assert_eq!(max_difference(&wide(&result), &wide(&expected)), 0.0);
        }
    }

    #[test]
    fn a_layer_and_its_gradients_match_candles() {
        let (x, weight, bias) = (wavy(&[2, 5, 7], 0.1), wavy(&[3, 7], 0.2), wavy(&[3], 0.3));
        let layer = Linear { weight: weight.as_tensor().clone(), bias: Some(bias.as_tensor().clone()) };
        let ours = layer.forward(&x).unwrap();
        let theirs = candle_nn::Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        let theirs = theirs.forward(&x).unwrap();
        assert!(max_difference(&ours, &theirs) < 1e-5);
        let uneven = wavy(&[2, 5, 3], 2.0);
        let gradients = |y: &Tensor| (y * uneven.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let (a, b) = (gradients(&ours), gradients(&theirs));
        for var in [&x, &weight, &bias] {
            assert!(max_difference(a.get(var).unwrap(), b.get(var).unwrap()) < 1e-4);
        }
    }
}
