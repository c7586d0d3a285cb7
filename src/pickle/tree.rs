//! What a pickle says, as a graph: nodes that refer to each other by handle, since a pickle may name one object
//! many times, or within itself.
//!
//! Byte strings stay in the source and are ranges of it, and names are handles of such, so that a graph is never much
//! larger than its pickle.

use super::PickleError;
use std::ops::Range;

/// A node's place in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub(super) u32);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, whose value nobody needs.
    LongInt,
    Float(f64),
    /// Bytes, or a Python 2 string: a range of the source.
    Bytes(Range<usize>),
    /// Bytes that were written as text (`_codecs.encode(text, "latin1")`), or text with escapes, undone.
    OwnBytes(Vec<u8>),
    /// Text: a range of the source, in UTF-8.
    Text(Range<usize>),
    List(Vec<Handle>),
    Tuple(Vec<Handle>),
    Set(Vec<Handle>),
    Dict(Vec<(Handle, Handle)>),
    /// A class or a function, by name: both are known to be text.
    Global {
        module: Handle,
        name: Handle,
    },
    /// What `callable(*arguments)` or `class.__new__(class, *arguments)` would have made.
    Made(Box<Made>),
    /// What the file's own format stands for, such as a tensor's storage.
    Persistent(Handle),
}

/// An object that was not made: how it would have been.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub callable: Handle,
    pub arguments: Handle,
    /// What `__setstate__` would have been given.
    pub state: Option<Handle>,
    /// What would have been put into it as into a dictionary (an `OrderedDict` is made empty and filled).
    pub entries: Vec<(Handle, Handle)>,
    /// What would have been appended to it.
    pub items: Vec<Handle>,
}

/// A pickle's graph over the bytes that it was read from.
#[derive(Debug)]
pub struct Tree<'s> {
    pub(super) source: &'s [u8],
    pub(super) nodes: Vec<Node>,
    pub(super) root: Handle,
    /// Bytes of the source that the pickle took: others may follow it.
    pub(super) length: usize,
}

impl Tree<'_> {
    pub fn root(&self) -> Handle {
        self.root
    }

    /// Bytes of the source that the pickle took.
    pub fn length(&self) -> usize {
        self.length
    }

    pub fn node(&self, handle: Handle) -> &Node {
        &self.nodes[handle.0 as usize]
    }

    pub(super) fn node_mut(&mut self, handle: Handle) -> &mut Node {
        &mut self.nodes[handle.0 as usize]
    }

    /// The bytes of a byte string, or of text.
    pub fn bytes(&self, handle: Handle) -> Option<&[u8]> {
        match self.node(handle) {
            Node::Bytes(range) | Node::Text(range) => self.source.get(range.clone()),
            Node::OwnBytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Text, or a Python 2 string that is ASCII.
    pub fn text(&self, handle: Handle) -> Option<&str> {
        std::str::from_utf8(self.bytes(handle)?).ok()
    }

    pub fn int(&self, handle: Handle) -> Option<i64> {
        match self.node(handle) {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The elements of a tuple or a list.
    pub fn elements(&self, handle: Handle) -> Option<&[Handle]> {
        match self.node(handle) {
            Node::Tuple(elements) | Node::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of an object that is filled like one (`OrderedDict`).
    pub fn entries(&self, handle: Handle) -> Option<&[(Handle, Handle)]> {
        match self.node(handle) {
            Node::Dict(entries) => Some(entries),
            Node::Made(made)
                if self.is_called(made, "collections", "OrderedDict") || !made.entries.is_empty() =>
            {
                Some(&made.entries)
            }
            _ => None,
        }
    }

    /// The value under a key that is text; of two, the later one, as in Python.
    pub fn get(&self, handle: Handle, key: &str) -> Option<Handle> {
        let mut entries = self.entries(handle)?.iter().rev();
        entries.find(|(name, _)| self.bytes(*name) == Some(key.as_bytes())).map(|(_, value)| *value)
    }

    /// The name of a class or function: module and name.
    pub fn global(&self, handle: Handle) -> Option<(&str, &str)> {
        match self.node(handle) {
            Node::Global { module, name } => Some((self.text(*module)?, self.text(*name)?)),
            _ => None,
        }
    }

    pub(super) fn is_called(&self, made: &Made, module: &str, name: &str) -> bool {
        self.global(made.callable) == Some((module, name))
    }

    /// What a node is, in words.
    pub fn describe(&self, handle: Handle) -> String {
        match self.node(handle) {
            Node::None => "None".into(),
            Node::Bool(value) => format!("the truth value {value}"),
            Node::Int(value) => format!("the number {value}"),
            Node::LongInt => "a long integer".into(),
            Node::Float(value) => format!("the number {value}"),
            Node::Bytes(range) => format!("a string of {} bytes", range.len()),
            Node::OwnBytes(bytes) => format!("a string of {} bytes", bytes.len()),
            Node::Text(range) => format!("a text of {} bytes", range.len()),
            Node::List(elements) => format!("a list of {}", elements.len()),
            Node::Tuple(elements) => format!("a tuple of {}", elements.len()),
            Node::Set(elements) => format!("a set of {}", elements.len()),
            Node::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Node::Global { .. } => match self.global(handle) {
                Some((module, name)) => format!("`{module}.{name}`"),
                None => "a class".into(),
            },
            Node::Made(made) => match self.global(made.callable) {
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
