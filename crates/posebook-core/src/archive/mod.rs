//! Reads and unpacks ZIP and TAR archives from untrusted sources: sizes may be wrong and names may point anywhere.
//!
//! The crates `zip` and `tar` parse. What an archive may contain is decided here: sizes and checksums are compared with the
//! decompressed data, an archive's claims are limited before memory is allocated, and what two programs could read
//! differently is rejected. A ZIP is read by its central directory, a TAR as a stream.

mod tar;
#[cfg(test)]
mod tests;
mod unpack;
mod zip;

pub use unpack::{Limits, unpack};
pub use zip::Zip;

use std::io;
use std::path::{Path, PathBuf};

/// Why an archive cannot be read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    File {
        /// The archive or an unpacked file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The archive is not a supported one, damaged or truncated.
    #[error("{} is not a complete archive: {reason}; copy or fetch it again", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An entry is inconsistent, or its name points outside of the folder.
    #[error("{}: the entry `{entry}` {reason}; the archive is rejected, since it may be crafted", path.display())]
    Unsafe {
        /// The archive.
        path: PathBuf,
        /// The entry's name, escaped.
        entry: String,
        /// What is wrong, as a predicate.
        reason: String,
    },
    /// The archive as a whole exceeds a limit or is inconsistent.
    #[error("{} {reason}; it is rejected, since it may be crafted", path.display())]
    Rejected {
        /// The archive.
        path: PathBuf,
        /// What is wrong, as a predicate.
        reason: String,
    },
}

impl ArchiveError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError + '_ {
        |source| ArchiveError::File { path: path.to_path_buf(), source }
    }

    fn damaged(path: &Path, reason: impl ToString) -> ArchiveError {
        ArchiveError::Damaged { path: path.to_path_buf(), reason: reason.to_string() }
    }

    fn rejected(path: &Path, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Rejected { path: path.to_path_buf(), reason: reason.into() }
    }

    fn unsafe_entry(path: &Path, entry: &str, reason: impl Into<String>) -> ArchiveError {
        let entry = entry.chars().take(200).collect::<String>().escape_debug().to_string();
        ArchiveError::Unsafe { path: path.to_path_buf(), entry, reason: reason.into() }
    }
}
