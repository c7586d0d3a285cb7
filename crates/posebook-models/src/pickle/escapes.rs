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
