//! The pickle machine: executes opcodes into a [`Tree`] and calls nothing.

use super::PickleError;
use super::escapes::{raw_unicode, unescaped};
use super::opcodes::*;
use super::tree::{Handle, Node, Tree};
use std::collections::HashMap;
use std::ops::Range;

/// Decides which Python names are accepted.
pub trait Policy {
    /// Whether this class or function may be named at all.
    fn allows_name(&self, _module: &str, _name: &str) -> bool {
        true
    }

    /// Whether calling this function or class only creates data.
    fn allows_call(&self, module: &str, name: &str) -> bool;

    /// Whether objects of this class are accepted: they keep their state and have no behavior.
    fn allows_object(&self, module: &str, name: &str) -> bool;
}

/// Limits on the size of a pickle. Its graph needs some hundred bytes of memory per node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of nested marks.
    pub depth: usize,
    /// Number of memo entries.
    pub memo: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { nodes: 1_000_000, depth: 1_000, memo: 1_000_000 }
    }
}

/// Reads the pickle at the start of `source`.
///
/// # Errors
/// If it is damaged, names or calls what `policy` refuses, or exceeds `limits`.
pub fn read<'s>(source: &'s [u8], policy: &dyn Policy, limits: Limits) -> Result<Tree<'s>, PickleError> {
    let tree = Tree { source, nodes: Vec::new(), root: Handle(0), consumed_bytes: 0 };
    let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
    let mut machine =
        Machine { tree, policy, limits, position: 0, opcode_start: 0, decoded_bytes: 0, stack, marks, memo };
    while machine.step()? {}
    Ok(machine.tree)
}

pub(super) struct Machine<'s, 'p> {
    pub(super) tree: Tree<'s>,
    pub(super) policy: &'p dyn Policy,
    limits: Limits,
    /// Offset of the next byte.
    position: usize,
    /// Offset of the current opcode.
    pub(super) opcode_start: usize,
    /// Bytes of decoded strings, which are copies rather than ranges of the source.
    decoded_bytes: usize,
    stack: Vec<Handle>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Handle>,
}

impl Machine<'_, '_> {
    pub(super) fn damaged(&self, reason: impl Into<String>) -> PickleError {
        PickleError::Damaged { offset: self.opcode_start, reason: reason.into() }
    }

