//! Arrays in pickles: numpy's, scipy's compressed columns, and chumpy's, which wrap numpy's.
//!
//! SMPL's files were written by Python 2 with all three in them. Must not know what the numbers mean.

use super::PickleError;
use super::joblib::{is_wrapper, wrapped};
use super::machine::Policy;
use super::tree::{Handle, Made, Node, Tree};

/// Numbers with a shape, in C order, whatever the order and the type they were stored in.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Floats keep their precision, integers their value.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Int(Vec<i64>),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::Int(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Dimensions that an array has at most.
const MOST_SIDES: usize = 8;
/// Objects of chumpy within objects of chumpy.
const DEEPEST: usize = 8;

impl Array {
    /// The numbers in single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|value| *value as f32).collect(),
            Values::Int(values) => values.iter().map(|value| *value as f32).collect(),
        }
    }
}

/// What may stand in a body's pickle.
pub struct Arrays;

impl Policy for Arrays {
    fn may_be_called(&self, module: &str, name: &str) -> bool {
        matches!(
            (module, name),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct" | "scalar")
                | ("numpy", "dtype" | "ndarray")
                | ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer")
                | ("__builtin__" | "builtins", "set" | "frozenset" | "bytearray")
                | ("collections", "OrderedDict")
        )
    }

    fn may_stand(&self, module: &str, name: &str) -> bool {
        sparse_order(module, name).is_some() || module.starts_with("chumpy.") || is_wrapper(module, name)
    }
}

/// How a sparse matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Columns,
    Rows,
}

fn sparse_order(module: &str, name: &str) -> Option<Order> {
    let is_sparse = module == "scipy.sparse" || module.starts_with("scipy.sparse.");
    match name {
        "csc_matrix" | "csc_array" if is_sparse => Some(Order::Columns),
        "csr_matrix" | "csr_array" if is_sparse => Some(Order::Rows),
        _ => None,
    }
}

fn is_multiarray(module: &str) -> bool {
    matches!(module, "numpy.core.multiarray" | "numpy._core.multiarray")
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dtype {
    kind: u8,
    width: usize,
    big_endian: bool,
}

impl Dtype {
    /// Of numpy's code without its byte order, such as `f8`.
    pub(super) fn of(code: &str, big_endian: bool) -> Option<Dtype> {
        let (kind, width) = code.split_at_checked(1)?;
        let (kind, width) = (kind.as_bytes()[0], width.parse().ok()?);
        let is_known = matches!((kind, width), (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1));
        is_known.then_some(Dtype { kind, width, big_endian })
    }

    /// Bytes of one number.
    pub(super) fn width(self) -> usize {
        self.width
    }
}

/// Reads the array that `handle` stands for; `what` names it in errors.
///
/// # Errors
/// If it is no array, or one whose parts do not fit together.
pub fn array(tree: &Tree, handle: Handle, what: &str) -> Result<Array, PickleError> {
    array_within(tree, handle, what, DEEPEST)
}

/// [`array`], within so many further objects of chumpy: a crafted one may be within itself.
fn array_within(tree: &Tree, handle: Handle, what: &str, deepest: usize) -> Result<Array, PickleError> {
    let Node::Made(made) = tree.node(handle) else {
        return Err(tree.unexpected(what, handle, "an array"));
    };
    let (module, name) = tree.global(made.callable).unwrap_or_default();
    if let Some(order) = sparse_order(module, name) {
        return sparse(tree, made, order, what);
    }
    let within = |part: &'static str| {
        let inner = made.state.and_then(|state| tree.get(state, part)).filter(|_| deepest > 0);
        let inner = inner
            .ok_or_else(|| PickleError::wrong(what, format!("an object of chumpy without its `{part}`")))?;
        array_within(tree, inner, what, deepest - 1)
    };
    match (module, name) {
        (_, "_reconstruct") if is_multiarray(module) => dense(tree, made, what),
        (_, "_frombuffer") => from_buffer(tree, made, what),
        _ if is_wrapper(module, name) => wrapped(tree, made, what),
        ("chumpy.ch", "Ch") => within("x"),
        // what chumpy makes of a slice: numbers of another array, by their places in it
        ("chumpy.reordering", "Select") => {
            let (all, places) = (within("a")?, indices(&within("idxs")?, what)?);
            let sides = made.state.and_then(|state| tree.get(state, "preferred_shape"));
            let shape = sides.map_or(Ok(vec![places.len()]), |sides| shape_of(tree, sides, what))?;
            selected(&all.to_f64(), &places, shape, what)
        }
        _ => Err(tree.unexpected(what, handle, "an array of numpy, scipy.sparse or chumpy")),
    }
}

