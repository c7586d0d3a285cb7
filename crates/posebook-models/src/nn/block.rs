//! A pre-norm transformer block: attention and an MLP, each after a layer norm and with a residual connection.
//!
//! In and out: tokens `(.., size)`. The kind of attention is a parameter. Does not depend on any network.

use super::attention::SelfAttention;
use super::layers::{LayerNorm, Mlp};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
#[derive(Debug, Clone)]
pub struct Block<A> {
    norm1: LayerNorm,
    /// The attention.
    pub attention: A,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl<A> Block<A> {
    /// A block of its layers.
    pub fn new(norms: [LayerNorm; 2], attention: A, mlp: Mlp) -> Block<A> {
        let [norm1, norm2] = norms;
        Block { norm1, attention, norm2, mlp }
    }

    /// The input of the attention: tokens after the first norm.
    ///
    /// # Errors
    /// If the shape does not fit the norm, or the device fails.
    pub fn normed(&self, x: &Tensor) -> Result<Tensor> {
        self.norm1.forward(x)
    }

    /// The second half of the block: `x + mlp(norm2(x))`.
    ///
    /// # Errors
    /// If the shape does not fit the layers, or the device fails.
    pub fn forward_mlp(&self, x: &Tensor) -> Result<Tensor> {
        self.mlp.forward_residual(&self.norm2.forward(x)?, x)
    }
}

impl Block<SelfAttention> {
    /// Reads `norm1`, `attn`, `norm2` and `mlp` with the layers `fc1` and `fc2` of `hidden` values.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(
        size: usize,
        heads: usize,
        hidden: usize,
        eps: f64,
        vb: VarBuilder,
    ) -> Result<Block<SelfAttention>> {
        let norm = |name: &str| LayerNorm::load(size, eps, vb.pp(name));
        let attention = SelfAttention::load(size, heads, vb.pp("attn"))?;
        let mlp = Mlp::load(size, hidden, ["fc1", "fc2"], vb.pp("mlp"))?;
        Ok(Block::new([norm("norm1")?, norm("norm2")?], attention, mlp))
    }

    /// `(b, n, size)` to `(b, n, size)`.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn forward(&self, x: Tensor) -> Result<Tensor> {
        let x = self.attention.forward_residual(&self.normed(&x)?, &x)?;
        self.forward_mlp(&x)
    }
}
