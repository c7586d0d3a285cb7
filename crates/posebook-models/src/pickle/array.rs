//! Reads arrays in pickles: numpy's, scipy's sparse matrices, and chumpy's wrappers around numpy's. SMPL's files, written
//! by Python 2, contain all three.

use super::PickleError;
use super::elements::{array_from_bytes, array_from_nodes, read_dtype, read_shape};
use super::joblib::{is_wrapper, read_joblib_array};
use super::machine::Policy;
use super::tree::{Handle, Node, Object, Tree};

pub use super::elements::{Array, Values};

/// Maximum nesting of chumpy objects.
const MAX_CHUMPY_DEPTH: usize = 8;

/// Policy for a body's pickle: arrays and collections.
pub struct ArrayPolicy;

impl Policy for ArrayPolicy {
    fn allows_call(&self, module: &str, name: &str) -> bool {
        matches!(
            (module, name),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct" | "scalar")
                | ("numpy", "dtype" | "ndarray")
                | ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer")
                | ("__builtin__" | "builtins", "set" | "frozenset" | "bytearray")
                | ("collections", "OrderedDict")
        )
    }

    fn allows_object(&self, module: &str, name: &str) -> bool {
        sparse_layout(module, name).is_some() || module.starts_with("chumpy.") || is_wrapper(module, name)
    }
}

/// How a sparse matrix is compressed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum SparseLayout {
    Columns,
    Rows,
}

fn sparse_layout(module: &str, name: &str) -> Option<SparseLayout> {
    let is_sparse = module == "scipy.sparse" || module.starts_with("scipy.sparse.");
    match name {
        "csc_matrix" | "csc_array" if is_sparse => Some(SparseLayout::Columns),
        "csr_matrix" | "csr_array" if is_sparse => Some(SparseLayout::Rows),
        _ => None,
    }
}

pub(super) fn is_multiarray(module: &str) -> bool {
    matches!(module, "numpy.core.multiarray" | "numpy._core.multiarray")
}

/// Reads the array at `handle`; `what` names it in errors.
///
/// # Errors
/// If it is not an array, or its parts are inconsistent.
pub fn read_array(tree: &Tree, handle: Handle, what: &str) -> Result<Array, PickleError> {
    read_nested_array(tree, handle, what, MAX_CHUMPY_DEPTH)
}

/// Reads a number: an integer, a float, a scalar of numpy, or an array with a single element; `what` names it in errors.
///
/// # Errors
/// If it is something else.
pub fn read_number(tree: &Tree, handle: Handle, what: &str) -> Result<f64, PickleError> {
    let array = match tree.node(handle) {
        Node::Float(value) => return Ok(*value),
        Node::Int(value) => return Ok(*value as f64),
        Node::Bool(value) => return Ok(f64::from(u8::from(*value))),
        Node::Object(object) if is_scalar(tree, object) => {
            // `scalar(dtype, bytes)`
            let arguments = tree.elements(object.arguments).unwrap_or_default();
            let [dtype, data] = arguments else {
                return Err(PickleError::invalid(what, "a scalar without its type and its bytes"));
            };
            let bytes =
                tree.bytes(*data).ok_or_else(|| tree.unexpected(what, *data, "the bytes of a scalar"))?;
            array_from_bytes(Vec::new(), read_dtype(tree, *dtype, what)?, false, bytes, what)?
        }
        _ => read_array(tree, handle, what)?,
    };
    match array.to_f64()[..] {
        [value] => Ok(value),
        _ => Err(tree.unexpected(what, handle, "a number")),
    }
}

fn is_scalar(tree: &Tree, object: &Object) -> bool {
    tree.global(object.callable).is_some_and(|(module, name)| is_multiarray(module) && name == "scalar")
}

