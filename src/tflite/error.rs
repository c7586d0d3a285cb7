//! What can be wrong with a `.tflite` file.

use thiserror::Error;

/// Why a `.tflite` file cannot be read. Positions are bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TfliteError {
    #[error("not a tflite file: bytes 4 to 7 are not \"TFL3\"; give a file that ends in .tflite")]
    NotTflite,
    #[error(
        "the tflite file is damaged: {what} at byte {at} {problem} (the file has {bytes} bytes); fetch it again"
    )]
    Damaged {
        /// What was read, for example "the shape of tensor 12".
        what: String,
        at: usize,
        problem: String,
        /// Length of the file.
        bytes: usize,
    },
    #[error("operator {operator} of the tflite file {problem}; only files with known operators can be read")]
    Unsupported { operator: usize, problem: String },
    #[error("tensor {index} ({name}) of the tflite file {problem}; fetch the file again")]
    Tensor { index: usize, name: String, problem: String },
}
