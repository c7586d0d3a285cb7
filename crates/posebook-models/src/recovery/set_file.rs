//! What all sets in `models/` have in common: the `kind` in a set's file, the files of a folder, and the hashes of its weights.
//!
//! A file without `kind` is a model set of a network that recovers bodies; PHALP's files and detectors have a `kind`.

use super::stamp::Stamp;
use posebook_core::provenance::sha256_of_file;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// `kind` in the text of a set's file; `None` if it has none, or is no TOML.
pub fn kind(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        kind: Option<String>,
    }
    toml::from_str::<Kind>(text).ok()?.kind
}

/// The name of a set: that of its file without extension.
pub fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The TOML files of a folder whose `kind` is accepted, sorted. A file that cannot be read has no `kind`.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(folder: &Path, accepts: impl Fn(Option<&str>) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let kind_of_file = || std::fs::read_to_string(&path).ok().and_then(|text| kind(&text));
        if path.extension().is_some_and(|extension| extension == "toml") && accepts(kind_of_file().as_deref())
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Why a file is not the one that a set specifies.
pub enum HashProblem {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It has this SHA-256 instead.
    Differs(String),
}

/// Checks that a file has a SHA-256.
///
/// # Errors
/// If it cannot be read, or has another one.
pub fn check_hash(path: &Path, sha256: &str) -> Result<(), HashProblem> {
    match sha256_of_file(path).map_err(HashProblem::Unreadable)? {
        found if found == sha256 => Ok(()),
        found => Err(HashProblem::Differs(found)),
    }
}

/// As [`check_hash`], but does not hash a large file again that was verified before for the same project and whose size and
/// change time are the same. `set` is the set's file.
///
/// # Errors
/// As [`check_hash`].
pub fn check_hash_cached(path: &Path, sha256: &str, set: &Path) -> Result<(), HashProblem> {
    let stamp = Stamp::new(path, sha256);
    if stamp.as_ref().is_some_and(|stamp| stamp.is_stored(set)) {
        return Ok(());
    }
    check_hash(path, sha256)?;
    if let Some(stamp) = stamp {
        stamp.store(set);
    }
    Ok(())
}

/// Whether a text is a SHA-256: 64 hexadecimal digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a path is the name of a file next to the set's file.
pub fn is_plain_name(file: &Path) -> bool {
    let mut parts = file.components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None))
}
