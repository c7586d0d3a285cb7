//! A pre-norm transformer layer whose keys may be other tokens than its queries, and may be masked.

use super::Sizes;
use crate::nn::{self, LayerNorm, Linear, Mlp, linear, split_heads, split_last_axis};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Epsilon of the layer norms: PyTorch's default.
const EPS: f64 = 1e-5;
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
        let q = split_heads(&self.to_q.forward(&self.attention_norm.forward(tokens)?)?, self.heads)?;
        let kv = self.to_kv.forward(&self.attention_norm.forward(context)?)?;
        let (k, v) = split_last_axis(&kv)?;
        let (k, v) = (split_heads(&k, self.heads)?, split_heads(&v, self.heads)?); // (b, h, m, d)
        let attended = attend(&q, &k, &v, kept)?;
        let tokens = match &self.to_out {
            Some(to_out) => to_out.forward_residual(&attended, tokens)?,
            None => (attended + tokens)?,
        };
        self.mlp.forward_residual(&self.mlp_norm.forward(&tokens)?, &tokens)
    }
}

/// Attention of every head; scores of masked keys are replaced.
///
/// # Shapes
/// `q` `(b, h, n, d)`, `k` and `v` `(b, h, m, d)`, `kept` `(b, 1, 1, m)`; the result is `(b, n, h * d)`.
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, kept: Option<&Tensor>) -> Result<Tensor> {
    let (b, heads, n, d) = q.dims4()?;
    let mut scores = (q.matmul(&k.t()?)? * (d as f64).powf(-0.5))?; // (b, h, n, m)
    if let Some(kept) = kept {
        let masked = ((kept - 1.0)? * -MASKED_SCORE)?;
        scores = scores.broadcast_mul(kept)?.broadcast_add(&masked)?;
    }
    nn::softmax_last(&scores)?.matmul(v)?.transpose(1, 2)?.reshape((b, n, heads * d))
}
