//! Lists the tensors of a checkpoint with the locations of their values.

use super::dtype::Dtype;
use crate::pickle::PickleError;
use crate::pickle::tree::{Handle, Node, Object, Tree};
use std::collections::HashMap;

/// Maximum nesting of dictionaries.
const MAX_DEPTH: usize = 6;
const MAX_TENSORS: usize = 100_000;
/// Maximum number of visited values: dictionaries may be shared.
const MAX_VISITED: usize = 1_000_000;
const MAX_NAME_BYTES: usize = 1_000;
/// Maximum number of dimensions.
const MAX_DIMENSIONS: usize = 8;
/// Maximum nesting of parameters.
const MAX_PARAMETER_DEPTH: usize = 8;
/// Keys under which checkpoints store the network's state dict.
const STATE_DICT_KEYS: [&str; 5] = ["state_dict", "model", "net", "module", "weights"];

/// A tensor of a checkpoint: its type, shape and location.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorEntry {
    /// Its name; nested dictionaries are joined by dots.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    /// Index of its first value in the storage.
    pub(super) offset: usize,
    pub(super) storage: String,
}

/// The dictionary of a network's weights: that under `state_dict`, `model` or the like where there is one, else `root`.
pub(in crate::pickle) fn state_dict(tree: &Tree, root: Handle) -> Handle {
    let mut root = root;
    for _ in 0..MAX_DEPTH {
        let inner = STATE_DICT_KEYS.iter().filter_map(|name| tree.get(root, name));
        match inner.into_iter().find(|inner| tree.entries(*inner).is_some()) {
            Some(within) => root = within,
            None => break,
        }
    }
    root
}

/// All tensors of the state dict; names of nested dictionaries are joined by dots.
pub(in crate::pickle) fn list_tensors(tree: &Tree) -> Result<Vec<TensorEntry>, PickleError> {
    let root = state_dict(tree, tree.root());
    if tree.entries(root).is_none() {
        return Err(tree.unexpected("the checkpoint", root, "a dictionary of tensors"));
    }
    let mut found = TensorCollector { tree, tensors: Vec::new(), values: 0 };
    found.collect("", root, MAX_DEPTH)?;
    if found.tensors.is_empty() {
        return Err(PickleError::invalid("the checkpoint", "there is no tensor in it"));
    }
    Ok(found.tensors)
}

struct TensorCollector<'t, 's> {
    tree: &'t Tree<'s>,
    tensors: Vec<TensorEntry>,
    values: usize,
}

impl TensorCollector<'_, '_> {
    fn collect(&mut self, before: &str, dict: Handle, depth_left: usize) -> Result<(), PickleError> {
        let tree = self.tree;
        for (key, value) in tree.entries(dict).unwrap_or_default() {
            self.values += 1;
            if self.values > MAX_VISITED || self.tensors.len() > MAX_TENSORS {
                return Err(PickleError::invalid("the checkpoint", "more tensors and values than the limit"));
            }
            let is_short = tree.bytes(*key).is_some_and(|key| key.len() + before.len() < MAX_NAME_BYTES);
            let Some(key) = tree.text(*key).filter(|_| is_short) else { continue };
            let name = if before.is_empty() { key.to_string() } else { format!("{before}.{key}") };
            if let Node::Object(object) = tree.node(*value)
                && let Some(tensor) = parse_tensor(tree, &name, object)?
            {
                self.tensors.push(tensor);
            } else if depth_left > 0 && tree.entries(*value).is_some() {
                self.collect(&name, *value, depth_left - 1)?;
            }
        }
        Ok(())
    }
}

/// `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`, or a parameter around it; `None` for anything else.
fn parse_tensor(tree: &Tree, name: &str, object: &Object) -> Result<Option<TensorEntry>, PickleError> {
    let is_call_of =
        |object: &Object, names: &[&str]| names.iter().any(|f| tree.is_object_of(object, "torch._utils", f));
    let mut object = object;
    for _ in 0..MAX_PARAMETER_DEPTH {
        if !is_call_of(object, &["_rebuild_parameter", "_rebuild_parameter_with_state"]) {
            break;
        }
        let inner = tree.elements(object.arguments).and_then(|arguments| arguments.first());
        match inner.map(|inner| tree.node(*inner)) {
            Some(Node::Object(inner)) => object = inner,
            _ => return Err(PickleError::invalid(format!("parameter {name}"), "has no tensor")),
        }
    }
    if !is_call_of(object, &["_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3"]) {
        return Ok(None);
    }
    let wrong = || {
        PickleError::invalid(format!("tensor {name}"), "its storage, offset, shape or strides are invalid")
    };
    let [storage, offset, shape, strides, ..] = tree.elements(object.arguments).unwrap_or_default() else {
        return Err(wrong());
    };
    let (dtype, storage) = parse_storage(tree, *storage).ok_or_else(wrong)?;
    let (shape, strides) = parse_sizes(tree, *shape).zip(parse_sizes(tree, *strides)).ok_or_else(wrong)?;
    let offset = tree.int(*offset).and_then(|offset| usize::try_from(offset).ok()).ok_or_else(wrong)?;
    if shape.len() != strides.len() {
        return Err(wrong());
    }
    Ok(Some(TensorEntry { name: name.to_string(), dtype, shape, strides, offset, storage }))
}

/// A shape or strides: a tuple, or a `torch.Size`, which is created from one.
fn parse_sizes(tree: &Tree, handle: Handle) -> Option<Vec<usize>> {
    let handle = match tree.node(handle) {
        Node::Object(object) => *tree.elements(object.arguments)?.first()?,
        _ => handle,
    };
    let sizes = tree.elements(handle).filter(|sizes| sizes.len() <= MAX_DIMENSIONS)?;
    sizes.iter().map(|size| usize::try_from(tree.int(*size)?).ok()).collect()
}

/// Parses `("storage", torch.FloatStorage, "0", "cpu", 192)` into type and key. A sixth element, which very old files have,
/// makes it a view of another storage; views are not supported.
fn parse_storage(tree: &Tree, handle: Handle) -> Option<(Dtype, String)> {
    let Node::Persistent(of) = tree.node(handle) else { return None };
    let [kind, class, key, _, _, view @ ..] = tree.elements(*of)? else { return None };
    let (module, class) = tree.global(*class)?;
    let is_known = tree.text(*kind) == Some("storage") && matches!(module, "torch" | "torch.storage");
    let is_whole = view.iter().all(|view| matches!(tree.node(*view), Node::None));
    let key = tree.bytes(*key).filter(|key| key.len() < 64).and_then(|key| std::str::from_utf8(key).ok())?;
    Some((Dtype::from_storage_class(class).filter(|_| is_known && is_whole)?, key.to_string()))
}

/// Bytes per element of every storage in the pickle: a legacy file gives their lengths in elements.
pub(super) fn storage_widths(tree: &Tree) -> HashMap<String, usize> {
    let all = (0..tree.nodes.len() as u32).filter_map(|index| parse_storage(tree, Handle(index)));
    all.map(|(dtype, key)| (key, dtype.bytes())).collect()
}
