//! Sizes of scratch folders and free disk space.

use std::path::Path;

/// Sum of the lengths of all files under `folder`; `None` if it cannot be read. A file that vanishes meanwhile counts
/// as zero.
pub fn folder_bytes(folder: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            bytes += folder_bytes(&entry.path()).unwrap_or(0);
        } else if let Ok(about) = entry.metadata() {
            bytes += about.len();
        }
    }
    Some(bytes)
}

/// Bytes that can still be written to the file system of `folder`; `None` where the system does not report it.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let there = nix::sys::statvfs::statvfs(folder).ok()?;
        // the width of these integers differs between systems
        #[expect(clippy::useless_conversion, reason = "they are u32 on some systems")]
        Some(u64::from(there.blocks_available()) * u64::from(there.fragment_size()))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_summed_and_a_missing_folder_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/a"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("b"), [0; 5]).unwrap();
        assert_eq!(folder_bytes(folder.path()), Some(15));
        assert_eq!(folder_bytes(&folder.path().join("none")), None);
        assert_eq!(free_bytes(&folder.path().join("none")), None);
        assert!(free_bytes(folder.path()).is_none_or(|free| free > 0));
    }
}
