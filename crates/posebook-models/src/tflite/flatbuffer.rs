//! Bounds-checked access to the tables, vectors and strings of a flatbuffer.
//!
//! Layout: <https://flatbuffers.dev/internals/>. All values are little-endian. A table starts with the signed
//! distance back to its vtable; the vtable holds its own size, the table's size and one 16-bit position per
//! field, 0 for an absent field. Vectors and strings start with their length. The meaning of tables is up to `model`.

use super::TfliteError;
use std::fmt::Display;

/// The bytes of a file.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

/// A table whose vtable lies inside the file.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    bytes: Bytes<'a>,
    at: usize,
    vtable: usize,
    vtable_bytes: usize,
    table_bytes: usize,
}

/// A vector whose elements all lie inside the file.
#[derive(Debug, Clone, Copy)]
pub struct Vector<'a> {
    bytes: Bytes<'a>,
    /// Position of the first element.
    start: usize,
    len: usize,
}

impl<'a> Bytes<'a> {
    /// An error about the item `what` at byte `at`.
    pub fn damaged(&self, what: impl Display, at: usize, problem: impl Display) -> TfliteError {
        TfliteError::Damaged { what: what.to_string(), at, problem: problem.to_string(), bytes: self.0.len() }
    }

    /// `N` bytes at byte `at`.
    fn array<const N: usize>(&self, at: usize, what: &str) -> Result<[u8; N], TfliteError> {
        let found =
            at.checked_add(N).and_then(|end| self.0.get(at..end)).and_then(|part| part.try_into().ok());
        found.ok_or_else(|| self.damaged(what, at, "is beyond the end of the file"))
    }

    fn u16(&self, at: usize, what: &str) -> Result<u16, TfliteError> {
        Ok(u16::from_le_bytes(self.array(at, what)?))
    }

    fn u32(&self, at: usize, what: &str) -> Result<u32, TfliteError> {
        Ok(u32::from_le_bytes(self.array(at, what)?))
    }

    /// The target of the unsigned offset at byte `at`. Offsets point forward only, which rules out cycles.
    fn follow(&self, at: usize, what: &str) -> Result<usize, TfliteError> {
        let offset = self.u32(at, what)?;
        let target = usize::try_from(offset).ok().and_then(|offset| at.checked_add(offset));
        match target {
            Some(target) if offset > 0 && target < self.0.len() => Ok(target),
            _ => Err(self.damaged(what, at, format!("points {offset} bytes further, outside of the file"))),
        }
    }

    /// The root table.
    pub fn root(&self) -> Result<Table<'a>, TfliteError> {
        let at = self.follow(0, "the root table")?;
        self.table(at, "the root table")
    }

    /// The table at byte `at`.
    fn table(&self, at: usize, what: &str) -> Result<Table<'a>, TfliteError> {
        let back = i32::from_le_bytes(self.array(at, what)?);
        let vtable =
            i64::try_from(at).ok().map(|at| at - i64::from(back)).and_then(|at| usize::try_from(at).ok());
        let Some(vtable) = vtable.filter(|&vtable| vtable < self.0.len()) else {
            return Err(self.damaged(
                what,
                at,
                format!("has its vtable {back} bytes before it, outside of the file"),
            ));
        };
        let vtable_bytes = usize::from(self.u16(vtable, what)?);
        let table_bytes = usize::from(self.u16(vtable + 2, what)?);
        if vtable_bytes < 4 || table_bytes < 4 {
            return Err(self.damaged(what, vtable, "has a vtable shorter than its own header"));
        }
        if vtable + vtable_bytes > self.0.len() || at + table_bytes > self.0.len() {
            return Err(self.damaged(what, at, "is longer than the file"));
        }
        Ok(Table { bytes: *self, at, vtable, vtable_bytes, table_bytes })
    }
}

