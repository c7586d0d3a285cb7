//! The machine that reads a pickle's instructions into a [`Tree`], and calls nothing.

use super::PickleError;
use super::escapes::{raw_unicode, unescaped};
use super::opcodes::*;
use super::tree::{Handle, Node, Tree};
use std::collections::HashMap;
use std::ops::Range;

/// Which names are known to stand for data.
pub trait Policy {
    /// Whether a class or a function of this name may be in the pickle at all.
    fn may_be_named(&self, _module: &str, _name: &str) -> bool {
        true
    }

    /// Whether calling this function, or class, makes something that is only data.
    fn may_be_called(&self, module: &str, name: &str) -> bool;

    /// Whether objects of this class may stand in the pickle: they keep their state and have no behaviour.
    fn may_stand(&self, module: &str, name: &str) -> bool;
}

/// What a pickle may be at most. Its graph takes some hundred bytes of memory per node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub nodes: usize,
    /// Marks within marks.
    pub depth: usize,
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
/// If it is damaged, calls what `policy` does not know, or goes beyond `limits`.
pub fn read<'s>(source: &'s [u8], policy: &dyn Policy, limits: Limits) -> Result<Tree<'s>, PickleError> {
    let tree = Tree { source, nodes: Vec::new(), root: Handle(0), length: 0 };
    let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
    let mut machine = Machine { tree, policy, limits, at: 0, began: 0, decoded: 0, stack, marks, memo };
    while machine.step()? {}
    Ok(machine.tree)
}

pub(super) struct Machine<'s, 'p> {
    pub(super) tree: Tree<'s>,
    pub(super) policy: &'p dyn Policy,
    limits: Limits,
    /// The next byte.
    at: usize,
    /// Where the present instruction began.
    pub(super) began: usize,
    /// Bytes that were decoded and are not the source's own.
    decoded: usize,
    stack: Vec<Handle>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Handle>,
}

