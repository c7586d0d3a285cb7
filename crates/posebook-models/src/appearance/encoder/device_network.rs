//! HMAR's encoding head with candle's operators, for GPUs.
//!
//! In: UV maps; out: their embeddings. Maps are sent in batches of bounded size, so that memory does not depend on the number
//! of people.

use super::weights::EncoderWeights;
use candle_core::{Device, Result, Tensor};
use posebook_core::appearance::{UV_SIDE, UV_TEXELS, UvMap};

/// Maps per forward pass. The largest activation, 16 channels of 256 x 256, takes 4 MiB per map, and without cuDNN its input
/// as columns 9 MiB.
const BATCH: usize = 16;
/// Layers that are followed by a max pooling.
const POOLED_LAYERS: usize = 4;

/// The network with its weights on a device.
pub struct DeviceNetwork {
    /// Kernel `(outputs, inputs, 3, 3)` and bias `(1, outputs, 1, 1)` of each layer.
    layers: Vec<(Tensor, Tensor)>,
    input_channels: usize,
    device: Device,
}

impl DeviceNetwork {
    /// Copies weights to a device.
    ///
    /// # Errors
    /// If the device fails or has too little memory.
    pub fn new(weights: &EncoderWeights, device: &Device) -> Result<DeviceNetwork> {
        let layers = weights.layers.iter().map(|layer| {
            let kernel = Tensor::from_slice(&layer.kernel, (layer.outputs, layer.inputs, 3, 3), device)?;
            Ok((kernel, Tensor::from_slice(&layer.bias, (1, layer.outputs, 1, 1), device)?))
        });
        Ok(DeviceNetwork {
            layers: layers.collect::<Result<_>>()?,
            input_channels: weights.input_channels(),
            device: device.clone(),
        })
    }

    /// The embedding of each map.
    ///
    /// # Errors
    /// If the device fails or has too little memory.
    pub fn encode(&self, maps: &[&UvMap]) -> Result<Vec<Vec<f32>>> {
        let mut embeddings = Vec::with_capacity(maps.len());
        for batch in maps.chunks(BATCH) {
            let planes: Vec<&[f32]> =
                batch.iter().map(|map| &map.values()[..self.input_channels * UV_TEXELS]).collect();
            let shape = (batch.len(), self.input_channels, UV_SIDE, UV_SIDE);
            let mut values = Tensor::from_vec(planes.concat(), shape, &self.device)?;
            for (index, (kernel, bias)) in self.layers.iter().enumerate() {
                values = values.conv2d(kernel, 1, 1, 1, 1)?.broadcast_add(bias)?.relu()?;
                if index < POOLED_LAYERS {
                    values = values.max_pool2d(2)?;
                }
            }
            embeddings.extend(values.flatten_from(1)?.to_vec2::<f32>()?);
        }
        Ok(embeddings)
    }
}
