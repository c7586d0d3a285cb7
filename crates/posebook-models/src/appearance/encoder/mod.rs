//! Encoders of textures: HMAR's encoding head with weights from a file, and an embedding without weights.
//!
//! In: UV maps; out: embeddings of 4096 values ([`TextureEncoder`]). On the CPU the network runs on the crate's own
//! convolutions, on a GPU on candle's. Does not depend on where maps come from.

mod device_network;
mod network;
mod raw;
mod weights;

pub use weights::formula_tensors;

use super::error::network_error;
use super::{AppearanceError, EncodeType, EncoderSource};
use crate::conv::{Shape, Threads};
use candle_core::{Device, Tensor};
use device_network::DeviceNetwork;
use network::HostNetwork;
use posebook_core::appearance::{NetworkError, TextureEncoder, UvMap};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use weights::EncoderWeights;

/// The file of the small encoder in the source tree. Its manifest lies beside it.
pub const TINY_FILE: &str = "models/appearance/tiny.safetensors";

/// The bytes of [`TINY_FILE`].
const TINY: &[u8] = include_bytes!("../../../../../models/appearance/tiny.safetensors");

/// An encoder of textures.
pub struct Encoder {
    network: Network,
}

enum Network {
    /// No weights: mean colors.
    Raw,
    /// HMAR's encoding head on the CPU.
    Host(HostNetwork),
    /// HMAR's encoding head on a GPU.
    Device(DeviceNetwork),
}

/// Receives a layer's name, its height, width and channels, and its values.
pub type LayerCallback<'a> = dyn FnMut(&'static str, [usize; 3], &[f32]) + 'a;

impl Encoder {
    /// Reads weights from a safetensors file, for the CPU. Keys are those of HMAR's state dict, `encoding_head.conv1x.weight`
    /// and so on; numbers of channels are those of the tensors.
    ///
    /// # Errors
    /// If the file cannot be read, a tensor is missing, has another shape or a value that is not finite.
    pub fn load(path: &Path) -> Result<Encoder, AppearanceError> {
        Encoder::load_to(path, None, &Device::Cpu)
    }

    /// As [`Encoder::load`], for the given type of encoder and device. `None`: the type whose first layer the file has.
    ///
    /// # Errors
    /// As [`Encoder::load`], and if the file has another type of encoder, or the device fails.
    pub fn load_to(
        path: &Path,
        encode_type: Option<EncodeType>,
        device: &Device,
    ) -> Result<Encoder, AppearanceError> {
        Encoder::new(&EncoderWeights::read(path, encode_type)?, device)
    }

    /// An encoder from tensors by key, as [`Encoder::load_to`]; `origin` is named in errors.
    ///
    /// # Errors
    /// As [`Encoder::load_to`].
    pub fn from_tensors(
        tensors: &HashMap<String, Tensor>,
        encode_type: Option<EncodeType>,
        origin: &str,
        device: &Device,
    ) -> Result<Encoder, AppearanceError> {
        Encoder::new(&EncoderWeights::from_tensors(tensors, encode_type, origin)?, device)
    }

    /// The encoder of the golden set `set` on the CPU, with the published numbers of channels ([`formula_tensors`]).
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn from_formula(set: &str) -> Result<Encoder, AppearanceError> {
        let tensors = formula_tensors(set).map_err(|error| network_error(&error))?;
        Encoder::from_tensors(&tensors, None, "the formula", &Device::Cpu)
    }

    /// The small encoder that the program contains.
    ///
    /// # Errors
    /// If it is of another type than `encode_type`, or the device fails.
    pub fn tiny(encode_type: Option<EncodeType>, device: &Device) -> Result<Encoder, AppearanceError> {
        let problem = |message: String| AppearanceError::Encoder { origin: TINY_FILE.to_string(), message };
        let tensors = candle_core::safetensors::load_buffer(TINY, &Device::Cpu);
        let tensors = tensors.map_err(|error| problem(error.to_string()))?;
        Encoder::from_tensors(&tensors, encode_type, TINY_FILE, device)
    }

    /// The encoder without weights: mean colors of a grid of cells.
    pub fn raw() -> Encoder {
        Encoder { network: Network::Raw }
    }

    /// The encoder of a source.
    ///
    /// # Errors
    /// As [`Encoder::load_to`].
    pub fn open(
        source: &EncoderSource,
        encode_type: Option<EncodeType>,
        device: &Device,
    ) -> Result<Encoder, AppearanceError> {
        match source {
            EncoderSource::Raw => Ok(Encoder::raw()),
            EncoderSource::Tiny => Encoder::tiny(encode_type, device),
            EncoderSource::File(path) => Encoder::load_to(path, encode_type, device),
        }
    }

    fn new(weights: &EncoderWeights, device: &Device) -> Result<Encoder, AppearanceError> {
        let network = match device {
            Device::Cpu => Network::Host(HostNetwork::new(weights)),
            _ => Network::Device(DeviceNetwork::new(weights, device).map_err(|error| network_error(&error))?),
        };
        Ok(Encoder { network })
    }

    /// The embedding of one map; `callback` receives the result of each convolution before its ReLU: the layer's name, height,
    /// width and channels, and the values, channels innermost. An encoder without weights or on a GPU does not call it.
    ///
    /// # Errors
    /// As [`TextureEncoder::encode`].
    pub fn encode_observed(
        &self,
        map: &UvMap,
        callback: &mut LayerCallback,
    ) -> Result<Vec<f32>, NetworkError> {
        match &self.network {
            Network::Host(network) => Ok(network.encode_observed(map, &mut |name, shape: Shape, values| {
                callback(name, [shape.height, shape.width, shape.channels], values);
            })),
            _ => Ok(self.encode_refs(&[map])?.remove(0)),
        }
    }

    /// As [`TextureEncoder::encode`], from references.
    ///
    /// # Errors
    /// If the network fails.
    pub fn encode_refs(&self, maps: &[&UvMap]) -> Result<Vec<Vec<f32>>, NetworkError> {
        match &self.network {
            Network::Raw => Ok(maps.par_iter().map(|map| raw::encode(map)).collect()),
            Network::Host(network) => {
                // few maps share the threads among them; sums have the same order either way
                let threads = match maps.len() < rayon::current_num_threads() {
                    true => Threads::Pool,
                    false => Threads::One,
                };
                Ok(maps.par_iter().with_max_len(1).map(|map| network.encode(map, threads)).collect())
            }
            Network::Device(network) => network.encode(maps).map_err(|error| network_error(&error)),
        }
    }
}

impl TextureEncoder for Encoder {
    fn encode(&self, maps: &[UvMap]) -> Result<Vec<Vec<f32>>, NetworkError> {
        self.encode_refs(&maps.iter().collect::<Vec<_>>())
    }
}
