//! Arrays of numbers and their element types: the common part of numpy's, joblib's and .npy arrays.

use super::PickleError;
use super::tree::{Handle, Node, Tree};

/// An array, converted to C order from any stored order and element type.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Elements, last axis fastest.
    pub values: Values,
}

/// Elements of an array. Floats keep their precision, integers their value.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision; half precision is widened to it.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Integers and booleans.
    Int(Vec<i64>),
}

/// Maximum number of dimensions.
const MAX_DIMENSIONS: usize = 8;

impl Array {
    /// The elements in single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|value| *value as f32).collect(),
            Values::Int(values) => values.iter().map(|value| *value as f32).collect(),
        }
    }

    /// The elements in single precision, of an array that is not needed any more.
    pub fn into_f32(self) -> Vec<f32> {
        match self.values {
            Values::F32(values) => values,
            _ => self.to_f32(),
        }
    }

    /// The elements in double precision.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Values::F64(values) => values.clone(),
            Values::Int(values) => values.iter().map(|value| *value as f64).collect(),
        }
    }
}

/// A numpy element type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dtype {
    kind: u8,
    width: usize,
    big_endian: bool,
}

impl Dtype {
    /// Parses numpy's code without its byte order, such as `f8`.
    pub(super) fn parse(code: &str, big_endian: bool) -> Option<Dtype> {
        let (kind, width) = code.split_at_checked(1)?;
        let (kind, width) = (kind.as_bytes()[0], width.parse().ok()?);
        let is_known = matches!((kind, width), (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1));
        is_known.then_some(Dtype { kind, width, big_endian })
    }

    /// Bytes of one element.
    pub(super) fn width(self) -> usize {
        self.width
    }

    /// Whether elements are floating-point numbers.
    pub(super) fn is_float(self) -> bool {
        self.kind == b'f'
    }
}

/// `dtype("f8", False, True)` with the state `(3, "<", None, ...)`.
pub(super) fn read_dtype(tree: &Tree, handle: Handle, what: &str) -> Result<Dtype, PickleError> {
    let wrong = || tree.unexpected(&format!("the element type of {what}"), handle, "a plain numpy dtype");
    let Node::Object(object) = tree.node(handle) else { return Err(wrong()) };
    let code = tree
        .elements(object.arguments)
        .and_then(|arguments| tree.text(*arguments.first()?))
        .ok_or_else(wrong)?;
    let order =
        object.state.and_then(|state| tree.elements(state)).and_then(|state| tree.text(*state.get(1)?));
    let unsupported = || PickleError::invalid(what, format!("element type `{code}` is not supported"));
    Dtype::parse(code, order == Some(">")).ok_or_else(unsupported)
}

pub(super) fn read_shape(tree: &Tree, shape: Handle, what: &str) -> Result<Vec<usize>, PickleError> {
    let sides = tree.elements(shape).ok_or_else(|| tree.unexpected(what, shape, "a shape"))?;
    let side = |side: &Handle| u32::try_from(tree.int(*side)?).ok().map(|side| side as usize);
    let sides = sides.iter().take(MAX_DIMENSIONS + 1).map(side).collect::<Option<Vec<usize>>>();
    let is_sound = |sides: &Vec<usize>| {
        let all = sides.iter().try_fold(1usize, |all, side| all.checked_mul((*side).max(1)));
        sides.len() <= MAX_DIMENSIONS && all.is_some()
    };
    sides.filter(is_sound).ok_or_else(|| PickleError::invalid(what, "an invalid shape"))
}

pub(super) fn array_from_nodes(
    tree: &Tree,
    shape: Handle,
    dtype: Dtype,
    fortran: bool,
    data: Handle,
    what: &str,
) -> Result<Array, PickleError> {
    let shape = read_shape(tree, shape, what)?;
    let bytes =
        tree.decoded_bytes(data).ok_or_else(|| tree.unexpected(what, data, "the bytes of an array"))?;
    array_from_bytes(shape, dtype, fortran, &bytes, what)
}

/// Builds an array from its bytes.
pub(super) fn array_from_bytes(
    shape: Vec<usize>,
    dtype: Dtype,
    fortran: bool,
    bytes: &[u8],
    what: &str,
) -> Result<Array, PickleError> {
    let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
    let wanted = count.and_then(|count| count.checked_mul(dtype.width));
    if wanted != Some(bytes.len()) {
        let (found, width) = (bytes.len(), dtype.width);
        let reason = format!("{found} bytes for an array of shape {shape:?} with {width} bytes each");
        return Err(PickleError::invalid(what, reason));
    }
    let values = decode_values(bytes, dtype);
    let values = if fortran { to_c_order(&shape, values) } else { values };
    Ok(Array { shape, values })
}

fn decode_values(bytes: &[u8], dtype: Dtype) -> Values {
    let wide = |chunk: &[u8]| {
        let mut wide = [0; 8];
        for (index, byte) in chunk.iter().enumerate() {
            wide[if dtype.big_endian { chunk.len() - 1 - index } else { index }] = *byte;
        }
        u64::from_le_bytes(wide)
    };
    let chunks = bytes.chunks_exact(dtype.width).map(wide);
    match (dtype.kind, dtype.width) {
        (b'f', 2) => Values::F32(chunks.map(|bits| half::f16::from_bits(bits as u16).to_f32()).collect()),
        (b'f', 4) => Values::F32(chunks.map(|bits| f32::from_bits(bits as u32)).collect()),
        (b'f', _) => Values::F64(chunks.map(f64::from_bits).collect()),
        // an unsigned 64-bit value above i64::MAX becomes negative, as in a cast
        (b'i', width) => {
            let unused = 64 - 8 * width as u32;
            Values::Int(chunks.map(|bits| (bits << unused) as i64 >> unused).collect())
        }
        _ => Values::Int(chunks.map(|bits| bits as i64).collect()),
    }
}

/// Converts Fortran order (first index fastest) to C order (last index fastest).
fn to_c_order(shape: &[usize], values: Values) -> Values {
    match values {
        Values::F32(values) => Values::F32(fortran_to_c_order(shape, &values)),
        Values::F64(values) => Values::F64(fortran_to_c_order(shape, &values)),
        Values::Int(values) => Values::Int(fortran_to_c_order(shape, &values)),
    }
}

fn fortran_to_c_order<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for side in shape {
        strides.push(stride);
        stride *= side;
    }
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let offset: usize = index.iter().zip(&strides).map(|(index, stride)| index * stride).sum();
        out.push(values[offset]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}
