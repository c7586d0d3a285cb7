//! numpy's own files: an .npz is a zip of .npy files; each of these is an array after a header with its type and shape.

use super::array::{Array, ArrayPolicy, read_array, read_object_array};
use super::elements::{Dtype, array_from_bytes};
use super::npy::{Header, split_header};
use super::tree::{Handle, Tree};
use super::{Limits, PickleError, START_BYTES, describe_foreign_file, read, with_root};
use posebook_core::archive::Zip;
use std::io::Read;
use std::path::Path;

/// An opened .npz.
pub struct Npz {
    zip: Zip,
    max_bytes: u64,
}

impl Npz {
    /// Opens an .npz whose arrays have at most `max_bytes` each.
    ///
    /// # Errors
    /// If it is not a complete zip; the message names the kind of file if it can be recognized.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Npz, PickleError> {
        Zip::open(path).map(|zip| Npz { zip, max_bytes }).map_err(|error| {
            let start = read_start(path).unwrap_or_default();
            // a missing or unreadable file keeps the zip reader's error
            let is_read = !start.is_empty() || std::fs::metadata(path).is_ok_and(|about| about.len() == 0);
            describe_foreign_file(&start).filter(|_| is_read).map_or(error.into(), PickleError::WrongFileType)
        })
    }

    /// Names of the files inside, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zip.names()
    }

    /// Passes the object in the only array of the file (`np.savez` of a dictionary) to `take`; `None` if there are several
    /// arrays, or the array is numeric.
    ///
    /// # Errors
    /// If it is damaged or too large, or `take` fails.
    pub fn with_only_object<T>(
        &mut self,
        take: impl FnOnce(&Tree, Handle) -> Result<T, PickleError>,
    ) -> Result<Option<T>, PickleError> {
        let [name] = self.zip.names().filter(|name| name.ends_with(".npy")).collect::<Vec<_>>()[..] else {
            return Ok(None);
        };
        let name = name.to_string();
        let bytes = self.zip.read(&name, self.max_bytes)?;
        if split_header(&bytes, &name)?.0.code != "O" {
            return Ok(None);
        }
        with_root(&bytes, take).map(Some)
    }

    /// The array of that name; `None` if there is none.
    ///
    /// # Errors
    /// If it is damaged, too large, or not numeric.
    pub fn get(&mut self, name: &str) -> Result<Option<Array>, PickleError> {
        let file = format!("{name}.npy");
        if self.zip.size(&file).is_none() {
            return Ok(None);
        }
        read_npy(&self.zip.read(&file, self.max_bytes)?, name).map(Some)
    }
}

/// Reads the first bytes of a file.
pub fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(START_BYTES).read_to_end(&mut start)?;
    Ok(start)
}

/// The arrays of an .npy file with at most `max_bytes`: one array of numbers, or the elements of an array of objects, as numpy
/// saves arrays of different shapes.
///
/// # Errors
/// If the file cannot be read, is too large, damaged or not an .npy.
pub fn read_npy_file(path: &Path, max_bytes: u64) -> Result<Vec<Array>, PickleError> {
    let failed = |source| PickleError::File { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    let what = "the array";
    if bytes.len() as u64 > max_bytes {
        return Err(PickleError::invalid(
            what,
            format!("the file has more than {max_bytes} bytes, the limit"),
        ));
    }
    if !bytes.starts_with(b"\x93NUMPY") {
        let start = &bytes[..bytes.len().min(START_BYTES as usize)];
        return Err(match describe_foreign_file(start) {
            Some(kind) => PickleError::WrongFileType(kind),
            None => PickleError::invalid(what, "the file is not numpy's .npy"),
        });
    }
    let (Header { code, .. }, data) = split_header(&bytes, what)?;
    if code != "O" {
        return Ok(vec![read_npy(&bytes, what)?]);
    }
    let tree = read(data, &ArrayPolicy, Limits::default())?;
    read_object_array(&tree, tree.root(), what)
}

/// Reads an .npy; `what` names it in errors. If it holds one object, reads the array inside that.
fn read_npy(bytes: &[u8], what: &str) -> Result<Array, PickleError> {
    let (Header { code, big_endian, fortran, shape }, data) = split_header(bytes, what)?;
    if code == "O" && !data.is_empty() {
        return with_root(bytes, |tree, handle| read_array(tree, handle, what));
    }
    let unsupported = || PickleError::invalid(what, format!("element type `{code}` is not supported"));
    let dtype = Dtype::parse(&code, big_endian).ok_or_else(unsupported)?;
    array_from_bytes(shape, dtype, fortran, data, what)
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
        let array = read_npy(&file(header, &data), "x").unwrap();
        assert_eq!(array, Array { shape: vec![2, 3], values: Values::Int(vec![1, 2, 3, 4, 5, -6]) });
        let header = "{'descr': '>f4', 'fortran_order': False, 'shape': (), }";
        let array = read_npy(&file(header, &1.5f32.to_be_bytes()), "x").unwrap();
        assert_eq!(array, Array { shape: vec![], values: Values::F32(vec![1.5]) });
    }

    #[test]
    fn errors_of_arrays_are_specific() {
        let message = |header: &str| read_npy(&file(header, &[0; 8]), "betas").unwrap_err().to_string();
        let said = message("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }");
        assert!(said.contains("byte 0 of the pickle is 0x00"), "{said}");
        assert!(
            message("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }")
                .contains("`U3` is not supported")
        );
        let said = message("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(said, "betas: 8 bytes for an array of shape [3] with 4 bytes each");
        for header in ["", "{'descr': '<f4'", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"] {
            assert!(message(header).contains("not an array as numpy writes it"), "{header}");
        }
        assert!(read_npy(b"\x93NUMPY\x01\x00\xff\xff{", "x").is_err());
    }
}
