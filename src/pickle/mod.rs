//! Data out of Python's pickles, without Python and without running anything.
//!
//! A pickle is a program: it names functions and has them called. Here it is read as data: calls of the few
//! functions that make arrays, tensors and dictionaries are written down as what they would have made
//! ([`Node::Made`]), objects of other classes keep their state and have no behaviour, and a call of anything else
//! is an error that names the function and the place. Nothing is ever called: the lists of what is refused keep a
//! crafted file from passing as a good one, and are not what safety rests on.
//!
//! [`machine`] reads the opcodes, [`packed`] what may lie around a pickle (zlib and gzip, as joblib writes them; .npy),
//! [`recognize`] names files of another kind, [`array`] knows numpy's, scipy's and chumpy's arrays, [`npz`] numpy's own files,
//! [`torch`] the files of `torch.save`. Must not know which network or body the numbers belong to.

pub mod array;
mod escapes;
mod joblib;
pub mod machine;
pub mod npz;
mod objects;
mod opcodes;
mod packed;
mod recognize;
pub mod torch;
mod tree;

pub use machine::{Limits, Policy, read};
pub use packed::{unpacked, with_object};
pub use recognize::{START_BYTES, foreign};
pub use tree::{Handle, Node, Tree};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_packed;

use crate::archive::ArchiveError;
use std::path::PathBuf;

/// Why a pickle, or a file with pickles in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// A file of another kind: what it is, and what to do.
    #[error("this is {0}")]
    Foreign(&'static str),
    #[error(
        "the pickle ends at byte {at}, in the middle of an instruction; the file is cut short: copy it again"
    )]
    EndsEarly { at: usize },
    #[error(
        "byte {at} of the pickle is {code:#04x}, which is no instruction; this is no pickle, or a damaged one"
    )]
    NoOpcode { at: usize, code: u8 },
    #[error("the pickle is damaged at byte {at}: {reason}")]
    Damaged { at: usize, reason: String },
    #[error(
        "at byte {at} the pickle asks for `{name}`, which makes no array, tensor or dictionary; it was not called, and \
         the file is refused: it may be crafted. Where it is not, save its tensors alone in a new file"
    )]
    Refused { at: usize, name: String },
    #[error(
        "the pickle goes beyond the limit of {limit} {what} at byte {at}; it is refused, since it may be crafted"
    )]
    TooLarge { at: usize, what: &'static str, limit: usize },
    #[error("{what} is {found}, and {wanted} is needed")]
    Unexpected { what: String, found: String, wanted: &'static str },
    #[error("{what}: {reason}")]
    Wrong { what: String, reason: String },
}

impl PickleError {
    fn wrong(what: impl Into<String>, reason: impl Into<String>) -> PickleError {
        PickleError::Wrong { what: what.into(), reason: reason.into() }
    }
}
