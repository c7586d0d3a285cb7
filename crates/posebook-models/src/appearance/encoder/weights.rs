//! Weights of HMAR's encoding head: reading, checking, and a formula that fills them.
//!
//! In: a safetensors file or tensors by key; out: [`EncoderWeights`], whose sizes are consistent and whose values are finite.
//! The keys are those of HMAR's state dict: `encoding_head.{conv1x or conv1,conv2,conv3,conv4,conv5,conv5_1}.{weight,bias}`.
//! Numbers of channels are those of the tensors; other tensors (HMAR's decoder and backbone) are ignored.

use crate::appearance::{AppearanceError, EncodeType};
use crate::hmr2::formula;
use crate::nn::TensorSpec;
use crate::nn::checkpoint;
use candle_core::{DType, Device, Tensor};
use posebook_core::appearance::EMBEDDING_LENGTH;
use std::collections::HashMap;
use std::path::Path;

/// Prefix of the keys.
const PREFIX: &str = "encoding_head.";
/// Layers after the first one, in order.
const LATER_LAYERS: [&str; 5] = ["conv2", "conv3", "conv4", "conv5", "conv5_1"];
/// Side of the last feature map: 256 after four halvings.
const LAST_SIDE: usize = 16;
/// Channels of the last feature map.
const LAST_CHANNELS: usize = EMBEDDING_LENGTH / (LAST_SIDE * LAST_SIDE);
/// Largest number of channels of a layer: a damaged file must not make the network arbitrarily large.
const MAX_CHANNELS: usize = 4096;

/// Weights of the six convolutions.
pub struct EncoderWeights {
    pub layers: Vec<ConvWeights>,
}

/// Weights of a 3 x 3 convolution.
pub struct ConvWeights {
    /// Name of the layer.
    pub name: &'static str,
    pub outputs: usize,
    pub inputs: usize,
    /// `(outputs, inputs, 3, 3)`.
    pub kernel: Vec<f32>,
    /// `(outputs)`.
    pub bias: Vec<f32>,
}

/// Name of the first layer.
fn first_layer(encode_type: EncodeType) -> &'static str {
    match encode_type {
        EncodeType::FourChannels => "conv1x",
        EncodeType::ThreeChannels => "conv1",
    }
}

fn layer_names(encode_type: EncodeType) -> impl Iterator<Item = &'static str> {
    std::iter::once(first_layer(encode_type)).chain(LATER_LAYERS)
}

/// Keys of the tensors of a type, weight and bias of each layer.
fn keys(encode_type: EncodeType) -> impl Iterator<Item = String> {
    layer_names(encode_type).flat_map(|name| ["weight", "bias"].map(|part| format!("{PREFIX}{name}.{part}")))
}

impl EncoderWeights {
    /// Reads the tensors of `encode_type` from a safetensors file; `None`: of the type whose first layer the file has.
    ///
    /// # Errors
    /// If the file cannot be read, a tensor is missing, has another shape or a value that is not finite.
    pub fn read(path: &Path, encode_type: Option<EncodeType>) -> Result<EncoderWeights, AppearanceError> {
        let shapes = checkpoint::read_shapes(path)?;
        let origin = path.display().to_string();
        let encode_type = choose_type(encode_type, &shapes, &origin)?;
        let specs =
            keys(encode_type).filter_map(|key| Some(TensorSpec { shape: shapes.get(&key)?.clone(), key }));
        let tensors = checkpoint::read(path, &specs.collect::<Vec<_>>(), DType::F32, &Device::Cpu)?;
        EncoderWeights::from_tensors(&tensors, Some(encode_type), &origin)
    }

