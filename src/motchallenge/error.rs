//! What is wrong with a file of boxes, said so that it can be put right.

use std::path::{Path, PathBuf};

/// A file that is not MOTChallenge text, or says what cannot be.
#[derive(Debug, thiserror::Error)]
pub enum MotError {
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// Nothing that one line is to blame for.
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("{}, line {line}: {problem}; a line is `frame,identity,left,top,width,height,...`", path.display())]
    Line { path: PathBuf, line: usize, problem: String },
    #[error(
        "{}, line {line}: identity {id} was in frame {frame} before, in line {first}; \
         an identity can be in one place only", path.display()
    )]
    Twice { path: PathBuf, line: usize, first: usize, frame: u64, id: i64 },
}

impl MotError {
    pub fn file(path: &Path, problem: impl Into<String>) -> MotError {
        MotError::File { path: path.to_path_buf(), problem: problem.into() }
    }

    pub fn line(path: &Path, line: usize, problem: impl Into<String>) -> MotError {
        MotError::Line { path: path.to_path_buf(), line, problem: problem.into() }
    }
}
