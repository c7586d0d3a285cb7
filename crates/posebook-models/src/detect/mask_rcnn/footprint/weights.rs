//! Bytes of the weights of a loaded detector.

use super::super::config::Config;
use crate::conv::blocked::ConvSpec;
use crate::nn::TensorSpec;
use std::collections::HashSet;

/// Bytes of the weights; `value_bytes` of a value that is not packed.
pub(super) fn bytes(config: &Config, value_bytes: usize) -> u64 {
    let specs = config.tensors();
    let packed: Vec<(&str, ConvSpec)> = specs.iter().filter_map(packed_convolution).collect();
    // a folded norm leaves a bias, which is packed
    let folded: HashSet<&str> =
        specs.iter().filter_map(|spec| spec.key.strip_suffix(".running_var")).collect();
    let names: HashSet<&str> = packed.iter().map(|(name, _)| *name).collect();
    let is_stored = |spec: &&TensorSpec| {
        let name = spec.key.rsplit_once('.').map_or("", |(name, _)| name);
        !names.contains(name) && !folded.contains(name)
    };
    let values = |spec: &TensorSpec| {
        let count: usize = spec.shape.iter().product();
        // relative positions are stored in both orders
        if spec.key.contains("rel_pos_") { 2 * count } else { count }
    };
    let stored: usize = specs.iter().filter(is_stored).map(values).sum();
    let packed: usize = packed.iter().map(|(_, spec)| spec.packed_values()).sum();
    (stored * value_bytes + packed * size_of::<f32>()) as u64
}

/// The name of a convolution whose weights are packed, and its sizes.
fn packed_convolution(spec: &TensorSpec) -> Option<(&str, ConvSpec)> {
    let name = spec.key.strip_suffix(".weight")?;
    let &[first, second, kernel, _] = &spec.shape[..] else { return None };
    if name.ends_with("patch_embed.proj") || name.ends_with("mask_head.predictor") {
        return None;
    }
    let plain =
        ConvSpec { inputs: second, outputs: first, kernel, stride: 1, padding: kernel / 2, groups: 1 };
    if kernel == 2 {
        // (inputs, outputs, 2, 2): a pointwise convolution to four times the outputs
        return Some((name, ConvSpec { inputs: first, outputs: 4 * second, kernel: 1, padding: 0, ..plain }));
    }
    let is_grouped = name.ends_with(".f.b") || name.ends_with(".conv2");
    if is_grouped && name.starts_with("backbone.bottom_up") && second > 0 {
        return Some((name, ConvSpec { inputs: first, groups: first / second, ..plain }));
    }
    Some((name, plain))
}
