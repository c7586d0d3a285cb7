//! A pre-norm transformer layer whose keys may be other tokens than its queries, and may be masked.

use super::Sizes;
use super::attention;
use crate::nn::{self, LayerNorm, Linear, Mlp, linear, split_heads, split_last_axis};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Epsilon of the layer norms: PyTorch's default.
const EPS: f64 = 1e-5;
/// Keys up to which the CPU computes attention in one pass over the queries; with more, matrix products are faster.
const MAX_KEYS: usize = 32;
/// Score of a masked key, as in the reference. Where every key is masked, attention is uniform.
const MASKED_SCORE: f64 = -1000.0;

/// Attention and a perceptron, each after a layer norm and added to its input.
#[derive(Debug, Clone)]
pub struct Layer {
    attention_norm: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Option<Linear>,
    mlp_norm: LayerNorm,
    mlp: Mlp,
    heads: usize,
}

impl Layer {
    /// Reads one layer's tensors.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(sizes: &Sizes, vb: VarBuilder) -> Result<Layer> {
        let (width, inner) = (sizes.width, sizes.inner());
        let packed = vb.get((3 * inner, width), "0.fn.to_qkv.weight")?; // rows [q | k | v]
        let to_out = match sizes.has_projection() {
            true => Some(linear(inner, width, vb.pp("0.fn.to_out.0"))?),
            false => None,
        };
        Ok(Layer {
            attention_norm: LayerNorm::load(width, EPS, vb.pp("0.norm"))?,
            to_q: Linear::new(&packed.narrow(0, 0, inner)?, None)?,
            to_kv: Linear::new(&packed.narrow(0, inner, 2 * inner)?, None)?,
            to_out,
            mlp_norm: LayerNorm::load(width, EPS, vb.pp("1.norm"))?,
            mlp: Mlp::load(width, sizes.mlp_dim, ["1.fn.net.0", "1.fn.net.3"], vb)?,
            heads: sizes.structure.heads,
        })
    }

    /// The layer's result for `tokens`, which attend to `context`.
    ///
    /// # Shapes
    /// `tokens` and the result `(b, n, width)`, `context` `(b, m, width)`, `kept` `(b, 1, 1, m)`: 1 for a key, 0 for a
    /// masked one.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn forward(&self, tokens: &Tensor, context: &Tensor, kept: Option<&Tensor>) -> Result<Tensor> {
        let q = self.to_q.forward(&self.attention_norm.forward(tokens)?)?;
        let kv = self.to_kv.forward(&self.attention_norm.forward(context)?)?;
        let has_few_pairs = context.dim(1)? <= MAX_KEYS || tokens.dim(1)? == 1;
        let attended = match q.device().is_cpu() && has_few_pairs {
            true => attention::attend(&q, &kv, kept, self.heads, MASKED_SCORE as f32)?,
            false => attend(&q, &kv, kept, self.heads)?,
        };
        let tokens = match &self.to_out {
            Some(to_out) => to_out.forward_residual(&attended, tokens)?,
            None => (attended + tokens)?,
        };
        self.mlp.forward_residual(&self.mlp_norm.forward(&tokens)?, &tokens)
    }
}

/// Attention of every head with candle's operators; scores of masked keys are replaced.
///
/// # Shapes
/// `q` `(b, n, h * d)`, `kv` `(b, m, 2 * h * d)`: keys and values side by side, `kept` `(b, 1, 1, m)`; the result is
/// `(b, n, h * d)`.
fn attend(q: &Tensor, kv: &Tensor, kept: Option<&Tensor>, heads: usize) -> Result<Tensor> {
    let (b, n, inner) = q.dims3()?;
    let (k, v) = split_last_axis(kv)?;
    let (q, k, v) = (split_heads(q, heads)?, split_heads(&k, heads)?, split_heads(&v, heads)?);
    let mut scores = (q.matmul(&k.t()?)? * ((inner / heads) as f64).powf(-0.5))?; // (b, h, n, m)
    if let Some(kept) = kept {
        let masked = ((kept - 1.0)? * -MASKED_SCORE)?;
        scores = scores.broadcast_mul(kept)?.broadcast_add(&masked)?;
    }
    nn::softmax_last(&scores)?.matmul(&v)?.transpose(1, 2)?.reshape((b, n, inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_cpu_kernel_equals_candles_operators() {
        let wavy = |shape: &[usize], phase: f64| {
            let values =
                (0..shape.iter().product::<usize>()).map(|i| (phase + i as f64 * 0.7).sin() as f32 * 2.0);
            Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
        };
        // three heads of 7 values, which fill no vector
        let (q, kv) = (wavy(&[2, 5, 21], 0.1), wavy(&[2, 4, 42], 0.5));
        let some = Tensor::new(&[1f32, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], &Device::Cpu).unwrap();
        let some = some.reshape((2, 1, 1, 4)).unwrap();
        for kept in [None, Some(&some)] {
            let ours = attention::attend(&q, &kv, kept, 3, MASKED_SCORE as f32).unwrap();
            let difference = (ours - attend(&q, &kv, kept, 3).unwrap()).unwrap().abs().unwrap();
            assert!(difference.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-6);
        }
        assert!(attention::attend(&q, &q, None, 3, -1000.0).is_err());
    }
}
