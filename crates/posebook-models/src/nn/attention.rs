//! Multi-head attention (Vaswani et al. 2017). Does not depend on any network.

use super::linear::{Linear, linear};
use super::ops::{self, compute_in_f32, is_half_on_cpu, uses_cpu_kernels};
use super::packed::packed_attention;
use super::products::ScaledOperand;
use candle_core::{D, Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Attention of every head: `softmax(q kᵀ / sqrt(d)) v`.
///
/// # Shapes
/// `q` `(b, h, n, d)`, `k` and `v` `(b, h, m, d)`, contiguous or with the last two axes swapped;
/// the result is `(b, n, h * d)`.
///
/// # Errors
/// If the shapes do not fit each other, or the device fails.
pub fn attend(q: Tensor, k: Tensor, v: Tensor, scaled: ScaledOperand) -> Result<Tensor> {
    let (b, heads, n, d) = q.dims4()?;
    let scale = (d as f64).powf(-0.5);
    let scores = match scaled {
        ScaledOperand::Queries => (q * scale)?.matmul(&k.t()?)?,
        ScaledOperand::Scores => (q.matmul(&k.t()?)? * scale)?,
    }; // (b, h, n, m)
    drop(k);
    let weights = ops::softmax_last(&scores)?;
    drop(scores);
    weights.matmul(&v)?.transpose(1, 2)?.reshape((b, n, heads * d))
}

/// How self-attention is computed. The paths are equal in exact arithmetic and differ in rounding; the code that
/// builds the network chooses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttentionPath {
    /// As the published network: queries are scaled. On the CPU one operator over packed queries, keys and values;
    /// elsewhere candle's operators.
    #[default]
    Inference,
    /// As [`AttentionPath::Inference`], but on the CPU the scores are scaled instead of the queries. The shipped
    /// weights were trained so, and the training recipe reproduces them bit for bit.
    Training,
    /// FlashAttention (Dao et al. 2022): one kernel that never stores the scores. Needs a GPU, half precision and
    /// the feature `flash-attn`; has no gradient.
    Flash,
}

/// Self-attention with one projection to queries, keys and values (rows `[q | k | v]`, each head-major).
#[derive(Debug, Clone)]
pub struct SelfAttention {
    pub(super) qkv: Linear,
    pub(super) proj: Linear,
    pub(super) heads: usize,
    /// How attention is computed; [`AttentionPath::Inference`] after loading.
    pub path: AttentionPath,
}

impl SelfAttention {
    /// Reads `qkv` `(3 * size, size)` and `proj` `(size, size)`, both with a bias.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(size: usize, heads: usize, vb: VarBuilder) -> Result<SelfAttention> {
        let (qkv, proj) = (linear(size, 3 * size, vb.pp("qkv"))?, linear(size, size, vb.pp("proj"))?);
        Ok(SelfAttention::new(qkv, proj, heads))
    }

    /// Attention of its layers: `qkv` from `size` to `3 * size` values, `proj` from `size` to `size`.
    pub fn new(qkv: Linear, proj: Linear, heads: usize) -> SelfAttention {
        SelfAttention { qkv, proj, heads, path: AttentionPath::default() }
    }

    /// `residual + forward(x)`, the addition fused into the last product where that is possible.
    ///
    /// # Shapes
    /// All `(b, n, size)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.proj.forward_residual(&self.attend_heads(x)?, residual)
    }

    /// The outputs of all heads side by side, `(b, n, size)`, before the output projection.
    fn attend_heads(&self, x: &Tensor) -> Result<Tensor> {
        let (b, n, size) = x.dims3()?;
        let qkv = self.qkv.forward(x)?;
        let scaled = match self.path {
            AttentionPath::Flash => {
                return flash_attention(&qkv.reshape((b, n, 3, self.heads, size / self.heads))?);
            }
            AttentionPath::Inference => ScaledOperand::Queries,
            AttentionPath::Training => ScaledOperand::Scores,
        };
        if uses_cpu_kernels(&qkv) {
            return packed_attention(&qkv, self.heads, scaled);
        }
        if is_half_on_cpu(&qkv) {
            return compute_in_f32(&qkv, |qkv| packed_attention(&qkv, self.heads, scaled));
        }
        let qkv = qkv.reshape((b, n, 3, self.heads, size / self.heads))?;
        let part = |which: usize| qkv.narrow(2, which, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous(); // (b, h, n, d)
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        drop(qkv);
        attend(q, k, v, ScaledOperand::Queries)
    }
}

impl Module for SelfAttention {
    /// # Shapes
    /// `(b, n, size)` to `(b, n, size)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.proj.forward(&self.attend_heads(x)?)
    }
}

/// Attention in one kernel, which reads queries, keys and values from the packed tensor.
///
/// # Shapes
/// `qkv` `(b, n, 3, h, d)` to `(b, n, h * d)`.
#[cfg(feature = "flash-attn")]
fn flash_attention(qkv: &Tensor) -> Result<Tensor> {
    let (b, n, _, heads, d) = qkv.dims5()?;
    let part = |which: usize| qkv.narrow(2, which, 1)?.squeeze(2); // (b, n, h, d)
    let scale = (d as f32).powf(-0.5);
    candle_flash_attn::flash_attn(&part(0)?, &part(1)?, &part(2)?, scale, false)?.reshape((b, n, heads * d))
}

#[cfg(not(feature = "flash-attn"))]
fn flash_attention(_: &Tensor) -> Result<Tensor> {
    candle_core::bail!("this build has no FlashAttention; build it with the feature `flash-attn`")
}

/// Splits the last axis into heads: `(b, n, h * d)` to `(b, h, n, d)`.
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
/// If the device fails. An odd last value is dropped.
pub fn split_last_axis(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = x.dim(D::Minus1)? / 2;
    Ok((x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?))
}