fn selected(all: &[f64], places: &[usize], shape: Vec<usize>, what: &str) -> Result<Array, PickleError> {
    let values: Option<Vec<f64>> = places.iter().map(|place| all.get(*place).copied()).collect();
    match values {
        Some(values) if shape.iter().product::<usize>() == values.len() => {
            Ok(Array { shape, values: Values::F64(values) })
        }
        _ => Err(PickleError::wrong(what, "a slice whose parts do not fit together")),
    }
}

/// `_reconstruct(ndarray, (0,), b"b")`, whose state is `(1, shape, dtype, fortran, bytes)`.
fn dense(tree: &Tree, made: &Made, what: &str) -> Result<Array, PickleError> {
    let state = made.state.and_then(|state| tree.elements(state)).unwrap_or_default();
    let [_, shape, dtype, fortran, data] = state else {
        return Err(PickleError::wrong(what, "an array without a state of five parts"));
    };
    let dtype = dtype_of(tree, *dtype, what)?;
    let fortran = tree.int(*fortran) == Some(1);
    numbers(tree, *shape, dtype, fortran, *data, what)
}

/// `_frombuffer(bytes, dtype, shape, order)`, as protocol 5 has it.
fn from_buffer(tree: &Tree, made: &Made, what: &str) -> Result<Array, PickleError> {
    let arguments = tree.elements(made.arguments).unwrap_or_default();
    let [data, dtype, shape, order] = arguments else {
        return Err(PickleError::wrong(what, "an array from a buffer without its four arguments"));
    };
    let fortran = tree.text(*order) == Some("F");
    // a bytearray is made of its bytes
    let data = match tree.node(*data) {
        Node::Made(made) => tree.elements(made.arguments).and_then(|elements| elements.first().copied()),
        _ => Some(*data),
    };
    let data = data.ok_or_else(|| PickleError::wrong(what, "an empty buffer"))?;
    numbers(tree, *shape, dtype_of(tree, *dtype, what)?, fortran, data, what)
}

/// `dtype("f8", False, True)` with the state `(3, "<", None, ...)`.
pub(super) fn dtype_of(tree: &Tree, handle: Handle, what: &str) -> Result<Dtype, PickleError> {
    let wrong = || tree.unexpected(&format!("{what}'s type of numbers"), handle, "a plain numpy dtype");
    let Node::Made(made) = tree.node(handle) else { return Err(wrong()) };
    let code = tree
        .elements(made.arguments)
        .and_then(|arguments| tree.text(*arguments.first()?))
        .ok_or_else(wrong)?;
    let order = made.state.and_then(|state| tree.elements(state)).and_then(|state| tree.text(*state.get(1)?));
    let unsupported = || PickleError::wrong(what, format!("numbers of type `{code}` are not supported"));
    Dtype::of(code, order == Some(">")).ok_or_else(unsupported)
}

pub(super) fn shape_of(tree: &Tree, shape: Handle, what: &str) -> Result<Vec<usize>, PickleError> {
    let sides = tree.elements(shape).ok_or_else(|| tree.unexpected(what, shape, "a shape"))?;
    let side = |side: &Handle| u32::try_from(tree.int(*side)?).ok().map(|side| side as usize);
    let sides = sides.iter().take(MOST_SIDES + 1).map(side).collect::<Option<Vec<usize>>>();
    let is_sound = |sides: &Vec<usize>| {
        let all = sides.iter().try_fold(1usize, |all, side| all.checked_mul((*side).max(1)));
        sides.len() <= MOST_SIDES && all.is_some()
    };
    sides.filter(is_sound).ok_or_else(|| PickleError::wrong(what, "a shape that is none"))
}

pub(super) fn numbers(
    tree: &Tree,
    shape: Handle,
    dtype: Dtype,
    fortran: bool,
    data: Handle,
    what: &str,
) -> Result<Array, PickleError> {
    let shape = shape_of(tree, shape, what)?;
    let bytes = tree.bytes(data).ok_or_else(|| tree.unexpected(what, data, "the bytes of an array"))?;
    from_bytes(shape, dtype, fortran, bytes, what)
}

/// An array of its bytes.
pub(super) fn from_bytes(
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
        return Err(PickleError::wrong(what, reason));
    }
    let values = read_numbers(bytes, dtype);
    let values = if fortran { to_c_order(&shape, values) } else { values };
    Ok(Array { shape, values })
}

