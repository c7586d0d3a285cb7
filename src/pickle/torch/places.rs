//! Which tensors a checkpoint has, and where their numbers lie.

use super::Dtype;
use crate::pickle::PickleError;
use crate::pickle::tree::{Handle, Made, Node, Tree};
use std::collections::HashMap;

/// Dictionaries within dictionaries that are looked into.
const DEEPEST: usize = 6;
const MOST_TENSORS: usize = 100_000;
/// Values that are looked at: dictionaries may be shared.
const MOST_VALUES: usize = 1_000_000;
const LONGEST_NAME_BYTES: usize = 1_000;
/// Dimensions of a tensor.
const MOST_SIDES: usize = 8;
/// Parameters around parameters.
const MOST_WRAPS: usize = 8;
/// Where checkpoints keep the network's tensors.
const STATE: [&str; 5] = ["state_dict", "model", "net", "module", "weights"];

/// A tensor of a checkpoint, by its place.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorPlace {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    /// First number in its storage.
    pub(super) offset: usize,
    pub(super) storage: String,
}

/// All tensors of the state dict, by name; where it holds further dictionaries, names are joined by points.
pub(in crate::pickle) fn listed(tree: &Tree) -> Result<Vec<TensorPlace>, PickleError> {
    let mut root = tree.root();
    let inner = |handle: Handle| {
        let inner = STATE.iter().filter_map(|name| tree.get(handle, name));
        inner.into_iter().find(|inner| tree.entries(*inner).is_some())
    };
    for _ in 0..DEEPEST {
        match inner(root) {
            Some(within) => root = within,
            None => break,
        }
    }
    if tree.entries(root).is_none() {
        return Err(tree.unexpected("the checkpoint", root, "a dictionary of tensors"));
    }
    let mut found = Found { tree, tensors: Vec::new(), values: 0 };
    found.look("", root, DEEPEST)?;
    if found.tensors.is_empty() {
        return Err(PickleError::wrong("the checkpoint", "there is no tensor in it"));
    }
    Ok(found.tensors)
}

struct Found<'t, 's> {
    tree: &'t Tree<'s>,
    tensors: Vec<TensorPlace>,
    values: usize,
}

impl Found<'_, '_> {
    fn look(&mut self, before: &str, dict: Handle, deepest: usize) -> Result<(), PickleError> {
        let tree = self.tree;
        for (key, value) in tree.entries(dict).unwrap_or_default() {
            self.values += 1;
            if self.values > MOST_VALUES || self.tensors.len() > MOST_TENSORS {
                return Err(PickleError::wrong(
                    "the checkpoint",
                    "more tensors and values than any network has",
                ));
            }
            let is_short = tree.bytes(*key).is_some_and(|key| key.len() + before.len() < LONGEST_NAME_BYTES);
            let Some(key) = tree.text(*key).filter(|_| is_short) else { continue };
            let name = if before.is_empty() { key.to_string() } else { format!("{before}.{key}") };
            if let Node::Made(made) = tree.node(*value)
                && let Some(tensor) = tensor(tree, &name, made)?
            {
                self.tensors.push(tensor);
            } else if deepest > 0 && tree.entries(*value).is_some() {
                self.look(&name, *value, deepest - 1)?;
            }
        }
        Ok(())
    }
}

/// `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`, or a parameter around it; `None` for anything else.
fn tensor(tree: &Tree, name: &str, made: &Made) -> Result<Option<TensorPlace>, PickleError> {
    let is_called =
        |made: &Made, names: &[&str]| names.iter().any(|f| tree.is_called(made, "torch._utils", f));
    let mut made = made;
    for _ in 0..MOST_WRAPS {
        if !is_called(made, &["_rebuild_parameter", "_rebuild_parameter_with_state"]) {
            break;
        }
        let inner = tree.elements(made.arguments).and_then(|arguments| arguments.first());
        match inner.map(|inner| tree.node(*inner)) {
            Some(Node::Made(inner)) => made = inner,
            _ => return Err(PickleError::wrong(format!("parameter {name}"), "it has no tensor")),
        }
    }
    if !is_called(made, &["_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3"]) {
        return Ok(None);
    }
    let wrong =
        || PickleError::wrong(format!("tensor {name}"), "its storage, offset, shape or strides are none");
    let [storage, offset, shape, strides, ..] = tree.elements(made.arguments).unwrap_or_default() else {
        return Err(wrong());
    };
    let (dtype, storage) = storage_of(tree, *storage).ok_or_else(wrong)?;
    let (shape, strides) = sizes(tree, *shape).zip(sizes(tree, *strides)).ok_or_else(wrong)?;
    let offset = tree.int(*offset).and_then(|offset| usize::try_from(offset).ok()).ok_or_else(wrong)?;
    if shape.len() != strides.len() {
        return Err(wrong());
    }
    Ok(Some(TensorPlace { name: name.to_string(), dtype, shape, strides, offset, storage }))
}

/// A shape or strides: a tuple, or a `torch.Size`, which is made of one.
fn sizes(tree: &Tree, handle: Handle) -> Option<Vec<usize>> {
    let handle = match tree.node(handle) {
        Node::Made(made) => *tree.elements(made.arguments)?.first()?,
        _ => handle,
    };
    let sizes = tree.elements(handle).filter(|sizes| sizes.len() <= MOST_SIDES)?;
    sizes.iter().map(|size| usize::try_from(tree.int(*size)?).ok()).collect()
}

/// `("storage", torch.FloatStorage, "0", "cpu", 192)`: the type and the key. A sixth part, which very old files have,
/// says that it is a view of another storage; such are not read.
fn storage_of(tree: &Tree, handle: Handle) -> Option<(Dtype, String)> {
    let Node::Persistent(of) = tree.node(handle) else { return None };
    let [kind, class, key, _, _, view @ ..] = tree.elements(*of)? else { return None };
    let (module, class) = tree.global(*class)?;
    let is_known = tree.text(*kind) == Some("storage") && matches!(module, "torch" | "torch.storage");
    let is_whole = view.iter().all(|view| matches!(tree.node(*view), Node::None));
    let key = tree.bytes(*key).filter(|key| key.len() < 64).and_then(|key| std::str::from_utf8(key).ok())?;
    Some((Dtype::of(class).filter(|_| is_known && is_whole)?, key.to_string()))
}

/// Bytes per number of every storage that the pickle names: an old file counts its storages in numbers.
pub(super) fn storage_widths(tree: &Tree) -> HashMap<String, usize> {
    let all = (0..tree.nodes.len() as u32).filter_map(|index| storage_of(tree, Handle(index)));
    all.map(|(dtype, key)| (key, dtype.bytes())).collect()
}
