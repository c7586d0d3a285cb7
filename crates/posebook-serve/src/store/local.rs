//! Refuses folders on network file systems.
//!
//! In: a folder. Out: nothing, or why it cannot hold the data. SQLite's write-ahead log shares memory between connections, and
//! the queue relies on locks and on `fsync`; network file systems do not provide them reliably, and the database is damaged
//! (<https://www.sqlite.org/wal.html>, <https://www.sqlite.org/faq.html#q5>).

use super::StoreError;
use nix::sys::statfs::{FsType, statfs};
use std::path::{Path, PathBuf};

/// File systems that are refused: `f_type` of `statfs(2)` and the name. The values are those of `linux/magic.h` and of the
/// file systems' own sources.
const REFUSED: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0102_1997, "9p (a folder of the host, such as a Windows drive in WSL)"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0xAAD7_AAEA, "PanFS"),
    (0x2003_0528, "OrangeFS"),
    (0x0131_11A8, "IBRIX"),
    (0xBEEF_DEAD, "StorNext"),
    (0x786F_4256, "a VirtualBox shared folder"),
    (0xBACB_ACBC, "a VMware shared folder"),
    (0x7C7C_6673, "a Parallels shared folder"),
];

/// Checks that `folder` is on a file system that can hold the database. If the folder does not exist, the nearest existing
/// folder above it is looked at.
///
/// # Errors
/// [`StoreError::Network`] if the file system is a network file system, a shared folder of a virtual machine, or FUSE;
/// [`StoreError::Open`] if it cannot be examined.
pub fn check_local(folder: &Path) -> Result<(), StoreError> {
    let existing = nearest_existing(folder);
    let found = statfs(&existing).map_err(|error| StoreError::Open {
        path: folder.to_path_buf(),
        message: format!("the file system cannot be examined: {error}"),
    })?;
    match refused_name(found.filesystem_type()) {
        Some(name) => Err(StoreError::Network { folder: folder.to_path_buf(), name }),
        None => Ok(()),
    }
}

/// Name of a refused file system.
fn refused_name(found: FsType) -> Option<&'static str> {
    // the kernel's value has 32 bits; its type has 64 and may be sign-extended
    let magic = found.0 as u32;
    REFUSED.iter().find(|(refused, _)| *refused == magic).map(|(_, name)| *name)
}

fn nearest_existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::statfs;

    #[test]
    fn network_file_systems_are_refused_by_their_numbers() {
        assert_eq!(refused_name(statfs::NFS_SUPER_MAGIC), Some("NFS"));
        assert_eq!(refused_name(statfs::SMB_SUPER_MAGIC), Some("SMB"));
        assert_eq!(refused_name(statfs::FUSE_SUPER_MAGIC), Some("FUSE"));
        assert_eq!(refused_name(statfs::AFS_SUPER_MAGIC), Some("AFS"));
        // sign-extended, as a 32-bit `f_type` arrives
        assert_eq!(refused_name(FsType(0xFF53_4D42_u32 as i32 as _)), Some("CIFS"));
        for local in [statfs::EXT4_SUPER_MAGIC, statfs::TMPFS_MAGIC, statfs::BTRFS_SUPER_MAGIC] {
            assert_eq!(refused_name(local), None);
        }
        assert_eq!(refused_name(statfs::OVERLAYFS_SUPER_MAGIC), None);
    }

    #[test]
    fn a_folder_that_does_not_exist_yet_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest_existing(&folder.path().join("a/b/c")), folder.path());
    }

    #[test]
    fn the_sentence_says_what_to_do() {
        let error = StoreError::Network { folder: "/nas/data".into(), name: "NFS" };
        let text = error.to_string();
        assert!(text.contains("/nas/data") && text.contains("NFS") && text.contains("--data"), "{text}");
    }
}
