//! Reads TensorFlow Lite model files (`.tflite`): tensors, their values, and operators of the first subgraph.
//!
//! A `.tflite` file is a flatbuffer with the root type `Model` (TensorFlow's
//! `tensorflow/compiler/mlir/lite/schema/schema.fbs`). Only the operators that convolutional networks in
//! floating point need are known. Every offset, length and count in the file is checked before it is used,
//! names and values are borrowed from the file's bytes, and all counts are bounded, so that a hostile file gives
//! an error and no allocation much larger than the file.
//! Must not know which network a file holds.

mod error;
mod flatbuffer;
mod model;
#[cfg(test)]
pub(crate) mod test_file;
#[cfg(test)]
mod tests;

pub use error::TfliteError;
pub use model::{Activation, DType, Kind, Model, Operator, Padding, Tensor};
