//! Reading weights from a safetensors file, checked against what a network expects.
//!
//! One tensor is read at a time, so that the peak is the weights themselves and one tensor more.
//! Must not know which network the weights belong to.

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A header longer than this is no header (safetensors' own limit).
const LONGEST_HEADER_BYTES: u64 = 100_000_000;
/// Names that a message lists before it counts the rest.
const LISTED: usize = 6;

/// A tensor that a network expects in its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The key in the state dict.
    pub key: String,
    pub shape: Vec<usize>,
}

#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("cannot read the weights at {path}: {source}; fetch or train them, or correct `weights`")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not a whole safetensors file: {reason}; fetch or convert it again")]
    Malformed { path: PathBuf, reason: String },
    #[error("the weights at {path} do not fit the architecture: {problems}; correct one or the other")]
    Misfit { path: PathBuf, problems: String },
    #[error("the tensor {key} of {path} cannot be used: {source}")]
    Unusable { path: PathBuf, key: String, source: Box<candle_core::Error> },
}

/// The shapes that a safetensors file holds, read from its header alone.
///
/// # Errors
/// If the file cannot be read or is not safetensors.
pub fn shapes(path: &Path) -> Result<HashMap<String, Vec<usize>>, CheckpointError> {
    let (_, _, metadata) = open(path)?;
    Ok(metadata.tensors().into_iter().map(|(key, info)| (key, info.shape.clone())).collect())
}

/// Compares a file's header with what is expected; further tensors in the file do not matter.
///
/// # Errors
/// [`CheckpointError::Misfit`] lists what is missing and what has another shape.
pub fn check(path: &Path, expected: &[TensorSpec]) -> Result<(), CheckpointError> {
    compare(path, &shapes(path)?, expected)
}

/// Reads the expected tensors as `dtype` onto `device`.
///
/// # Errors
/// If the file cannot be read, is no safetensors file, lacks a tensor or has one of another shape.
pub fn read(
    path: &Path,
    expected: &[TensorSpec],
    dtype: DType,
    device: &Device,
) -> Result<HashMap<String, Tensor>, CheckpointError> {
    let (mut file, data_start, metadata) = open(path)?;
    let infos = metadata.tensors();
    let found = infos.iter().map(|(key, info)| (key.clone(), info.shape.clone())).collect();
    compare(path, &found, expected)?;
    let mut tensors = HashMap::with_capacity(expected.len());
    for spec in expected {
        let info = infos[&spec.key];
        let malformed = |reason: String| CheckpointError::Malformed { path: path.to_path_buf(), reason };
        let stored =
            stored_dtype(info).ok_or_else(|| malformed(format!("{} is {:?}", spec.key, info.dtype)))?;
        let bytes = read_tensor(&mut file, data_start, info)
            .map_err(|error| malformed(format!("{} breaks off ({error})", spec.key)))?;
        let tensor = Tensor::from_raw_buffer(&bytes, stored, &info.shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(dtype)?.to_device(device))
            .map_err(|source| CheckpointError::Unusable {
                path: path.to_path_buf(),
                key: spec.key.clone(),
                source: Box::new(source),
            })?;
        tensors.insert(spec.key.clone(), tensor);
    }
    Ok(tensors)
}

fn stored_dtype(info: &TensorInfo) -> Option<DType> {
    match info.dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::F64 => Some(DType::F64),
        _ => None,
    }
}

/// The file, where its data start, and its header.
fn open(path: &Path) -> Result<(File, u64, Metadata), CheckpointError> {
    let unreadable = |source| CheckpointError::Unreadable { path: path.to_path_buf(), source };
    let malformed = |reason: String| CheckpointError::Malformed { path: path.to_path_buf(), reason };
    let mut file = File::open(path).map_err(unreadable)?;
    let file_bytes = file.metadata().map_err(unreadable)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| malformed(format!("no header ({error})")))?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > LONGEST_HEADER_BYTES || header_bytes + 8 > file_bytes {
        return Err(malformed(format!("its header claims {header_bytes} of {file_bytes} bytes")));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header).map_err(unreadable)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
    Ok((file, header_bytes + 8, metadata))
}

fn read_tensor(file: &mut File, data_start: u64, info: &TensorInfo) -> io::Result<Vec<u8>> {
    let (from, to) = info.data_offsets;
    let elements: usize = info.shape.iter().product();
    if to.checked_sub(from) != Some(elements * info.dtype.bitsize() / 8) {
        return Err(io::Error::other(format!("{from}..{to} is not {elements} elements")));
    }
    if data_start + to as u64 > file.metadata()?.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; to - from];
    file.seek(SeekFrom::Start(data_start + from as u64))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn compare(
    path: &Path,
    found: &HashMap<String, Vec<usize>>,
    expected: &[TensorSpec],
) -> Result<(), CheckpointError> {
    let mut missing = Vec::new();
    let mut misshapen = Vec::new();
    for spec in expected {
        match found.get(&spec.key) {
            None => missing.push(spec.key.clone()),
            Some(shape) if *shape != spec.shape => {
                misshapen.push(format!("{} is {shape:?} and should be {:?}", spec.key, spec.shape));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() && misshapen.is_empty() {
        return Ok(());
    }
    let mut problems = Vec::new();
    if !missing.is_empty() {
        let of = expected.len();
        problems.push(format!("{} of {of} tensors are missing ({})", missing.len(), listed(&missing)));
    }
    if !misshapen.is_empty() {
        problems.push(format!("{} have another shape ({})", misshapen.len(), listed(&misshapen)));
    }
    Err(CheckpointError::Misfit { path: path.to_path_buf(), problems: problems.join(", ") })
}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED { format!("{shown} and {} more", names.len() - LISTED) } else { shown }
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
    fn what_was_saved_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = saved(folder.path());
        let read = read(&path, &specs(&[("a.weight", &[2, 3])]), DType::F32, &Device::Cpu).unwrap();
        let rows = read["a.weight"].to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    }

    #[test]
    fn a_misfit_lists_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = saved(folder.path());
        let wanted = specs(&[("a.weight", &[3, 2]), ("b.weight", &[1]), ("c.bias", &[4])]);
        let message = check(&path, &wanted).unwrap_err().to_string();
        assert!(message.contains("2 of 3 tensors are missing (b.weight, c.bias)"), "{message}");
        assert!(message.contains("a.weight is [2, 3] and should be [3, 2]"), "{message}");
    }

    #[test]
    fn no_file_and_no_safetensors_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = saved(folder.path());
        let wanted = specs(&[("a.weight", &[2, 3])]);
        let whole = std::fs::read(&path).unwrap();
        for cut in [3, 20, whole.len() - 4] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = read(&path, &wanted, DType::F32, &Device::Cpu).unwrap_err();
            assert!(matches!(error, CheckpointError::Malformed { .. }), "{error}");
        }
        let error = read(&folder.path().join("none"), &wanted, DType::F32, &Device::Cpu).unwrap_err();
        assert!(matches!(error, CheckpointError::Unreadable { .. }), "{error}");
    }
}
