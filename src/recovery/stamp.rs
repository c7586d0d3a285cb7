//! Remembering that a large file of weights was hashed, so that runs do not hash it each time.
//!
//! A stamp lies in the project's `.posebook/verified` and is worth no more than the file's size, inode and
//! time of change: whoever changes a file and puts these back is not found out here, but by
//! `posebook model verify`, which hashes always.

use crate::files::write_whole;
use crate::provenance::sha256_of_bytes;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files below this are hashed faster than anybody notices.
const LARGE_BYTES: u64 = 64 << 20;

/// What a file was like when it had this hash.
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
    /// The stamp that a file would have if it had this hash; `None` if it is small, or cannot be looked at.
    pub fn of(path: &Path, sha256: &str) -> Option<Stamp> {
        let path = path.canonicalize().ok()?;
        let found = path.metadata().ok().filter(|found| found.len() >= LARGE_BYTES)?;
        Some(Stamp {
            sha256: sha256.to_string(),
            bytes: found.len(),
            inode: found.ino(),
            changed_secs: found.ctime(),
            changed_nanos: found.ctime_nsec(),
            path,
        })
    }

    /// Whether this very stamp is kept in the project around `below`.
    pub fn is_kept(&self, below: &Path) -> bool {
        let kept = self.place(below).and_then(|place| std::fs::read(place).ok());
        kept.and_then(|text| serde_json::from_slice::<Stamp>(&text).ok()).as_ref() == Some(self)
    }

    /// Keeps it in the project around `below`. Where that cannot be done the file is hashed again next time.
    pub fn keep(&self, below: &Path) {
        let text = serde_json::to_vec_pretty(self);
        if let (Some(place), Ok(text)) = (self.place(below), text) {
            let _ = write_whole(&place, &text);
        }
    }

    /// Where it lies; `None` where no project has kept anything yet.
    fn place(&self, below: &Path) -> Option<PathBuf> {
        let below = below.canonicalize().ok()?;
        let cache = below.ancestors().map(|folder| folder.join(".posebook")).find(|cache| cache.is_dir())?;
        let name = sha256_of_bytes(self.path.as_os_str().as_encoded_bytes());
        Some(cache.join("verified").join(format!("{}.json", &name[..16])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_stamp_is_worth_as_much_as_the_file_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (weights, set) = (folder.path().join("w.safetensors"), folder.path().join("models/x.toml"));
        std::fs::create_dir(folder.path().join("models")).unwrap();
        std::fs::write(&set, "").unwrap();
        // a hole: no disk is taken
        File::create(&weights).unwrap().set_len(LARGE_BYTES).unwrap();
        let stamp = Stamp::of(&weights, "00").unwrap();
        stamp.keep(&set);
        assert!(!stamp.is_kept(&set), "there is no project to keep it in");
        std::fs::create_dir(folder.path().join(".posebook")).unwrap();
        stamp.keep(&set);
        assert!(stamp.is_kept(&set));
        assert!(!Stamp::of(&weights, "01").unwrap().is_kept(&set), "another hash");
        File::options().write(true).open(&weights).unwrap().set_len(LARGE_BYTES + 1).unwrap();
        assert!(!Stamp::of(&weights, "00").unwrap().is_kept(&set), "another size");
        File::create(&weights).unwrap().set_len(LARGE_BYTES - 1).unwrap();
        assert_eq!(Stamp::of(&weights, "00"), None, "small");
    }
}
