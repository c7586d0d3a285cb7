//! Parses TensorFlow Lite model files (`.tflite`): tensors, their values, and the operators of the first subgraph.
//!
//! A `.tflite` file is a flatbuffer with the root type `Model` (TensorFlow's
//! `tensorflow/compiler/mlir/lite/schema/schema.fbs`). Only operators of floating-point convolutional networks
//! are supported. Files are untrusted: every offset, length and count is checked before it is used, counts are limited,
//! and names and values are borrowed from the file's bytes, so that a crafted file results in an error and not in a
//! panic or an allocation much larger than the file.

mod error;
mod flatbuffer;
mod model;
#[cfg(test)]
pub(crate) mod test_file;
#[cfg(test)]
mod tests;

pub use error::TfliteError;
pub use model::{Activation, DType, Kind, Model, Operator, Padding, Tensor};
