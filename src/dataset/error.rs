//! What can be wrong with a dataset, said so that it can be put right.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a dataset, a clip or its truth.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot {what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {message}")]
    Wrong { path: PathBuf, line: usize, message: String },
    /// Nothing that stands in one line.
    #[error("{path}: {message}")]
    Invalid { path: PathBuf, message: String },
    #[error(transparent)]
    Source(#[from] crate::sources::SourceError),
    #[error(transparent)]
    Fetch(#[from] crate::fetch::FetchError),
    #[error("{program}: {problem}")]
    Program { program: &'static str, problem: String },
}

impl DatasetError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> DatasetError {
        DatasetError::Io { what, path: path.to_path_buf(), source }
    }

    pub(super) fn program(program: &'static str, problem: impl Into<String>) -> DatasetError {
        DatasetError::Program { program, problem: problem.into() }
    }

    /// Something wrong in line `line`, counted from 1.
    pub(super) fn wrong(path: &Path, line: usize, message: impl Into<String>) -> DatasetError {
        DatasetError::Wrong { path: path.to_path_buf(), line, message: message.into() }
    }

    pub fn invalid(path: &Path, message: impl Into<String>) -> DatasetError {
        DatasetError::Invalid { path: path.to_path_buf(), message: message.into() }
    }
}
