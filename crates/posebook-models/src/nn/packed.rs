//! Self-attention over packed queries, keys and values as one operator with a gradient, on the CPU in `f32`.
//!
//! The backward pass recomputes the attention weights instead of storing them. Does not depend on any network.

use super::ops::contiguous_f32;
use super::products::{self, ScaledOperand};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// The sizes of attention over packed queries, keys and values.
#[derive(Clone, Copy)]
struct PackedShape {
    heads: usize,
    /// Tokens of a sample.
    n: usize,
    /// Values of a token, all heads.
    size: usize,
}

impl PackedShape {
    /// The batch size, and the sizes of one sample.
    fn from_layout(layout: &Layout, heads: usize) -> Result<(usize, PackedShape)> {
        let (b, n, three) = layout.shape().dims3()?;
        if !layout.is_contiguous() || three % (3 * heads) != 0 {
            bail!(
                "attention: {:?} is not the shape of packed queries, keys and values of {heads} heads",
                layout.shape()
            );
        }
        Ok((b, PackedShape { heads, n, size: three / 3 }))
    }

    /// Values of a token of one head.
    fn width(&self) -> usize {
        self.size / self.heads
    }

    /// One of queries (0), keys (1), values (2) of sample `b`: `(heads, n, width)`.
    fn part(&self, start: usize, b: usize, which: usize) -> Layout {
        let row = 3 * self.size;
        let offset = start + b * self.n * row + which * self.size;
        Layout::new(Shape::from((self.heads, self.n, self.width())), vec![self.width(), row, 1], offset)
    }

    /// The attention weights of sample `b`, `(heads, n, n)`.
    fn weights(&self, qkv: &CpuStorage, start: usize, b: usize) -> Result<Vec<f32>> {
        let keys = self.part(start, b, 1).transpose(1, 2)?;
        let sizes = (self.heads, self.n, self.n, self.width());
        let mut scores = floats(qkv.matmul(qkv, sizes, &self.part(start, b, 0), &keys)?)?;
        scores.iter_mut().for_each(|score| *score *= self.scale());
        let mut weights = vec![0.0; scores.len()];
        super::kernels::softmax(&scores, &mut weights, self.n);
        Ok(weights)
    }

    fn scale(&self) -> f32 {
        (self.width() as f32).powf(-0.5)
    }

    /// Copies `(heads, n, width)` values to the columns from `column` on of rows of `row` values.
    fn scatter(&self, from: &[f32], to: &mut [f32], row: usize, column: usize) {
        let width = self.width();
        for (index, values) in from.chunks_exact(width).enumerate() {
            let (head, token) = (index / self.n, index % self.n);
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
/// `scaled` says which operand is multiplied by `1 / sqrt(d)`; the gradient is that of the exact function.
///
/// # Shapes
/// `qkv` `(b, n, 3 * size)`, rows `[q | k | v]`, each head-major; the result is `(b, n, size)`.
///
/// # Errors
/// If `qkv` has another shape.
pub fn packed_attention(qkv: &Tensor, heads: usize, scaled: ScaledOperand) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Attention { heads, scaled })
}

struct Attention {
    heads: usize,
    scaled: ScaledOperand,
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, PackedShape { heads, n, size }) = PackedShape::from_layout(layout, self.heads)?;
        let qkv = contiguous_f32(qkv, layout, self.name())?;
        let out = products::self_attention(qkv, n, size, heads, self.scaled);
        Ok((CpuStorage::F32(out), Shape::from((b, n, size))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let op = AttentionGradient { heads: self.heads };
        Ok(Some(qkv.apply_op2_no_bwd(&gradient.contiguous()?, &op)?))
    }
}

/// Recomputes the attention weights: cheaper than storing them.
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
        let (b, packed) = PackedShape::from_layout(layout, self.heads)?;
        let (start, from) = (layout.start_offset(), gradient_layout.start_offset());
        let (heads, n, width, size) = (packed.heads, packed.n, packed.width(), packed.size);
        let sample = n * 3 * size;
        let square = Layout::contiguous((heads, n, n));
        let transposed = square.transpose(1, 2)?;
        let mut out = vec![0.0; b * sample];
        for (index, out) in out.chunks_exact_mut(sample.max(1)).enumerate() {
            let part = |which| packed.part(start, index, which);
            let (shape, strides) = (Shape::from((heads, n, width)), vec![width, size, 1]);
            let result = Layout::new(shape, strides, from + index * n * size);
            let weights = packed.weights(qkv, start, index)?;
            let weights_gradient =
                floats(gradient.matmul(qkv, (heads, n, n, width), &result, &part(2).transpose(1, 2)?)?)?;
            let mut scores_gradient = vec![0.0; weights.len()];
            super::kernels::softmax_gradient(&weights, &weights_gradient, &mut scores_gradient, n);
            scores_gradient.iter_mut().for_each(|value| *value *= packed.scale());
            let (weights, scores_gradient) = (CpuStorage::F32(weights), CpuStorage::F32(scores_gradient));
            let sizes = (heads, n, width, n);
            let queries = scores_gradient.matmul(qkv, sizes, &square, &part(1))?;
            let keys = scores_gradient.matmul(qkv, sizes, &transposed, &part(0))?;
            let values = weights.matmul(gradient, sizes, &transposed, &result)?;
            for (which, part) in [queries, keys, values].into_iter().enumerate() {
                packed.scatter(&floats(part)?, out, 3 * size, which * size);
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::test_tensors::{max_difference, wavy};
    use crate::nn::{attend, split_heads};

    #[test]
    fn both_paths_and_their_gradient_match_separate_operators() {
        let (b, n, heads, size) = (2, 5, 3, 12);
        let qkv = wavy(&[b, n, 3 * size], 0.4);
        let part =
            |at: usize| split_heads(&qkv.narrow(2, at * size, size).unwrap().contiguous().unwrap(), heads);
        let uneven = wavy(&[b, n, size], 2.0);
        let gradient = |y: &Tensor| {
            let sum = (y * uneven.as_tensor()).unwrap().sum_all().unwrap();
            sum.backward().unwrap().get(&qkv).unwrap().clone()
        };
        for scaled in [ScaledOperand::Queries, ScaledOperand::Scores] {
            let ours = packed_attention(&qkv, heads, scaled).unwrap();
            let theirs = attend(part(0).unwrap(), part(1).unwrap(), part(2).unwrap(), scaled).unwrap();
            assert_eq!(max_difference(&ours, &theirs), 0.0, "{scaled:?}");
            assert!(max_difference(&gradient(&ours), &gradient(&theirs)) < 1e-5, "{scaled:?}");
            // the chosen operand alone decides: whether a gradient is recorded changes no bit
            let detached = packed_attention(&qkv.as_tensor().detach(), heads, scaled).unwrap();
            assert_eq!(max_difference(&ours, &detached), 0.0, "{scaled:?}");
        }
    }
}
