//! Loads the person detector from a weights file to a device.

use super::RecoveryError;
use crate::detect::nanodet::{self, NanoDet};
use crate::nn::checkpoint;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// Loads NanoDet from its converted weights.
///
/// # Errors
/// If the file is missing or holds another network, or if a setting is out of range.
pub fn load_detector(
    weights: &Path,
    device: &Device,
    settings: &nanodet::Settings,
) -> Result<NanoDet, RecoveryError> {
    let tensors = checkpoint::read(weights, &nanodet::tensor_specs(), DType::F32, device)?;
    Ok(NanoDet::load(&VarBuilder::from_tensors(tensors, DType::F32, device), settings.clone())?)
}