    pub(super) fn take_bytes(&mut self, count: usize) -> Result<Range<usize>, PickleError> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.tree.source.len());
        let end = end.ok_or(PickleError::Truncated { offset: self.tree.source.len() })?;
        let range = self.position..end;
        self.position = end;
        Ok(range)
    }

    pub(super) fn take_array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let range = self.take_bytes(N)?;
        let mut number = [0; N];
        number.copy_from_slice(&self.tree.source[range]);
        Ok(number)
    }

    fn take_length(&mut self, width: usize) -> Result<usize, PickleError> {
        let length = match width {
            1 => u64::from(self.take_array::<1>()?[0]),
            4 => u64::from(u32::from_le_bytes(self.take_array()?)),
            _ => u64::from_le_bytes(self.take_array()?),
        };
        usize::try_from(length).map_err(|_| self.damaged(format!("a length of {length}")))
    }

    /// The rest of the line, without its end.
    pub(super) fn take_line(&mut self) -> Result<Range<usize>, PickleError> {
        let rest = &self.tree.source[self.position..];
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or(PickleError::Truncated { offset: self.tree.source.len() })?;
        let range = self.take_bytes(length)?;
        self.position += 1;
        Ok(range)
    }

    fn utf8(&self, range: Range<usize>) -> Result<&str, PickleError> {
        std::str::from_utf8(&self.tree.source[range]).map_err(|_| self.damaged("a name that is not UTF-8"))
    }

    pub(super) fn push(&mut self, node: Node) -> Result<(), PickleError> {
        if self.tree.nodes.len() >= self.limits.nodes {
            return Err(self.too_large("values", self.limits.nodes));
        }
        // nodes are fewer than 2^32 by their limit
        let handle = Handle(self.tree.nodes.len() as u32);
        self.tree.nodes.push(node);
        self.push_handle(handle)
    }

    /// Pushes an existing node again. The stack is limited, too: a memo entry can be fetched a million times.
    fn push_handle(&mut self, handle: Handle) -> Result<(), PickleError> {
        if self.stack.len() >= self.limits.nodes {
            return Err(self.too_large("values", self.limits.nodes));
        }
        self.stack.push(handle);
        Ok(())
    }

    fn too_large(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::TooLarge { offset: self.opcode_start, what, limit }
    }

    /// A node with decoded bytes. Their total is limited: one string can be decoded many times.
    pub(super) fn owned_bytes(&mut self, bytes: Vec<u8>) -> Result<Node, PickleError> {
        // a Latin-1 byte takes two bytes in UTF-8, and is decoded back to one
        let limit = self.tree.source.len().saturating_mul(3);
        self.decoded_bytes = self.decoded_bytes.saturating_add(bytes.len());
        if self.decoded_bytes > limit {
            Err(self.too_large("decoded bytes", limit))
        } else {
            Ok(Node::OwnBytes(bytes))
        }
    }

    pub(super) fn pop(&mut self) -> Result<Handle, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.damaged("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("the stack is empty"))
    }

    pub(super) fn top(&self) -> Result<Handle, PickleError> {
        self.stack.last().copied().ok_or_else(|| self.damaged("the stack is empty"))
    }

    fn push_mark(&mut self) -> Result<(), PickleError> {
        if self.marks.len() >= self.limits.depth {
            return Err(self.too_large("nested marks", self.limits.depth));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Handle>, PickleError> {
        let height = self.marks.pop().ok_or_else(|| self.damaged("no mark is open"))?;
        Ok(self.stack.split_off(height))
    }

    pub(super) fn pop_mark_pairs(&mut self) -> Result<Vec<(Handle, Handle)>, PickleError> {
        let values = self.pop_mark()?;
        if values.len() % 2 != 0 {
            return Err(self.damaged("a key without a value"));
        }
        Ok(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn memo_put(&mut self, index: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.memo {
            return Err(self.too_large("memo entries", self.limits.memo));
        }
        self.memo.insert(index, top);
        Ok(())
    }

    fn memo_get(&mut self, index: u32) -> Result<(), PickleError> {
        let handle = self.memo.get(&index).copied();
        let handle = handle.ok_or_else(|| self.damaged(format!("memo entry {index} does not exist")))?;
        self.push_handle(handle)
    }

    /// Executes one opcode; false after the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        self.opcode_start = self.position;
        let code = self.take_array::<1>()?[0];
        match code {
            STOP => {
                self.tree.root = self.pop()?;
                self.tree.consumed_bytes = self.position;
                return Ok(false);
            }
            PROTO => {
                let version = self.take_array::<1>()?[0];
                if version > 5 {
                    return Err(self.damaged(format!("protocol {version}, and 5 is the newest known")));
                }
            }
            FRAME => {
                self.take_bytes(8)?;
            }
            MARK => self.push_mark()?,
            POP if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            POP => drop(self.pop()?),
            POP_MARK => drop(self.pop_mark()?),
            DUP => {
                let top = self.top()?;
                self.push_handle(top)?;
            }
            PUT | GET => {
                let range = self.take_line()?;
                let index = self
                    .utf8(range)?
                    .parse()
                    .map_err(|_| self.damaged("a memo index that is not a number"))?;
                if code == PUT { self.memo_put(index)? } else { self.memo_get(index)? }
            }
            BINPUT => {
                let index = self.take_array::<1>()?[0];
                self.memo_put(index.into())?;
            }
            LONG_BINPUT => {
                let index = u32::from_le_bytes(self.take_array()?);
                self.memo_put(index)?;
            }
            MEMOIZE => self.memo_put(self.memo.len() as u32)?,
            BINGET => {
                let index = self.take_array::<1>()?[0];
                self.memo_get(index.into())?;
            }
            LONG_BINGET => {
                let index = u32::from_le_bytes(self.take_array()?);
                self.memo_get(index)?;
            }
            _ => return self.simple_value(code).map(|()| true),
        }
        Ok(true)
    }

    /// Executes an opcode that pushes a simple value.
    fn simple_value(&mut self, code: u8) -> Result<(), PickleError> {
        let node = match code {
            NONE => Node::None,
            NEWTRUE => Node::Bool(true),
            NEWFALSE => Node::Bool(false),
            BININT => Node::Int(i32::from_le_bytes(self.take_array()?).into()),
            BININT1 => Node::Int(self.take_array::<1>()?[0].into()),
            BININT2 => Node::Int(u16::from_le_bytes(self.take_array()?).into()),
            INT | LONG => self.decimal_int()?,
            LONG1 | LONG4 => {
                let length = self.take_length(if code == LONG1 { 1 } else { 4 })?;
                let range = self.take_bytes(length)?;
                long(&self.tree.source[range])
            }
            BINFLOAT => Node::Float(f64::from_be_bytes(self.take_array()?)),
            FLOAT => {
                let range = self.take_line()?;
                Node::Float(self.utf8(range)?.trim().parse().map_err(|_| self.damaged("an invalid number"))?)
            }
            BINSTRING | SHORT_BINSTRING | BINBYTES | SHORT_BINBYTES | BINBYTES8 | BYTEARRAY8 => {
                let width = match code {
                    SHORT_BINSTRING | SHORT_BINBYTES => 1,
                    BINSTRING | BINBYTES => 4,
                    _ => 8,
                };
                let length = self.take_length(width)?;
                Node::Bytes(self.take_bytes(length)?)
            }
            BINUNICODE | SHORT_BINUNICODE | BINUNICODE8 => {
                let length = self.take_length(if code == SHORT_BINUNICODE {
                    1
                } else if code == BINUNICODE {
                    4
                } else {
                    8
                })?;
                Node::Text(self.take_bytes(length)?)
            }
            STRING => self.quoted_string()?,
            UNICODE => self.escaped_text()?,
            EMPTY_LIST => Node::List(Vec::new()),
            EMPTY_TUPLE => Node::Tuple(Vec::new()),
            EMPTY_DICT => Node::Dict(Vec::new()),
            EMPTY_SET => Node::Set(Vec::new()),
            _ => return self.composite_value(code),
        };
        self.push(node)
    }

    /// `I01\n` is True, `I5\n` and `L5L\n` are numbers.
    fn decimal_int(&mut self) -> Result<Node, PickleError> {
        let range = self.take_line()?;
        let text = self.utf8(range)?.trim().trim_end_matches('L');
        Ok(match text {
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            _ if text.len() > 18 => Node::LongInt,
            _ => Node::Int(text.parse().map_err(|_| self.damaged("an invalid number"))?),
        })
    }

    /// A Python 2 string literal. SMPL's own files contain even arrays in this form.
    fn quoted_string(&mut self) -> Result<Node, PickleError> {
        let range = self.take_line()?;
        let line = &self.tree.source[range.clone()];
        let is_quoted = line.len() >= 2 && line[0] == line[line.len() - 1] && matches!(line[0], b'\'' | b'"');
        if !is_quoted {
            return Err(self.damaged("a string without quotation marks"));
        }
        let range = range.start + 1..range.end - 1;
        let inside = &self.tree.source[range.clone()];
        if !inside.contains(&b'\\') {
            return Ok(Node::Bytes(range));
        }
        let bytes = unescaped(inside).ok_or_else(|| self.damaged("an invalid escape in a string"))?;
        self.owned_bytes(bytes)
    }

    /// A line of text in Python's `raw-unicode-escape`: Latin-1, and `\u` with four digits for the rest.
    fn escaped_text(&mut self) -> Result<Node, PickleError> {
        let range = self.take_line()?;
        let line = &self.tree.source[range.clone()];
        if line.is_ascii() && !line.contains(&b'\\') {
            return Ok(Node::Text(range));
        }
        let text = raw_unicode(line).ok_or_else(|| self.damaged("an invalid escape in text"))?;
        self.owned_bytes(text.into_bytes())
    }
}

/// A little-endian integer in two's complement.
fn long(bytes: &[u8]) -> Node {
    if bytes.len() > 8 {
        return Node::LongInt;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}
