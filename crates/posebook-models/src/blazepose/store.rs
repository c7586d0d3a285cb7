//! Writes and reads the weights and graph of a network as a safetensors file.
//!
//! The graph is stored as JSON in the file's metadata under the key `blazepose`. It is the only key, because the order of
//! several keys is not deterministic; equal networks give identical files.

use super::BlazePoseError;
use super::graph::Graph;
use super::variant::Variant;
use half::f16;
use posebook_core::files::write_atomically;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, serialize};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const METADATA_KEY: &str = "blazepose";
/// Maximum header size that is read; that of heavy has 0.2 MB.
const MAX_HEADER_BYTES: u64 = 4 << 20;

/// A network converted from a tflite file.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertedNetwork {
    /// The published network.
    pub variant: Variant,
    /// Its graph.
    pub graph: Graph,
    /// Its weights and biases.
    pub weights: Vec<WeightTensor>,
}

/// The weight or bias of one operator.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    /// `opNNN_kind.weight` or `opNNN_kind.bias`.
    pub name: String,
    /// For weights see [`super::graph::Op`]; a bias has one axis.
    pub shape: Vec<usize>,
    /// Whether the values are f16, otherwise f32.
    pub is_half: bool,
    /// Little-endian values.
    pub bytes: Vec<u8>,
}

/// JSON content of the metadata entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    variant: Variant,
    graph: Graph,
}

impl ConvertedNetwork {
    /// Serializes to safetensors; equal networks give equal bytes.
    ///
    /// # Errors
    /// If a tensor's bytes do not match its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BlazePoseError> {
        let invalid = |problem: String| BlazePoseError::InvalidGraph { problem };
        let mut views = Vec::with_capacity(self.weights.len());
        for weights in &self.weights {
            let dtype = if weights.is_half { Dtype::F16 } else { Dtype::F32 };
            let view = TensorView::new(dtype, weights.shape.clone(), &weights.bytes);
            views.push((&weights.name, view.map_err(|error| invalid(format!("{}: {error}", weights.name)))?));
        }
        let header = Header { variant: self.variant, graph: self.graph.clone() };
        let header = serde_json::to_string(&header).map_err(|error| invalid(error.to_string()))?;
        let metadata = HashMap::from([(METADATA_KEY.to_string(), header)]);
        serialize(views, Some(metadata)).map_err(|error| invalid(error.to_string()))
    }

    /// Writes the safetensors file atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BlazePoseError> {
        let unwritable = |source| BlazePoseError::Unwritable { path: path.to_path_buf(), source };
        write_atomically(path, &self.to_bytes()?).map_err(unwritable)
    }
}

/// An open safetensors file of a network; weights are read one tensor at a time.
pub struct WeightsFile {
    path: PathBuf,
    file: File,
    data_start: u64,
    tensors: HashMap<String, TensorInfo>,
    pub variant: Variant,
    pub graph: Graph,
}

impl WeightsFile {
    /// Opens a file and checks its graph.
    ///
    /// # Errors
    /// If the file cannot be read, or is not one that [`ConvertedNetwork::write`] wrote.
    pub fn open(path: &Path) -> Result<WeightsFile, BlazePoseError> {
        let unreadable = |source| BlazePoseError::Unreadable { path: path.to_path_buf(), source };
        let malformed = |problem: String| BlazePoseError::Malformed { path: path.to_path_buf(), problem };
        let mut file = File::open(path).map_err(unreadable)?;
        let file_bytes = file.metadata().map_err(unreadable)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| malformed(format!("it has no header ({error})")))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES || length + 8 > file_bytes {
            return Err(malformed(format!("its header claims {length} of {file_bytes} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
        let graph_json = metadata.metadata().as_ref().and_then(|texts| texts.get(METADATA_KEY));
        let graph_json = graph_json.ok_or_else(|| malformed("its metadata has no BlazePose graph".into()))?;
        let Header { variant, graph } =
            serde_json::from_str(graph_json).map_err(|error| malformed(format!("its graph: {error}")))?;
        graph.check().map_err(|error| malformed(error.to_string()))?;
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(WeightsFile { path: path.to_path_buf(), file, data_start: length + 8, tensors, variant, graph })
    }

    /// An error about this file.
    pub fn malformed(&self, problem: String) -> BlazePoseError {
        BlazePoseError::Malformed { path: self.path.clone(), problem }
    }
}

/// A source of a network's weights.
pub trait WeightSource {
    /// Reads a tensor and converts it to f32.
    ///
    /// # Errors
    /// If there is no tensor with this name and shape, or if a value is not finite.
    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BlazePoseError>;
}

impl WeightSource for WeightsFile {
    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BlazePoseError> {
        let Some(info) = self.tensors.get(name) else {
            return Err(self.malformed(format!("it lacks the tensor {name}")));
        };
        let is_half = match info.dtype {
            Dtype::F16 => true,
            Dtype::F32 => false,
            other => return Err(self.malformed(format!("its tensor {name} is {other:?}"))),
        };
        let (from, to) = info.data_offsets;
        let len: usize = shape.iter().product();
        let bytes = len * if is_half { 2 } else { 4 };
        if info.shape != shape || to.checked_sub(from) != Some(bytes) {
            return Err(self.malformed(format!("its tensor {name} is {:?} instead of {shape:?}", info.shape)));
        }
        let start = self.data_start.saturating_add(from as u64);
        let mut data = vec![0; bytes];
        let truncated = |error: io::Error| format!("its tensor {name} is truncated ({error})");
        let result = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_exact(&mut data));
        result.map_err(|error| self.malformed(truncated(error)))?;
        widen_to_f32(&data, is_half)
            .map_err(|index| self.malformed(format!("value {index} of {name} is not finite")))
    }
}

impl WeightSource for &ConvertedNetwork {
    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BlazePoseError> {
        let invalid = |problem: String| BlazePoseError::InvalidGraph { problem };
        let found = self.weights.iter().find(|weights| weights.name == name && weights.shape == shape);
        let found = found.ok_or_else(|| invalid(format!("it lacks {name} of the shape {shape:?}")))?;
        let values = widen_to_f32(&found.bytes, found.is_half);
        let values = values.map_err(|index| invalid(format!("value {index} of {name} is not finite")))?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(invalid(format!("{name} has {} values for the shape {shape:?}", values.len())));
        }
        Ok(values)
    }
}

/// Converts to f32; the error is the index of the first value that is not finite.
fn widen_to_f32(bytes: &[u8], is_half: bool) -> Result<Vec<f32>, usize> {
    let values: Vec<f32> = match is_half {
        true => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        false => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    };
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(index),
        None => Ok(values),
    }
}
