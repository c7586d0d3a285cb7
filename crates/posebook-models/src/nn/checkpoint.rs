//! Reads weights from a safetensors file, checked against the tensors that a network expects.
//!
//! In: a path, the expected keys and shapes, a precision and a device; out: tensors by key. One tensor at a time is
//! memory-mapped and converted into its final buffer, so that the heap's peak is the weights themselves, and the
//! resident set holds one tensor's pages more. Does not depend on any network.

use super::decode::{DecodeError, StoredDtype, decode_tensor};
use super::mapped::map;
use candle_core::{DType, Device, Tensor};
use memmap2::{Advice, Mmap};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest accepted header, safetensors' own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Names that a message lists; further ones are counted.
const MAX_LISTED_NAMES: usize = 6;

/// A tensor that a network expects in its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The key in the state dict.
    pub key: String,
    /// The dimensions.
    pub shape: Vec<usize>,
}

/// Why weights could not be read.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file cannot be opened or read.
    #[error("cannot read the weights at {path}: {source}; fetch or train them, or correct `weights`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is cut short or no safetensors file.
    #[error("{path} is not a complete safetensors file: {reason}; fetch or convert it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Tensors are missing or have other shapes.
    #[error("the weights at {path} do not fit the architecture: {problems}; correct one or the other")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// All of them, for the message.
        problems: String,
    },
    /// A tensor has values that cannot be used, or an unknown type.
    #[error("the tensor {key} of {path} cannot be used: {source}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Key of the tensor.
        key: String,
        /// The cause.
        source: Box<DecodeError>,
    },
}

/// The shapes of a safetensors file by key, read from its header only.
///
/// # Errors
/// If the file cannot be read or is not safetensors.
pub fn read_shapes(path: &Path) -> Result<HashMap<String, Vec<usize>>, CheckpointError> {
    let (_, _, metadata) = open(path)?;
    Ok(metadata.tensors().into_iter().map(|(key, info)| (key, info.shape.clone())).collect())
}

/// Compares a file's header with the expected tensors; further tensors in the file are ignored.
///
/// # Errors
/// [`CheckpointError::Mismatch`] lists what is missing and what has another shape.
pub fn check(path: &Path, expected: &[TensorSpec]) -> Result<(), CheckpointError> {
    compare(path, &read_shapes(path)?, expected)
}

/// Reads the expected tensors, converted to `dtype`, onto `device`.
///
/// # Errors
/// If the file cannot be read, is not a safetensors file, or lacks a tensor or has one of another shape.
pub fn read(
    path: &Path,
    expected: &[TensorSpec],
    dtype: DType,
    device: &Device,
) -> Result<HashMap<String, Tensor>, CheckpointError> {
    let (file, data_start, metadata) = open(path)?;
    let infos = metadata.tensors();
    let found = infos.iter().map(|(key, info)| (key.clone(), info.shape.clone())).collect();
    compare(path, &found, expected)?;
    let mut tensors = HashMap::with_capacity(expected.len());
    for spec in expected {
        let info = infos[&spec.key];
        let malformed = |reason: String| CheckpointError::Malformed { path: path.to_path_buf(), reason };
        let stored =
            stored_dtype(info).ok_or_else(|| malformed(format!("{} is {:?}", spec.key, info.dtype)))?;
        let bytes = map_tensor(&file, data_start, info, stored)
            .map_err(|error| malformed(format!("{} is cut short ({error})", spec.key)))?;
        let bytes = bytes.as_deref().unwrap_or_default();
        let tensor = decode_tensor(bytes, stored, &info.shape, dtype)
            .and_then(|tensor| Ok(tensor.to_device(device)?))
            .map_err(|source| CheckpointError::Unusable {
                path: path.to_path_buf(),
                key: spec.key.clone(),
                source: Box::new(source),
            })?;
        tensors.insert(spec.key.clone(), tensor);
    }
    Ok(tensors)
}

fn stored_dtype(info: &TensorInfo) -> Option<StoredDtype> {
    match info.dtype {
        Dtype::F32 => Some(StoredDtype::F32),
        Dtype::F16 => Some(StoredDtype::F16),
        Dtype::BF16 => Some(StoredDtype::Bf16),
        Dtype::F64 => Some(StoredDtype::F64),
        _ => None,
    }
}

/// The file, the offset of its data, and its header.
fn open(path: &Path) -> Result<(File, u64, Metadata), CheckpointError> {
    let unreadable = |source| CheckpointError::Unreadable { path: path.to_path_buf(), source };
    let malformed = |reason: String| CheckpointError::Malformed { path: path.to_path_buf(), reason };
    let mut file = File::open(path).map_err(unreadable)?;
    let file_bytes = file.metadata().map_err(unreadable)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| malformed(format!("no header ({error})")))?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES || header_bytes + 8 > file_bytes {
        return Err(malformed(format!("its header claims {header_bytes} of {file_bytes} bytes")));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header).map_err(unreadable)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
    Ok((file, header_bytes + 8, metadata))
}

