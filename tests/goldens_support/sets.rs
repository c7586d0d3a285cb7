//! Where PHALP's and TrackEval's goldens lie.

use std::path::PathBuf;

/// One set of goldens of one project; its name starts every hashed name.
pub struct Set {
    pub name: String,
    pub folder: PathBuf,
}

/// Every set of `project`, in order of its name.
///
/// # Panics
/// If there is none: a check that checks nothing must not pass.
pub fn sets(project: &str) -> Vec<Set> {
    let folder = root().join(project);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut sets: Vec<Set> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| Set { name: entry.file_name().into_string().unwrap(), folder: entry.path() })
        .collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!sets.is_empty(), "{} holds no set of goldens", folder.display());
    sets
}

/// The folder of all goldens.
pub fn root() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    std::env::var_os("POSEBOOK_GOLDENS").map_or_else(default, PathBuf::from)
}
