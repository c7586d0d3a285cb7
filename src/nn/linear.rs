//! The linear layer as one operator: on the CPU in `f32` its bias is added where the product stands,
//! and its gradients are three products, without candle's transposed and zeroed copies between them.
//!
//! Must not know which network it serves.

use super::ops::{has_kernels, values};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Module, Result, Shape, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// `x w^T + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Reads `weight` `(to, from)` and `bias` `(to)`.
///
/// # Errors
/// If a tensor is missing or misshapen.
pub fn linear(from: usize, to: usize, vb: VarBuilder) -> Result<Linear> {
    let bias = vb.get_with_hints(to, "bias", Init::Const(0.0))?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(from, to, vb)? })
}

/// Reads `weight` `(to, from)`.
///
/// # Errors
/// If the tensor is missing or misshapen.
pub fn linear_no_bias(from: usize, to: usize, vb: VarBuilder) -> Result<Linear> {
    let weight = vb.get_with_hints((to, from), "weight", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
    Ok(Linear { weight, bias: None })
}

impl Module for Linear {
    /// # Shapes
    /// `(.., from)` to `(.., to)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !has_kernels(x) {
            return candle_nn::Linear::new(self.weight.clone(), self.bias.clone()).forward(x);
        }
        let x = x.contiguous()?;
        match &self.bias {
            Some(bias) => x.apply_op3(&self.weight, bias, Product),
            None => x.apply_op2(&self.weight, Product),
        }
    }
}

struct Product;

impl Product {
    fn of(
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let (to, from) = weight.1.shape().dims2()?;
        let mut dims = x.1.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == from => *last = to,
            _ => bail!("linear: {:?} does not end with the layer's {from}", x.1.dims()),
        }
        let Some((start, end)) = x.1.contiguous_offsets() else {
            bail!("linear: the operand has to be contiguous");
        };
        let rows = (end - start) / from;
        let flat = Layout::contiguous_with_offset((rows, from), start);
        let mut out = x.0.matmul(weight.0, (1, rows, to, from), &flat, &weight.1.transpose(0, 1)?)?;
        if let (Some(bias), CpuStorage::F32(out)) = (bias, &mut out) {
            for row in out.chunks_exact_mut(to) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        Ok((out, Shape::from(dims)))
    }

    /// Gradients of the operand and of the weight, and the rows of the result's gradient.
    fn gradients(x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (to, from) = weight.dims2()?;
        let rows = gradient.contiguous()?.reshape(((), to))?;
        let to_x = rows.matmul(&weight.detach())?.reshape(x.shape())?;
        let to_weight = rows.t()?.matmul(&x.detach().reshape(((), from))?)?;
        Ok((to_x, to_weight, rows))
    }
}

impl CustomOp2 for Product {
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
        Product::of((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (to_x, to_weight, _) = Product::gradients(x, weight, gradient)?;
        Ok((Some(to_x), Some(to_weight)))
    }
}

impl CustomOp3 for Product {
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
        let bias = values(bias, bias_layout, "linear")?;
        Product::of((x, x_layout), (weight, weight_layout), Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (to_x, to_weight, rows) = Product::gradients(x, weight, gradient)?;
        // candle sums columns one stride at a time; a product with ones reads them in a row
        let ones = Tensor::ones((1, rows.dim(0)?), rows.dtype(), rows.device())?;
        Ok((Some(to_x), Some(to_weight), Some(ones.matmul(&rows)?.squeeze(0)?)))
    }
}

/// The sizes of attention over packed queries, keys and values.
#[derive(Clone, Copy)]
struct Packed {
    heads: usize,
    n: usize,
    /// Of all heads together.
    size: usize,
}

impl Packed {
    fn of(layout: &Layout, heads: usize) -> Result<(usize, Packed)> {
        let (b, n, three) = layout.shape().dims3()?;
        if !layout.is_contiguous() || three % (3 * heads) != 0 {
            bail!("attention: {:?} are no packed queries, keys and values of {heads} heads", layout.shape());
        }
        Ok((b, Packed { heads, n, size: three / 3 }))
    }

    fn width(&self) -> usize {
        self.size / self.heads
    }

    /// One of queries (0), keys (1), values (2) of sample `b`: `(heads, n, width)`.
    fn part(&self, start: usize, b: usize, which: usize) -> Layout {
        let row = 3 * self.size;
        let offset = start + b * self.n * row + which * self.size;
        Layout::new(Shape::from((self.heads, self.n, self.width())), vec![self.width(), row, 1], offset)
    }

    /// The shares of sample `b`, `(heads, n, n)`.
    fn shares(&self, qkv: &CpuStorage, start: usize, b: usize) -> Result<Vec<f32>> {
        let keys = self.part(start, b, 1).transpose(1, 2)?;
        let sizes = (self.heads, self.n, self.n, self.width());
        let mut scores = floats(qkv.matmul(qkv, sizes, &self.part(start, b, 0), &keys)?)?;
        scores.iter_mut().for_each(|score| *score *= self.scale());
        let mut shares = vec![0.0; scores.len()];
        super::kernels::softmax(&scores, &mut shares, self.n);
        Ok(shares)
    }

    fn scale(&self) -> f32 {
        (self.width() as f32).powf(-0.5)
    }

    /// Adds `(heads, n, width)` values to the columns from `column` of rows of `row` numbers.
    fn scatter(&self, from: &[f32], to: &mut [f32], row: usize, column: usize) {
        let width = self.width();
        for (at, values) in from.chunks_exact(width).enumerate() {
            let (head, token) = (at / self.n, at % self.n);
            let start = token * row + column + head * width;
            to[start..start + width].copy_from_slice(values);
        }
    }
}

fn floats(storage: CpuStorage) -> Result<Vec<f32>> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => bail!("attention: the operand has to be f32"),
    }
}

