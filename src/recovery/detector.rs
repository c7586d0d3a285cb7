//! The detector with its weights: the file in the user's cache to a network on a device.

use super::RecoveryError;
use crate::detect::nanodet::{self, NanoDet};
use crate::nn::checkpoint;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// Reads NanoDet's converted weights onto a device.
///
/// # Errors
/// If the file is missing, is another network's, or a setting makes no sense.
pub fn detector(
    weights: &Path,
    device: &Device,
    settings: &nanodet::Settings,
) -> Result<NanoDet, RecoveryError> {
    let tensors = checkpoint::read(weights, &nanodet::tensor_specs(), DType::F32, device)?;
    Ok(NanoDet::load(&VarBuilder::from_tensors(tensors, DType::F32, device), settings.clone())?)
}
