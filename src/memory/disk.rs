//! Scratch files on disk.

use std::path::Path;

/// Lengths of all files under `folder`, summed; `None` if the folder cannot be read. A file that
/// vanishes meanwhile counts nothing.
pub fn bytes_in(folder: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            bytes += bytes_in(&entry.path()).unwrap_or(0);
        } else if let Ok(about) = entry.metadata() {
            bytes += about.len();
        }
    }
    Some(bytes)
}

/// Bytes that may still be written where `folder` lies; `None` where the system does not say.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let there = nix::sys::statvfs::statvfs(folder).ok()?;
        // how wide these numbers are differs from system to system
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
    fn files_are_summed_and_nothing_is_not_zero() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/a"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("b"), [0; 5]).unwrap();
        assert_eq!(bytes_in(folder.path()), Some(15));
        assert_eq!(bytes_in(&folder.path().join("none")), None);
        assert_eq!(free_bytes(&folder.path().join("none")), None);
        assert!(free_bytes(folder.path()).is_none_or(|free| free > 0));
    }
}