/// Self-attention of `heads` heads over packed queries, keys and values, differentiable, on the CPU in `f32`.
///
/// # Shapes
/// `qkv` `(b, n, 3 * size)`, rows `[q | k | v]`, each head-major; the result is `(b, n, size)`.
pub fn packed_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Attention { heads })
}

struct Attention {
    heads: usize,
}

impl candle_core::CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, packed) = Packed::of(layout, self.heads)?;
        let (start, sample) = (layout.start_offset(), packed.n * packed.size);
        let mut out = vec![0.0; b * sample];
        for (at, out) in out.chunks_exact_mut(sample.max(1)).enumerate() {
            let shares = CpuStorage::F32(packed.shares(qkv, start, at)?);
            let square = Layout::contiguous((packed.heads, packed.n, packed.n));
            let sizes = (packed.heads, packed.n, packed.width(), packed.n);
            let seen = shares.matmul(qkv, sizes, &square, &packed.part(start, at, 2))?;
            packed.scatter(&floats(seen)?, out, packed.size, 0);
        }
        Ok((CpuStorage::F32(out), Shape::from((b, packed.n, packed.size))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let op = AttentionGradient { heads: self.heads };
        Ok(Some(qkv.apply_op2_no_bwd(&gradient.contiguous()?, &op)?))
    }
}

/// The shares are computed again: that is cheaper than keeping them.
struct AttentionGradient {
    heads: usize,
}

impl CustomOp2 for AttentionGradient {
    fn name(&self) -> &'static str {
        "packed-attention-gradient"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, packed) = Packed::of(layout, self.heads)?;
        let (start, from) = (layout.start_offset(), gradient_layout.start_offset());
        let (heads, n, width, size) = (packed.heads, packed.n, packed.width(), packed.size);
        let sample = n * 3 * size;
        let square = Layout::contiguous((heads, n, n));
        let turned = square.transpose(1, 2)?;
        let mut out = vec![0.0; b * sample];
        for (at, out) in out.chunks_exact_mut(sample.max(1)).enumerate() {
            let part = |which| packed.part(start, at, which);
            let wanted =
                Layout::new(Shape::from((heads, n, width)), vec![width, size, 1], from + at * n * size);
            let shares = packed.shares(qkv, start, at)?;
            let to_shares =
                floats(gradient.matmul(qkv, (heads, n, n, width), &wanted, &part(2).transpose(1, 2)?)?)?;
            let mut to_scores = vec![0.0; shares.len()];
            super::kernels::softmax_gradient(&shares, &to_shares, &mut to_scores, n);
            to_scores.iter_mut().for_each(|value| *value *= packed.scale());
            let (shares, to_scores) = (CpuStorage::F32(shares), CpuStorage::F32(to_scores));
            let sizes = (heads, n, width, n);
            let to_queries = to_scores.matmul(qkv, sizes, &square, &part(1))?;
            let to_keys = to_scores.matmul(qkv, sizes, &turned, &part(0))?;
            let to_values = shares.matmul(gradient, sizes, &turned, &wanted)?;
            for (which, part) in [to_queries, to_keys, to_values].into_iter().enumerate() {
                packed.scatter(&floats(part)?, out, 3 * size, which * size);
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Whether [`packed_attention`] can be had, and is worth it: only training needs its one gradient.
pub fn wants_packed_attention(qkv: &Tensor) -> bool {
    has_kernels(qkv) && qkv.track_op() && qkv.dim(D::Minus1).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ScaleOf, attend, attention::split_heads};
    use candle_core::{Device, Var};

    fn wavy(shape: &[usize], phase: f64) -> Var {
        let n = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..n).map(|i| (phase + i as f64 * 0.7).sin() as f32).collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn far(a: &Tensor, b: &Tensor) -> f32 {
        let apart = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
        apart.max(0).unwrap().to_scalar::<f32>().unwrap()
    }

    #[test]
    fn a_layer_and_its_gradients_are_candles() {
        let (x, weight, bias) = (wavy(&[2, 5, 7], 0.1), wavy(&[3, 7], 0.2), wavy(&[3], 0.3));
        let layer = Linear { weight: weight.as_tensor().clone(), bias: Some(bias.as_tensor().clone()) };
        let ours = layer.forward(&x).unwrap();
        let theirs = candle_nn::Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        let theirs = theirs.forward(&x).unwrap();
        assert!(far(&ours, &theirs) < 1e-5);
        let uneven = wavy(&[2, 5, 3], 2.0);
        let gradients = |y: &Tensor| (y * uneven.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let (a, b) = (gradients(&ours), gradients(&theirs));
        for var in [&x, &weight, &bias] {
            assert!(far(a.get(var).unwrap(), b.get(var).unwrap()) < 1e-4);
        }
    }

    #[test]
    fn packed_attention_is_attention() {
        let (b, n, heads, size) = (2, 5, 3, 12);
        let qkv = wavy(&[b, n, 3 * size], 0.4);
        let ours = packed_attention(&qkv, heads).unwrap();
        let part =
            |at: usize| split_heads(&qkv.narrow(2, at * size, size).unwrap().contiguous().unwrap(), heads);
        let theirs = attend(part(0).unwrap(), part(1).unwrap(), part(2).unwrap(), ScaleOf::Queries).unwrap();
        assert!(far(&ours, &theirs) < 1e-5);
        let uneven = wavy(&[b, n, size], 2.0);
        let gradient = |y: &Tensor| {
            let sum = (y * uneven.as_tensor()).unwrap().sum_all().unwrap();
            sum.backward().unwrap().get(&qkv).unwrap().clone()
        };
        assert!(far(&gradient(&ours), &gradient(&theirs)) < 1e-5);
    }
}
