//! Copies the network's weights from a checkpoint to a safetensors file, one tensor at a time, so that the checkpoint
//! is never in memory as a whole.

use super::checkpoint_reader::CheckpointReader;
use super::hashes::to_hex;
use super::{ImportError, ImportRequest};
use crate::nn::TensorSpec;
use crate::pickle::npz::Npz;
use posebook_core::files::AtomicFile;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The mean parameters are 157 values.
const MAX_MEAN_BYTES: u64 = 1 << 16;
/// Values converted to bytes at a time.
const CHUNK_VALUES: usize = 1 << 14;

/// A written weights file that is not yet renamed to its final path.
pub struct WrittenWeights {
    /// The temporary file.
    pub file: AtomicFile,
    /// Its hash and counts.
    pub summary: WeightSummary,
}

/// Summary of the written weights.
pub struct WeightSummary {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of tensors written.
    pub used: usize,
    /// Number of the checkpoint's tensors that were not written.
    pub unused: usize,
}

/// Writes the tensors that the network uses to a safetensors file for the path `to`.
///
/// # Errors
/// If a tensor cannot be read or holds NaN or infinity, the file cannot be written, or `stop` is set.
pub fn write_weights(
    specs: &[TensorSpec],
    source: &mut CheckpointReader,
    initial: &HashMap<String, Vec<f32>>,
    to: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<WrittenWeights, ImportError> {
    let path = source.path().to_path_buf();
    let mut read = |spec: &TensorSpec| match initial.get(&spec.key) {
        Some(values) => Ok(values.clone()),
        None => source.read_f32(&spec.key),
    };
    let (file, sha256) = write_tensors(specs, &path, &mut read, to, on_progress, stop)?;
    let is_unused = |name: &&str| !specs.iter().any(|spec| spec.key == *name);
    let unused = source.names().into_iter().filter(is_unused).count();
    Ok(WrittenWeights { file, summary: WeightSummary { sha256, used: specs.len(), unused } })
}

/// Writes tensors, one at a time as `read` gives them, to a temporary safetensors file for the path `to`; returns it with its
/// SHA-256. `origin` is named where a value is not finite.
///
/// # Errors
/// If a tensor cannot be read or holds NaN or infinity, the file cannot be written, or `stop` is set.
pub fn write_tensors(
    specs: &[TensorSpec],
    origin: &Path,
    read: &mut dyn FnMut(&TensorSpec) -> Result<Vec<f32>, ImportError>,
    to: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<(AtomicFile, String), ImportError> {
    let mut file = AtomicFile::create(to).map_err(ImportError::file(to))?;
    let mut sha256 = Sha256::new();
    let mut put = |bytes: &[u8]| {
        sha256.update(bytes);
        file.write_all(bytes).map_err(ImportError::file(to))
    };
    let (header, total_bytes) = safetensors_header(specs);
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    let (mut buffer, mut written_bytes) = (Vec::with_capacity(4 * CHUNK_VALUES), 0);
    for spec in specs {
        let values = read(spec)?;
        check_finite(&values, &spec.key, origin)?;
        for numbers in values.chunks(CHUNK_VALUES) {
            buffer.clear();
            for number in numbers {
                buffer.extend_from_slice(&number.to_le_bytes());
            }
            put(&buffer)?;
        }
        written_bytes += 4 * values.len() as u64;
        on_progress(written_bytes, total_bytes);
        if stop.load(Ordering::Relaxed) {
            return Err(ImportError::Stopped);
        }
    }
    Ok((file, to_hex(&sha256.finalize())))
}

/// Checks that no value of a tensor is NaN or infinite.
///
/// # Errors
/// The first such value.
pub fn check_finite(values: &[f32], key: &str, origin: &Path) -> Result<(), ImportError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ImportError::NotFinite {
            path: origin.to_path_buf(),
            key: key.to_string(),
            index,
            value: values[index],
        }),
        None => Ok(()),
    }
}

/// A safetensors header that lists these tensors in order, padded so that values are aligned; and the number of bytes
/// of all values.
fn safetensors_header(specs: &[TensorSpec]) -> (String, u64) {
    let mut offset = 0;
    let mut tensors = serde_json::Map::new();
    for spec in specs {
        let end = offset + 4 * spec.shape.iter().product::<usize>() as u64;
        let entry = json!({"dtype": "F32", "shape": spec.shape, "data_offsets": [offset, end]});
        tensors.insert(spec.key.clone(), entry);
        offset = end;
    }
    let mut header = serde_json::Value::Object(tensors).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    (header, offset)
}

/// Reads the initial pose, shape and camera that the checkpoint lacks from `smpl_mean_params.npz`, keyed by the
/// network's tensor names.
///
/// # Errors
/// If the file lacks one of them, or the length is wrong.
pub fn initial_values(
    request: &ImportRequest,
    specs: &[TensorSpec],
    source: &CheckpointReader,
) -> Result<HashMap<String, Vec<f32>>, ImportError> {
    let Some(path) = &request.mean_params else { return Ok(HashMap::new()) };
    let mut file = Npz::open(path, MAX_MEAN_BYTES).map_err(ImportError::pickle(path))?;
    let mut values = HashMap::new();
    for (theirs, ours) in [
        ("pose", "smpl_head.init_body_pose"),
        ("shape", "smpl_head.init_betas"),
        ("cam", "smpl_head.init_cam"),
    ] {
        let array = file.get(theirs).map_err(ImportError::pickle(path))?;
        let missing = || ImportError::invalid(path, format!("has no array `{theirs}`"));
        let numbers = array.ok_or_else(missing)?.to_f32();
        let wanted =
            specs.iter().find(|spec| spec.key == ours).map(|spec| spec.shape.iter().product::<usize>());
        if let Some(wanted) = wanted.filter(|wanted| *wanted != numbers.len()) {
            let reason = format!("`{theirs}` has {} values where {wanted} are needed", numbers.len());
            return Err(ImportError::invalid(path, reason));
        }
        if wanted.is_some() && source.shape(ours).is_none() {
            values.insert(ours.to_string(), numbers);
        }
    }
    Ok(values)
}
