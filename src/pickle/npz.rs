//! numpy's own files: an .npz is a zip of .npy, each an array behind a line that says its type and shape.

use super::array::{Array, Dtype, array, from_bytes};
use super::tree::{Handle, Tree};
use super::{PickleError, START_BYTES, foreign, with_object};
use crate::archive::Zip;
use std::io::Read;
use std::path::Path;

/// An .npz, opened.
pub struct Npz {
    zip: Zip,
    most_bytes: u64,
}

impl Npz {
    /// Opens an .npz whose arrays have at most `most_bytes` each.
    ///
    /// # Errors
    /// If it is no whole zip; what else it is, if that can be told.
    pub fn open(path: &Path, most_bytes: u64) -> Result<Npz, PickleError> {
        Zip::open(path).map(|zip| Npz { zip, most_bytes }).map_err(|error| {
            let start = start_of(path).unwrap_or_default();
            // what is not there, or cannot be read, is told by the zip's error
            let is_read = !start.is_empty() || std::fs::metadata(path).is_ok_and(|about| about.len() == 0);
            foreign(&start).filter(|_| is_read).map_or(error.into(), PickleError::Foreign)
        })
    }

    /// The files in it, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zip.names()
    }

    /// What `take` finds in the object that the file's only array holds (`np.savez` of a dictionary); `None` where
    /// there are several arrays, or the one is of numbers.
    ///
    /// # Errors
    /// If it is damaged or too long, or `take` fails.
    pub fn only_object<T>(
        &mut self,
        take: impl FnOnce(&Tree, Handle) -> Result<T, PickleError>,
    ) -> Result<Option<T>, PickleError> {
        let [name] = self.zip.names().filter(|name| name.ends_with(".npy")).collect::<Vec<_>>()[..] else {
            return Ok(None);
        };
        let name = name.to_string();
        let bytes = self.zip.whole(&name, self.most_bytes)?;
        if split(&bytes, &name)?.0.code != "O" {
            return Ok(None);
        }
        with_object(&bytes, take).map(Some)
    }

    /// The array of that name; `None` where there is none.
    ///
    /// # Errors
    /// If it is damaged, too long, or no array of numbers.
    pub fn get(&mut self, name: &str) -> Result<Option<Array>, PickleError> {
        let file = format!("{name}.npy");
        if self.zip.size(&file).is_none() {
            return Ok(None);
        }
        npy(&self.zip.whole(&file, self.most_bytes)?, name).map(Some)
    }
}

/// The first bytes of a file.
pub fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(START_BYTES).read_to_end(&mut start)?;
    Ok(start)
}

/// What an .npy says before its numbers.
pub(super) struct Header {
    /// numpy's code without its byte order: `f8`; `O` for objects, which are pickled.
    pub code: String,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

/// The array of an .npy; `what` names it in errors. Of an array with one object it is the array in that.
fn npy(bytes: &[u8], what: &str) -> Result<Array, PickleError> {
    let (Header { code, big_endian, fortran, shape }, data) = split(bytes, what)?;
    if code == "O" && !data.is_empty() {
        return with_object(bytes, |tree, handle| array(tree, handle, what));
    }
    let unsupported = || PickleError::wrong(what, format!("numbers of type `{code}` are not supported"));
    let dtype = Dtype::of(&code, big_endian).ok_or_else(unsupported)?;
    from_bytes(shape, dtype, fortran, data, what)
}

/// An .npy's header, and what lies behind it; `what` names it in errors.
pub(super) fn split<'b>(bytes: &'b [u8], what: &str) -> Result<(Header, &'b [u8]), PickleError> {
    let wrong = |reason: &str| PickleError::wrong(what, reason);
    let damaged = || wrong("is no array as numpy writes it");
    let Some([b'\x93', b'N', b'U', b'M', b'P', b'Y', major, _, rest @ ..]) = Some(bytes) else {
        return Err(damaged());
    };
    let (length, rest) = match (*major, rest) {
        (1, [a, b, rest @ ..]) => (u32::from(u16::from_le_bytes([*a, *b])), rest),
        (2 | 3, [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return Err(damaged()),
    };
    let (header, data) = rest.split_at_checked(length as usize).ok_or_else(damaged)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged())?;
    let code = value(header, "descr").map(|text| text.trim_matches(['\'', '"'])).ok_or_else(damaged)?;
    let fortran = value(header, "fortran_order") == Some("True");
    let shape = value(header, "shape").and_then(shape).ok_or_else(damaged)?;
    let (order, code) = code.split_at_checked(1).ok_or_else(damaged)?;
    let code = code.to_string();
    Ok((Header { code, big_endian: order == ">", fortran, shape }, data))
}

/// What stands behind a key of the header, which is a dictionary as Python writes it.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, behind) = header.split_once(&format!("'{key}':"))?;
    let behind = behind.trim_start();
    let end = match behind.strip_prefix('(') {
        Some(inside) => inside.find(')')? + 2,
        None => behind.find([',', '}'])?,
    };
    Some(behind[..end].trim())
}

/// `(200, 3)`, `(10,)` or `()`.
fn shape(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    let sides = inside.split(',').map(str::trim).filter(|side| !side.is_empty());
    sides.map(|side| side.trim_end_matches('L').parse::<u32>().ok().map(|side| side as usize)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::array::Values;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn headers_say_type_order_and_shape() {
        let header = "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let data: Vec<u8> = [1i16, 4, 2, 5, 3, -6].iter().flat_map(|value| value.to_le_bytes()).collect();
        let array = npy(&file(header, &data), "x").unwrap();
        assert_eq!(array, Array { shape: vec![2, 3], values: Values::Int(vec![1, 2, 3, 4, 5, -6]) });
        let header = "{'descr': '>f4', 'fortran_order': False, 'shape': (), }";
        let array = npy(&file(header, &1.5f32.to_be_bytes()), "x").unwrap();
        assert_eq!(array, Array { shape: vec![], values: Values::F32(vec![1.5]) });
    }

    #[test]
    fn what_is_wrong_with_an_array_is_told() {
        let told = |header: &str| npy(&file(header, &[0; 8]), "betas").unwrap_err().to_string();
        let said = told("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }");
        assert!(said.contains("byte 0 of the pickle is 0x00"), "{said}");
        assert!(
            told("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }")
                .contains("`U3` are not supported")
        );
        let said = told("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(said, "betas: 8 bytes for an array of shape [3] with 4 bytes each");
        for header in ["", "{'descr': '<f4'", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"] {
            assert!(told(header).contains("no array as numpy writes it"), "{header}");
        }
        assert!(npy(b"\x93NUMPY\x01\x00\xff\xff{", "x").is_err());
    }
}
