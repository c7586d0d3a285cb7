//! Errors of converting, loading and running BlazePose.

use crate::tflite::TfliteError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// An error of converting, loading or running BlazePose.
#[derive(Debug, Error)]
pub enum BlazePoseError {
    /// The tflite file cannot be parsed.
    #[error(transparent)]
    Tflite(#[from] TfliteError),
    /// The tflite file holds another network.
    #[error(
        "this tflite file is not BlazePose GHUM lite, full or heavy: {problem}; give pose_landmark_lite.tflite, \
         pose_landmark_full.tflite or pose_landmark_heavy.tflite"
    )]
    UnsupportedNetwork {
        /// What is wrong.
        problem: String,
    },
    /// The weights file cannot be read.
    #[error("cannot read the weights of BlazePose at {path}: {source}; fetch or convert them")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// The weights file cannot be written.
    #[error("cannot write the weights of BlazePose to {path}: {source}")]
    Unwritable {
        /// Path of the file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// The weights file is damaged or not one of ours.
    #[error("the weights of BlazePose at {path} cannot be used: {problem}; convert them again")]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The graph is inconsistent, or a weight is missing.
    #[error("the graph of the network is invalid: {problem}")]
    InvalidGraph {
        /// What is wrong.
        problem: String,
    },
    /// A setting is out of range.
    #[error("blazepose.{name} is {value}; it has to be {range}")]
    InvalidSetting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// The allowed range.
        range: &'static str,
    },
    /// The pixels of a frame cannot be copied from the device.
    #[error("frame {frame}: BlazePose cannot run on the device: {source}")]
    Frame {
        /// Index of the frame.
        frame: usize,
        /// The underlying error.
        source: candle_core::Error,
    },
    /// The device failed.
    #[error("BlazePose cannot run on the device: {0}")]
    Device(#[from] candle_core::Error),
}
