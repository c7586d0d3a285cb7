//! Serialization of paths for `summary.json`.

use serde::Serializer;
use std::path::{Path, PathBuf};

/// Serializes a path as text; bytes that are not UTF-8 become the replacement character, because JSON cannot hold them.
pub(super) fn serialize_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Serializes each path as [`serialize_path`] does.
pub(super) fn serialize_paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
