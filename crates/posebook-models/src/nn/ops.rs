//! GELU, softmax and layer norm as candle operators with a backward pass.
//!
//! On the CPU, `f32` uses `kernels`, and half precision is computed in `f32` and rounded. On other devices
//! candle's own operators run, the fused ones where no gradient is needed. Does not depend on layers.

use super::kernels;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, DType, Device, Layout, Result, Shape, Storage, Tensor,
    bail,
};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// Whether [`super::kernels`] can compute with a tensor: `f32` on the CPU.
pub(super) fn uses_cpu_kernels(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// Whether a tensor has half precision and is on the CPU. Every operator of this module then computes in `f32` and
/// rounds its result: candle's products convert their factors as well, and its other operators handle one value at a
/// time.
///
/// A processor with `avx512_bf16` could do better, but `gemm` has no bf16 product. PyTorch's runs at 2.2 times the
/// rate of its own f32 (0.37 and 0.17 TFLOP/s on two cores). The crate `gemmkit` 0.1.2 reached 0.17 to 0.38 TFLOP/s
/// on the same shapes, on a busy machine; it is too young to depend on.
pub(super) fn is_half_on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::BF16 | DType::F16)
}

/// Widens a half-precision tensor on the CPU to `f32`, on all threads: candle's conversion uses one thread, which for
/// `f16` takes longer than the product that follows.
pub(super) fn to_f32(x: &Tensor) -> Result<Tensor> {
    if x.track_op() {
        return x.to_dtype(DType::F32);
    }
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let (from, count) = (layout.start_offset(), layout.shape().elem_count());
    let wide = match &*storage {
        Storage::Cpu(CpuStorage::F16(values)) => widen(&values[from..from + count]),
        Storage::Cpu(CpuStorage::BF16(values)) => widen(&values[from..from + count]),
        _ => bail!("to f32: the operand has to be of half precision and on the CPU"),
    };
    Tensor::from_vec(wide, layout.shape(), &Device::Cpu)
}

fn widen<T: Sync>(values: &[T]) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    const CHUNK: usize = 1 << 14;
    let mut wide = vec![0.0; values.len()];
    let chunks = values.par_chunks(CHUNK).zip(wide.par_chunks_mut(CHUNK));
    chunks.for_each(|(values, wide)| values.convert_to_f32_slice(wide));
    wide
}

/// Applies `work` to `x` in `f32`, and rounds the result to the precision of `x`.
pub(super) fn compute_in_f32(x: &Tensor, work: impl FnOnce(Tensor) -> Result<Tensor>) -> Result<Tensor> {
    work(to_f32(x)?)?.to_dtype(x.dtype())
}

/// The values of an operand, which has to be `f32` and contiguous.
pub(super) fn contiguous_f32<'a>(storage: &'a CpuStorage, layout: &Layout, op: &str) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&values[from..to]),
        (CpuStorage::F32(_), None) => bail!("{op}: the operand has to be contiguous"),
        _ => bail!("{op}: the operand has to be f32"),
    }
}

/// Exact GELU, `x * Phi(x)` (Hendrycks and Gimpel 2016), within 1e-6 on the CPU.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// If the device fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if uses_cpu_kernels(x) {
        x.contiguous()?.apply_op1(Gelu)
    } else if is_half_on_cpu(x) {
        compute_in_f32(x, |x| gelu(&x))
    } else {
        x.gelu_erf()
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout, self.name())?;
        let mut out = vec![0.0; x.len()];
        kernels::gelu(x, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &GeluGradient)?))
    }
}

struct GeluGradient;

impl CustomOp2 for GeluGradient {
    fn name(&self) -> &'static str {
        "gelu-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout, self.name())?;
        let mut out = vec![0.0; x.len()];
        kernels::gelu_gradient(x, contiguous_f32(gradient, gradient_layout, self.name())?, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Softmax over the last axis.
///
/// # Shapes
/// `(.., n)` with `n > 0`; the result has the same.
///
/// # Errors
/// If the last axis is empty, or the device fails.
pub fn softmax_last(x: &Tensor) -> Result<Tensor> {
    if uses_cpu_kernels(x) {
        x.contiguous()?.apply_op1(Softmax)
    } else if is_half_on_cpu(x) {
        compute_in_f32(x, |x| softmax_last(&x))
    } else if x.track_op() {
        candle_nn::ops::softmax(x, D::Minus1)
    } else {
        candle_nn::ops::softmax_last_dim(&x.contiguous()?)
    }
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax-last"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout, self.name())?;
        let mut out = vec![0.0; x.len()];
        kernels::softmax(x, &mut out, last_axis(layout, self.name())?);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(y.apply_op2_no_bwd(&gradient.contiguous()?, &SoftmaxGradient)?))
    }
}

struct SoftmaxGradient;

