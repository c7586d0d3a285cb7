//! Decodes the bytes of a file to lines: encodings and line ends.

use super::MotError;
use std::path::Path;

/// The decoded text of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedText {
    /// The text.
    pub content: String,
    /// Notes for the user on how the file was read.
    pub notes: Vec<String>,
}

impl DecodedText {
    /// Reads the file at `path`: UTF-8 or, with a byte order mark, UTF-16.
    ///
    /// # Errors
    /// If it cannot be read, or is not text: what it is instead, and what to do.
    pub fn read(path: &Path) -> Result<DecodedText, MotError> {
        let bytes =
            std::fs::read(path).map_err(|source| MotError::Io { path: path.to_path_buf(), source })?;
        DecodedText::decode(&bytes, path)
    }

    /// Decodes `bytes`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`DecodedText::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<DecodedText, MotError> {
        let file_error = |problem: String| MotError::file(path, problem);
        let content_bytes = match bytes {
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
                return Err(file_error(format!("this is UTF-32; convert it: {}", iconv("UTF-32", path))));
            }
            [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes, path),
            [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes, path),
            [0x1f, 0x8b, ..] => return Err(file_error("this is compressed by gzip; unpack it first".into())),
            [b'P', b'K', 3, 4, ..] => return Err(file_error("this is a zip file; unpack it first".into())),
            bytes => bytes,
        };
        if let Some(problem) = check_zero_bytes(content_bytes, path) {
            return Err(problem);
        }
        let content = std::str::from_utf8(content_bytes).map_err(|error| {
            let line = lines_before(&content_bytes[..error.valid_up_to()]);
            MotError::line(path, line, "this is not UTF-8; convert the file, or remove the line")
        })?;
        Ok(DecodedText { content: content.to_string(), notes: Vec::new() })
    }

    /// The lines with their numbers from 1, without blank lines and comments (`#`). A line ends with LF, CRLF or
    /// CR.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lf_lines = self.content.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let numbered = lf_lines.flat_map(|line| line.split('\r')).zip(1..);
        let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        numbered.filter(move |(line, _)| is_content(line)).map(|(line, number)| (number, line))
    }
}

fn iconv(from: &str, path: &Path) -> String {
    format!("`iconv -f {from} -t UTF-8 {}`", path.display())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, path: &Path) -> Result<DecodedText, MotError> {
    let (pairs, rest) = bytes.as_chunks();
    let content: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    match content {
        Ok(content) if rest.is_empty() && !content.contains('\0') => {
            Ok(DecodedText { content, notes: vec![format!("{} was decoded as UTF-16", path.display())] })
        }
        _ => Err(MotError::file(path, "this begins as UTF-16 and is damaged; write it again as UTF-8")),
    }
}

/// The error for text with zero bytes; `None` if it has none.
fn check_zero_bytes(bytes: &[u8], path: &Path) -> Option<MotError> {
    let position = bytes.iter().position(|byte| *byte == 0)?;
    let zero_count = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let most = bytes.len() * 2 / 5;
    for (from, name) in [(1, "UTF-16LE"), (0, "UTF-16BE")] {
        if bytes.len() >= 4 && zero_count(from) >= most {
            let problem = format!(
                "this looks like {name} without a byte order mark; convert it: {}",
                iconv(name, path)
            );
            return Some(MotError::file(path, problem));
        }
    }
    let problem = "it contains a zero byte: the file is damaged or not text; write it again";
    Some(MotError::line(path, lines_before(&bytes[..position]), problem))
}

/// Number of the line after `bytes`, counted from 1.
fn lines_before(bytes: &[u8]) -> usize {
    let ends = bytes.iter().enumerate().filter(|(index, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(index + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<DecodedText, String> {
        DecodedText::decode(bytes, Path::new("gt.txt")).map_err(|error| error.to_string())
    }

    #[test]
    fn all_line_ends_are_accepted() {
        for end in ["\n", "\r\n", "\r"] {
            let text = decode(format!("\u{feff}a{end}{end} # no{end}b{end}").as_bytes()).unwrap();
            assert_eq!(text.lines().collect::<Vec<_>>(), [(1, "a"), (4, "b")], "{end:?}");
        }
        assert_eq!(decode(b"").unwrap().lines().count(), 0);
    }

    #[test]
    fn utf16_is_recognized_by_its_byte_order_mark() {
        let units: Vec<u16> = "\u{feff}1,2\r\n3,4".encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [&little, &big] {
            let text = decode(bytes).unwrap();
            assert_eq!(text.lines().collect::<Vec<_>>(), [(1, "1,2"), (2, "3,4")]);
            assert_eq!(text.notes, ["gt.txt was decoded as UTF-16"]);
        }
        assert!(decode(&little[..9]).unwrap_err().contains("is damaged"));
        let without = decode(&little[2..]).unwrap_err();
        assert!(without.contains("UTF-16LE without a byte order mark"), "{without}");
        assert!(without.contains("iconv -f UTF-16LE -t UTF-8 gt.txt"), "{without}");
        assert!(decode(&big[2..]).unwrap_err().contains("UTF-16BE"));
    }

    #[test]
    fn files_that_are_not_text_are_errors() {
        assert!(
            decode(b"1,2\n3,4\n\0\n").unwrap_err().starts_with("gt.txt, line 3: it contains a zero byte")
        );
        assert!(decode(b"1,2\r3\xe9\r").unwrap_err().starts_with("gt.txt, line 2: this is not UTF-8"));
        assert!(decode(b"\x1f\x8b\x08\0").unwrap_err().contains("gzip"));
        assert!(decode(b"PK\x03\x04").unwrap_err().contains("zip file"));
        assert!(decode(b"\xff\xfe\0\0").unwrap_err().contains("UTF-32"));
    }
}
