//! The parts that networks are built of: operators, layers, attention and the reading of checkpoints.
//!
//! Every operator has a backward pass, so that one code both trains and infers. Linear layers are
//! `candle_transformers::models::with_tracing`'s; norms, GELU and softmax are our own, because candle's
//! fused ones cut the gradient silently and its exact GELU is a scalar loop.
//! Must not know which network it serves.

pub mod attention;
pub mod checkpoint;
mod kernels;
pub mod layers;
pub mod ops;

pub use attention::{ScaleOf, SelfAttention, attend};
pub use checkpoint::{CheckpointError, TensorSpec};
pub use layers::{LayerNorm, Mlp};
