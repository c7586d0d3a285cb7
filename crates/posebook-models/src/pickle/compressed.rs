//! Containers of a pickle: zlib and gzip, as joblib writes them, and numpy's .npy with an object.

use super::array::ArrayPolicy;
use super::file_type::describe_foreign_file;
use super::npy::{Header, split_header};
use super::tree::{Handle, Node, Tree};
use super::{Limits, PickleError, read};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// Decompresses a pickle or an .npy file if it is zlib or gzip (`joblib.dump(..., compress=True)`).
///
/// # Errors
/// If the file is of another kind, is damaged, or decompresses to more than `max_bytes`.
pub fn decompress(bytes: &[u8], max_bytes: u64) -> Result<Cow<'_, [u8]>, PickleError> {
    let plain = match bytes {
        [0x1f, 0x8b, ..] => Cow::Owned(read_limited(MultiGzDecoder::new(bytes), max_bytes, "gzip")?),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            Cow::Owned(read_limited(ZlibDecoder::new(bytes), max_bytes, "zlib")?)
        }
        bytes => Cow::Borrowed(bytes),
    };
    match describe_foreign_file(&plain[..plain.len().min(super::START_BYTES as usize)]) {
        Some(what) if !plain.starts_with(b"\x93NUMPY") => Err(PickleError::WrongFileType(what)),
        _ => Ok(plain),
    }
}

fn read_limited(packed: impl Read, max_bytes: u64, by: &str) -> Result<Vec<u8>, PickleError> {
    let mut bytes = Vec::new();
    let wrong = |reason: String| PickleError::invalid(format!("the {by} data"), reason);
    packed
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("is damaged ({error}); copy the file again")))?;
    if bytes.len() as u64 > max_bytes {
        return Err(wrong(format!("has more than {max_bytes} bytes, the limit")));
    }
    Ok(bytes)
}

/// Reads a pickle, or an .npy with an object (`np.save` of a dictionary), and passes the graph and its root to `take`.
///
/// # Errors
/// If it is damaged, or `take` fails.
pub fn with_root<T>(
    bytes: &[u8],
    take: impl FnOnce(&Tree, Handle) -> Result<T, PickleError>,
) -> Result<T, PickleError> {
    let pickle = match bytes {
        [0x93, b'N', ..] => {
            let (Header { code, .. }, data) = split_header(bytes, "the file")?;
            if code != "O" {
                let reason = "is a single array (.npy), where several named ones are needed";
                return Err(PickleError::invalid("the file", reason));
            }
            data
        }
        bytes => bytes,
    };
    let tree = read(pickle, &ArrayPolicy, Limits::default())?;
    take(&tree, unwrap_object_array(&tree, tree.root()))
}

/// The element of an object array with one element; any other node is returned unchanged.
fn unwrap_object_array(tree: &Tree, handle: Handle) -> Handle {
    let Node::Object(object) = tree.node(handle) else { return handle };
    let state = object.state.and_then(|state| tree.elements(state)).unwrap_or_default();
    // `_reconstruct`'s state is (1, shape, dtype, fortran, objects); a numeric array has bytes instead of objects
    match state.get(4).and_then(|objects| tree.elements(*objects)) {
        Some([object]) => *object,
        _ => handle,
    }
}
