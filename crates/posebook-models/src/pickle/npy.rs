//! The .npy format: a header that gives element type, order and shape, followed by the data.

use super::PickleError;

/// Header of an .npy.
pub(super) struct Header {
    /// numpy's code without its byte order: `f8`; `O` for pickled objects.
    pub code: String,
    /// Byte order of the elements.
    pub big_endian: bool,
    /// Whether the first index is fastest.
    pub fortran: bool,
    /// Length of each axis.
    pub shape: Vec<usize>,
}

/// Splits an .npy into its header and its data; `what` names it in errors.
pub(super) fn split_header<'b>(bytes: &'b [u8], what: &str) -> Result<(Header, &'b [u8]), PickleError> {
    let wrong = |reason: &str| PickleError::invalid(what, reason);
    let damaged = || wrong("is not an array as numpy writes it");
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
    let code =
        header_value(header, "descr").map(|text| text.trim_matches(['\'', '"'])).ok_or_else(damaged)?;
    let fortran = header_value(header, "fortran_order") == Some("True");
    let shape = header_value(header, "shape").and_then(parse_shape).ok_or_else(damaged)?;
    let (order, code) = code.split_at_checked(1).ok_or_else(damaged)?;
    let code = code.to_string();
    Ok((Header { code, big_endian: order == ">", fortran, shape }, data))
}

/// The text after a key of the header, which is a Python dictionary literal.
fn header_value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, behind) = header.split_once(&format!("'{key}':"))?;
    let behind = behind.trim_start();
    let end = match behind.strip_prefix('(') {
        Some(inside) => inside.find(')')? + 2,
        None => behind.find([',', '}'])?,
    };
    Some(behind[..end].trim())
}

/// `(200, 3)`, `(10,)` or `()`.
fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    let sides = inside.split(',').map(str::trim).filter(|side| !side.is_empty());
    sides.map(|side| side.trim_end_matches('L').parse::<u32>().ok().map(|side| side as usize)).collect()
}
