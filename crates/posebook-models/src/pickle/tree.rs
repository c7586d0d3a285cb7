//! The result of reading a pickle: a graph of nodes that refer to each other by handles, since a pickle may refer to one
//! object many times, or to itself.
//!
//! Strings are ranges of the source, and names are handles of strings, so the graph is never much larger than the pickle.

use super::PickleError;
use super::escapes::latin1;
use std::borrow::Cow;
use std::ops::Range;

/// Index of a node in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub(super) u32);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Python's `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// An integer of more than 64 bits; its value is not needed.
    LongInt,
    /// A float.
    Float(f64),
    /// Bytes or a Python 2 string, as a range of the source.
    Bytes(Range<usize>),
    /// Decoded bytes: written as text (`_codecs.encode(text, "latin1")`), or with escapes.
    OwnBytes(Vec<u8>),
    /// Bytes that were written as text, as the text's range of the source: too many to be decoded before they are needed.
    Latin1(Range<usize>),
    /// UTF-8 text, as a range of the source.
    Text(Range<usize>),
    /// A list.
    List(Vec<Handle>),
    /// A tuple.
    Tuple(Vec<Handle>),
    /// A set.
    Set(Vec<Handle>),
    /// A dictionary in insertion order.
    Dict(Vec<(Handle, Handle)>),
    /// A class or function by name.
    Global {
        /// Its module; a text.
        module: Handle,
        /// Its name in the module; a text.
        name: Handle,
    },
    /// The result that `callable(*arguments)` or `class.__new__(class, *arguments)` would have.
    Object(Box<Object>),
    /// A persistent id, defined by the file format, such as a tensor's storage.
    Persistent(Handle),
}

/// An object, described by how Python would create it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The function or class called.
    pub callable: Handle,
    /// The tuple of its arguments.
    pub arguments: Handle,
    /// The argument of `__setstate__`.
    pub state: Option<Handle>,
    /// Entries set afterwards (an `OrderedDict` is created empty and then filled).
    pub entries: Vec<(Handle, Handle)>,
    /// Values appended afterwards.
    pub items: Vec<Handle>,
}

/// The graph of a pickle, and the bytes it was read from.
#[derive(Debug)]
pub struct Tree<'s> {
    pub(super) source: &'s [u8],
    pub(super) nodes: Vec<Node>,
    pub(super) root: Handle,
    /// Length of the pickle in the source; other data may follow.
    pub(super) consumed_bytes: usize,
}

impl Tree<'_> {
    /// The value of the pickle.
    pub fn root(&self) -> Handle {
        self.root
    }

    /// Length of the pickle in the source.
    pub fn consumed_bytes(&self) -> usize {
        self.consumed_bytes
    }

    /// The node at `handle`.
    pub fn node(&self, handle: Handle) -> &Node {
        &self.nodes[handle.0 as usize]
    }

    pub(super) fn node_mut(&mut self, handle: Handle) -> &mut Node {
        &mut self.nodes[handle.0 as usize]
    }

    /// Bytes of a byte string or a text.
    pub fn bytes(&self, handle: Handle) -> Option<&[u8]> {
        match self.node(handle) {
            Node::Bytes(range) | Node::Text(range) => self.source.get(range.clone()),
            Node::OwnBytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// As [`Tree::bytes`]; protocol 2 stores bytes as Latin-1 text, which is decoded.
    pub(super) fn decoded_bytes(&self, handle: Handle) -> Option<Cow<'_, [u8]>> {
        match self.node(handle) {
            Node::Latin1(range) => latin1(self.source.get(range.clone())?).map(Cow::Owned),
            _ => self.bytes(handle).map(Cow::Borrowed),
        }
    }

    /// A text, or a Python 2 string in UTF-8.
    pub fn text(&self, handle: Handle) -> Option<&str> {
        std::str::from_utf8(self.bytes(handle)?).ok()
    }

    /// An integer or a boolean.
    pub fn int(&self, handle: Handle) -> Option<i64> {
        match self.node(handle) {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// Elements of a tuple or a list.
    pub fn elements(&self, handle: Handle) -> Option<&[Handle]> {
        match self.node(handle) {
            Node::Tuple(elements) | Node::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// Entries of a dictionary, or of an object with entries (`OrderedDict`).
    pub fn entries(&self, handle: Handle) -> Option<&[(Handle, Handle)]> {
        match self.node(handle) {
            Node::Dict(entries) => Some(entries),
            Node::Object(object)
                if self.is_object_of(object, "collections", "OrderedDict") || !object.entries.is_empty() =>
            {
                Some(&object.entries)
            }
            _ => None,
        }
    }

    /// The value of a text key; of duplicates the last, as in Python.
    pub fn get(&self, handle: Handle, key: &str) -> Option<Handle> {
        let mut entries = self.entries(handle)?.iter().rev();
        entries.find(|(name, _)| self.bytes(*name) == Some(key.as_bytes())).map(|(_, value)| *value)
    }

    /// Module and name of a class or function.
    pub fn global(&self, handle: Handle) -> Option<(&str, &str)> {
        match self.node(handle) {
            Node::Global { module, name } => Some((self.text(*module)?, self.text(*name)?)),
            _ => None,
        }
    }

    pub(super) fn is_object_of(&self, object: &Object, module: &str, name: &str) -> bool {
        self.global(object.callable) == Some((module, name))
    }

    /// A short description of a node for messages.
    pub fn describe(&self, handle: Handle) -> String {
        match self.node(handle) {
            Node::None => "None".into(),
            Node::Bool(value) => format!("the truth value {value}"),
            Node::Int(value) => format!("the number {value}"),
            Node::LongInt => "a long integer".into(),
            Node::Float(value) => format!("the number {value}"),
            Node::Bytes(range) => format!("a string of {} bytes", range.len()),
            Node::OwnBytes(bytes) => format!("a string of {} bytes", bytes.len()),
            Node::Latin1(range) => format!("a string in a text of {} bytes", range.len()),
            Node::Text(range) => format!("a text of {} bytes", range.len()),
            Node::List(elements) => format!("a list of {}", elements.len()),
            Node::Tuple(elements) => format!("a tuple of {}", elements.len()),
            Node::Set(elements) => format!("a set of {}", elements.len()),
            Node::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Node::Global { .. } => match self.global(handle) {
                Some((module, name)) => format!("`{module}.{name}`"),
                None => "a class".into(),
            },
            Node::Object(object) => match self.global(object.callable) {
                Some((module, name)) => format!("an object of `{module}.{name}`"),
                None => "an object".into(),
            },
            Node::Persistent(_) => "a storage".into(),
        }
    }

    pub(super) fn unexpected(&self, what: &str, found: Handle, wanted: &'static str) -> PickleError {
        PickleError::Unexpected { what: what.to_string(), found: self.describe(found), wanted }
    }
}
