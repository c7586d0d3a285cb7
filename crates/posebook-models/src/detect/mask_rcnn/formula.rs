//! Weights of a detector from a formula, as `tests/goldens/detect/README.md` has it.
//!
//! In: the name of a set and a configuration; out: its tensors ([`Config::tensors`]). The hash is that of
//! [`hmr2::formula`](crate::hmr2::formula); the hashed name of a weight is `SET/MODEL/KEY`.

use super::config::{Architecture, Backbone, Config};
use crate::hmr2::formula;
use crate::nn::TensorSpec;
use candle_core::{DType, Device, Result, Tensor};
use std::collections::HashMap;

/// Offsets and scale of a weight. Offsets repeat along the flat index.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Values in the middle of the distribution.
    pub offsets: Vec<f64>,
    /// Largest distance from the offset.
    pub scale: f64,
}

/// The weights of the set `set` for a detector, keyed as in the state dict. Values are rounded to single precision first, as a
/// file of weights would be, and then to `dtype`. One tensor at a time is filled and moved.
///
/// # Errors
/// If the device has not enough memory.
pub fn weights(set: &str, config: &Config, dtype: DType, device: &Device) -> Result<HashMap<String, Tensor>> {
    let architecture = config.architecture();
    let fill = |spec: TensorSpec| {
        let Rule { offsets, scale } = rule(architecture, &spec);
        let name = format!("{set}/{}/{}", architecture.name(), spec.key);
        let tensor = formula::tensor(&name, &spec.shape, &offsets, scale)?;
        Ok((spec.key, tensor.to_dtype(dtype)?.to_device(device)?))
    };
    config.tensors().into_iter().map(fill).collect()
}

/// The first rule that matches a weight.
pub fn rule(architecture: Architecture, spec: &TensorSpec) -> Rule {
    let key = spec.key.as_str();
    let ends = |ending: &str| key.ends_with(ending);
    let of_model = |vitdet: f64, regnety: f64, x101: f64| match architecture {
        Architecture::Vitdet => vitdet,
        Architecture::Regnety => regnety,
        Architecture::X101 => x101,
    };
    let inputs = spec.shape.iter().skip(1).product::<usize>();
    let around = |offset: f64, scale: f64| Rule { offsets: vec![offset], scale };
    // the outputs of a layer keep the order of magnitude of its inputs
    let fan = |gain: f64| around(0.0, gain * (3.0 / inputs as f64).sqrt());
    let is_head = key.starts_with("roi_heads.");
    let is_weight = ends(".weight");

    if ends("running_mean") {
        around(0.0, 0.2)
    } else if ends("running_var") {
        around(1.0, 0.5)
    } else if is_weight && spec.shape.len() == 1 {
        around(1.0, 0.2)
    } else if ends("pos_embed") || key.contains("rel_pos_") {
        around(0.0, 0.5)
    } else if ends("qkv.weight") {
        fan(1.5)
    } else if ends("objectness_logits.weight") {
        fan(3.0)
    } else if ends("anchor_deltas.weight") {
        fan(0.4)
    } else if ends("cls_score.weight") {
        fan(of_model(5.0, 7.0, 3.0))
    } else if ends("cls_score.bias") {
        let (person, background) = (of_model(3.0, 5.0, 2.0), of_model(1.0, 1.0, 0.0));
        Rule { offsets: vec![person, 0.0, 0.0, 0.0, 0.0, 0.0, background], scale: 0.5 }
    } else if ends("bbox_pred.weight") {
        fan(of_model(0.8, 2.0, 1.0))
    } else if ends("mask_head.predictor.weight") {
        fan(6.0)
    } else if architecture == Architecture::Vitdet && is_head && ends("norm.bias") {
        around(-0.6, 0.1)
    } else if ends(".f.c.weight") || ends(".conv3.weight") || (is_weight && key.contains("fpn_lateral")) {
        fan(0.5)
    } else if is_weight && key.contains("fpn_output") {
        fan(0.8)
    } else if is_head && key.contains(".fc") && is_weight {
        fan(2.0)
    } else if is_head && key.contains(".fc") && ends(".bias") {
        around(-0.3, 0.1)
    } else if is_weight {
        fan(1.4)
    } else {
        around(0.0, 0.1)
    }
}

impl Config {
    /// Which published detector has this structure: its backbone decides.
    pub fn architecture(&self) -> Architecture {
        match self.backbone {
            Backbone::Vit(_) => Architecture::Vitdet,
            Backbone::Regnety(_) => Architecture::Regnety,
            Backbone::Resnext(_) => Architecture::X101,
        }
    }
}
