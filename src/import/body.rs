//! SMPL's body out of the files that it comes in: pickles of Python 2 and 3, or .npz.

use super::source::Source;
use super::{ImportError, Request};
use crate::body::Body;
use crate::pickle::array::{Array, Values, array};
use crate::pickle::npz::Npz;
use crate::pickle::{Handle, PickleError, Tree, unpacked, with_object};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// SMPL 1.1's file is 250 MB, most of it numbers written as text; a longer one is none.
const LONGEST_BYTES: u64 = 1 << 30;
/// `posedirs`, the longest array, has 34 MB in double precision.
const LONGEST_ARRAY_BYTES: u64 = 1 << 28;
/// Names in SMPL's file, and in the format that bodies are kept in.
const ARRAYS: [(&str, &str); 9] = [
    ("v_template", "v_template"),
    ("shapedirs", "shapedirs"),
    ("posedirs", "posedirs"),
    ("J_regressor", "J_regressor"),
    ("weights", "weights"),
    ("kintree_table", "kintree_table"),
    ("f", "faces"),
    // bodies that are not SMPL's own 6,890 vertices say which of theirs stand for OpenPose's
    ("openpose_vertices", "openpose_vertices"),
    (EXTRA, EXTRA),
];
/// Names that a message lists.
const LISTED: usize = 5;
const EXTRA: &str = "joint_regressor_extra";
/// 4D-Humans' own copy of it, in its checkpoint.
const EXTRA_IN_CHECKPOINT: &str = "smpl.joint_regressor_extra";

/// Reads SMPL's file and 4D-Humans' joints: out of their own file, or SMPL's, or the checkpoint.
///
/// # Errors
/// If a file cannot be read, or they make no body.
pub fn read(request: &Request, source: &mut Source) -> Result<Body, ImportError> {
    let smpl = &request.smpl;
    let mut tensors = arrays(smpl)?;
    if let Some(path) = &request.joint_regressor {
        tensors.insert(EXTRA.into(), tensor(&joint_regressor(path)?, path)?);
    } else if !tensors.contains_key(EXTRA) {
        let Some(shape) = source.shape(EXTRA_IN_CHECKPOINT).map(<[usize]>::to_vec) else {
            let reason = "4D-Humans' joints are neither in it nor in the checkpoint; give them by `--joint-regressor \
                          SMPL_to_J19.pkl`";
            return Err(ImportError::wrong(smpl, reason));
        };
        let values = Values::F32(source.floats(EXTRA_IN_CHECKPOINT)?);
        tensors.insert(EXTRA.into(), tensor(&Array { shape, values }, source.path())?);
    }
    Ok(Body::from_tensors(&tensors, smpl)?)
}

/// The arrays of SMPL's file (.pkl, .npz, or a dictionary in .npy), by the names of the format that bodies are kept in.
///
/// # Errors
/// If the file cannot be read, or holds something else than arrays under these names.
pub fn arrays(smpl: &Path) -> Result<HashMap<String, Tensor>, ImportError> {
    let named: Vec<(&str, Array)> = if is_zip(smpl)? {
        let mut file = Npz::open(smpl, LONGEST_ARRAY_BYTES).map_err(ImportError::pickle(smpl))?;
        in_npz(&mut file)
    } else {
        pickled(smpl, in_dictionary)?
    }
    .map_err(ImportError::pickle(smpl))?;
    named.into_iter().map(|(name, array)| Ok((name.to_string(), tensor(&array, smpl)?))).collect()
}

/// The arrays of an .npz: each a file of its own, or all in a dictionary that is the only one.
fn in_npz(file: &mut Npz) -> Result<Vec<(&'static str, Array)>, PickleError> {
    let mut named = Vec::new();
    for (theirs, ours) in ARRAYS {
        if let Some(array) = file.get(theirs)? {
            named.push((ours, array));
        }
    }
    if named.is_empty()
        && let Some(in_object) = file.only_object(in_dictionary)?
    {
        return Ok(in_object);
    }
    if named.is_empty() {
        let names: Vec<&str> = file.names().take(LISTED).collect();
        let reason = format!(
            "a zip file without any array of SMPL's: it holds {}; where SMPL's file is in it, unpack it and give that",
            names.join(", ")
        );
        return Err(PickleError::Wrong { what: "the body".into(), reason });
    }
    Ok(named)
}

/// The arrays of a dictionary. What is missing is told by the body, which knows what it is for.
fn in_dictionary(tree: &Tree, root: Handle) -> Result<Vec<(&'static str, Array)>, PickleError> {
    let all = ARRAYS.iter().filter_map(|(theirs, ours)| Some((*ours, theirs, tree.get(root, theirs)?)));
    all.map(|(name, theirs, handle)| Ok((name, array(tree, handle, theirs)?))).collect()
}

/// A matrix alone in its file: .pkl, as 4D-Humans has it, or .npz under the name that it has here.
fn joint_regressor(path: &Path) -> Result<Array, ImportError> {
    let what = "the joint regressor";
    let found = if is_zip(path)? {
        let mut file = Npz::open(path, LONGEST_ARRAY_BYTES).map_err(ImportError::pickle(path))?;
        let missing =
            || PickleError::Wrong { what: what.into(), reason: format!("there is no `{EXTRA}` in it") };
        file.get(EXTRA).and_then(|array| array.ok_or_else(missing))
    } else {
        pickled(path, |tree, root| array(tree, root, what))?
    };
    found.map_err(ImportError::pickle(path))
}

/// Reads a pickle, packed by zlib or gzip or not, or an .npy with an object, and takes something out of it.
fn pickled<T>(
    path: &Path,
    take: impl FnOnce(&Tree, Handle) -> Result<T, PickleError>,
) -> Result<Result<T, PickleError>, ImportError> {
    let length = std::fs::metadata(path).map_err(ImportError::file(path))?.len();
    if length > LONGEST_BYTES {
        return Err(ImportError::wrong(path, format!("{length} bytes are more than any body has")));
    }
    let bytes = std::fs::read(path).map_err(ImportError::file(path))?;
    Ok(unpacked(&bytes, LONGEST_BYTES).and_then(|pickle| with_object(&pickle, take)))
}

/// Whether a file is a zip, whatever its name: .npz files are.
fn is_zip(path: &Path) -> Result<bool, ImportError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(ImportError::file(path))?;
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start).map_err(ImportError::file(path))?;
    Ok(start == b"PK\x03\x04")
}

fn tensor(array: &Array, path: &Path) -> Result<Tensor, ImportError> {
    let made = match &array.values {
        Values::Int(values) => Tensor::from_slice(values, array.shape.clone(), &Device::Cpu),
        _ => Tensor::from_vec(array.to_f32(), array.shape.clone(), &Device::Cpu),
    };
    made.map_err(|error| ImportError::wrong(path, error))
}
