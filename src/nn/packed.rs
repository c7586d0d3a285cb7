//! Self-attention over packed queries, keys and values as one operator with a gradient, on the CPU in `f32`.
//!
//! Must not know which network it serves.

use super::attention::ScaleOf;
use super::ops::values;
use super::products;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

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
///
/// # Errors
/// If `qkv` has another shape.
pub fn packed_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    // the published network scales queries; the shipped weights learned with the product scaled, and the recipe
    // gives them again to the bit
    let scale_of = if qkv.track_op() { ScaleOf::Product } else { ScaleOf::Queries };
    qkv.contiguous()?.apply_op1(Attention { heads, scale_of })
}

struct Attention {
    heads: usize,
    scale_of: ScaleOf,
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, Packed { heads, n, size }) = Packed::of(layout, self.heads)?;
        let out = products::self_attention(values(qkv, layout, self.name())?, n, size, heads, self.scale_of);
        Ok((CpuStorage::F32(out), Shape::from((b, n, size))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::test_tensors::{far, wavy};
    use crate::nn::{attend, attention::split_heads};

    #[test]
    fn packed_attention_is_attention() {
        let (b, n, heads, size) = (2, 5, 3, 12);
        let qkv = wavy(&[b, n, 3 * size], 0.4);
        let ours = packed_attention(&qkv, heads).unwrap();
        let without_gradient = packed_attention(&qkv.as_tensor().detach(), heads).unwrap();
        let part =
            |at: usize| split_heads(&qkv.narrow(2, at * size, size).unwrap().contiguous().unwrap(), heads);
        let theirs = attend(part(0).unwrap(), part(1).unwrap(), part(2).unwrap(), ScaleOf::Queries).unwrap();
        assert!(far(&ours, &theirs) < 1e-5);
        assert_eq!(far(&without_gradient, &theirs), 0.0);
        let uneven = wavy(&[b, n, size], 2.0);
        let gradient = |y: &Tensor| {
            let sum = (y * uneven.as_tensor()).unwrap().sum_all().unwrap();
            sum.backward().unwrap().get(&qkv).unwrap().clone()
        };
        assert!(far(&gradient(&ours), &gradient(&theirs)) < 1e-5);
    }
}
