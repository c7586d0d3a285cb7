//! Finds the folders of golden sets.

use std::path::PathBuf;

/// One set of goldens of one project. Its name is the prefix of every name that the formula hashes.
pub struct Set {
    /// The folder's name.
    pub name: String,
    /// The folder with the files.
    pub folder: PathBuf,
}

/// Every set of `project`, in order of their names.
///
/// # Panics
/// If there is none, so that a test without goldens does not pass.
pub fn sets(project: &str) -> Vec<Set> {
    let folder = root().join(project);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut sets: Vec<Set> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| Set { name: entry.file_name().into_string().unwrap(), folder: entry.path() })
        .collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!sets.is_empty(), "{} has no set of goldens", folder.display());
    sets
}

/// The folder of all goldens.
pub fn root() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    std::env::var_os("POSEBOOK_GOLDENS").map_or_else(default, PathBuf::from)
}
