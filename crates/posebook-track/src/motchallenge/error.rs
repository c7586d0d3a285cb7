//! Errors of MOTChallenge files, with file and line.

use std::path::{Path, PathBuf};

/// A file that is not MOTChallenge text, or has impossible values.
#[derive(Debug, thiserror::Error)]
pub enum MotError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A problem of the whole file.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A line is invalid; lines count from 1.
    #[error("{}, line {line}: {problem}; a line is `frame,identity,left,top,width,height,...`", path.display())]
    Line {
        /// The file or folder.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// An identity occurs twice in a frame; `first` is the line of its first occurrence.
    #[error(
        "{}, line {line}: identity {id} occurs in frame {frame} already, in line {first}; \
         give each identity once per frame", path.display()
    )]
    DuplicateIdentity {
        /// The file or folder.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Line of the first occurrence.
        first: usize,
        /// The frame.
        frame: u64,
        /// The identity.
        id: i64,
    },
}

impl MotError {
    /// A problem of the whole file at `path`.
    pub fn file(path: &Path, problem: impl Into<String>) -> MotError {
        MotError::File { path: path.to_path_buf(), problem: problem.into() }
    }

    /// A problem of line `line`, counted from 1.
    pub fn line(path: &Path, line: usize, problem: impl Into<String>) -> MotError {
        MotError::Line { path: path.to_path_buf(), line, problem: problem.into() }
    }
}