/// [`read_array`] with a limit on nested chumpy objects: a crafted object may contain itself.
fn read_nested_array(
    tree: &Tree,
    handle: Handle,
    what: &str,
    depth_left: usize,
) -> Result<Array, PickleError> {
    let Node::Object(object) = tree.node(handle) else {
        return Err(tree.unexpected(what, handle, "an array"));
    };
    let (module, name) = tree.global(object.callable).unwrap_or_default();
    if let Some(order) = sparse_layout(module, name) {
        return read_sparse(tree, object, order, what);
    }
    let within = |part: &'static str| {
        let inner = object.state.and_then(|state| tree.get(state, part)).filter(|_| depth_left > 0);
        let inner = inner
            .ok_or_else(|| PickleError::invalid(what, format!("an object of chumpy without its `{part}`")))?;
        read_nested_array(tree, inner, what, depth_left - 1)
    };
    match (module, name) {
        (_, "_reconstruct") if is_multiarray(module) => read_dense(tree, object, what),
        (_, "_frombuffer") => read_from_buffer(tree, object, what),
        (_, "scalar") if is_multiarray(module) => read_scalar(tree, object, what),
        _ if is_wrapper(module, name) => read_joblib_array(tree, object, what),
        ("chumpy.ch", "Ch") => within("x"),
        // chumpy's slice: elements of another array, by their indices
        ("chumpy.reordering", "Select") => {
            let (all, positions) = (within("a")?, indices(&within("idxs")?, what)?);
            let sides = object.state.and_then(|state| tree.get(state, "preferred_shape"));
            let shape = sides.map_or(Ok(vec![positions.len()]), |sides| read_shape(tree, sides, what))?;
            select(&all.to_f64(), &positions, shape, what)
        }
        _ => Err(tree.unexpected(what, handle, "an array of numpy, scipy.sparse or chumpy")),
    }
}

fn select(all: &[f64], positions: &[usize], shape: Vec<usize>, what: &str) -> Result<Array, PickleError> {
    let values: Option<Vec<f64>> = positions.iter().map(|position| all.get(*position).copied()).collect();
    match values {
        Some(values) if shape.iter().product::<usize>() == values.len() => {
            Ok(Array { shape, values: Values::F64(values) })
        }
        _ => Err(PickleError::invalid(what, "a slice whose parts are inconsistent")),
    }
}

/// `_reconstruct(ndarray, (0,), b"b")`, whose state is `(1, shape, dtype, fortran, bytes)`.
fn read_dense(tree: &Tree, object: &Object, what: &str) -> Result<Array, PickleError> {
    let state = object.state.and_then(|state| tree.elements(state)).unwrap_or_default();
    let [_, shape, dtype, fortran, data] = state else {
        return Err(PickleError::invalid(what, "an array without a state of five parts"));
    };
    let dtype = read_dtype(tree, *dtype, what)?;
    let fortran = tree.int(*fortran) == Some(1);
    array_from_nodes(tree, *shape, dtype, fortran, *data, what)
}

/// `scalar(dtype, bytes)`: one number.
fn read_scalar(tree: &Tree, object: &Object, what: &str) -> Result<Array, PickleError> {
    let [dtype, data] = tree.elements(object.arguments).unwrap_or_default() else {
        return Err(PickleError::invalid(what, "a number of numpy without its two arguments"));
    };
    let bytes = tree.bytes(*data).ok_or_else(|| tree.unexpected(what, *data, "the bytes of a number"))?;
    array_from_bytes(Vec::new(), read_dtype(tree, *dtype, what)?, false, bytes, what)
}

/// The elements of an array of objects, each an array or a number.
///
/// # Errors
/// If it is not an array of objects, or an element is something else.
pub fn read_object_array(tree: &Tree, handle: Handle, what: &str) -> Result<Vec<Array>, PickleError> {
    let state = match tree.node(handle) {
        Node::Object(object) => object.state.and_then(|state| tree.elements(state)).unwrap_or_default(),
        _ => &[],
    };
    let elements = state.get(4).and_then(|elements| tree.elements(*elements));
    let elements = elements.ok_or_else(|| tree.unexpected(what, handle, "an array of objects"))?;
    let element = |element: &Handle| match tree.node(*element) {
        Node::Float(number) => Ok(Array { shape: Vec::new(), values: Values::F64(vec![*number]) }),
        Node::Int(number) => Ok(Array { shape: Vec::new(), values: Values::Int(vec![*number]) }),
        _ => read_array(tree, *element, what),
    };
    elements.iter().map(element).collect()
}

