//! Archives that nobody has to trust: zips and tars whose sizes may lie, whose names may point anywhere.
//!
//! A zip is read here by its central directory, entry by entry, with flate2: sizes and checksums are held against
//! what comes out, and what an archive may claim at most is known before anything is allocated. Must not know what
//! the files inside are for.

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
    #[error("cannot read or write {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no whole archive: {reason}; copy or fetch it again", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{}: the entry `{entry}` {reason}; the archive is refused, since it may be crafted", path.display())]
    Unsafe { path: PathBuf, entry: String, reason: String },
    #[error("{} {reason}; it is refused, since it may be crafted", path.display())]
    TooLarge { path: PathBuf, reason: String },
}

impl ArchiveError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError + '_ {
        |source| ArchiveError::File { path: path.to_path_buf(), source }
    }

    fn damaged(path: &Path, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { path: path.to_path_buf(), reason: reason.into() }
    }

    fn unsafe_entry(path: &Path, entry: &str, reason: impl Into<String>) -> ArchiveError {
        let entry = entry.chars().take(200).collect::<String>().escape_debug().to_string();
        ArchiveError::Unsafe { path: path.to_path_buf(), entry, reason: reason.into() }
    }
}
