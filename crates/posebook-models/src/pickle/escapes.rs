//! Undoes the escapes of strings in pickle protocol 0.

/// Undoes the escapes of a Python 2 string literal.
pub(super) fn unescaped(inside: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let [byte, behind @ ..] = rest {
        if *byte != b'\\' {
            out.push(*byte);
            rest = behind;
            continue;
        }
        let (letter, behind) = behind.split_first()?;
        rest = behind;
        out.push(match letter {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\\' | b'\'' | b'"' => *letter,
            b'x' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

/// Decodes `raw-unicode-escape`.
pub(super) fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let [byte, behind @ ..] = rest {
        let digits = match (byte, behind.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(*byte));
                rest = behind;
                continue;
            }
        };
        let number = std::str::from_utf8(behind.get(1..1 + digits)?).ok()?;
        out.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
        rest = &behind[1 + digits..];
    }
    Some(out)
}

/// Decodes bytes that were written as text: each character is a byte. `None` if a character is above 255, or the text is not
/// UTF-8.
pub(super) fn latin1(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        out.push(match byte {
            0..0x80 => *byte,
            // characters 128 to 255 have two bytes in UTF-8
            0xc2 | 0xc3 => {
                let (second, behind) = rest.split_first().filter(|(second, _)| **second & 0xc0 == 0x80)?;
                rest = behind;
                (byte & 0x03) << 6 | (second & 0x3f)
            }
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::latin1;

    #[test]
    fn every_byte_survives_as_text() {
        let all: Vec<u8> = (0..=255).collect();
        let text: String = all.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(latin1(text.as_bytes()), Some(all));
        for damaged in [&b"\xc2"[..], b"\xc3a", b"\xc4\x80", b"\xe2\x82\xac", b"\x80", b"a\xff"] {
            assert_eq!(latin1(damaged), None, "{damaged:?}");
        }
    }
}
