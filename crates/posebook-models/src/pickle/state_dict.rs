//! Lists the arrays of a pickled state dict: `{"model": {key: numpy array}, "__author__": ...}` as detectron2's model zoo has
//! it, or the dictionary of arrays alone.
//!
//! Listing reads names, types, shapes and locations; values are read on demand from the same bytes, one array at a time.

use super::array::{ArrayPolicy, is_multiarray};
use super::elements::{Array, Dtype, array_from_bytes, read_dtype, read_shape};
use super::escapes::latin1;
use super::machine::{Limits, read};
use super::torch::state_dict;
use super::tree::{Handle, Node, Object, Tree};
use super::{PickleError, START_BYTES, describe_foreign_file};
use std::borrow::Cow;
use std::ops::Range;

/// Maximum number of an array's values: 1 GiB in f32.
const MAX_VALUES: usize = 1 << 28;
/// Maximum length of a key.
const MAX_NAME_BYTES: usize = 1_000;
/// Maximum length of the author's name that is kept.
const MAX_AUTHOR_BYTES: usize = 200;
/// Keys of files of Caffe2 and of detectron2's predecessor.
const CAFFE2_KEYS: [&str; 3] = ["blobs", "conv1_w", "res_conv1_bn_s"];

/// The arrays of a state dict.
#[derive(Debug, PartialEq)]
pub struct StateDict {
    /// All arrays in their order.
    pub arrays: Vec<ArrayEntry>,
    /// Number of values that are no arrays.
    pub others: usize,
    /// `__author__`.
    pub author: Option<String>,
}

/// An array of a state dict: its name, shape and location.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayEntry {
    /// Its key.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Element type; `None` if it is not one of numbers.
    dtype: Option<Dtype>,
    /// Whether the first axis varies fastest.
    fortran: bool,
    data: Data,
}

/// Where an array's bytes are.
#[derive(Debug, Clone, PartialEq)]
enum Data {
    /// In the source.
    Bytes(Range<usize>),
    /// In the source, as text.
    Latin1(Range<usize>),
    /// Decoded.
    Own(Vec<u8>),
}

/// Lists the arrays of a pickle.
///
/// # Errors
/// If it is damaged, refused, or holds no dictionary of arrays.
pub fn list_arrays(source: &[u8]) -> Result<StateDict, PickleError> {
    if let Some(what) = describe_foreign_file(&source[..source.len().min(START_BYTES as usize)]) {
        return Err(PickleError::WrongFileType(what));
    }
    let tree = read(source, &ArrayPolicy, Limits::default())?;
    let root = tree.root();
    let author = tree.get(root, "__author__").and_then(|author| tree.text(author));
    let author =
        author.map(|author| author.chars().filter(|letter| !letter.is_control()).collect::<String>());
    let dict = state_dict(&tree, root);
    let entries = tree
        .entries(dict)
        .ok_or_else(|| tree.unexpected("the checkpoint", dict, "a dictionary of arrays"))?;
    if CAFFE2_KEYS.iter().any(|key| tree.get(dict, key).is_some()) {
        let reason =
            "has the names of Caffe2 (Detectron, detectron2's predecessor); give a checkpoint of detectron2";
        return Err(PickleError::invalid("the checkpoint", reason));
    }
    let mut found = StateDict {
        arrays: Vec::new(),
        others: 0,
        author: author.filter(|author| author.len() <= MAX_AUTHOR_BYTES && !author.is_empty()),
    };
    for (key, value) in entries {
        let is_short = tree.bytes(*key).is_some_and(|key| key.len() <= MAX_NAME_BYTES);
        let name = tree.text(*key).filter(|_| is_short);
        match (name, tree.node(*value)) {
            (Some(name), Node::Object(object)) => match locate(&tree, object, name)? {
                Some(entry) => found.arrays.push(entry),
                None => found.others += 1,
            },
            _ => found.others += 1,
        }
    }
    if found.arrays.is_empty() {
        return Err(PickleError::invalid("the checkpoint", "there is no array in it"));
    }
    Ok(found)
}

/// The array that an object is; `None` if it is something else.
fn locate(tree: &Tree, object: &Object, name: &str) -> Result<Option<ArrayEntry>, PickleError> {
    let (module, function) = tree.global(object.callable).unwrap_or_default();
    let text = |handle: Handle| tree.text(handle) == Some("F");
    let (shape, dtype, fortran, data) = match function {
        "_reconstruct" if is_multiarray(module) => {
            match object.state.and_then(|state| tree.elements(state)) {
                Some([_, shape, dtype, fortran, data]) => {
                    (*shape, *dtype, tree.int(*fortran) == Some(1), *data)
                }
                _ => return Err(PickleError::invalid(name, "an array without a state of five parts")),
            }
        }
        "_frombuffer" => match tree.elements(object.arguments) {
            Some([data, dtype, shape, order]) => (*shape, *dtype, text(*order), *data),
            _ => return Err(PickleError::invalid(name, "an array from a buffer without its four arguments")),
        },
        _ => return Ok(None),
    };
    let shape = read_shape(tree, shape, name)?;
    if shape.iter().product::<usize>() > MAX_VALUES {
        return Err(PickleError::invalid(name, format!("its shape {shape:?} is out of range")));
    }
    let data = match tree.node(data) {
        Node::Bytes(range) => Data::Bytes(range.clone()),
        Node::Latin1(range) => Data::Latin1(range.clone()),
        Node::OwnBytes(bytes) => Data::Own(bytes.clone()),
        // an array of Python objects has a list instead
        _ => return Ok(None),
    };
    let dtype = read_dtype(tree, dtype, name).ok();
    Ok(Some(ArrayEntry { name: name.to_string(), shape, dtype, fortran, data }))
}

impl ArrayEntry {
    /// Reads the values in single precision and C order from the bytes that were listed.
    ///
    /// # Errors
    /// If they are not floating-point numbers, or their number is not that of the shape.
    pub fn read_f32(&self, source: &[u8]) -> Result<Vec<f32>, PickleError> {
        match self.dtype {
            Some(dtype) if dtype.is_float() => Ok(self.read(dtype, source)?.into_f32()),
            Some(_) => Err(self.wrong("holds integers, not floating-point values")),
            None => Err(self.wrong("its element type is not supported; save it in single precision")),
        }
    }

    fn read(&self, dtype: Dtype, source: &[u8]) -> Result<Array, PickleError> {
        let bytes = match &self.data {
            Data::Bytes(range) => source.get(range.clone()).map(Cow::Borrowed),
            Data::Latin1(range) => source.get(range.clone()).and_then(latin1).map(Cow::Owned),
            Data::Own(bytes) => Some(Cow::Borrowed(bytes.as_slice())),
        };
        let bytes = bytes.ok_or_else(|| self.wrong("its bytes, which were written as text, are damaged"))?;
        array_from_bytes(self.shape.clone(), dtype, self.fortran, &bytes, &format!("tensor {}", self.name))
    }

    fn wrong(&self, reason: &str) -> PickleError {
        PickleError::invalid(format!("tensor {}", self.name), reason)
    }
}
