//! Errors of fetching: which file failed, and what to do next.

use crate::archive::ArchiveError;
use std::io;
use std::path::{Path, PathBuf};

/// Why files cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A manifest is invalid.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An archive cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A Debian package cannot be unpacked.
    #[error("{}: {reason}", path.display())]
    Deb {
        /// The package.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No source gave the file.
    #[error("{file} cannot be fetched:{attempts}\n{help}")]
    Unreachable {
        /// Name of the file.
        file: String,
        /// What was tried, a line each.
        attempts: String,
        /// What to do.
        help: String,
    },
    /// A file has another SHA-256 than the manifest says.
    #[error(
        "{file} has the SHA-256 {found}, expected {expected}; it was deleted: it is another version, or was changed in \
         transfer"
    )]
    WrongSha256 {
        /// Name of the file.
        file: String,
        /// SHA-256 of the downloaded file.
        found: String,
        /// SHA-256 of the manifest.
        expected: String,
    },
    /// A file has another size than the manifest says.
    #[error("{file} has {found} bytes, expected {expected}; it was deleted")]
    WrongLength {
        /// Name of the file.
        file: String,
        /// Bytes of the downloaded file.
        found: u64,
        /// Bytes by the manifest.
        expected: u64,
    },
    /// An archive lacks a member.
    #[error("there is no `{member}` in {file}")]
    MissingMember {
        /// Name of the archive.
        file: String,
        /// Path of the member.
        member: String,
    },
    /// A file provided by the user does not match the manifest.
    #[error("{}: {reason}", path.display())]
    ProvidedFile {
        /// The user's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The user has not accepted the license.
    #[error("the licence of `{name}` ({licence}) has to be accepted: `{command} --accept-licence`")]
    LicenseNotAccepted {
        /// Name of the manifest.
        name: String,
        /// Name of the license.
        licence: String,
        /// The command that fetches the manifest.
        command: String,
    },
    /// No variable says where the cache is.
    #[error("there is no folder for fetched files: set POSEBOOK_CACHE to one, or HOME")]
    NoCacheFolder,
    /// Fetching was stopped on request.
    #[error("stopped; the partial download is kept and will be resumed")]
    Stopped,
    /// Several files cannot be fetched.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Multiple(Vec<FetchError>),
}

impl FetchError {
    /// Converts an error of reading or writing `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> FetchError + '_ {
        |source| FetchError::Io { path: path.to_path_buf(), source }
    }
}
