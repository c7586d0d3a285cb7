//! Is this the network that was published? Numbers of the original on formula-made weights, held against
//! ours on any device and in any precision.
//!
//! Must not know runs or tables.

pub mod formula;
mod golden;
mod network;

pub use golden::Golden;
pub use network::{Check, Size, check};

use crate::hmr2::Hmr2Error;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ParityError {
    #[error("cannot read {path}: {message}; `--goldens` names the folder that holds `hmr2/<set>`")]
    Golden { path: PathBuf, message: String },
    #[error("{golden} has no tensor `{key}`; it is another file than it says")]
    NoTensor { golden: String, key: String },
    #[error("{golden} {key}: {found} values came out, {wanted} are wanted")]
    Count { golden: String, key: String, found: usize, wanted: usize },
    #[error("the network failed: {0}")]
    Network(#[from] candle_core::Error),
    #[error(transparent)]
    Hmr2(#[from] Hmr2Error),
}
