//! Writes a pickle of protocol 3 as a stream: what PHALP's results consist of, and nothing else.
//!
//! The reader's memo holds only names, element types and the current frame's key, in slots that are used again, so that it
//! does not grow with the file. Protocol 3 has bytes as they are; protocol 2 would need each as a character of a text.

use super::opcodes as op;
use std::collections::HashMap;
use std::io::{self, Write};

/// Slots of the memo below 256, which one byte addresses. The first ones are given to names as they come.
const KEY_SLOT: u8 = 255;
const SOURCE_SLOT: u8 = 254;

/// An element type of numpy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Single precision.
    F4,
    /// 64-bit integer.
    I8,
}

/// What is in the memo.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Shared {
    Text(&'static str),
    Global(&'static str, &'static str),
    Dtype(Dtype),
    /// `(0,)`, the shape of an array before its state is set.
    NoShape,
}

/// Writes opcodes.
pub struct Pickler<W> {
    out: W,
    memo: HashMap<Shared, u8>,
}

impl<W: Write> Pickler<W> {
    /// Begins a pickle.
    pub fn new(mut out: W) -> io::Result<Pickler<W>> {
        out.write_all(&[op::PROTO, 3])?;
        Ok(Pickler { out, memo: HashMap::new() })
    }

    /// Ends the pickle.
    pub fn finish(mut self) -> io::Result<W> {
        self.code(op::STOP)?;
        Ok(self.out)
    }

    pub fn code(&mut self, code: u8) -> io::Result<()> {
        self.out.write_all(&[code])
    }

    pub fn int(&mut self, value: i64) -> io::Result<()> {
        if let Ok(value) = u8::try_from(value) {
            return self.out.write_all(&[op::BININT1, value]);
        }
        if let Ok(value) = i32::try_from(value) {
            self.code(op::BININT)?;
            return self.out.write_all(&value.to_le_bytes());
        }
        self.out.write_all(&[op::LONG1, 8])?;
        self.out.write_all(&value.to_le_bytes())
    }

    pub fn float(&mut self, value: f64) -> io::Result<()> {
        self.code(op::BINFLOAT)?;
        self.out.write_all(&value.to_be_bytes())
    }

    /// A text that is written in full.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.sized(op::BINUNICODE, text.as_bytes())
    }

    fn sized(&mut self, code: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a value above 4 GiB"))?;
        self.code(code)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match u8::try_from(bytes.len()) {
            Ok(length) => {
                self.out.write_all(&[op::SHORT_BINBYTES, length])?;
                self.out.write_all(bytes)
            }
            Err(_) => self.sized(op::BINBYTES, bytes),
        }
    }

    /// Fetches a shared value from the memo, or writes it and stores it there.
    fn shared(&mut self, value: Shared, write: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(&slot) = self.memo.get(&value) {
            return self.out.write_all(&[op::BINGET, slot]);
        }
        write(self)?;
        // some forty values; a slot that is not free would be overwritten by a frame's key
        let slot = u8::try_from(self.memo.len()).ok().filter(|slot| *slot < SOURCE_SLOT);
        let slot = slot.ok_or_else(|| io::Error::other("the memo of the pickle is full"))?;
        self.memo.insert(value, slot);
        self.out.write_all(&[op::BINPUT, slot])
    }

    /// A text that occurs often, such as a key.
    pub fn name(&mut self, name: &'static str) -> io::Result<()> {
        self.shared(Shared::Text(name), |this| this.text(name))
    }

    fn global(&mut self, module: &'static str, name: &'static str) -> io::Result<()> {
        self.shared(Shared::Global(module, name), |this| write!(this.out, "c{module}\n{name}\n"))
    }

    /// Stores the value on top of the stack as the current frame's key.
    pub fn store_key(&mut self) -> io::Result<()> {
        self.out.write_all(&[op::BINPUT, KEY_SLOT])
    }

    /// The current frame's key.
    pub fn fetch_key(&mut self) -> io::Result<()> {
        self.out.write_all(&[op::BINGET, KEY_SLOT])
    }

    /// The path of the video, which is part of every frame's key: in full the first time.
    pub fn source(&mut self, source: &str, is_first: bool) -> io::Result<()> {
        if is_first {
            self.text(source)?;
            return self.out.write_all(&[op::BINPUT, SOURCE_SLOT]);
        }
        self.out.write_all(&[op::BINGET, SOURCE_SLOT])
    }

    /// `numpy.dtype("f4", False, True)` with the state of a little-endian type.
    fn dtype(&mut self, dtype: Dtype) -> io::Result<()> {
        self.shared(Shared::Dtype(dtype), |this| {
            this.global("numpy", "dtype")?;
            this.text(match dtype {
                Dtype::F4 => "f4",
                Dtype::I8 => "i8",
            })?;
            for code in [op::NEWFALSE, op::NEWTRUE, op::TUPLE3, op::REDUCE, op::MARK] {
                this.code(code)?;
            }
            this.int(3)?;
            this.text("<")?;
            (0..3).try_for_each(|_| this.code(op::NONE))?;
            [-1, -1, 0].into_iter().try_for_each(|value| this.int(value))?;
            this.code(op::TUPLE)?;
            this.code(op::BUILD)
        })
    }

    /// An array in single precision, C order.
    pub fn array(&mut self, shape: &[usize], values: &[f32]) -> io::Result<()> {
        // numpy's old module: the new name, `numpy._core`, is unknown to numpy before 1.26
        self.global("numpy.core.multiarray", "_reconstruct")?;
        self.global("numpy", "ndarray")?;
        self.shared(Shared::NoShape, |this| {
            this.int(0)?;
            this.code(op::TUPLE1)
        })?;
        self.bytes(b"b")?;
        [op::TUPLE3, op::REDUCE, op::MARK].into_iter().try_for_each(|code| self.code(code))?;
        self.int(1)?;
        self.code(op::MARK)?;
        shape.iter().try_for_each(|&side| self.int(side as i64))?;
        self.code(op::TUPLE)?;
        self.dtype(Dtype::F4)?;
        self.code(op::NEWFALSE)?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(&bytes)?;
        self.code(op::TUPLE)?;
        self.code(op::BUILD)
    }

    /// A scalar of numpy, by its bytes.
    pub fn scalar(&mut self, dtype: Dtype, bytes: &[u8]) -> io::Result<()> {
        self.global("numpy.core.multiarray", "scalar")?;
        self.dtype(dtype)?;
        self.bytes(bytes)?;
        self.code(op::TUPLE2)?;
        self.code(op::REDUCE)
    }

    /// A list: one call of `write` for each item.
    pub fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        self.code(op::EMPTY_LIST)?;
        self.code(op::MARK)?;
        items.into_iter().try_for_each(|item| write(self, item))?;
        self.code(op::APPENDS)
    }

    /// A dictionary whose entries `write` writes, each a name and a value.
    pub fn dict(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.code(op::EMPTY_DICT)?;
        self.code(op::MARK)?;
        write(self)?;
        self.code(op::SETITEMS)
    }
}
