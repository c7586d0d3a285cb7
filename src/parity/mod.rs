//! Is this the network that was published? Numbers of the original on formula-made weights, held against
//! ours on any device and in any precision, and so are the crops, bodies, cameras and metrics around it.
//!
//! [`surroundings`] compares what is computed on the host whatever the precision (goldens 01, 02, 06 to 08),
//! [`network`] the network (03 to 05). Must not know runs or tables.

mod body;
mod check;
mod crops;
mod geometry;
mod golden;
mod metrics;
mod network;
mod pictures;
mod smpl;

pub use crate::hmr2::formula;
pub use check::{Check, Size, Stage};
pub use golden::{Golden, Set};
pub use network::{Cost, network};

use crate::body::BodyError;
use crate::hmr2::Hmr2Error;
use candle_core::Device;
use check::Ledger;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ParityError {
    #[error(
        "no goldens in {folder}; run this in a checkout, or name the folder that holds `hmr2/<set>` with --goldens"
    )]
    NoGoldens { folder: PathBuf },
    #[error("cannot read {path}: {message}; `--goldens` names the folder that holds `hmr2/<set>`")]
    Golden { path: PathBuf, message: String },
    #[error("{golden} has no tensor `{key}`; it is another file than it says")]
    NoTensor { golden: String, key: String },
    #[error("{golden} says nothing of `{pointer}`; it is another file than it says")]
    Untold { golden: String, pointer: String },
    #[error("{golden} {key}: {found} values came out, {wanted} are wanted")]
    Count { golden: String, key: String, found: usize, wanted: usize },
    #[error("the network failed: {0}")]
    Network(#[from] candle_core::Error),
    #[error(transparent)]
    Hmr2(#[from] Hmr2Error),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// What does not depend on a network: rotations and projections, the body, crops, PHALP's camera, metrics
/// (goldens 01, 02, 06, 07, 08). What has an implementation in tensors is computed on `device` too, in
/// single precision. `told` hears each comparison as it is made.
///
/// # Errors
/// If a golden is missing or damaged, or the device fails.
pub fn surroundings(
    set: &Set,
    device: &Device,
    told: &mut dyn FnMut(&Check),
) -> Result<Vec<Check>, ParityError> {
    let mut ledger = Ledger::new(set, told);
    geometry::rotations(set, device, &mut ledger)?;
    geometry::projections(set, &mut ledger)?;
    smpl::posed(set, &mut ledger)?;
    smpl::at_rest(set, &mut ledger)?;
    smpl::as_tensors(set, device, &mut ledger)?;
    crops::phalp(set, &mut ledger)?;
    crops::demo(set, &mut ledger)?;
    crops::blur(set, &mut ledger)?;
    geometry::camera(set, &mut ledger)?;
    geometry::vectors(set, &mut ledger)?;
    metrics::joints(set, &mut ledger)?;
    metrics::keypoints(set, &mut ledger)?;
    Ok(ledger.finish())
}