impl<'a> Table<'a> {
    /// Where the table starts.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The position of a field of `size` bytes; `None` if it is absent.
    fn field(&self, number: usize, size: usize, what: &str) -> Result<Option<usize>, TfliteError> {
        let entry = 4 + 2 * number;
        if entry + 2 > self.vtable_bytes {
            return Ok(None);
        }
        match usize::from(self.bytes.u16(self.vtable + entry, what)?) {
            0 => Ok(None),
            offset if offset >= 4 && offset + size <= self.table_bytes => Ok(Some(self.at + offset)),
            offset => {
                let problem = format!("is at byte {offset} of a table of {} bytes", self.table_bytes);
                Err(self.bytes.damaged(what, self.at, problem))
            }
        }
    }

    /// A u8 field, or the default.
    pub fn u8(&self, number: usize, default: u8, what: &str) -> Result<u8, TfliteError> {
        match self.field(number, 1, what)? {
            Some(at) => Ok(u8::from_le_bytes(self.bytes.array(at, what)?)),
            None => Ok(default),
        }
    }

    /// An i32 field, or the default.
    pub fn i32(&self, number: usize, default: i32, what: &str) -> Result<i32, TfliteError> {
        match self.field(number, 4, what)? {
            Some(at) => Ok(i32::from_le_bytes(self.bytes.array(at, what)?)),
            None => Ok(default),
        }
    }

    /// A u32 field, or the default.
    pub fn u32(&self, number: usize, default: u32, what: &str) -> Result<u32, TfliteError> {
        self.field(number, 4, what)?.map_or(Ok(default), |at| self.bytes.u32(at, what))
    }

    /// A table that a field points to.
    pub fn table(&self, number: usize, what: &str) -> Result<Option<Table<'a>>, TfliteError> {
        let Some(at) = self.field(number, 4, what)? else { return Ok(None) };
        self.bytes.table(self.bytes.follow(at, what)?, what).map(Some)
    }

    /// A vector of elements of `size` bytes; empty if the field is absent.
    pub fn vector(&self, number: usize, size: usize, what: &str) -> Result<Vector<'a>, TfliteError> {
        let Some(at) = self.field(number, 4, what)? else {
            return Ok(Vector { bytes: self.bytes, start: 0, len: 0 });
        };
        let at = self.bytes.follow(at, what)?;
        let len = self.bytes.u32(at, what)? as usize;
        let start = at + 4;
        let left = self.bytes.0.len().saturating_sub(start);
        if len.checked_mul(size).is_none_or(|bytes| bytes > left) {
            let problem = format!("claims {len} elements of {size} bytes where {left} bytes are left");
            return Err(self.bytes.damaged(what, at, problem));
        }
        Ok(Vector { bytes: self.bytes, start, len })
    }

    /// The bytes of a vector of bytes; empty if the field is absent.
    pub fn data(&self, number: usize, what: &str) -> Result<&'a [u8], TfliteError> {
        let vector = self.vector(number, 1, what)?;
        Ok(self.bytes.0.get(vector.start..vector.start + vector.len).unwrap_or_default())
    }

    /// A string; empty if the field is absent.
    pub fn text(&self, number: usize, what: &str) -> Result<&'a str, TfliteError> {
        let data = self.data(number, what)?;
        std::str::from_utf8(data)
            .map_err(|_| self.bytes.damaged(what, self.at, "has a name that is not UTF-8"))
    }
}

impl<'a> Vector<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The table that an element of a vector of offsets points to.
    pub fn table(&self, index: usize, what: &str) -> Result<Table<'a>, TfliteError> {
        self.bytes.table(self.bytes.follow(self.start + 4 * index, what)?, what)
    }

    /// The elements of a vector of i32.
    pub fn i32s(&self) -> impl Iterator<Item = i32> + 'a {
        let bytes = self.bytes.0.get(self.start..self.start + 4 * self.len).unwrap_or_default();
        bytes.as_chunks::<4>().0.iter().map(|number| i32::from_le_bytes(*number))
    }
}