fn read_numbers(bytes: &[u8], dtype: Dtype) -> Values {
    let wide = |chunk: &[u8]| {
        let mut wide = [0; 8];
        for (at, byte) in chunk.iter().enumerate() {
            wide[if dtype.big_endian { chunk.len() - 1 - at } else { at }] = *byte;
        }
        u64::from_le_bytes(wide)
    };
    let chunks = bytes.chunks_exact(dtype.width).map(wide);
    match (dtype.kind, dtype.width) {
        (b'f', 2) => Values::F32(chunks.map(|bits| half::f16::from_bits(bits as u16).to_f32()).collect()),
        (b'f', 4) => Values::F32(chunks.map(|bits| f32::from_bits(bits as u32)).collect()),
        (b'f', _) => Values::F64(chunks.map(f64::from_bits).collect()),
        // an unsigned number of 64 bits beyond the signed ones becomes negative, as in a cast
        (b'i', width) => {
            let unused = 64 - 8 * width as u32;
            Values::Int(chunks.map(|bits| (bits << unused) as i64 >> unused).collect())
        }
        _ => Values::Int(chunks.map(|bits| bits as i64).collect()),
    }
}

/// First index slowest, from first index fastest.
fn to_c_order(shape: &[usize], values: Values) -> Values {
    match values {
        Values::F32(values) => Values::F32(reordered(shape, &values)),
        Values::F64(values) => Values::F64(reordered(shape, &values)),
        Values::Int(values) => Values::Int(reordered(shape, &values)),
    }
}

fn reordered<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for side in shape {
        strides.push(stride);
        stride *= side;
    }
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let at: usize = index.iter().zip(&strides).map(|(index, stride)| index * stride).sum();
        out.push(values[at]);
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

/// A matrix stored by its columns: `data`, the rows they lie in (`indices`), where each column starts (`indptr`); or
/// by its rows, the other way round.
fn sparse(tree: &Tree, made: &Made, order: Order, what: &str) -> Result<Array, PickleError> {
    let state = made.state.ok_or_else(|| PickleError::wrong(what, "a sparse matrix without a state"))?;
    let part = |name: &str| {
        tree.get(state, name)
            .ok_or_else(|| PickleError::wrong(what, format!("a sparse matrix without `{name}`")))
    };
    let shape = part("_shape")?;
    let [rows, columns] = shape_of(tree, shape, what)?[..] else {
        return Err(tree.unexpected(what, shape, "the shape of a matrix"));
    };
    let (lines, across) = if order == Order::Columns { (columns, rows) } else { (rows, columns) };
    let data = array(tree, part("data")?, what)?.to_f64();
    let places = indices(&array(tree, part("indices")?, what)?, what)?;
    let starts = indices(&array(tree, part("indptr")?, what)?, what)?;
    let broken =
        |reason: &str| PickleError::wrong(what, format!("a sparse matrix {rows}x{columns} {reason}"));
    if rows * columns > LARGEST_DENSE {
        return Err(broken("too large to be written out"));
    }
    let ascending = starts.windows(2).all(|ends| ends[0] <= ends[1]);
    if starts.len() != lines + 1
        || places.len() != data.len()
        || starts.last() != Some(&data.len())
        || !ascending
    {
        return Err(broken("whose parts do not fit together"));
    }
    let mut values = vec![0.0; rows * columns];
    for (line, ends) in starts.windows(2).enumerate() {
        for at in ends[0]..ends[1] {
            let place = Some(places[at]).filter(|place| *place < across);
            let place = place.ok_or_else(|| broken("with an index beyond its end"))?;
            let (row, column) = if order == Order::Columns { (place, line) } else { (line, place) };
            values[row * columns + column] += data[at];
        }
    }
    Ok(Array { shape: vec![rows, columns], values: Values::F64(values) })
}

/// A sparse matrix is written out up to this many numbers: SMPL's regressors have 24 x 6,890.
const LARGEST_DENSE: usize = 4_000_000;

fn indices(array: &Array, what: &str) -> Result<Vec<usize>, PickleError> {
    let Values::Int(values) = &array.values else {
        return Err(PickleError::wrong(what, "indices that are no integers"));
    };
    let values: Result<Vec<usize>, _> = values.iter().map(|value| usize::try_from(*value)).collect();
    values.map_err(|_| PickleError::wrong(what, "a negative index"))
}

impl Array {
    /// The numbers in double precision.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Values::F64(values) => values.clone(),
            Values::Int(values) => values.iter().map(|value| *value as f64).collect(),
        }
    }
}
