//! HMAR's encoding head as a differentiable network: six 3 x 3 convolutions with ReLU, 2 x 2 max pooling after the first four.
//!
//! In: maps `(B, 4, S, S)`; out: `(B, 16, S / 16, S / 16)`. Keys and layout of the weights are those of HMAR's state dict.

use super::AppearanceSettings;
use crate::train::TrainError;
use crate::train::optimizer::{Optimizer, Weight};
use candle_core::{Device, Result, Tensor, Var};
use posebook_core::random::stream;
use std::collections::HashMap;

/// Channels of an embedding.
pub const LAST_CHANNELS: usize = 16;
/// Layers in order.
const LAYERS: [&str; 6] = ["conv1x", "conv2", "conv3", "conv4", "conv5", "conv5_1"];
/// Layers that a max pooling follows.
const POOLED_LAYERS: usize = 4;

fn key(layer: &str, part: &str) -> String {
    format!("encoding_head.{layer}.{part}")
}

/// Initial weights (He et al. 2015) under the settings' seed.
///
/// # Errors
/// If memory cannot be allocated.
pub fn initial_weights(settings: &AppearanceSettings) -> std::result::Result<Optimizer, TrainError> {
    let mut weights = Vec::new();
    for (layer, (inputs, outputs)) in LAYERS.into_iter().zip(settings.sizes()) {
        let name = key(layer, "weight");
        let mut draws = stream(settings.seed, &format!("train/first/{name}"), &[]);
        let deviation = (2.0 / (9.0 * inputs as f64)).sqrt();
        let values: Vec<f32> =
            (0..outputs * inputs * 9).map(|_| (deviation * draws.normal()) as f32).collect();
        let var = Var::from_vec(values, (outputs, inputs, 3, 3), &Device::Cpu)?;
        weights.push(Weight::new(name, var)?);
        let var = Var::zeros(outputs, candle_core::DType::F32, &Device::Cpu)?;
        weights.push(Weight::new(key(layer, "bias"), var)?);
    }
    Ok(Optimizer { weights, step: 0 })
}

/// The averaged weights by key; the last layer is multiplied by `gain`, and so is the embedding, because ReLU is homogeneous.
///
/// # Errors
/// If memory cannot be allocated.
pub fn averaged_tensors(optimizer: &Optimizer, gain: f32) -> Result<HashMap<String, Tensor>> {
    let last = key(LAYERS[LAYERS.len() - 1], "");
    let tensor = |weight: &Weight| {
        let gain = if weight.name.starts_with(&last) { gain } else { 1.0 };
        let values: Vec<f32> = weight.average.iter().map(|value| gain * value).collect();
        Ok((weight.name.clone(), Tensor::from_vec(values, weight.var.shape(), &Device::Cpu)?))
    };
    optimizer.weights.iter().map(tensor).collect()
}

/// The embeddings of maps `(B, 4, S, S)`: `(B, 16, S / 16, S / 16)`. The variables are those of `optimizer`.
///
/// # Errors
/// If memory cannot be allocated.
pub fn forward(optimizer: &Optimizer, maps: &Tensor) -> Result<Tensor> {
    let mut values = maps.clone();
    for (index, pair) in optimizer.weights.as_chunks::<2>().0.iter().enumerate() {
        let [kernel, bias] = pair.each_ref().map(|weight| weight.var.as_tensor());
        values = values.conv2d(kernel, 1, 1, 1, 1)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
        // ReLU after the pooling gives the same values from a quarter of the numbers
        if index < POOLED_LAYERS {
            values = values.max_pool2d(2)?;
        }
        values = values.relu()?;
    }
    Ok(values)
}
