//! Compares this implementation with outputs of the original HMR2 and PHALP (goldens), on formula weights.
//!
//! In: a [`GoldenSet`]; out: [`Check`]s. [`check_components`] compares crops, bodies, cameras and metrics (goldens
//! 01, 02, 06 to 08), [`check_network`] the network on any device and in any precision (03 to 05). Does not depend on
//! runs or tables.

mod body;
mod check;
mod crops;
mod geometry;
mod golden;
mod images;
mod metrics;
mod network;
mod smpl;

pub use check::{Check, NetworkSize, Stage};
pub use golden::{Golden, GoldenSet};
pub use network::{ComparisonCost, check_network};

use candle_core::Device;
use check::CheckRecorder;
use posebook_models::body::BodyError;
use posebook_models::hmr2::Hmr2Error;
use std::path::PathBuf;
use thiserror::Error;

/// Why a comparison could not be made.
#[derive(Debug, Error)]
pub enum ParityError {
    /// The folder has no goldens.
    #[error(
        "no goldens in {folder}; run this in a checkout, or name the folder that holds `hmr2/<set>` with --goldens"
    )]
    NoGoldens {
        /// The folder.
        folder: PathBuf,
    },
    /// A golden cannot be read.
    #[error("cannot read {path}: {message}; `--goldens` names the folder that holds `hmr2/<set>`")]
    Golden {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A golden lacks a tensor.
    #[error("{golden} has no tensor `{key}`; the file is not the golden of this name")]
    NoTensor {
        /// Set and file.
        golden: String,
        /// Name of the tensor.
        key: String,
    },
    /// A golden lacks metadata.
    #[error("{golden} has no metadata at `{pointer}`; the file is not the golden of this name")]
    NoMetadata {
        /// Set and file.
        golden: String,
        /// The JSON pointer.
        pointer: String,
    },
    /// The number of values differs from the golden's.
    #[error("{golden} {key}: {found} values were computed, {expected} were expected")]
    Count {
        /// Set and file.
        golden: String,
        /// Name of the tensor.
        key: String,
        /// Values that were computed.
        found: usize,
        /// Values in the golden.
        expected: usize,
    },
    /// A tensor operation failed.
    #[error("the network failed: {0}")]
    Network(#[from] candle_core::Error),
    /// HMR2 failed.
    #[error(transparent)]
    Hmr2(#[from] Hmr2Error),
    /// The body failed.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Compares all that does not depend on a network: rotations and projections, the body, crops, PHALP's camera,
/// metrics (goldens 01, 02, 06, 07, 08). Parts with an implementation on tensors are also computed on `device`, in
/// single precision. `on_check` receives each result.
///
/// # Errors
/// If a golden is missing or damaged, or the device fails.
pub fn check_components(
    set: &GoldenSet,
    device: &Device,
    on_check: &mut dyn FnMut(&Check),
) -> Result<Vec<Check>, ParityError> {
    let mut checks = CheckRecorder::new(set, on_check);
    geometry::rotations(set, device, &mut checks)?;
    geometry::projections(set, &mut checks)?;
    smpl::posed(set, &mut checks)?;
    smpl::at_rest(set, &mut checks)?;
    smpl::as_tensors(set, device, &mut checks)?;
    crops::phalp(set, &mut checks)?;
    crops::demo(set, &mut checks)?;
    crops::blur(set, &mut checks)?;
    geometry::camera(set, &mut checks)?;
    geometry::vectors(set, &mut checks)?;
    metrics::joints(set, &mut checks)?;
    metrics::keypoints(set, &mut checks)?;
    Ok(checks.into_checks())
}
