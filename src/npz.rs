//! Arrays written as NumPy's `.npz`: a ZIP archive of `.npy` files (format 1.0), stored and not compressed.
//!
//! The same arrays give the same bytes: the archive bears no time. Must not know what the arrays mean.

use flate2::Crc;

/// Values of an array, row by row (C order).
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// `<f4`
    F32(&'a [f32]),
    /// `<i8`
    I64(&'a [i64]),
    /// `<U`, one text.
    Text(&'a str),
}

impl Values<'_> {
    /// NumPy's name of the type, and the bytes.
    fn written(self) -> (String, Vec<u8>) {
        match self {
            Values::F32(values) => {
                ("<f4".into(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Values::I64(values) => {
                ("<i8".into(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Values::Text(text) => {
                // NumPy has no text of no letters: an empty one is a single zero
                let mut letters: Vec<u32> = text.chars().map(u32::from).collect();
                letters.resize(letters.len().max(1), 0);
                (
                    format!("<U{}", letters.len()),
                    letters.iter().flat_map(|letter| letter.to_le_bytes()).collect(),
                )
            }
        }
    }

    fn len(self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::Text(_) => 1,
        }
    }
}

/// What the archive's list says of a file in it.
struct Entry {
    name: String,
    crc: u32,
    bytes: u32,
    at: u32,
}

/// An archive under construction.
#[derive(Default)]
pub struct Npz {
    file: Vec<u8>,
    entries: Vec<Entry>,
}

/// Versions, flags and time as every file in the archive has them: 2.0, none, stored, the first of January 1980.
const PLAIN: [u8; 10] = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

impl Npz {
    pub fn new() -> Npz {
        Npz::default()
    }

    /// Adds the array `name` (of ASCII letters). No shape at all is a single number.
    ///
    /// # Panics
    /// If the shape does not fit the values, or the archive grows beyond 4 GiB: a bug of its maker.
    pub fn array(self, name: &str, shape: &[usize], values: Values) -> Npz {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "the shape of `{name}`");
        let (kind, data) = values.written();
        self.file(&format!("{name}.npy"), [header(&kind, shape), data].concat())
    }

    /// Adds the file `name` as it is.
    ///
    /// # Panics
    /// If the archive grows beyond 4 GiB: a bug of its maker.
    pub(crate) fn file(mut self, name: &str, content: Vec<u8>) -> Npz {
        let mut crc = Crc::new();
        crc.update(&content);
        let small = |length: usize| u32::try_from(length).expect("an archive below 4 GiB");
        let entry = Entry {
            name: name.to_string(),
            crc: crc.sum(),
            bytes: small(content.len()),
            at: small(self.file.len()),
        };
        self.file.extend(b"PK\x03\x04");
        self.file.extend(entry.about());
        self.file.extend(entry.name.as_bytes());
        self.file.extend(content);
        self.entries.push(entry);
        self
    }

    /// The bytes of the file.
    ///
    /// # Panics
    /// If there are 65,536 arrays or more.
    pub fn finish(self) -> Vec<u8> {
        let Npz { mut file, entries } = self;
        let start = file.len() as u32;
        for entry in &entries {
            file.extend(b"PK\x01\x02\x14\x00");
            file.extend(entry.about());
            // no comment, disk 0, no attributes
            file.extend([0; 10]);
            file.extend(entry.at.to_le_bytes());
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
    /// What stands before a file and in the list alike, from the version needed to the extra field's length.
    fn about(&self) -> Vec<u8> {
        let mut bytes = PLAIN.to_vec();
        bytes.extend(self.crc.to_le_bytes());
        // stored: both sizes are the same
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }
}

/// What a `.npy` file begins with: the values begin at a multiple of 64 bytes.
fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    // Python's way: (), (3,), (3, 4)
    let shape = match shape.len() {
        1 => sides.trim_end().to_string(),
        _ => sides.trim_end_matches(", ").to_string(),
    };
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + 2;
    let whole = (before + text.len() + 1).next_multiple_of(64);
    text.extend(std::iter::repeat_n(' ', whole - before - text.len() - 1));
    text.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::npy::NpzTensors;

    fn archive() -> Vec<u8> {
        Npz::new()
            .array("number", &[], Values::F32(&[2.5]))
            .array("row", &[3], Values::I64(&[1, -2, 1 << 40]))
            .array("square", &[2, 2], Values::F32(&[1.0, 2.0, 3.0, f32::MIN_POSITIVE]))
            .array("name", &[], Values::Text("grün"))
            .finish()
    }

    #[test]
    fn another_reader_finds_the_arrays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arrays.npz");
        std::fs::write(&path, archive()).unwrap();
        let read = NpzTensors::new(&path).unwrap();
        let square = read.get("square").unwrap().unwrap();
        assert_eq!(square.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, f32::MIN_POSITIVE]]);
        assert_eq!(read.get("row").unwrap().unwrap().to_vec1::<i64>().unwrap(), [1, -2, 1 << 40]);
        assert_eq!(read.get("number").unwrap().unwrap().to_scalar::<f32>().unwrap(), 2.5);
    }

    #[test]
    fn the_same_arrays_are_the_same_bytes() {
        assert_eq!(archive(), archive());
        let text = String::from_utf8_lossy(&header("<f4", &[23, 3, 3])).into_owned();
        assert!(text.contains("{'descr': '<f4', 'fortran_order': False, 'shape': (23, 3, 3), }"), "{text}");
        assert!(String::from_utf8_lossy(&header("<f4", &[7])).contains("'shape': (7,), }"));
        assert!(
            [&[][..], &[1], &[1, 2, 3, 4]].iter().all(|shape| header("<U12", shape).len().is_multiple_of(64))
        );
    }

    #[test]
    #[should_panic(expected = "the shape of `a`")]
    fn a_wrong_shape_is_a_bug() {
        let _ = Npz::new().array("a", &[2, 2], Values::F32(&[1.0]));
    }
}
