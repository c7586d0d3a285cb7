//! Reads Python pickles as data, without Python and without executing anything.
//!
//! A pickle is a program that names functions and calls them. Here calls are recorded instead (`Node::Object`): for the
//! few functions that create arrays, tensors and dictionaries the result is derived from the arguments; objects of other
//! classes keep their state; any other call is an error with the function's name and offset. Nothing is ever called, so
//! safety does not depend on the lists of names; the lists keep a crafted file from being accepted as a valid one.
//!
//! [`machine`] executes the opcodes; `compressed` handles zlib, gzip and .npy containers; `file_type` recognizes other
//! kinds of files; [`mod@array`] reads arrays of numpy, scipy and chumpy; [`npz`] numpy's own files; [`torch`] the files of
//! `torch.save`; [`state_dict`] dictionaries of arrays such as detectron2's.

pub mod array;
mod compressed;
mod elements;
mod escapes;
mod file_type;
mod joblib;
pub mod machine;
mod npy;
pub mod npz;
mod objects;
mod opcodes;
pub mod state_dict;
pub mod torch;
mod tree;

pub use compressed::{decompress, with_root};
pub use file_type::{START_BYTES, describe_foreign_file};
pub use machine::{Limits, read};
pub use tree::{Handle, Tree};

#[cfg(test)]
mod state_dict_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_compressed;

use posebook_core::archive::ArchiveError;
use std::path::PathBuf;

/// Why a pickle, or a file that contains pickles, cannot be read. Offsets are in bytes from the start of the pickle.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// The zip file is damaged or refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file of another kind; the text says which, and what to do.
    #[error("this is {0}")]
    WrongFileType(&'static str),
    /// The data ends inside an opcode.
    #[error(
        "the pickle ends at byte {offset}, in the middle of an opcode; the file is truncated: copy it again"
    )]
    Truncated {
        /// Length of the data.
        offset: usize,
    },
    /// An unknown opcode.
    #[error(
        "byte {offset} of the pickle is {code:#04x}, which is not an opcode; this is not a pickle, or it is damaged"
    )]
    UnknownOpcode {
        /// Offset of the opcode.
        offset: usize,
        /// Its value.
        code: u8,
    },
    /// The opcodes are inconsistent.
    #[error("the pickle is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Offset of the opcode.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// The policy refuses a name or a call.
    #[error(
        "at byte {offset} the pickle refers to `{name}`, which does not create an array, tensor or dictionary; it was not called, and \
         the file is refused: it may be malicious. If it is not, save only its tensors in a new file"
    )]
    Refused {
        /// Offset of the opcode.
        offset: usize,
        /// The function or class.
        name: String,
    },
    /// A limit is exceeded.
    #[error(
        "the pickle exceeds the limit of {limit} {what} at byte {offset}; it is refused, since it may be malicious"
    )]
    TooLarge {
        /// Offset of the opcode.
        offset: usize,
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A value of another type than expected.
    #[error("{what} is {found}, where {wanted} is needed")]
    Unexpected {
        /// Which value.
        what: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Values that do not make sense.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which value.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

impl PickleError {
    fn invalid(what: impl Into<String>, reason: impl Into<String>) -> PickleError {
        PickleError::Invalid { what: what.into(), reason: reason.into() }
    }
}
