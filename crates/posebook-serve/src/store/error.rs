//! Errors of the store.

use crate::problem::{Problem, StatusCode};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no space for the change; nothing of it was recorded.
    #[error("the disk of {} is full, so the database cannot be written: free space there and try again", folder.display())]
    DiskFull {
        /// Folder of the database.
        folder: PathBuf,
    },
    /// The folder is on a file system that cannot hold the database.
    #[error(
        "{} is on {name}: the queue's database needs a local disk, because network file systems do not keep locks and syncs; \
         name a folder on a local disk with --data",
        folder.display()
    )]
    Network {
        /// The folder.
        folder: PathBuf,
        /// Name of the file system.
        name: &'static str,
    },
    /// The database cannot be opened.
    #[error("the database {} cannot be opened: {message}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Cause.
        message: String,
    },
    /// The file or its folder cannot be written.
    #[error("the database {} cannot be written: give this user the right to write the file and its folder", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a database.
    #[error("{} is not a database: move it away, or name another folder with --data", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is the database of another program.
    #[error(
        "{} is the database of another program: move it away, or name another folder with --data",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote the database.
    #[error(
        "the database {} has the version {found}, and this program knows versions up to {known}: start the program that \
         wrote it, or name another folder with --data",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Newest version that this program supports.
        known: i64,
    },
    /// The content of the database is damaged.
    #[error(
        "the database is damaged: {what}; restore the data folder from a copy, or name another with --data"
    )]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// Another program, such as the command line of SQLite, holds the database.
    #[error(
        "another program has held the database {} for 10 s: close it and try again",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Another change in the same transaction failed, so this one was undone too. It may be repeated.
    #[error("the change was not recorded, because another one failed at the same time: try again")]
    Undone,
    /// SQLite fails.
    #[error("the database: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Sqlite(Arc::new(error))
    }
}

impl StoreError {
    /// The error of a value of a row that is not what was written there.
    pub(super) fn damaged(what: &str, error: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { what: format!("{what}: {error}") }
    }

    /// The more specific error for codes of SQLite that concern the file `path`.
    pub(super) fn in_file(self, path: &Path) -> StoreError {
        use rusqlite::ErrorCode as Code;
        let StoreError::Sqlite(error) = &self else { return self };
        let rusqlite::Error::SqliteFailure(failure, message) = &**error else { return self };
        let path = path.to_path_buf();
        let folder = path.parent().unwrap_or(&path).to_path_buf();
        let message = || message.clone().unwrap_or_else(|| failure.to_string());
        match failure.code {
            Code::DiskFull => StoreError::DiskFull { folder },
            // SQLite reports a full disk as an error of input and output where it extends or syncs a file
            Code::SystemIoFailure | Code::CannotOpen if is_full(&folder) => StoreError::DiskFull { folder },
            Code::CannotOpen => StoreError::Open { path, message: message() },
            Code::ReadOnly | Code::PermissionDenied => StoreError::ReadOnly { path },
            Code::NotADatabase => StoreError::NotADatabase { path },
            Code::DatabaseBusy => StoreError::Busy { path },
            Code::DatabaseCorrupt => StoreError::Damaged { what: message() },
            _ => self,
        }
    }
}

/// Whether less than 64 KiB are free, which is less than SQLite needs to extend its shared memory by one piece. File systems
/// without blocks, such as `/proc`, are not full.
fn is_full(folder: &Path) -> bool {
    nix::sys::statvfs::statvfs(folder).is_ok_and(|found| {
        let free = found.blocks_available().saturating_mul(found.fragment_size());
        found.blocks() > 0 && free < 64 << 10
    })
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::DiskFull { .. } => Problem::disk_full(None, None),
            StoreError::Undone | StoreError::Busy { .. } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "try-again", error.to_string()).retry_after(1)
            }
            _ => Problem::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn codes_of_sqlite_become_errors_that_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite3");
        let error = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("why".into()));
            StoreError::from(error).in_file(&path)
        };
        assert!(
            matches!(error(ffi::SQLITE_FULL), StoreError::DiskFull { folder: full } if full == folder.path())
        );
        assert!(matches!(error(ffi::SQLITE_CANTOPEN), StoreError::Open { message, .. } if message == "why"));
        assert!(matches!(error(ffi::SQLITE_READONLY), StoreError::ReadOnly { .. }));
        assert!(matches!(error(ffi::SQLITE_PERM), StoreError::ReadOnly { .. }));
        assert!(matches!(error(ffi::SQLITE_NOTADB), StoreError::NotADatabase { .. }));
        assert!(matches!(error(ffi::SQLITE_BUSY), StoreError::Busy { .. }));
        assert!(matches!(error(ffi::SQLITE_CORRUPT), StoreError::Damaged { what } if what == "why"));
        // there is space, so it is the device that fails
        assert!(matches!(error(ffi::SQLITE_IOERR), StoreError::Sqlite(_)));
        assert!(matches!(error(ffi::SQLITE_CONSTRAINT), StoreError::Sqlite(_)));
    }
}
