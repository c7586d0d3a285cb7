//! Reading weights from a safetensors file, checked against what a network expects.
//!
//! One tensor at a time is mapped into memory, and its numbers go from the map straight to where they stay, in
//! the precision that is wanted: the heap's peak is the weights themselves, and the resident set's one
//! tensor's pages more, which are given back with its map.
//! Must not know which network the weights belong to.

use super::stored::{self, Stored, StoredError};
use candle_core::{DType, Device, Tensor};
use memmap2::{Advice, Mmap, MmapOptions};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
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
    Unusable { path: PathBuf, key: String, source: Box<StoredError> },
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
    let (file, data_start, metadata) = open(path)?;
    let infos = metadata.tensors();
    let found = infos.iter().map(|(key, info)| (key.clone(), info.shape.clone())).collect();
    compare(path, &found, expected)?;
    let mut tensors = HashMap::with_capacity(expected.len());
    for spec in expected {
        let info = infos[&spec.key];
        let malformed = |reason: String| CheckpointError::Malformed { path: path.to_path_buf(), reason };
        let stored = stored_as(info).ok_or_else(|| malformed(format!("{} is {:?}", spec.key, info.dtype)))?;
        let bytes = mapped(&file, data_start, info, stored)
            .map_err(|error| malformed(format!("{} breaks off ({error})", spec.key)))?;
        let bytes = bytes.as_deref().unwrap_or_default();
        let tensor = stored::tensor(bytes, stored, &info.shape, dtype)
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

fn stored_as(info: &TensorInfo) -> Option<Stored> {
    match info.dtype {
        Dtype::F32 => Some(Stored::F32),
        Dtype::F16 => Some(Stored::F16),
        Dtype::BF16 => Some(Stored::Bf16),
        Dtype::F64 => Some(Stored::F64),
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

/// One tensor's part of the file in memory; `None` where it has no numbers.
///
/// Each tensor is mapped for itself, after another look at the file's length, and unmapped as soon as it is
/// read. A file that was cut short before is an error that names the tensor. One that another process cuts
/// short within the milliseconds in which a tensor is being read ends this process (SIGBUS): nothing can
/// catch that, and nothing here does it, since files are written beside their place and renamed. Reading into
/// a buffer instead would not end the process, but copies twice where the precision is another one, and took
/// a fifth more processor time on 2.7 GB that were in memory already (0.52 s against 0.42 s).
fn mapped(file: &File, data_start: u64, info: &TensorInfo, stored: Stored) -> io::Result<Option<Mmap>> {
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
    // read at once from the disk, where it is not in memory yet; only advice, so that a refusal is no loss
    let _ = map.advise(Advice::WillNeed);
    Ok(Some(map))
}

#[expect(unsafe_code, reason = "the bytes of a map are the file's, which other processes may change")]
fn map(file: &File, start: u64, length: usize) -> io::Result<Mmap> {
    // SAFETY: the range lies inside the file (looked at just before); what is read of it are bytes, of which
    // every value is one, and which are copied before anything depends on them
    unsafe { MmapOptions::new().offset(start).len(length).map(file) }
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
    fn a_weight_that_is_no_number_is_named() {
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
        let mut whole = (file.len() as u64).to_le_bytes().to_vec();
        whole.append(&mut file);
        whole.extend([1.5f32, -2.0].map(f32::to_le_bytes).as_flattened());
        std::fs::write(&path, whole).unwrap();
        let wanted = specs(&[("a", &[2]), ("b", &[0, 3])]);
        let read = read(&path, &wanted, DType::F16, &Device::Cpu).unwrap();
        let numbers = read["a"].to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((numbers, read["b"].dims()), (vec![1.5, -2.0], [0, 3].as_slice()));
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
