//! Writes arrays as NumPy's `.npz`: an uncompressed ZIP archive of `.npy` files (format 1.0).
//!
//! Equal arrays give equal bytes: the archive has no timestamps. The writer of the `zip` crate gives other bytes (version 1.0
//! instead of 2.0, and permissions), and files of earlier versions must stay reproducible, so this module has its own.

use flate2::Crc;

/// Values of an array in C order.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// dtype `<f4`.
    F32(&'a [f32]),
    /// dtype `<f8`.
    F64(&'a [f64]),
    /// dtype `<i8`.
    I64(&'a [i64]),
    /// dtype `<U`, a single string.
    Text(&'a str),
}

impl Values<'_> {
    /// NumPy's dtype, and the bytes.
    fn encode(self) -> (String, Vec<u8>) {
        match self {
            Values::F32(values) => {
                ("<f4".into(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Values::F64(values) => {
                ("<f8".into(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Values::I64(values) => {
                ("<i8".into(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Values::Text(text) => {
                // NumPy has no empty strings: an empty one is a single zero
                let mut chars: Vec<u32> = text.chars().map(u32::from).collect();
                chars.resize(chars.len().max(1), 0);
                (
                    format!("<U{}", chars.len()),
                    chars.iter().flat_map(|char_code| char_code.to_le_bytes()).collect(),
                )
            }
        }
    }

    fn len(self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::Text(_) => 1,
        }
    }
}

/// An entry of the archive's central directory.
struct Entry {
    name: String,
    crc: u32,
    bytes: u32,
    /// Position of the local header in the archive.
    offset: u32,
}

/// Builds an archive.
#[derive(Default)]
pub struct NpzWriter {
    file: Vec<u8>,
    entries: Vec<Entry>,
}

/// Fields that are the same for all entries: version 2.0, no flags, stored, 1 January 1980.
const FIXED_FIELDS: [u8; 10] = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

impl NpzWriter {
    /// An empty archive.
    pub fn new() -> NpzWriter {
        NpzWriter::default()
    }

    /// Adds the array `name` (ASCII). An empty shape means a scalar.
    ///
    /// # Panics
    /// If the shape does not match the number of values, or the archive exceeds 4 GiB.
    pub fn add_array(self, name: &str, shape: &[usize], values: Values) -> NpzWriter {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "the shape of `{name}`");
        let (dtype, data) = values.encode();
        self.add_file(&format!("{name}.npy"), [npy_header(&dtype, shape), data].concat())
    }

    /// Adds the file `name` as it is.
    ///
    /// # Panics
    /// If the archive exceeds 4 GiB.
    pub fn add_file(mut self, name: &str, content: Vec<u8>) -> NpzWriter {
        let mut crc = Crc::new();
        crc.update(&content);
        let small = |length: usize| u32::try_from(length).expect("an archive below 4 GiB");
        let entry = Entry {
            name: name.to_string(),
            crc: crc.sum(),
            bytes: small(content.len()),
            offset: small(self.file.len()),
        };
        self.file.extend(b"PK\x03\x04");
        self.file.extend(entry.common_fields());
        self.file.extend(entry.name.as_bytes());
        self.file.extend(content);
        self.entries.push(entry);
        self
    }

    /// The bytes of the archive.
    ///
    /// # Panics
    /// If there are 65,536 arrays or more.
    pub fn into_bytes(self) -> Vec<u8> {
        let NpzWriter { mut file, entries } = self;
        let start = file.len() as u32;
        for entry in &entries {
            file.extend(b"PK\x01\x02\x14\x00");
            file.extend(entry.common_fields());
            // no comment, disk 0, no attributes
            file.extend([0; 10]);
            file.extend(entry.offset.to_le_bytes());
            file.extend(entry.name.as_bytes());
        }
        let length = file.len() as u32 - start;
        let count = u16::try_from(entries.len()).expect("fewer than 65,536 arrays").to_le_bytes();
        file.extend(b"PK\x05\x06\x00\x00\x00\x00");
        file.extend([count, count].concat());
        file.extend(length.to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend([0; 2]);
        file
    }
}

impl Entry {
    /// The fields that a local header and the central directory share, from "version needed" to "extra field length".
    fn common_fields(&self) -> Vec<u8> {
        let mut bytes = FIXED_FIELDS.to_vec();
        bytes.extend(self.crc.to_le_bytes());
        // stored: both sizes are the same
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }
}

/// The header of a `.npy` file, padded so that the values begin at a multiple of 64 bytes.
fn npy_header(dtype: &str, shape: &[usize]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    // as a Python tuple: (), (3,), (3, 4)
    let shape = match shape.len() {
        1 => sides.trim_end().to_string(),
        _ => sides.trim_end_matches(", ").to_string(),
    };
    let mut text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let prefix = b"\x93NUMPY\x01\x00".len() + 2;
    let total = (prefix + text.len() + 1).next_multiple_of(64);
    text.extend(std::iter::repeat_n(' ', total - prefix - text.len() - 1));
    text.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        NpzWriter::new()
            .add_array("number", &[], Values::F32(&[2.5]))
            .add_array("row", &[3], Values::I64(&[1, -2, 1 << 40]))
            .add_array("square", &[2, 2], Values::F32(&[1.0, 2.0, 3.0, f32::MIN_POSITIVE]))
            .add_array("name", &[], Values::Text("grün"))
            .into_bytes()
    }

    #[test]
    fn equal_arrays_give_equal_bytes() {
        assert_eq!(archive(), archive());
        let text = String::from_utf8_lossy(&npy_header("<f4", &[23, 3, 3])).into_owned();
        assert!(text.contains("{'descr': '<f4', 'fortran_order': False, 'shape': (23, 3, 3), }"), "{text}");
        assert!(String::from_utf8_lossy(&npy_header("<f4", &[7])).contains("'shape': (7,), }"));
        assert!(
            [&[][..], &[1], &[1, 2, 3, 4]]
                .iter()
                .all(|shape| npy_header("<U12", shape).len().is_multiple_of(64))
        );
    }

    #[test]
    #[should_panic(expected = "the shape of `a`")]
    fn a_shape_that_does_not_match_panics() {
        let _ = NpzWriter::new().add_array("a", &[2, 2], Values::F32(&[1.0]));
    }
}
