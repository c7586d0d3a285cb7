//! Arrays as joblib writes them (its `numpy_pickle.py`): the values lie between the opcodes, after the wrapper object that
//! gives their shape and type.

use super::PickleError;
use super::elements::{Array, array_from_nodes, read_dtype, read_shape};
use super::machine::Machine;
use super::tree::{Handle, Node, Object, Tree};

/// Whether a class is joblib's wrapper for an array.
pub(super) fn is_wrapper(module: &str, name: &str) -> bool {
    (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper")
}

impl Machine<'_, '_> {
    /// Reads the values that follow an object whose state was just set, if it is joblib's wrapper.
    pub(super) fn read_joblib_values(&mut self, target: Handle) -> Result<(), PickleError> {
        let Node::Object(object) = self.tree.node(target) else { return Ok(()) };
        if !self.tree.global(object.callable).is_some_and(|(module, name)| is_wrapper(module, name)) {
            return Ok(());
        }
        let part = |name: &str| wrapper_attribute(&self.tree, object, name);
        let (shape, dtype) = (part("shape")?, part("dtype")?);
        let sides = read_shape(&self.tree, shape, WHAT)?;
        let width = read_dtype(&self.tree, dtype, WHAT)?.width();
        let length = sides.iter().try_fold(width, |length, side| length.checked_mul(*side));
        let length = length.ok_or_else(|| self.damaged("an array whose size overflows"))?;
        // newer versions pad, so that values are aligned to 16 bytes
        let is_padded = part("numpy_array_alignment_bytes").is_ok_and(|bytes| self.tree.int(bytes).is_some());
        if is_padded {
            let padding = self.take_array::<1>()?[0];
            self.take_bytes(padding.into())?;
        }
        let range = self.take_bytes(length)?;
        self.push(Node::Bytes(range))?;
        let data = self.pop()?;
        if let Node::Object(object) = self.tree.node_mut(target) {
            object.items.push(data);
        }
        Ok(())
    }
}

const WHAT: &str = "joblib's array";

fn wrapper_attribute(tree: &Tree, object: &Object, name: &str) -> Result<Handle, PickleError> {
    let found = object.state.and_then(|state| tree.get(state, name));
    found.ok_or_else(|| PickleError::invalid(WHAT, format!("has no `{name}`")))
}

/// The array of a wrapper whose values were read.
pub(super) fn read_joblib_array(tree: &Tree, object: &Object, what: &str) -> Result<Array, PickleError> {
    let data = object.items.first().copied();
    let data = data.ok_or_else(|| PickleError::invalid(what, "joblib's array without its values"))?;
    let fortran = tree.text(wrapper_attribute(tree, object, "order")?) == Some("F");
    let dtype = read_dtype(tree, wrapper_attribute(tree, object, "dtype")?, what)?;
    array_from_nodes(tree, wrapper_attribute(tree, object, "shape")?, dtype, fortran, data, what)
}
