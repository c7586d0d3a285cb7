//! The user's cache folder, which all checkouts share, and the record of which of its files were verified.

use super::error::FetchError;
use crate::files;
use crate::provenance::sha256_of_file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Name of the file that records a folder's verified files.
const RECORD_FILE: &str = ".verified.json";

/// The cache folder that all checkouts share: `$POSEBOOK_CACHE`, else `$XDG_CACHE_HOME/posebook`, else
/// `~/.cache/posebook`.
///
/// # Errors
/// If none of the three variables (the last is `HOME`) is set.
pub fn user_cache() -> Result<PathBuf, FetchError> {
    user_cache_from(&|name| std::env::var_os(name)).ok_or(FetchError::NoCacheFolder)
}

fn user_cache_from(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let get = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // the specification requires to ignore a relative XDG_CACHE_HOME
    let xdg = || get("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    get("POSEBOOK_CACHE")
        .or_else(|| xdg().map(|path| path.join("posebook")))
        .or_else(|| get("HOME").map(|home| home.join(".cache/posebook")))
}

/// The cache folder of the model files of manifest `name`.
///
/// # Errors
/// As [`user_cache`].
pub fn model_folder(name: &str) -> Result<PathBuf, FetchError> {
    Ok(user_cache()?.join("models").join(name))
}

/// The cache folder of the footage of manifest `name`.
///
/// # Errors
/// As [`user_cache`].
pub fn footage_folder(name: &str) -> Result<PathBuf, FetchError> {
    Ok(user_cache()?.join("footage").join(name))
}

/// The SHA-256 of files in a folder, with size and modification time, so that an unchanged file is not hashed again.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerificationRecord {
    files: BTreeMap<String, Entry>,
    #[serde(skip)]
    has_changed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified_ns: String,
    sha256: String,
}

impl VerificationRecord {
    /// Reads the record of `folder`. A missing or damaged record is empty.
    pub fn load(folder: &Path) -> VerificationRecord {
        let bytes = std::fs::read(folder.join(RECORD_FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes the record if it has changed. A folder that is not writable is not an error: files are hashed again the next
    /// time.
    pub fn save(&self, folder: &Path) {
        if self.has_changed {
            let text = serde_json::to_vec_pretty(self).unwrap_or_default();
            let _ = files::write_atomically(&folder.join(RECORD_FILE), &text);
        }
    }

    /// Whether `path_in_folder` is a file in `folder` with the SHA-256 `expected`; with `None` any file is valid.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn is_valid(
        &mut self,
        folder: &Path,
        path_in_folder: &Path,
        expected: Option<&str>,
    ) -> io::Result<bool> {
        let path = folder.join(path_in_folder);
        let Some(expected) = expected else { return Ok(path.is_file()) };
        let Ok(metadata) = path.metadata() else { return Ok(false) };
        if !metadata.is_file() {
            return Ok(false);
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified.map(|time| time.as_nanos().to_string()).unwrap_or_default();
        let key = path_in_folder.to_string_lossy().into_owned();
        let is_unchanged = |entry: &&Entry| {
            entry.bytes == metadata.len() && entry.modified_ns == modified_ns && !modified_ns.is_empty()
        };
        if let Some(entry) = self.files.get(&key).filter(is_unchanged) {
            return Ok(entry.sha256 == expected);
        }
        let sha256 = sha256_of_file(&path)?;
        let is_valid = sha256 == expected;
        self.files.insert(key, Entry { bytes: metadata.len(), modified_ns, sha256 });
        self.has_changed = true;
        Ok(is_valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::sha256_of_bytes;

    #[test]
    fn the_cache_folder_follows_the_variables_in_order() {
        let folder = |set: &[(&str, &str)]| {
            user_cache_from(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/h");
        assert_eq!(folder(&[home]).unwrap(), Path::new("/h/.cache/posebook"));
        let xdg = ("XDG_CACHE_HOME", "/x");
        assert_eq!(folder(&[home, xdg]).unwrap(), Path::new("/x/posebook"));
        assert_eq!(folder(&[home, xdg, ("POSEBOOK_CACHE", "/p")]).unwrap(), Path::new("/p"));
        assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "x")]).unwrap(), Path::new("/h/.cache/posebook"));
        assert_eq!(folder(&[home, ("POSEBOOK_CACHE", "")]).unwrap(), Path::new("/h/.cache/posebook"));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn a_file_is_hashed_once_and_again_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (path_in_folder, expected) = (Path::new("a"), sha256_of_bytes(b"1"));
        let check = |record: &mut VerificationRecord| {
            record.is_valid(folder.path(), path_in_folder, Some(&expected)).unwrap()
        };
        let mut record = VerificationRecord::load(folder.path());
        assert!(!check(&mut record));
        std::fs::write(folder.path().join("a"), "1").unwrap();
        assert!(check(&mut record));
        record.save(folder.path());
        let mut again = VerificationRecord::load(folder.path());
        assert!(check(&mut again) && !again.has_changed, "the record has the file");
        // the record is trusted: the file is not read
        if let Some(entry) = again.files.get_mut("a") {
            entry.sha256 = "0".repeat(64);
        }
        assert!(!check(&mut again));
        std::fs::write(folder.path().join("a"), "12").unwrap();
        let mut again = VerificationRecord::load(folder.path());
        assert!(!check(&mut again), "its size differs");
        std::fs::write(folder.path().join(RECORD_FILE), "{").unwrap();
        assert_eq!(VerificationRecord::load(folder.path()), VerificationRecord::default());
    }
}