impl CustomOp2 for SoftmaxGradient {
    fn name(&self) -> &'static str {
        "softmax-last-gradient"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = contiguous_f32(y, layout, self.name())?;
        let mut out = vec![0.0; y.len()];
        let gradient = contiguous_f32(gradient, gradient_layout, self.name())?;
        kernels::softmax_gradient(y, gradient, &mut out, last_axis(layout, self.name())?);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

fn last_axis(layout: &Layout, op: &str) -> Result<usize> {
    match layout.dims().last() {
        Some(&n) if n > 0 => Ok(n),
        _ => bail!("{op}: the last axis is empty"),
    }
}

/// Layer norm over the last axis (Ba et al. 2016), population variance.
///
/// # Shapes
/// `x` `(.., n)`, `weight` `(n)`, `bias` `(n)`; the result is `(.., n)`.
///
/// # Errors
/// If the shapes differ from these, or the device fails.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if uses_cpu_kernels(x) {
        x.contiguous()?.apply_op3(weight, bias, LayerNorm { eps: eps as f32 })
    } else if is_half_on_cpu(x) {
        let (weight, bias) = (to_f32(weight)?, to_f32(bias)?);
        compute_in_f32(x, |x| layer_norm(&x, &weight, &bias, eps))
    } else if x.track_op() || weight.track_op() {
        candle_nn::ops::layer_norm_slow(x, weight, bias, eps as f32)
    } else {
        candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, eps as f32)
    }
}

#[derive(Clone, Copy)]
struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout, self.name())?;
        let weight = contiguous_f32(weight, weight_layout, self.name())?;
        let bias = contiguous_f32(bias, bias_layout, self.name())?;
        let columns = last_axis(layout, self.name())?;
        if weight.len() != columns || bias.len() != columns {
            bail!("layer-norm: {columns} columns, but {} weights and {} biases", weight.len(), bias.len());
        }
        let mut out = vec![0.0; x.len()];
        kernels::layer_norm(x, weight, bias, self.eps, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let x_gradient = x.apply_op3_no_bwd(weight, &gradient, &LayerNormGradient(*self))?;
        let both = x.apply_op2_no_bwd(&gradient, &LayerNormWeightGradient(*self))?; // (2, n)
        Ok((Some(x_gradient), Some(both.get(0)?), Some(both.get(1)?)))
    }
}

struct LayerNormGradient(LayerNorm);

impl CustomOp3 for LayerNormGradient {
    fn name(&self) -> &'static str {
        "layer-norm-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout, self.name())?;
        let weight = contiguous_f32(weight, weight_layout, self.name())?;
        let mut out = vec![0.0; x.len()];
        let gradient = contiguous_f32(gradient, gradient_layout, self.name())?;
        kernels::layer_norm_gradient(x, weight, gradient, self.0.eps, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// The gradients of weight and bias, stacked: `(2, n)`.
struct LayerNormWeightGradient(LayerNorm);

impl CustomOp2 for LayerNormWeightGradient {
    fn name(&self) -> &'static str {
        "layer-norm-weight-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout, self.name())?;
        let gradient = contiguous_f32(gradient, gradient_layout, self.name())?;
        let columns = last_axis(layout, self.name())?;
        let mut out = vec![0.0; 2 * columns];
        let (weight, bias) = out.split_at_mut(columns);
        kernels::layer_norm_weight_gradient(x, gradient, self.0.eps, weight, bias);
        Ok((CpuStorage::F32(out), Shape::from((2, columns))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn wavy(shape: &[usize], phase: f64) -> Var {
        let n = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..n).map(|i| (phase + i as f64 * 0.7).sin() as f32 * 2.0).collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Largest difference of the results and of the gradients of `ours` and `theirs`, weighted unevenly.
    fn difference(
        inputs: &[Var],
        ours: impl Fn(&[Var]) -> Result<Tensor>,
        theirs: impl Fn(&[Var]) -> Result<Tensor>,
    ) -> f32 {
        let (ours, theirs) = (ours(inputs).unwrap(), theirs(inputs).unwrap());
        let weights = wavy(ours.dims(), 0.3);
        let distance = |a: &Tensor, b: &Tensor| {
            let differences = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
            differences.max(0).unwrap().to_scalar::<f32>().unwrap()
        };
        let gradients =
            |y: &Tensor| (y * weights.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let (to_ours, to_theirs) = (gradients(&ours), gradients(&theirs));
        let of_gradients =
            inputs.iter().map(|input| distance(to_ours.get(input).unwrap(), to_theirs.get(input).unwrap()));
        of_gradients.fold(distance(&ours, &theirs), f32::max)
    }

    #[test]
    fn operators_and_gradients_match_candles_slow_ones() {
        let x = wavy(&[3, 5, 37], 0.0);
        assert!(difference(std::slice::from_ref(&x), |v| gelu(&v[0]), |v| v[0].gelu_erf()) < 2e-6);
        let theirs = |v: &[Var]| candle_nn::ops::softmax(&v[0], D::Minus1);
        assert!(difference(std::slice::from_ref(&x), |v| softmax_last(&v[0]), theirs) < 1e-6);
        let norm = [x, wavy(&[37], 1.0), wavy(&[37], 2.0)];
        let theirs = |v: &[Var]| candle_nn::ops::layer_norm_slow(&v[0], &v[1], &v[2], 1e-6);
        assert!(difference(&norm, |v| layer_norm(&v[0], &v[1], &v[2], 1e-6), theirs) < 1e-5);
    }

    #[test]
    fn strided_operands_are_accepted() {
        let x = wavy(&[4, 6], 0.0);
        let transposed = gelu(&x.t().unwrap()).unwrap().t().unwrap();
        assert_eq!(transposed.to_vec2::<f32>().unwrap(), gelu(&x).unwrap().to_vec2::<f32>().unwrap());
    }
}