/// Maps one tensor's bytes of the file; `None` where the tensor has no elements.
///
/// The file's length is checked again before each tensor, so that a file that was cut short is an error that names
/// the tensor. A file that another process cuts short during the milliseconds of reading ends this process (SIGBUS),
/// which cannot be caught; this crate never does that, since it writes to a temporary file and renames it. Reading
/// into a buffer would avoid the signal, but copies once more and took a fifth more processor time on 2.7 GB in the
/// page cache (0.52 s against 0.42 s).
fn map_tensor(
    file: &File,
    data_start: u64,
    info: &TensorInfo,
    stored: StoredDtype,
) -> io::Result<Option<Mmap>> {
    let (from, to) = info.data_offsets;
    let elements: usize = info.shape.iter().product();
    if to.checked_sub(from) != Some(elements * stored.bytes()) {
        return Err(io::Error::other(format!("{from}..{to} is not {elements} elements")));
    }
    if data_start + to as u64 > file.metadata()?.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if from == to {
        return Ok(None);
    }
    let map = map(file, data_start + from as u64, to - from)?;
    // starts reading ahead; only advice, so that a failure does not matter
    let _ = map.advise(Advice::WillNeed);
    Ok(Some(map))
}

fn compare(
    path: &Path,
    found: &HashMap<String, Vec<usize>>,
    expected: &[TensorSpec],
) -> Result<(), CheckpointError> {
    let mut missing = Vec::new();
    let mut wrong_shapes = Vec::new();
    for spec in expected {
        match found.get(&spec.key) {
            None => missing.push(spec.key.clone()),
            Some(shape) if *shape != spec.shape => {
                wrong_shapes.push(format!("{} is {shape:?} and should be {:?}", spec.key, spec.shape));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() && wrong_shapes.is_empty() {
        return Ok(());
    }
    let mut problems = Vec::new();
    if !missing.is_empty() {
        let total = expected.len();
        problems.push(format!("{} of {total} tensors are missing ({})", missing.len(), list_names(&missing)));
    }
    if !wrong_shapes.is_empty() {
        problems.push(format!("{} have another shape ({})", wrong_shapes.len(), list_names(&wrong_shapes)));
    }
    Err(CheckpointError::Mismatch { path: path.to_path_buf(), problems: problems.join(", ") })
}

fn list_names(names: &[String]) -> String {
    let shown = names[..names.len().min(MAX_LISTED_NAMES)].join(", ");
    if names.len() > MAX_LISTED_NAMES {
        format!("{shown} and {} more", names.len() - MAX_LISTED_NAMES)
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(all: &[(&str, &[usize])]) -> Vec<TensorSpec> {
        all.iter().map(|(key, shape)| TensorSpec { key: key.to_string(), shape: shape.to_vec() }).collect()
    }

    fn saved(folder: &Path) -> PathBuf {
        let path = folder.join("w.safetensors");
        let tensor = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        candle_core::safetensors::save(&HashMap::from([("a.weight", tensor)]), &path).unwrap();
        path
    }

    #[test]
    fn saved_tensors_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = saved(folder.path());
        let read = read(&path, &specs(&[("a.weight", &[2, 3])]), DType::F32, &Device::Cpu).unwrap();
        let rows = read["a.weight"].to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    }

    #[test]
    fn a_mismatch_lists_every_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = saved(folder.path());
        let expected = specs(&[("a.weight", &[3, 2]), ("b.weight", &[1]), ("c.bias", &[4])]);
        let message = check(&path, &expected).unwrap_err().to_string();
        assert!(message.contains("2 of 3 tensors are missing (b.weight, c.bias)"), "{message}");
        assert!(message.contains("a.weight is [2, 3] and should be [3, 2]"), "{message}");
    }

    #[test]
    fn a_weight_that_is_not_finite_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let tensor = Tensor::new(&[1f32, 2.0, f32::NAN, f32::INFINITY], &Device::Cpu).unwrap();
        candle_core::safetensors::save(&HashMap::from([("a.weight", tensor)]), &path).unwrap();
        let error = read(&path, &specs(&[("a.weight", &[4])]), DType::BF16, &Device::Cpu).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("tensor a.weight") && message.contains("value 2 is NaN"), "{message}");
    }

    #[test]
    fn tensors_need_not_be_aligned_and_may_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let mut file = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#.to_vec();
        file.extend(br#""b":{"dtype":"F16","shape":[0,3],"data_offsets":[8,8]}} "#);
        assert_ne!(file.len() % 4, 0);
        let mut contents = (file.len() as u64).to_le_bytes().to_vec();
        contents.append(&mut file);
        contents.extend([1.5f32, -2.0].map(f32::to_le_bytes).as_flattened());
        std::fs::write(&path, contents).unwrap();
        let expected = specs(&[("a", &[2]), ("b", &[0, 3])]);
        let read = read(&path, &expected, DType::F16, &Device::Cpu).unwrap();
        let numbers = read["a"].to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((numbers, read["b"].dims()), (vec![1.5, -2.0], [0, 3].as_slice()));
    }

    #[test]
    fn a_missing_file_and_a_damaged_file_are_different_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = saved(folder.path());
        let expected = specs(&[("a.weight", &[2, 3])]);
        let contents = std::fs::read(&path).unwrap();
        for length in [3, 20, contents.len() - 4] {
            std::fs::write(&path, &contents[..length]).unwrap();
            let error = read(&path, &expected, DType::F32, &Device::Cpu).unwrap_err();
            assert!(matches!(error, CheckpointError::Malformed { .. }), "{error}");
        }
        let error = read(&folder.path().join("none"), &expected, DType::F32, &Device::Cpu).unwrap_err();
        assert!(matches!(error, CheckpointError::Unreadable { .. }), "{error}");
    }
}
