//! The network's weights out of a checkpoint into a safetensors file, tensor by tensor: never the whole of it in
//! memory.

use super::hashes::hexadecimal;
use super::source::Source;
use super::{ImportError, Request};
use crate::files::WholeFile;
use crate::nn::TensorSpec;
use crate::pickle::npz::Npz;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The mean parameters are 157 numbers; an array of this many bytes is none of them.
const LONGEST_MEAN_BYTES: u64 = 1 << 16;
/// Numbers that are turned into bytes at a time.
const PIECE: usize = 1 << 14;

/// What was written; it is not in its place yet.
pub struct Written {
    pub file: WholeFile,
    pub facts: Facts,
}

/// What is known of the weights.
pub struct Facts {
    pub sha256: String,
    pub used: usize,
    pub left_out: usize,
}

/// Writes the tensors that the network uses into a safetensors file that will stand at `to`.
///
/// # Errors
/// If a tensor cannot be read, holds NaN or infinity, the file cannot be written, or `stop` is set.
pub fn write(
    specs: &[TensorSpec],
    source: &mut Source,
    initial: &HashMap<String, Vec<f32>>,
    to: &Path,
    tell: &mut dyn FnMut(u64, u64),
    stop: &AtomicBool,
) -> Result<Written, ImportError> {
    let mut file = WholeFile::create(to).map_err(ImportError::file(to))?;
    let mut sha256 = Sha256::new();
    let mut put = |bytes: &[u8]| {
        sha256.update(bytes);
        file.write_all(bytes).map_err(ImportError::file(to))
    };
    let (header, whole_bytes) = header(specs);
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    let (mut piece, mut written_bytes) = (Vec::with_capacity(4 * PIECE), 0);
    for spec in specs {
        let values = match initial.get(&spec.key) {
            Some(values) => values.clone(),
            None => source.floats(&spec.key)?,
        };
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let (path, key) = (source.path().to_path_buf(), spec.key.clone());
            return Err(ImportError::NotFinite { path, key, index, value: values[index] });
        }
        for numbers in values.chunks(PIECE) {
            piece.clear();
            for number in numbers {
                piece.extend_from_slice(&number.to_le_bytes());
            }
            put(&piece)?;
        }
        written_bytes += 4 * values.len() as u64;
        tell(written_bytes, whole_bytes);
        if stop.load(Ordering::Relaxed) {
            return Err(ImportError::Stopped);
        }
    }
    let needed = |name: &&str| !specs.iter().any(|spec| spec.key == *name);
    let left_out = source.names().into_iter().filter(needed).count();
    let facts = Facts { sha256: hexadecimal(&sha256.finalize()), used: specs.len(), left_out };
    Ok(Written { file, facts })
}

/// The header of a safetensors file with these tensors one after the other, padded so that numbers are aligned; and
/// the bytes of them all.
fn header(specs: &[TensorSpec]) -> (String, u64) {
    let mut offset = 0;
    let mut tensors = serde_json::Map::new();
    for spec in specs {
        let end = offset + 4 * spec.shape.iter().product::<usize>() as u64;
        let place = json!({"dtype": "F32", "shape": spec.shape, "data_offsets": [offset, end]});
        tensors.insert(spec.key.clone(), place);
        offset = end;
    }
    let mut header = serde_json::Value::Object(tensors).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    (header, offset)
}

/// The initial pose, shape and camera that the checkpoint lacks, out of `smpl_mean_params.npz`, by the names that
/// the network has for them.
///
/// # Errors
/// If the file lacks one of them, or it has another length.
pub fn initial(
    request: &Request,
    specs: &[TensorSpec],
    source: &Source,
) -> Result<HashMap<String, Vec<f32>>, ImportError> {
    let Some(path) = &request.mean_params else { return Ok(HashMap::new()) };
    let mut file = Npz::open(path, LONGEST_MEAN_BYTES).map_err(ImportError::pickle(path))?;
    let mut values = HashMap::new();
    for (theirs, ours) in [
        ("pose", "smpl_head.init_body_pose"),
        ("shape", "smpl_head.init_betas"),
        ("cam", "smpl_head.init_cam"),
    ] {
        let array = file.get(theirs).map_err(ImportError::pickle(path))?;
        let missing = || ImportError::wrong(path, format!("there is no array `{theirs}` in it"));
        let numbers = array.ok_or_else(missing)?.to_f32();
        let wanted =
            specs.iter().find(|spec| spec.key == ours).map(|spec| spec.shape.iter().product::<usize>());
        if let Some(wanted) = wanted.filter(|wanted| *wanted != numbers.len()) {
            let reason = format!("`{theirs}` has {} numbers where {wanted} are needed", numbers.len());
            return Err(ImportError::wrong(path, reason));
        }
        if wanted.is_some() && source.shape(ours).is_none() {
            values.insert(ours.to_string(), numbers);
        }
    }
    Ok(values)
}