    /// The weights among tensors by key, of `encode_type`, or of the type whose first layer there is. `origin` is named in
    /// errors.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape or a value that is not finite.
    pub fn from_tensors(
        tensors: &HashMap<String, Tensor>,
        encode_type: Option<EncodeType>,
        origin: &str,
    ) -> Result<EncoderWeights, AppearanceError> {
        let shapes = tensors.iter().map(|(key, tensor)| (key.clone(), tensor.dims().to_vec())).collect();
        let encode_type = choose_type(encode_type, &shapes, origin)?;
        let problem = |message: String| AppearanceError::Encoder { origin: origin.to_string(), message };
        let mut inputs = encode_type.channels();
        let mut layers = Vec::with_capacity(1 + LATER_LAYERS.len());
        for name in layer_names(encode_type) {
            let find = |part: &str| {
                let key = format!("{PREFIX}{name}.{part}");
                let tensor = tensors.get(&key);
                tensor
                    .map(|tensor| (key.clone(), tensor))
                    .ok_or_else(|| problem(format!("there is no tensor `{key}`")))
            };
            let (key, kernel) = find("weight")?;
            let outputs = match *kernel.dims() {
                [outputs, found, 3, 3] if found == inputs && (1..=MAX_CHANNELS).contains(&outputs) => outputs,
                ref found => {
                    return Err(problem(format!(
                        "`{key}` has shape {found:?}, but [1 to {MAX_CHANNELS}, {inputs}, 3, 3] is needed"
                    )));
                }
            };
            let kernel = finite_values(kernel, &key).map_err(problem)?;
            let (key, bias) = find("bias")?;
            if bias.dims() != [outputs] {
                return Err(problem(format!(
                    "`{key}` has shape {:?}, but [{outputs}] is needed",
                    bias.dims()
                )));
            }
            let bias = finite_values(bias, &key).map_err(problem)?;
            layers.push(ConvWeights { name, outputs, inputs, kernel, bias });
            inputs = outputs;
        }
        if inputs != LAST_CHANNELS {
            return Err(problem(format!(
                "its last layer has {inputs} channels, but {LAST_CHANNELS} are needed: an embedding has \
                 {LAST_CHANNELS} x {LAST_SIDE} x {LAST_SIDE} values"
            )));
        }
        Ok(EncoderWeights { layers })
    }

    /// Planes of a map that the first convolution reads: 4, or 3 without the mask.
    pub fn input_channels(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }
}

fn choose_type(
    wanted: Option<EncodeType>,
    shapes: &HashMap<String, Vec<usize>>,
    origin: &str,
) -> Result<EncodeType, AppearanceError> {
    let has = |encode_type: EncodeType| {
        shapes.contains_key(&format!("{PREFIX}{}.weight", first_layer(encode_type)))
    };
    let [four, three] = [EncodeType::FourChannels, EncodeType::ThreeChannels];
    let found = [four, three].into_iter().find(|&encode_type| has(encode_type));
    let message = match (wanted, found) {
        (Some(wanted), _) if has(wanted) => return Ok(wanted),
        (None, Some(found)) => return Ok(found),
        (Some(_), Some(found)) => format!(
            "it is an encoder of {} channels; set `encode_type = \"{0}c\"`, or give another file",
            found.channels()
        ),
        (_, None) => {
            format!("there is no tensor `{PREFIX}conv1x.weight`; give a file with HMAR's `{PREFIX}*` tensors")
        }
    };
    Err(AppearanceError::Encoder { origin: origin.to_string(), message })
}

/// All values as `f32`; NaN and infinity are errors.
fn finite_values(tensor: &Tensor, key: &str) -> Result<Vec<f32>, String> {
    let values = tensor
        .to_dtype(DType::F32)
        .and_then(|tensor| tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>())
        .map_err(|error| format!("`{key}` cannot be read: {error}"))?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(format!("value {index} of `{key}` is {}", values[index])),
        None => Ok(values),
    }
}

/// The encoding head of the golden set `set`: HMAR's own numbers of channels, filled by the formula of the goldens. Untrained,
/// with the cost of the published weights.
///
/// # Errors
/// If there is not enough memory.
pub fn formula_tensors(set: &str) -> candle_core::Result<HashMap<String, Tensor>> {
    let sizes = [(4, 16), (16, 64), (64, 128), (128, 256), (256, 256), (256, 16)];
    let mut tensors = HashMap::new();
    for (name, (inputs, outputs)) in layer_names(EncodeType::FourChannels).zip(sizes) {
        let gain = if name == "conv5_1" { 4.0 } else { 1.0 };
        // six significant digits, as the goldens' manifest states scales
        let scale = to_six_digits(gain * (6.0 / (9.0 * inputs as f64)).sqrt());
        for (part, shape, offset, scale) in
            [("weight", vec![outputs, inputs, 3, 3], 0.0, scale), ("bias", vec![outputs], 0.02, 0.05)]
        {
            let key = format!("{PREFIX}{name}.{part}");
            let tensor = formula::tensor(&format!("{set}/{key}"), &shape, &[offset], scale)?;
            tensors.insert(key, tensor);
        }
    }
    Ok(tensors)
}