impl Machine<'_, '_> {
    pub(super) fn damaged(&self, reason: impl Into<String>) -> PickleError {
        PickleError::Damaged { at: self.began, reason: reason.into() }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<Range<usize>, PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.tree.source.len());
        let end = end.ok_or(PickleError::EndsEarly { at: self.tree.source.len() })?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let range = self.bytes(N)?;
        let mut number = [0; N];
        number.copy_from_slice(&self.tree.source[range]);
        Ok(number)
    }

    fn length(&mut self, width: usize) -> Result<usize, PickleError> {
        let length = match width {
            1 => u64::from(self.number::<1>()?[0]),
            4 => u64::from(u32::from_le_bytes(self.number()?)),
            _ => u64::from_le_bytes(self.number()?),
        };
        usize::try_from(length).map_err(|_| self.damaged(format!("a length of {length}")))
    }

    /// The rest of the line, its end left out.
    pub(super) fn line(&mut self) -> Result<Range<usize>, PickleError> {
        let rest = &self.tree.source[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or(PickleError::EndsEarly { at: self.tree.source.len() })?;
        let range = self.bytes(length)?;
        self.at += 1;
        Ok(range)
    }

    fn words(&self, range: Range<usize>) -> Result<&str, PickleError> {
        std::str::from_utf8(&self.tree.source[range]).map_err(|_| self.damaged("a name that is no text"))
    }

    pub(super) fn push(&mut self, node: Node) -> Result<(), PickleError> {
        if self.tree.nodes.len() >= self.limits.nodes {
            return Err(self.too_large("values", self.limits.nodes));
        }
        // nodes are fewer than 2^32 by their limit
        let handle = Handle(self.tree.nodes.len() as u32);
        self.tree.nodes.push(node);
        self.push_again(handle)
    }

    /// What is recalled a million times is still there once, but the stack holds its handles.
    fn push_again(&mut self, handle: Handle) -> Result<(), PickleError> {
        if self.stack.len() >= self.limits.nodes {
            return Err(self.too_large("values", self.limits.nodes));
        }
        self.stack.push(handle);
        Ok(())
    }

    fn too_large(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::TooLarge { at: self.began, what, limit }
    }

    /// Bytes of our own: a text that is decoded again and again must not fill the memory.
    pub(super) fn own(&mut self, bytes: Vec<u8>) -> Result<Node, PickleError> {
        // a byte of Latin-1 takes two in UTF-8, and is decoded back to one
        let limit = 3 * self.tree.source.len();
        self.decoded += bytes.len();
        if self.decoded > limit {
            Err(self.too_large("decoded bytes", limit))
        } else {
            Ok(Node::OwnBytes(bytes))
        }
    }

    pub(super) fn pop(&mut self) -> Result<Handle, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.damaged("a value is taken where none is"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("a value is taken where none is"))
    }

    pub(super) fn top(&self) -> Result<Handle, PickleError> {
        self.stack.last().copied().ok_or_else(|| self.damaged("a value is asked for where none is"))
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        if self.marks.len() >= self.limits.depth {
            return Err(self.too_large("marks within marks", self.limits.depth));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn since_mark(&mut self) -> Result<Vec<Handle>, PickleError> {
        let height = self.marks.pop().ok_or_else(|| self.damaged("no mark is open"))?;
        Ok(self.stack.split_off(height))
    }

    pub(super) fn pairs_since_mark(&mut self) -> Result<Vec<(Handle, Handle)>, PickleError> {
        let values = self.since_mark()?;
        if values.len() % 2 != 0 {
            return Err(self.damaged("a key without a value"));
        }
        Ok(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn remember(&mut self, index: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.memo {
            return Err(self.too_large("remembered values", self.limits.memo));
        }
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), PickleError> {
        let handle = self.memo.get(&index).copied();
        let handle = handle.ok_or_else(|| self.damaged(format!("value {index} was never remembered")))?;
        self.push_again(handle)
    }

    /// One instruction; false after the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        self.began = self.at;
        let code = self.number::<1>()?[0];
        match code {
            STOP => {
                self.tree.root = self.pop()?;
                self.tree.length = self.at;
                return Ok(false);
            }
            PROTO => {
                let version = self.number::<1>()?[0];
                if version > 5 {
                    return Err(self.damaged(format!("protocol {version}, and 5 is the newest known")));
                }
            }
            FRAME => {
                self.bytes(8)?;
            }
            MARK => self.mark()?,
            POP if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            POP => drop(self.pop()?),
            POP_MARK => drop(self.since_mark()?),
            DUP => {
                let top = self.top()?;
                self.push_again(top)?;
            }
            PUT | GET => {
                let range = self.line()?;
                let index =
                    self.words(range)?.parse().map_err(|_| self.damaged("a place that is no number"))?;
                if code == PUT { self.remember(index)? } else { self.recall(index)? }
            }
            BINPUT => {
                let index = self.number::<1>()?[0];
                self.remember(index.into())?;
            }
            LONG_BINPUT => {
                let index = u32::from_le_bytes(self.number()?);
                self.remember(index)?;
            }
            MEMOIZE => self.remember(self.memo.len() as u32)?,
            BINGET => {
                let index = self.number::<1>()?[0];
                self.recall(index.into())?;
            }
            LONG_BINGET => {
                let index = u32::from_le_bytes(self.number()?);
                self.recall(index)?;
            }
            _ => return self.value(code).map(|()| true),
        }
        Ok(true)
    }

    /// An instruction that makes a simple value.
    fn value(&mut self, code: u8) -> Result<(), PickleError> {
        let node = match code {
            NONE => Node::None,
            NEWTRUE => Node::Bool(true),
            NEWFALSE => Node::Bool(false),
            BININT => Node::Int(i32::from_le_bytes(self.number()?).into()),
            BININT1 => Node::Int(self.number::<1>()?[0].into()),
            BININT2 => Node::Int(u16::from_le_bytes(self.number()?).into()),
            INT | LONG => self.written_int()?,
            LONG1 | LONG4 => {
                let length = self.length(if code == LONG1 { 1 } else { 4 })?;
                let range = self.bytes(length)?;
                long(&self.tree.source[range])
            }
            BINFLOAT => Node::Float(f64::from_be_bytes(self.number()?)),
            FLOAT => {
                let range = self.line()?;
                Node::Float(
                    self.words(range)?.trim().parse().map_err(|_| self.damaged("a number that is none"))?,
                )
            }
            BINSTRING | SHORT_BINSTRING | BINBYTES | SHORT_BINBYTES | BINBYTES8 | BYTEARRAY8 => {
                let width = match code {
                    SHORT_BINSTRING | SHORT_BINBYTES => 1,
                    BINSTRING | BINBYTES => 4,
                    _ => 8,
                };
                let length = self.length(width)?;
                Node::Bytes(self.bytes(length)?)
            }
            BINUNICODE | SHORT_BINUNICODE | BINUNICODE8 => {
                let length = self.length(if code == SHORT_BINUNICODE {
                    1
                } else if code == BINUNICODE {
                    4
                } else {
                    8
                })?;
                Node::Text(self.bytes(length)?)
            }
            STRING => self.quoted()?,
            UNICODE => self.escaped_text()?,
            EMPTY_LIST => Node::List(Vec::new()),
            EMPTY_TUPLE => Node::Tuple(Vec::new()),
            EMPTY_DICT => Node::Dict(Vec::new()),
            EMPTY_SET => Node::Set(Vec::new()),
            _ => return self.gather(code),
        };
        self.push(node)
    }

    /// `I01\n` is True, `I5\n` and `L5L\n` are numbers.
    fn written_int(&mut self) -> Result<Node, PickleError> {
        let range = self.line()?;
        let words = self.words(range)?.trim().trim_end_matches('L');
        Ok(match words {
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            _ if words.len() > 18 => Node::LongInt,
            _ => Node::Int(words.parse().map_err(|_| self.damaged("a number that is none"))?),
        })
    }

    /// A Python 2 string as `repr` writes it. SMPL's own files are written so, arrays and all.
    fn quoted(&mut self) -> Result<Node, PickleError> {
        let range = self.line()?;
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
        let bytes = unescaped(inside).ok_or_else(|| self.damaged("a string with an escape that is none"))?;
        self.own(bytes)
    }

    /// A line of text in Python's `raw-unicode-escape`: Latin-1, and `\u` with four digits for the rest.
    fn escaped_text(&mut self) -> Result<Node, PickleError> {
        let range = self.line()?;
        let line = &self.tree.source[range.clone()];
        if line.is_ascii() && !line.contains(&b'\\') {
            return Ok(Node::Text(range));
        }
        let text = raw_unicode(line).ok_or_else(|| self.damaged("text with an escape that is none"))?;
        self.own(text.into_bytes())
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
