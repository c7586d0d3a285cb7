//! What may lie around a pickle: zlib or gzip, as joblib writes them, or numpy's .npy with an object in it.

use super::array::Arrays;
use super::npz::{Header, split};
use super::recognize::foreign;
use super::tree::{Handle, Node, Tree};
use super::{Limits, PickleError, read};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// The bytes of a pickle or an .npy file, unpacked where zlib or gzip packed them (`joblib.dump(..., compress=True)`).
///
/// # Errors
/// If the file is something else, or what is packed is damaged or longer than `most_bytes`.
pub fn unpacked(bytes: &[u8], most_bytes: u64) -> Result<Cow<'_, [u8]>, PickleError> {
    let plain = match bytes {
        [0x1f, 0x8b, ..] => Cow::Owned(taken(MultiGzDecoder::new(bytes), most_bytes, "gzip")?),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            Cow::Owned(taken(ZlibDecoder::new(bytes), most_bytes, "zlib")?)
        }
        bytes => Cow::Borrowed(bytes),
    };
    match foreign(&plain[..plain.len().min(super::START_BYTES as usize)]) {
        Some(what) if !plain.starts_with(b"\x93NUMPY") => Err(PickleError::Foreign(what)),
        _ => Ok(plain),
    }
}

fn taken(packed: impl Read, most_bytes: u64, by: &str) -> Result<Vec<u8>, PickleError> {
    let mut bytes = Vec::new();
    let wrong = |reason: String| PickleError::wrong(format!("what {by} packed"), reason);
    packed
        .take(most_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("is damaged ({error}); copy the file again")))?;
    if bytes.len() as u64 > most_bytes {
        return Err(wrong(format!("has more than {most_bytes} bytes, which nothing that is read here has")));
    }
    Ok(bytes)
}

/// Reads a pickle, or an .npy with an object (`np.save` of a dictionary), and takes something out of it: `take` gets
/// the graph and the value that it is about.
///
/// # Errors
/// If it is damaged, or `take` fails.
pub fn with_object<T>(
    bytes: &[u8],
    take: impl FnOnce(&Tree, Handle) -> Result<T, PickleError>,
) -> Result<T, PickleError> {
    let pickle = match bytes {
        [0x93, b'N', ..] => {
            let (Header { code, .. }, data) = split(bytes, "the file")?;
            if code != "O" {
                let reason = "is one array of numbers alone (.npy), where several with names are needed";
                return Err(PickleError::wrong("the file", reason));
            }
            data
        }
        bytes => bytes,
    };
    let tree = read(pickle, &Arrays, Limits::default())?;
    take(&tree, inside(&tree, tree.root()))
}

/// The one object of an array of objects; anything else is itself.
fn inside(tree: &Tree, handle: Handle) -> Handle {
    let Node::Made(made) = tree.node(handle) else { return handle };
    let state = made.state.and_then(|state| tree.elements(state)).unwrap_or_default();
    // `_reconstruct`'s state is (1, shape, dtype, fortran, objects), and bytes where there are numbers
    match state.get(4).and_then(|objects| tree.elements(*objects)) {
        Some([object]) => *object,
        _ => handle,
    }
}
