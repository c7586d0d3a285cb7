//! Records that a large weights file was hashed, so that runs do not hash it each time.
//!
//! A stamp is stored in the project's `.posebook/verified` and compares the file's size, inode and change time. A changed
//! file with the same metadata is only detected by `posebook model verify`, which always hashes.

use posebook_core::files::write_atomically;
use posebook_core::provenance::sha256_of_bytes;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Smaller files are always hashed.
const MIN_BYTES: u64 = 64 << 20;

/// Metadata of a file at the time that its hash was verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    path: PathBuf,
    sha256: String,
    bytes: u64,
    inode: u64,
    changed_secs: i64,
    changed_nanos: i64,
}

impl Stamp {
    /// The stamp of a file with this hash; `None` if the file is small or its metadata cannot be read.
    pub fn new(path: &Path, sha256: &str) -> Option<Stamp> {
        let path = path.canonicalize().ok()?;
        let found = path.metadata().ok().filter(|found| found.len() >= MIN_BYTES)?;
        Some(Stamp {
            sha256: sha256.to_string(),
            bytes: found.len(),
            inode: found.ino(),
            changed_secs: found.ctime(),
            changed_nanos: found.ctime_nsec(),
            path,
        })
    }

    /// Whether an equal stamp is stored in the project that contains `path_in_project`.
    pub fn is_stored(&self, path_in_project: &Path) -> bool {
        let stored = self.stamp_path(path_in_project).and_then(|path| std::fs::read(path).ok());
        stored.and_then(|text| serde_json::from_slice::<Stamp>(&text).ok()).as_ref() == Some(self)
    }

    /// Stores it in the project that contains `path_in_project`. If that fails, the file is hashed again next time.
    pub fn store(&self, path_in_project: &Path) {
        let text = serde_json::to_vec_pretty(self);
        if let (Some(path), Ok(text)) = (self.stamp_path(path_in_project), text) {
            let _ = write_atomically(&path, &text);
        }
    }

    /// Path of the stamp's file; `None` if the project has no `.posebook` folder yet.
    fn stamp_path(&self, path_in_project: &Path) -> Option<PathBuf> {
        let path = path_in_project.canonicalize().ok()?;
        let cache = path.ancestors().map(|folder| folder.join(".posebook")).find(|cache| cache.is_dir())?;
        let name = sha256_of_bytes(self.path.as_os_str().as_encoded_bytes());
        Some(cache.join("verified").join(format!("{}.json", &name[..16])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_stamp_is_valid_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (weights, set) = (folder.path().join("w.safetensors"), folder.path().join("models/x.toml"));
        std::fs::create_dir(folder.path().join("models")).unwrap();
        std::fs::write(&set, "").unwrap();
        // a sparse file
        File::create(&weights).unwrap().set_len(MIN_BYTES).unwrap();
        let stamp = Stamp::new(&weights, "00").unwrap();
        stamp.store(&set);
        assert!(!stamp.is_stored(&set), "there is no project to store it in");
        std::fs::create_dir(folder.path().join(".posebook")).unwrap();
        stamp.store(&set);
        assert!(stamp.is_stored(&set));
        assert!(!Stamp::new(&weights, "01").unwrap().is_stored(&set), "another hash");
        File::options().write(true).open(&weights).unwrap().set_len(MIN_BYTES + 1).unwrap();
        assert!(!Stamp::new(&weights, "00").unwrap().is_stored(&set), "another size");
        File::create(&weights).unwrap().set_len(MIN_BYTES - 1).unwrap();
        assert_eq!(Stamp::new(&weights, "00"), None, "small");
    }
}
