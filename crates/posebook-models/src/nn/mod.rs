//! Building blocks of transformers: operators, layers, attention and the reading of checkpoints.
//!
//! In: candle tensors and a `VarBuilder` of weights (or a safetensors file); out: tensors. Every operator but
//! FlashAttention has a backward pass, so that the same code trains and infers. Linear layers, norms, GELU and softmax
//! are our own because candle's fused norm and softmax have no gradient, its exact GELU is a scalar loop, and the
//! gradient of its linear layer copies more than it computes.
//!
//! What runs where:
//!
//! | tensors | without gradients | with gradients |
//! |---|---|---|
//! | CPU, `f32` | own kernels, with fused epilogues (`products`) | own kernels, not fused; same bits |
//! | CPU, half precision | as `f32` on widened inputs and weights, rounding each result | the same |
//! | GPU | candle's operators, or FlashAttention | candle's operators |
//!
//! Attention is the exception to "same bits": see [`AttentionPath`]. Does not depend on any network.

mod attention;
mod block;
pub mod checkpoint;
mod decode;
mod grid_attention;
mod grid_kernel;
mod grid_operators;
mod kernels;
mod layers;
mod linear;
mod mapped;
mod ops;
mod packed;
mod panels;
mod patches;
mod precision;
mod products;
#[cfg(test)]
mod test_tensors;

pub use attention::{AttentionPath, SelfAttention, attend, split_heads, split_last_axis};
pub use block::Block;
pub use checkpoint::{CheckpointError, TensorSpec};
pub use grid_attention::{GridAttention, Reach, RelativePositions};
pub use grid_operators::partition as window_partition;
pub use layers::{LayerNorm, Mlp};
pub use linear::{Linear, linear, linear_no_bias};
pub use mapped::MappedFile;
pub use ops::{gelu, layer_norm, softmax_last};
pub use packed::packed_attention;
pub use patches::PatchEmbedding;
pub use precision::dtype;
pub use products::{ScaledOperand, preallocate_scratch};
