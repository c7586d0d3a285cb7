//! Errors of reading a `.tflite` file.

use thiserror::Error;

/// Why a `.tflite` file cannot be read. Positions are bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TfliteError {
    /// The file identifier is missing.
    #[error("not a tflite file: bytes 4 to 7 are not \"TFL3\"; give a file that ends in .tflite")]
    NotTflite,
    /// An offset, length or count is invalid.
    #[error(
        "the tflite file is damaged: {what} at byte {at} {problem} (the file has {bytes} bytes); fetch it again"
    )]
    Damaged {
        /// The item that was read, for example "the shape of tensor 12".
        what: String,
        /// Byte position.
        at: usize,
        /// What is wrong with it.
        problem: String,
        /// Length of the file in bytes.
        bytes: usize,
    },
    /// An operator or one of its options is not known.
    #[error("operator {operator} of the tflite file {problem}; only files with known operators can be read")]
    Unsupported {
        /// Index of the operator.
        operator: usize,
        /// What is wrong.
        problem: String,
    },
    /// A tensor is inconsistent or has an unknown type.
    #[error("tensor {index} ({name}) of the tflite file {problem}; fetch the file again")]
    Tensor {
        /// Index of the tensor.
        index: usize,
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
}
