//! What can go wrong with BlazePose.

use crate::tflite::TfliteError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum BlazePoseError {
    #[error(transparent)]
    Tflite(#[from] TfliteError),
    #[error(
        "this tflite file is not BlazePose GHUM lite, full or heavy: {problem}; give pose_landmark_lite.tflite, \
         pose_landmark_full.tflite or pose_landmark_heavy.tflite"
    )]
    AnotherNetwork { problem: String },
    #[error("cannot read the weights of BlazePose at {path}: {source}; fetch or convert them")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write the weights of BlazePose to {path}: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the weights of BlazePose at {path} cannot be used: {problem}; convert them again")]
    Malformed { path: PathBuf, problem: String },
    #[error("the graph of the network is wrong: {problem}")]
    Graph { problem: String },
    #[error("blazepose.{name} is {value}; it has to be {range}")]
    Setting { name: &'static str, value: String, range: &'static str },
    #[error("frame {frame}: BlazePose cannot run on the device: {source}")]
    Frame { frame: usize, source: candle_core::Error },
    #[error("BlazePose cannot run on the device: {0}")]
    Device(#[from] candle_core::Error),
}
