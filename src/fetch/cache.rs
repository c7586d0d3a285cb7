//! The user's cache folder, which all clones share: where it is, and which of its files were verified already.
//!
//! Must not know what the files are for.

use super::FetchError;
use crate::files;
use crate::provenance::sha256_of_file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The name of the file in which a folder's verified files are recorded.
const RECORD: &str = ".verified.json";

/// The folder for files that all clones share: `$POSEBOOK_CACHE`, else `$XDG_CACHE_HOME/posebook`, else
/// `~/.cache/posebook`.
///
/// # Errors
/// If none of the three variables (the last is `HOME`) is set.
pub fn user_cache() -> Result<PathBuf, FetchError> {
    user_cache_of(&|name| std::env::var_os(name)).ok_or(FetchError::NoCacheFolder)
}

fn user_cache_of(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // a relative XDG_CACHE_HOME is to be ignored, says its specification
    let xdg = || set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    set("POSEBOOK_CACHE")
        .or_else(|| xdg().map(|path| path.join("posebook")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/posebook")))
}

/// Where the model files of the manifest `name` are kept.
///
/// # Errors
/// As [`user_cache`].
pub fn model_folder(name: &str) -> Result<PathBuf, FetchError> {
    Ok(user_cache()?.join("models").join(name))
}

/// Where the footage of the manifest `name` is kept.
///
/// # Errors
/// As [`user_cache`].
pub fn footage_folder(name: &str) -> Result<PathBuf, FetchError> {
    Ok(user_cache()?.join("footage").join(name))
}

/// Files of a folder whose SHA-256 was computed, so that a file that has not changed since is not read again.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Verified {
    files: BTreeMap<String, Entry>,
    #[serde(skip)]
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified_ns: String,
    sha256: String,
}

impl Verified {
    /// What is recorded in `folder`. A record that is missing or damaged has no files.
    pub fn load(folder: &Path) -> Verified {
        let bytes = std::fs::read(folder.join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes the record where it has changed. A folder that cannot be written to is no error: files are hashed
    /// again the next time.
    pub fn save(&self, folder: &Path) {
        if self.changed {
            let text = serde_json::to_vec_pretty(self).unwrap_or_default();
            let _ = files::write_whole(&folder.join(RECORD), &text);
        }
    }

    /// Whether `folder/place` is a file with the SHA-256 `wanted`; any file where none is wanted.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn is_right(&mut self, folder: &Path, place: &Path, wanted: Option<&str>) -> io::Result<bool> {
        let path = folder.join(place);
        let Some(wanted) = wanted else { return Ok(path.is_file()) };
        let Ok(about) = path.metadata() else { return Ok(false) };
        if !about.is_file() {
            return Ok(false);
        }
        let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified.map(|time| time.as_nanos().to_string()).unwrap_or_default();
        let key = place.to_string_lossy().into_owned();
        let is_as_recorded = |entry: &&Entry| {
            entry.bytes == about.len() && entry.modified_ns == modified_ns && !modified_ns.is_empty()
        };
        if let Some(entry) = self.files.get(&key).filter(is_as_recorded) {
            return Ok(entry.sha256 == wanted);
        }
        let sha256 = sha256_of_file(&path)?;
        let is_right = sha256 == wanted;
        self.files.insert(key, Entry { bytes: about.len(), modified_ns, sha256 });
        self.changed = true;
        Ok(is_right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::sha256_of_bytes;

    #[test]
    fn the_cache_folder_follows_the_variables_in_order() {
        let place = |set: &[(&str, &str)]| {
            user_cache_of(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/h");
        assert_eq!(place(&[home]).unwrap(), Path::new("/h/.cache/posebook"));
        let xdg = ("XDG_CACHE_HOME", "/x");
        assert_eq!(place(&[home, xdg]).unwrap(), Path::new("/x/posebook"));
        assert_eq!(place(&[home, xdg, ("POSEBOOK_CACHE", "/p")]).unwrap(), Path::new("/p"));
        assert_eq!(place(&[home, ("XDG_CACHE_HOME", "x")]).unwrap(), Path::new("/h/.cache/posebook"));
        assert_eq!(place(&[home, ("POSEBOOK_CACHE", "")]).unwrap(), Path::new("/h/.cache/posebook"));
        assert_eq!(place(&[]), None);
    }

    #[test]
    fn a_file_is_hashed_once_and_again_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (place, wanted) = (Path::new("a"), sha256_of_bytes(b"1"));
        let check = |record: &mut Verified| record.is_right(folder.path(), place, Some(&wanted)).unwrap();
        let mut record = Verified::load(folder.path());
        assert!(!check(&mut record));
        std::fs::write(folder.path().join("a"), "1").unwrap();
        assert!(check(&mut record));
        record.save(folder.path());
        let mut again = Verified::load(folder.path());
        assert!(check(&mut again) && !again.changed, "the record says so");
        // a record that is believed: the file's own bytes are not read
        if let Some(entry) = again.files.get_mut("a") {
            entry.sha256 = "0".repeat(64);
        }
        assert!(!check(&mut again));
        std::fs::write(folder.path().join("a"), "12").unwrap();
        let mut again = Verified::load(folder.path());
        assert!(!check(&mut again), "its size is another");
        std::fs::write(folder.path().join(RECORD), "{").unwrap();
        assert_eq!(Verified::load(folder.path()), Verified::default());
    }
}
