//! Errors of datasets, with file and line where possible.

use posebook_core::toml_error::{explain_toml_error, line_number};
use std::io;
use std::path::{Path, PathBuf};

/// An error of a dataset, a clip or its ground truth.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Reading or writing failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The failed action, such as `read`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line of a file is invalid.
    #[error("{path}:{line}: {message}")]
    Line {
        /// The file or folder.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A file or folder is invalid, for a reason without a line.
    #[error("{path}: {message}")]
    Invalid {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A video or image folder cannot be read.
    #[error(transparent)]
    Source(#[from] posebook_video::sources::SourceError),
    /// A package cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] posebook_core::fetch::FetchError),
    /// The table of the ground truth cannot be written.
    #[error(transparent)]
    Table(#[from] posebook_notebook::tables::TableError),
    /// An external program failed.
    #[error("{program}: {problem}")]
    Program {
        /// The program.
        program: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl DatasetError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> DatasetError {
        DatasetError::Io { what, path: path.to_path_buf(), source }
    }

    pub(super) fn program(program: &'static str, problem: impl Into<String>) -> DatasetError {
        DatasetError::Program { program, problem: problem.into() }
    }

    /// An error in line `line`, counted from 1.
    pub(super) fn at_line(path: &Path, line: usize, message: impl Into<String>) -> DatasetError {
        DatasetError::Line { path: path.to_path_buf(), line, message: message.into() }
    }

    /// A file or folder is invalid.
    pub fn invalid(path: &Path, message: impl Into<String>) -> DatasetError {
        DatasetError::Invalid { path: path.to_path_buf(), message: message.into() }
    }
}

/// TOML's error at its line of `text`.
pub(super) fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> DatasetError {
    let line = line_number(text, error.span().map_or(0, |span| span.start));
    DatasetError::at_line(path, line, explain_toml_error(error))
}
