//! The parts that networks are built of: operators, layers, attention and the reading of checkpoints.
//!
//! Every operator but those of [`conv`] has a backward pass, so that one code both trains and infers. Linear layers,
//! norms, GELU and softmax are our own: candle's fused ones cut the gradient silently, its exact GELU is a
//! scalar loop, and its linear layer's gradient copies more than it computes.
//! Must not know which network it serves.

pub mod attention;
pub mod checkpoint;
pub mod conv;
mod kernels;
pub mod layers;
pub mod linear;
pub mod ops;
mod packed;
mod products;
mod stored;
#[cfg(test)]
mod test_tensors;

pub use attention::{ScaleOf, SelfAttention, attend};
pub use checkpoint::{CheckpointError, TensorSpec};
pub use layers::{LayerNorm, Mlp};
pub use linear::{Linear, linear, linear_no_bias};
pub use packed::packed_attention;
pub use products::make_scratch;
