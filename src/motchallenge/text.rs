//! Bytes to lines: encodings and line ends.

use super::MotError;
use std::path::Path;

/// The text of a file, whatever its encoding was.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    pub content: String,
    /// What a person should know about how it was read.
    pub notes: Vec<String>,
}

impl Text {
    /// Reads the file at `path`: UTF-8 or, by its byte order mark, UTF-16.
    ///
    /// # Errors
    /// If it cannot be read, or is no text: what it is instead, and what to do.
    pub fn read(path: &Path) -> Result<Text, MotError> {
        let bytes =
            std::fs::read(path).map_err(|source| MotError::Io { path: path.to_path_buf(), source })?;
        Text::decode(&bytes, path)
    }

    /// The text that `bytes` are; `path` is for the errors and notes alone.
    ///
    /// # Errors
    /// As [`Text::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Text, MotError> {
        let wrong = |problem: String| MotError::file(path, problem);
        let plain = match bytes {
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
                return Err(wrong(format!("this is UTF-32; convert it: {}", iconv("UTF-32", path))));
            }
            [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes, path),
            [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes, path),
            [0x1f, 0x8b, ..] => return Err(wrong("this is compressed by gzip; unpack it first".into())),
            [b'P', b'K', 3, 4, ..] => return Err(wrong("this is a zip file; unpack it first".into())),
            bytes => bytes,
        };
        if let Some(problem) = zeros(plain, path) {
            return Err(problem);
        }
        let content = std::str::from_utf8(plain).map_err(|error| {
            let line = lines_before(&plain[..error.valid_up_to()]);
            MotError::line(path, line, "this is no UTF-8 text; convert the file, or remove the line")
        })?;
        Ok(Text { content: content.to_string(), notes: Vec::new() })
    }

    /// The lines with their numbers from 1, those of blanks alone and comments (`#`) left out. A line ends with
    /// LF, CRLF or CR.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let ended = self.content.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let numbered = ended.flat_map(|line| line.split('\r')).zip(1..);
        let meant = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        numbered.filter(move |(line, _)| meant(line)).map(|(line, number)| (number, line))
    }
}

fn iconv(from: &str, path: &Path) -> String {
    format!("`iconv -f {from} -t UTF-8 {}`", path.display())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, path: &Path) -> Result<Text, MotError> {
    let (pairs, rest) = bytes.as_chunks();
    let content: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    match content {
        Ok(content) if rest.is_empty() && !content.contains('\0') => {
            Ok(Text { content, notes: vec![format!("{} is UTF-16, and was read as that", path.display())] })
        }
        _ => Err(MotError::file(path, "this begins as UTF-16 and is damaged; write it again as UTF-8")),
    }
}

/// What is wrong with text that has zero bytes in it.
fn zeros(bytes: &[u8], path: &Path) -> Option<MotError> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let most = bytes.len() * 2 / 5;
    for (from, name) in [(1, "UTF-16LE"), (0, "UTF-16BE")] {
        if bytes.len() >= 4 && zeros(from) >= most {
            let problem = format!(
                "this looks like {name} without a byte order mark; convert it: {}",
                iconv(name, path)
            );
            return Some(MotError::file(path, problem));
        }
    }
    let problem = "there is a zero byte in it: the file is damaged or no text; write it again";
    Some(MotError::line(path, lines_before(&bytes[..at]), problem))
}

/// The number of the line that comes after `bytes`, from 1.
fn lines_before(bytes: &[u8]) -> usize {
    let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Text, String> {
        Text::decode(bytes, Path::new("gt.txt")).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_end_in_any_way() {
        for end in ["\n", "\r\n", "\r"] {
            let text = decode(format!("\u{feff}a{end}{end} # no{end}b{end}").as_bytes()).unwrap();
            assert_eq!(text.lines().collect::<Vec<_>>(), [(1, "a"), (4, "b")], "{end:?}");
        }
        assert_eq!(decode(b"").unwrap().lines().count(), 0);
    }

    #[test]
    fn utf16_is_read_by_its_mark() {
        let units: Vec<u16> = "\u{feff}1,2\r\n3,4".encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [&little, &big] {
            let text = decode(bytes).unwrap();
            assert_eq!(text.lines().collect::<Vec<_>>(), [(1, "1,2"), (2, "3,4")]);
            assert_eq!(text.notes, ["gt.txt is UTF-16, and was read as that"]);
        }
        assert!(decode(&little[..9]).unwrap_err().contains("is damaged"));
        let without = decode(&little[2..]).unwrap_err();
        assert!(without.contains("UTF-16LE without a byte order mark"), "{without}");
        assert!(without.contains("iconv -f UTF-16LE -t UTF-8 gt.txt"), "{without}");
        assert!(decode(&big[2..]).unwrap_err().contains("UTF-16BE"));
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert!(decode(b"1,2\n3,4\n\0\n").unwrap_err().starts_with("gt.txt, line 3: there is a zero byte"));
        assert!(decode(b"1,2\r3\xe9\r").unwrap_err().starts_with("gt.txt, line 2: this is no UTF-8"));
        assert!(decode(b"\x1f\x8b\x08\0").unwrap_err().contains("gzip"));
        assert!(decode(b"PK\x03\x04").unwrap_err().contains("zip file"));
        assert!(decode(b"\xff\xfe\0\0").unwrap_err().contains("UTF-32"));
    }
}
