//! Checks weights before a network is built of them: missing tensors, other shapes and types, values that are not finite.

use super::config::Config;
use crate::nn::TensorSpec;
use candle_core::{D, DType, Result, Tensor};
use rayon::prelude::*;
use std::collections::HashMap;

/// Names that a message lists; further ones are counted.
const MOST_LISTED: usize = 4;
/// Where the mask head's tensors are.
const MASK_HEAD: &str = "roi_heads.mask_head.";

/// Why weights do not fit a configuration; `None` if they do. Tensors that the configuration does not need are ignored.
///
/// # Errors
/// If the device fails.
pub(super) fn problem(config: &Config, weights: &HashMap<String, Tensor>) -> Result<Option<String>> {
    let specs = config.tensors();
    let missing: Vec<&str> =
        specs.iter().map(|spec| spec.key.as_str()).filter(|key| !weights.contains_key(*key)).collect();
    if !missing.is_empty() {
        return Ok(Some(missing_tensors(config, &missing)));
    }
    let other_shape = |spec: &&TensorSpec| weights[&spec.key].dims() != spec.shape;
    let other: Vec<&TensorSpec> = specs.iter().filter(other_shape).collect();
    if let Some(first) = other.first() {
        return Ok(Some(other_shapes(config, weights, first, other.len())));
    }
    let bad: Result<Vec<Option<String>>> =
        specs.par_iter().map(|spec| problem_of_values(&spec.key, &weights[&spec.key])).collect();
    Ok(bad?.into_iter().flatten().next())
}

fn missing_tensors(config: &Config, missing: &[&str]) -> String {
    let masks = config.tensors().iter().filter(|spec| spec.key.starts_with(MASK_HEAD)).count();
    if missing.len() == masks && missing.iter().all(|key| key.starts_with(MASK_HEAD)) {
        return format!(
            "they have no mask head (no `{MASK_HEAD}*`): these are weights of a detector without masks"
        );
    }
    let listed = missing.iter().take(MOST_LISTED).copied().collect::<Vec<_>>().join(", ");
    match missing.len().saturating_sub(MOST_LISTED) {
        0 => format!("tensors are missing: {listed}"),
        more => format!("tensors are missing: {listed} and {more} more"),
    }
}

fn other_shapes(
    config: &Config,
    weights: &HashMap<String, Tensor>,
    first: &TensorSpec,
    count: usize,
) -> String {
    let key =
        if config.box_head.stages > 1 { "box_predictor.0.cls_score" } else { "box_predictor.cls_score" };
    let outputs = weights[&format!("roi_heads.{key}.bias")].elem_count();
    if outputs != config.classes + 1 {
        return format!(
            "they know {} classes, the configuration has {}",
            outputs.saturating_sub(1),
            config.classes
        );
    }
    let found = weights[&first.key].dims();
    let more = if count > 1 { format!(" ({} more differ)", count - 1) } else { String::new() };
    format!("{} is {found:?}, the configuration needs {:?}{more}", first.key, first.shape)
}

fn problem_of_values(key: &str, tensor: &Tensor) -> Result<Option<String>> {
    if !matches!(tensor.dtype(), DType::F32 | DType::BF16 | DType::F16 | DType::F64) {
        return Ok(Some(format!("{key} has values of type {:?}", tensor.dtype())));
    }
    if !is_finite(tensor)? {
        return Ok(Some(format!("{key} has a value that is not finite")));
    }
    if key.ends_with("running_var")
        && tensor.flatten_all()?.min(0)?.to_dtype(DType::F32)?.to_scalar::<f32>()? < 0.0
    {
        return Ok(Some(format!("{key} has a negative variance")));
    }
    Ok(None)
}

/// Whether all values are finite: a sum in single precision is not finite otherwise.
pub(super) fn is_finite(tensor: &Tensor) -> Result<bool> {
    if let (DType::F32, true, true) = (tensor.dtype(), tensor.device().is_cpu(), tensor.is_contiguous()) {
        let (storage, layout) = tensor.storage_and_layout();
        if let candle_core::Storage::Cpu(storage) = &*storage {
            let values = &storage.as_slice::<f32>()?[layout.start_offset()..][..layout.shape().elem_count()];
            return Ok(values.par_chunks(1 << 16).all(|values| values.iter().all(|value| value.is_finite())));
        }
    }
    let wide = tensor.to_dtype(DType::F32)?;
    // candle's GPU kernel gives each sum to one block of threads: one sum of all values would be slow
    let sums = if wide.rank() > 1 { wide.sum(D::Minus1)? } else { wide };
    Ok(sums.sum_all()?.to_scalar::<f32>()?.is_finite())
}