/// `_frombuffer(bytes, dtype, shape, order)`, as protocol 5 has it.
fn read_from_buffer(tree: &Tree, object: &Object, what: &str) -> Result<Array, PickleError> {
    let arguments = tree.elements(object.arguments).unwrap_or_default();
    let [data, dtype, shape, order] = arguments else {
        return Err(PickleError::invalid(what, "an array from a buffer without its four arguments"));
    };
    let fortran = tree.text(*order) == Some("F");
    // a bytearray is built from its bytes
    let data = match tree.node(*data) {
        Node::Object(object) => {
            tree.elements(object.arguments).and_then(|elements| elements.first().copied())
        }
        _ => Some(*data),
    };
    let data = data.ok_or_else(|| PickleError::invalid(what, "an empty buffer"))?;
    array_from_nodes(tree, *shape, read_dtype(tree, *dtype, what)?, fortran, data, what)
}

/// Reads a compressed matrix as a dense one. By columns: `data`, the row of each value (`indices`), and where each column
/// starts (`indptr`); by rows, the other way round.
fn read_sparse(tree: &Tree, object: &Object, order: SparseLayout, what: &str) -> Result<Array, PickleError> {
    let state = object.state.ok_or_else(|| PickleError::invalid(what, "a sparse matrix without a state"))?;
    let part = |name: &str| {
        tree.get(state, name)
            .ok_or_else(|| PickleError::invalid(what, format!("a sparse matrix without `{name}`")))
    };
    let shape = part("_shape")?;
    let [rows, columns] = read_shape(tree, shape, what)?[..] else {
        return Err(tree.unexpected(what, shape, "the shape of a matrix"));
    };
    let (lines, across) = if order == SparseLayout::Columns { (columns, rows) } else { (rows, columns) };
    let data = read_array(tree, part("data")?, what)?.to_f64();
    let positions = indices(&read_array(tree, part("indices")?, what)?, what)?;
    let starts = indices(&read_array(tree, part("indptr")?, what)?, what)?;
    let broken =
        |reason: &str| PickleError::invalid(what, format!("a sparse matrix {rows}x{columns} {reason}"));
    if rows * columns > MAX_DENSE_VALUES {
        return Err(broken("too large to be converted to a dense one"));
    }
    let ascending = starts.windows(2).all(|ends| ends[0] <= ends[1]);
    if starts.len().checked_sub(1) != Some(lines)
        || positions.len() != data.len()
        || starts.last() != Some(&data.len())
        || !ascending
    {
        return Err(broken("whose parts are inconsistent"));
    }
    let mut values = vec![0.0; rows * columns];
    for (line, ends) in starts.windows(2).enumerate() {
        for at in ends[0]..ends[1] {
            let position = Some(positions[at]).filter(|position| *position < across);
            let position = position.ok_or_else(|| broken("with an index beyond its end"))?;
            let (row, column) =
                if order == SparseLayout::Columns { (position, line) } else { (line, position) };
            values[row * columns + column] += data[at];
        }
    }
    Ok(Array { shape: vec![rows, columns], values: Values::F64(values) })
}

/// Maximum size of a sparse matrix that is converted to a dense one; SMPL's regressors have 24 x 6,890 values.
const MAX_DENSE_VALUES: usize = 4_000_000;

fn indices(array: &Array, what: &str) -> Result<Vec<usize>, PickleError> {
    let Values::Int(values) = &array.values else {
        return Err(PickleError::invalid(what, "indices that are not integers"));
    };
    let values: Result<Vec<usize>, _> = values.iter().map(|value| usize::try_from(*value)).collect();
    values.map_err(|_| PickleError::invalid(what, "a negative index"))
}
