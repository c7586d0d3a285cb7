//! Weights and graph of a network as a safetensors file.
//!
//! The graph is JSON in the file's metadata, under the one key `blazepose`: with a single key and sorted tensors the
//! file's bytes depend on the network alone. Must not know tflite files, nor how a network is computed.

use super::BlazePoseError;
use super::graph::Graph;
use super::variant::Variant;
use crate::files::write_whole;
use half::f16;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, serialize};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const KEY: &str = "blazepose";
/// The longest header of a file that is read: that of heavy has 0.2 MB.
const LONGEST_HEADER_BYTES: u64 = 4 << 20;

/// A network taken from a tflite file.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    pub variant: Variant,
    pub graph: Graph,
    pub weights: Vec<Weights>,
}

/// Numbers of one operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// `opNNN_kind.weight` or `opNNN_kind.bias`.
    pub name: String,
    pub shape: Vec<usize>,
    /// Whether the numbers are f16; else f32.
    pub is_half: bool,
    /// Little-endian numbers.
    pub bytes: Vec<u8>,
}

/// What the metadata holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    variant: Variant,
    graph: Graph,
}

impl Converted {
    /// The bytes of the safetensors file; equal networks give equal bytes.
    ///
    /// # Errors
    /// If a tensor's bytes do not match its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BlazePoseError> {
        let wrong = |problem: String| BlazePoseError::Graph { problem };
        let mut views = Vec::with_capacity(self.weights.len());
        for weights in &self.weights {
            let dtype = if weights.is_half { Dtype::F16 } else { Dtype::F32 };
            let view = TensorView::new(dtype, weights.shape.clone(), &weights.bytes);
            views.push((&weights.name, view.map_err(|error| wrong(format!("{}: {error}", weights.name)))?));
        }
        let header = Header { variant: self.variant, graph: self.graph.clone() };
        let header = serde_json::to_string(&header).map_err(|error| wrong(error.to_string()))?;
        let metadata = HashMap::from([(KEY.to_string(), header)]);
        serialize(views, Some(metadata)).map_err(|error| wrong(error.to_string()))
    }

    /// Writes the safetensors file, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BlazePoseError> {
        let unwritable = |source| BlazePoseError::Unwritable { path: path.to_path_buf(), source };
        write_whole(path, &self.to_bytes()?).map_err(unwritable)
    }
}

/// A safetensors file of a network; its weights are read one after the other.
pub struct Stored {
    path: PathBuf,
    file: File,
    data_start: u64,
    tensors: HashMap<String, TensorInfo>,
    pub variant: Variant,
    pub graph: Graph,
}

impl Stored {
    /// Opens a file and checks its graph.
    ///
    /// # Errors
    /// If the file cannot be read, or is not one that [`Converted::write`] wrote.
    pub fn open(path: &Path) -> Result<Stored, BlazePoseError> {
        let unreadable = |source| BlazePoseError::Unreadable { path: path.to_path_buf(), source };
        let malformed = |problem: String| BlazePoseError::Malformed { path: path.to_path_buf(), problem };
        let mut file = File::open(path).map_err(unreadable)?;
        let file_bytes = file.metadata().map_err(unreadable)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| malformed(format!("it has no header ({error})")))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER_BYTES || length + 8 > file_bytes {
            return Err(malformed(format!("its header claims {length} of {file_bytes} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|texts| texts.get(KEY));
        let text = text.ok_or_else(|| malformed("its metadata have no BlazePose graph".into()))?;
        let Header { variant, graph } =
            serde_json::from_str(text).map_err(|error| malformed(format!("its graph: {error}")))?;
        graph.check().map_err(|error| malformed(error.to_string()))?;
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(Stored { path: path.to_path_buf(), file, data_start: length + 8, tensors, variant, graph })
    }

    pub fn malformed(&self, problem: String) -> BlazePoseError {
        BlazePoseError::Malformed { path: self.path.clone(), problem }
    }
}

/// Where a network's numbers come from.
pub trait Source {
    /// The numbers of a tensor, widened to f32.
    ///
    /// # Errors
    /// If there is no such tensor of that shape, or if a number is not finite.
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BlazePoseError>;
}

impl Source for Stored {
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BlazePoseError> {
        let Some(info) = self.tensors.get(name) else {
            return Err(self.malformed(format!("it lacks the tensor {name}")));
        };
        let is_half = match info.dtype {
            Dtype::F16 => true,
            Dtype::F32 => false,
            other => return Err(self.malformed(format!("its tensor {name} is {other:?}"))),
        };
        let (from, to) = info.data_offsets;
        let numbers: usize = shape.iter().product();
        let bytes = numbers * if is_half { 2 } else { 4 };
        if info.shape != shape || to.checked_sub(from) != Some(bytes) {
            return Err(self.malformed(format!("its tensor {name} is {:?} instead of {shape:?}", info.shape)));
        }
        let start = self.data_start + from as u64;
        let mut read = vec![0; bytes];
        let breaks_off = |error: io::Error| format!("its tensor {name} breaks off ({error})");
        let result = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_exact(&mut read));
        result.map_err(|error| self.malformed(breaks_off(error)))?;
        widened(&read, is_half)
            .map_err(|index| self.malformed(format!("value {index} of {name} is not finite")))
    }
}

impl Source for &Converted {
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BlazePoseError> {
        let wrong = |problem: String| BlazePoseError::Graph { problem };
        let found = self.weights.iter().find(|weights| weights.name == name && weights.shape == shape);
        let found = found.ok_or_else(|| wrong(format!("it lacks {name} of the shape {shape:?}")))?;
        let numbers = widened(&found.bytes, found.is_half);
        let numbers = numbers.map_err(|index| wrong(format!("value {index} of {name} is not finite")))?;
        if numbers.len() != shape.iter().product::<usize>() {
            return Err(wrong(format!("{name} has {} numbers for the shape {shape:?}", numbers.len())));
        }
        Ok(numbers)
    }
}

/// Numbers as f32; the index of one that is not finite otherwise.
fn widened(bytes: &[u8], is_half: bool) -> Result<Vec<f32>, usize> {
    let numbers: Vec<f32> = match is_half {
        true => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        false => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    };
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(index),
        None => Ok(numbers),
    }
}