/// A number rounded to six significant digits in decimal.
fn to_six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> HashMap<String, Tensor> {
        let sizes = [(3, 2), (2, 5), (5, 3), (3, 4), (4, 4), (4, 16)];
        let mut tensors = HashMap::new();
        for (name, (inputs, outputs)) in layer_names(EncodeType::ThreeChannels).zip(sizes) {
            for (part, shape) in [("weight", vec![outputs, inputs, 3, 3]), ("bias", vec![outputs])] {
                let key = format!("{PREFIX}{name}.{part}");
                let tensor = formula::tensor(&key, &shape, &[0.0], 1.0).unwrap();
                tensors.insert(key, tensor);
            }
        }
        tensors
    }

    fn message(tensors: &HashMap<String, Tensor>, encode_type: Option<EncodeType>) -> String {
        match EncoderWeights::from_tensors(tensors, encode_type, "a test") {
            Ok(_) => panic!("the weights are accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn any_numbers_of_channels_are_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.safetensors");
        candle_core::safetensors::save(&tensors(), &path).unwrap();
        for encode_type in [None, Some(EncodeType::ThreeChannels)] {
            let weights = EncoderWeights::read(&path, encode_type).unwrap();
            assert_eq!(weights.input_channels(), 3);
            let outputs: Vec<usize> = weights.layers.iter().map(|layer| layer.outputs).collect();
            assert_eq!(outputs, [2, 5, 3, 4, 4, 16]);
        }
        let error = EncoderWeights::read(&path, Some(EncodeType::FourChannels)).err().unwrap().to_string();
        assert!(error.contains("small.safetensors") && error.contains("encode_type = \"3c\""), "{error}");
        let missing = EncoderWeights::read(&folder.path().join("none"), None).err().unwrap().to_string();
        assert!(missing.contains("none"), "{missing}");
    }

    #[test]
    fn weights_of_another_network_are_errors() {
        let with = |key: &str, tensor: Option<Tensor>| {
            let mut tensors = tensors();
            match tensor {
                Some(tensor) => tensors.insert(key.to_string(), tensor),
                None => tensors.remove(key),
            };
            message(&tensors, None)
        };
        let zeros = |shape: &[usize]| Some(Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap());
        assert!(message(&HashMap::new(), None).contains("encoding_head.conv1x.weight"));
        assert!(with("encoding_head.conv4.bias", None).contains("no tensor `encoding_head.conv4.bias`"));
        assert!(with("encoding_head.conv3.weight", zeros(&[3, 6, 3, 3])).contains("[3, 6, 3, 3]"));
        assert!(with("encoding_head.conv3.weight", zeros(&[3, 5, 5, 5])).contains("[3, 5, 5, 5]"));
        assert!(with("encoding_head.conv2.bias", zeros(&[6])).contains("[5] is needed"));
        assert!(with("encoding_head.conv1.weight", zeros(&[0, 3, 3, 3])).contains("[0, 3, 3, 3]"));
        let nan = Tensor::new(&[0.0f32, f32::NAN], &Device::Cpu).unwrap();
        assert!(
            with("encoding_head.conv1.bias", Some(nan))
                .contains("value 1 of `encoding_head.conv1.bias` is NaN")
        );
        let mut wide = tensors();
        wide.insert("encoding_head.conv5_1.weight".into(), zeros(&[8, 4, 3, 3]).unwrap());
        wide.insert("encoding_head.conv5_1.bias".into(), zeros(&[8]).unwrap());
        assert!(message(&wide, None).contains("8 channels, but 16 are needed"));
    }
}
