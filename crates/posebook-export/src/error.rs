//! Why people cannot be exported, or a `.pkl` cannot be read.

use posebook_models::pickle::PickleError;
use std::io;
use std::path::{Path, PathBuf};

/// Why people cannot be exported, or a `.pkl` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A `.pkl` is damaged, refused, or a file of another kind.
    #[error("cannot read {path} as PHALP's results: {source}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: PickleError,
    },
    /// A `.pkl` is a pickle of something else than PHALP's results.
    #[error(
        "{path} is {found}, where PHALP's results are needed: a dictionary of frames; give results/demo_<video>.pkl"
    )]
    NotResults {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A value in a `.pkl` is missing or wrong.
    #[error("frame {frame} of {path} ({key}): `{field}` {problem}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// Position of the frame in the file, from 0.
        frame: usize,
        /// The frame's key.
        key: String,
        /// The key in the frame's dictionary.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A person cannot be written.
    #[error("frame {frame}, track {track}: {problem}")]
    Person {
        /// The frame's position in the video.
        frame: u64,
        /// The track.
        track: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// There is nobody to write.
    #[error("{0}")]
    Tracks(String),
    /// The body has another skeleton than the format.
    #[error(
        "the body's joint {joint} has the parent {found:?} instead of SMPL's {wanted:?}: {format} names SMPL's joints; use a \
         body with SMPL's skeleton, such as the built-in one"
    )]
    Skeleton {
        /// The joint.
        joint: usize,
        /// Its parent in the body.
        found: Option<usize>,
        /// Its parent in SMPL.
        wanted: Option<usize>,
        /// The format.
        format: &'static str,
    },
    /// The file would exceed a limit of its format.
    #[error("{path} would have more than {limit}; export fewer frames, or one track with --track")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: &'static str,
    },
}

impl ExportError {
    /// A closure that adds the path to an error of the system.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> ExportError + '_ {
        |source| ExportError::File { path: path.to_path_buf(), source }
    }
}
