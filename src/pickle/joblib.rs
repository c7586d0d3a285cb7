//! Arrays as joblib writes them (its `numpy_pickle.py`): the numbers lie bare between the instructions, behind the
//! object that says their shape and type.

use super::PickleError;
use super::array::{Array, dtype_of, numbers, shape_of};
use super::machine::Machine;
use super::tree::{Handle, Made, Node, Tree};

/// Joblib's object in place of an array.
pub(super) fn is_wrapper(module: &str, name: &str) -> bool {
    (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper")
}

impl Machine<'_, '_> {
    /// Takes the numbers behind an object that was just given its state, if it is joblib's stand-in for an array.
    pub(super) fn take_numbers_behind(&mut self, target: Handle) -> Result<(), PickleError> {
        let Node::Made(made) = self.tree.node(target) else { return Ok(()) };
        if !self.tree.global(made.callable).is_some_and(|(module, name)| is_wrapper(module, name)) {
            return Ok(());
        }
        let part = |name: &str| part(&self.tree, made, name);
        let (shape, dtype) = (part("shape")?, part("dtype")?);
        let sides = shape_of(&self.tree, shape, WHAT)?;
        let width = dtype_of(&self.tree, dtype, WHAT)?.width();
        let length = sides.iter().try_fold(width, |length, side| length.checked_mul(*side));
        let length = length.ok_or_else(|| self.damaged("an array of absurd size"))?;
        // newer versions pad, so that numbers lie at multiples of 16 bytes
        let is_padded = part("numpy_array_alignment_bytes").is_ok_and(|bytes| self.tree.int(bytes).is_some());
        if is_padded {
            let padding = self.number::<1>()?[0];
            self.bytes(padding.into())?;
        }
        let range = self.bytes(length)?;
        self.push(Node::Bytes(range))?;
        let data = self.pop()?;
        if let Node::Made(made) = self.tree.node_mut(target) {
            made.items.push(data);
        }
        Ok(())
    }
}

const WHAT: &str = "an array of joblib's";

fn part(tree: &Tree, made: &Made, name: &str) -> Result<Handle, PickleError> {
    let found = made.state.and_then(|state| tree.get(state, name));
    found.ok_or_else(|| PickleError::wrong(WHAT, format!("has no `{name}`")))
}

/// The array that a stand-in with its numbers is.
pub(super) fn wrapped(tree: &Tree, made: &Made, what: &str) -> Result<Array, PickleError> {
    let data = made.items.first().copied();
    let data = data.ok_or_else(|| PickleError::wrong(what, "an array of joblib's without its numbers"))?;
    let fortran = tree.text(part(tree, made, "order")?) == Some("F");
    let dtype = dtype_of(tree, part(tree, made, "dtype")?, what)?;
    numbers(tree, part(tree, made, "shape")?, dtype, fortran, data, what)
}
