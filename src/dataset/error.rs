//! Errors of datasets, with file and line where possible.

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
    let offset = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1;
    DatasetError::at_line(path, line, suggest_key(error.message()))
}

/// TOML's message, with the most similar valid key for an unknown one.
pub(super) fn suggest_key(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let [unknown, known @ ..] = quoted.as_slice() else { return message.to_string() };
    if !message.starts_with("unknown") {
        return message.to_string();
    }
    let distance = |right: &&&str| strsim::damerau_levenshtein(unknown, right);
    match known.iter().filter(|right| distance(right) <= 1 + right.len() / 3).min_by_key(distance) {
        Some(right) => format!("unknown key or value `{unknown}`; did you mean `{right}`?"),
        None => format!("unknown key or value `{unknown}`; there are `{}`", known.join("`, `")),
    }
}
