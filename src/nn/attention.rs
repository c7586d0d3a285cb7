//! Multi-head attention (Vaswani et al. 2017). Must not know which network it serves.

use super::linear::{Linear, linear};
use super::ops::{self, has_kernels, is_half_on_cpu, rounded};
use super::packed::packed_attention;
use candle_core::{D, Module, Result, Tensor};
use candle_nn::VarBuilder;

/// What the scale `1 / sqrt(d)` is applied to: the same in the reals, not in floating point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScaleOf {
    /// The queries, before their product with the keys (ViT).
    Queries,
    /// The product (4D-Humans' decoder).
    Product,
}

/// Attention of every head: `softmax(q k^T / sqrt(d)) v`.
///
/// # Shapes
/// `q` `(b, h, n, d)`, `k` and `v` `(b, h, m, d)`, contiguous or with the last two axes swapped;
/// the result is `(b, n, h * d)`.
pub fn attend(q: Tensor, k: Tensor, v: Tensor, scale_of: ScaleOf) -> Result<Tensor> {
    let (b, heads, n, d) = q.dims4()?;
    let scale = (d as f64).powf(-0.5);
    let scores = match scale_of {
        ScaleOf::Queries => (q * scale)?.matmul(&k.t()?)?,
        ScaleOf::Product => (q.matmul(&k.t()?)? * scale)?,
    }; // (b, h, n, m)
    drop(k);
    let shares = ops::softmax_last(&scores)?;
    drop(scores);
    shares.matmul(&v)?.transpose(1, 2)?.reshape((b, n, heads * d))
}

/// Self-attention with one projection to queries, keys and values (rows `[q | k | v]`, each head-major).
#[derive(Debug, Clone)]
pub struct SelfAttention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
    /// Whether it goes through one kernel that never writes the scores down; that needs a graphics card,
    /// half precision and the feature `flash-attn`, and has no gradient.
    pub fused: bool,
}

impl SelfAttention {
    /// Reads `qkv` `(3 * size, size)` and `proj` `(size, size)`, both with a bias.
    ///
    /// # Errors
    /// If a tensor is missing or misshapen.
    pub fn load(size: usize, heads: usize, vb: VarBuilder) -> Result<SelfAttention> {
        let qkv = linear(size, 3 * size, vb.pp("qkv"))?;
        Ok(SelfAttention { qkv, proj: linear(size, size, vb.pp("proj"))?, heads, fused: false })
    }
}

impl SelfAttention {
    /// The shortcut and what attention gives for `x`, added up.
    ///
    /// # Shapes
    /// All `(b, n, size)`.
    ///
    /// # Errors
    /// If the shapes are others, or the device fails.
    pub fn forward_onto(&self, x: &Tensor, shortcut: &Tensor) -> Result<Tensor> {
        self.proj.forward_onto(&self.seen(x)?, shortcut)
    }

    /// What every token sees, `(b, n, size)`, before the last layer.
    fn seen(&self, x: &Tensor) -> Result<Tensor> {
        let (b, n, size) = x.dims3()?;
        let qkv = self.qkv.forward(x)?;
        if has_kernels(&qkv) {
            return packed_attention(&qkv, self.heads);
        }
        if is_half_on_cpu(&qkv) && !self.fused {
            return rounded(&qkv, |qkv| packed_attention(&qkv, self.heads));
        }
        let qkv = qkv.reshape((b, n, 3, self.heads, size / self.heads))?;
        if self.fused {
            return fused(&qkv);
        }
        let part = |at: usize| qkv.narrow(2, at, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous(); // (b, h, n, d)
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        drop(qkv);
        attend(q, k, v, ScaleOf::Queries)
    }
}

impl Module for SelfAttention {
    /// # Shapes
    /// `(b, n, size)` to `(b, n, size)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.proj.forward(&self.seen(x)?)
    }
}

/// Attention in one kernel, which reads queries, keys and values where they stand.
///
/// # Shapes
/// `qkv` `(b, n, 3, h, d)` to `(b, n, h * d)`.
#[cfg(feature = "flash-attn")]
fn fused(qkv: &Tensor) -> Result<Tensor> {
    let (b, n, _, heads, d) = qkv.dims5()?;
    let part = |at: usize| qkv.narrow(2, at, 1)?.squeeze(2); // (b, n, h, d)
    let scale = (d as f32).powf(-0.5);
    candle_flash_attn::flash_attn(&part(0)?, &part(1)?, &part(2)?, scale, false)?.reshape((b, n, heads * d))
}

#[cfg(not(feature = "flash-attn"))]
fn fused(_: &Tensor) -> Result<Tensor> {
    candle_core::bail!("this build has no fused attention; build it with the feature `flash-attn`")
}

/// `(b, n, h * d)` to `(b, h, n, d)`.
///
/// # Errors
/// If the last axis is not a multiple of `heads`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, n, size) = x.dims3()?;
    x.reshape((b, n, heads, size / heads))?.transpose(1, 2)?.contiguous() // (b, h, n, d)
}

/// The two halves of the last axis.
///
/// # Errors
/// If the last axis is odd.
pub fn halves(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = x.dim(D::Minus1)? / 2;
    Ok((x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?))
}
