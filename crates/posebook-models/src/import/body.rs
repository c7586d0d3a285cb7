//! Reads SMPL's body from its published files: Python 2 or 3 pickles, or .npz.

use super::checkpoint_reader::CheckpointReader;
use super::{ImportError, ImportRequest};
use crate::body::Body;
use crate::pickle::array::{Array, Values, read_array};
use crate::pickle::npz::Npz;
use crate::pickle::{Handle, PickleError, Tree, decompress, with_root};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// SMPL 1.1's file has 250 MB, most of it arrays written as text.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// `posedirs`, the longest array, has 34 MB in double precision.
const MAX_ARRAY_BYTES: u64 = 1 << 28;
/// Array names: in SMPL's file, and in this crate's body format.
const ARRAYS: [(&str, &str); 9] = [
    ("v_template", "v_template"),
    ("shapedirs", "shapedirs"),
    ("posedirs", "posedirs"),
    ("J_regressor", "J_regressor"),
    ("weights", "weights"),
    ("kintree_table", "kintree_table"),
    ("f", "faces"),
    // bodies of another topology than SMPL's 6,890 vertices name their vertices for OpenPose's joints
    ("openpose_vertices", "openpose_vertices"),
    (EXTRA_REGRESSOR, EXTRA_REGRESSOR),
];
/// Maximum number of names listed in a message.
const MAX_LISTED_NAMES: usize = 5;
const EXTRA_REGRESSOR: &str = "joint_regressor_extra";
/// The copy inside 4D-Humans' checkpoint.
const EXTRA_REGRESSOR_IN_CHECKPOINT: &str = "smpl.joint_regressor_extra";

/// Reads SMPL's file and the extra joint regressor: from its own file, from SMPL's file, or from the checkpoint.
///
/// # Errors
/// If a file cannot be read, or the arrays do not form a body.
pub fn read_body(request: &ImportRequest, source: &mut CheckpointReader) -> Result<Body, ImportError> {
    let smpl = &request.smpl;
    let mut tensors = body_arrays(smpl)?;
    if let Some(path) = &request.joint_regressor {
        tensors.insert(EXTRA_REGRESSOR.into(), to_tensor(&joint_regressor(path)?, path)?);
    } else if !tensors.contains_key(EXTRA_REGRESSOR) {
        let Some(shape) = source.shape(EXTRA_REGRESSOR_IN_CHECKPOINT).map(<[usize]>::to_vec) else {
            let reason = "4D-Humans' joints are neither in it nor in the checkpoint; give them with `--joint-regressor \
                          SMPL_to_J19.pkl`";
            return Err(ImportError::invalid(smpl, reason));
        };
        let values = Values::F32(source.read_f32(EXTRA_REGRESSOR_IN_CHECKPOINT)?);
        tensors.insert(EXTRA_REGRESSOR.into(), to_tensor(&Array { shape, values }, source.path())?);
    }
    Ok(Body::from_tensors(&tensors, smpl)?)
}

/// Reads the arrays of SMPL's file (.pkl, .npz, or a dictionary in .npy), named as in this crate's body format.
///
/// # Errors
/// If the file cannot be read, or holds something other than arrays under these names.
pub fn body_arrays(smpl: &Path) -> Result<HashMap<String, Tensor>, ImportError> {
    let named: Vec<(&str, Array)> = if is_zip(smpl)? {
        let mut file = Npz::open(smpl, MAX_ARRAY_BYTES).map_err(ImportError::pickle(smpl))?;
        npz_arrays(&mut file)
    } else {
        with_pickle_file(smpl, dictionary_arrays)?
    }
    .map_err(ImportError::pickle(smpl))?;
    named.into_iter().map(|(name, array)| Ok((name.to_string(), to_tensor(&array, smpl)?))).collect()
}

/// The arrays of an .npz: each in its own file, or all in a dictionary that is its only array.
fn npz_arrays(file: &mut Npz) -> Result<Vec<(&'static str, Array)>, PickleError> {
    let mut named = Vec::new();
    for (theirs, ours) in ARRAYS {
        if let Some(array) = file.get(theirs)? {
            named.push((ours, array));
        }
    }
    if named.is_empty()
        && let Some(in_object) = file.with_only_object(dictionary_arrays)?
    {
        return Ok(in_object);
    }
    if named.is_empty() {
        let names: Vec<&str> = file.names().take(MAX_LISTED_NAMES).collect();
        let reason = format!(
            "a zip file without any array of SMPL's: it holds {}; if SMPL's file is among them, unpack it and give that",
            names.join(", ")
        );
        return Err(PickleError::Invalid { what: "the body".into(), reason });
    }
    Ok(named)
}

/// The arrays of a dictionary. Missing arrays are reported later, by [`Body::from_tensors`].
fn dictionary_arrays(tree: &Tree, root: Handle) -> Result<Vec<(&'static str, Array)>, PickleError> {
    let all = ARRAYS.iter().filter_map(|(theirs, ours)| Some((*ours, theirs, tree.get(root, theirs)?)));
    all.map(|(name, theirs, handle)| Ok((name, read_array(tree, handle, theirs)?))).collect()
}

/// A matrix in its own file: a .pkl as 4D-Humans publishes it, or an .npz under the name used here.
fn joint_regressor(path: &Path) -> Result<Array, ImportError> {
    let what = "the joint regressor";
    let found = if is_zip(path)? {
        let mut file = Npz::open(path, MAX_ARRAY_BYTES).map_err(ImportError::pickle(path))?;
        let missing = || PickleError::Invalid {
            what: what.into(),
            reason: format!("there is no `{EXTRA_REGRESSOR}` in it"),
        };
        file.get(EXTRA_REGRESSOR).and_then(|array| array.ok_or_else(missing))
    } else {
        with_pickle_file(path, |tree, root| read_array(tree, root, what))?
    };
    found.map_err(ImportError::pickle(path))
}

/// Reads a pickle (plain, zlib or gzip) or an .npy with an object, and passes its root to `take`.
fn with_pickle_file<T>(
    path: &Path,
    take: impl FnOnce(&Tree, Handle) -> Result<T, PickleError>,
) -> Result<Result<T, PickleError>, ImportError> {
    let length = std::fs::metadata(path).map_err(ImportError::file(path))?.len();
    if length > MAX_FILE_BYTES {
        return Err(ImportError::invalid(path, format!("has {length} bytes, more than any body file")));
    }
    let bytes = std::fs::read(path).map_err(ImportError::file(path))?;
    Ok(decompress(&bytes, MAX_FILE_BYTES).and_then(|pickle| with_root(&pickle, take)))
}

/// Whether a file is a zip, by its first bytes.
fn is_zip(path: &Path) -> Result<bool, ImportError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(ImportError::file(path))?;
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start).map_err(ImportError::file(path))?;
    Ok(start == b"PK\x03\x04")
}

fn to_tensor(array: &Array, path: &Path) -> Result<Tensor, ImportError> {
    let made = match &array.values {
        Values::Int(values) => Tensor::from_slice(values, array.shape.clone(), &Device::Cpu),
        _ => Tensor::from_vec(array.to_f32(), array.shape.clone(), &Device::Cpu),
    };
    made.map_err(|error| ImportError::invalid(path, error))
}
