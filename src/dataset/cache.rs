//! Cache folders named by the hash of what produced their content: complete or absent.
//!
//! Input: a cache folder and a key. A folder is filled under a temporary name and renamed when complete.

use posebook_core::scratch;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder being filled. Dropped before [`StagingFolder::commit`], it is removed with its content.
pub struct StagingFolder {
    temporary: PathBuf,
    target: PathBuf,
}

impl StagingFolder {
    /// Creates a folder for `cache/key`, and removes those left behind by processes that no longer run.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn create(cache: &Path, key: &str) -> io::Result<StagingFolder> {
        fs::create_dir_all(cache)?;
        scratch::remove_abandoned(cache, |stem| stem == key);
        let temporary = cache.join(scratch::temporary_name(key));
        fs::create_dir(&temporary)?;
        Ok(StagingFolder { temporary, target: cache.join(key) })
    }

    /// The folder to write to.
    pub fn folder(&self) -> &Path {
        &self.temporary
    }

    /// Renames the folder to `cache/key`. If another process was faster, its folder stays.
    ///
    /// # Errors
    /// If the folder cannot be renamed.
    pub fn commit(self) -> io::Result<PathBuf> {
        let target = self.target.clone();
        match fs::rename(&self.temporary, &target) {
            Err(_) if target.is_dir() => Ok(target),
            renamed => renamed.map(|()| target),
        }
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        // after commit() there is nothing to remove
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::scratch::Owner;

    #[test]
    fn an_uncommitted_folder_is_removed_and_a_committed_one_is_complete() {
        let cache = tempfile::tempdir().unwrap();
        let staging = StagingFolder::create(cache.path(), "abc").unwrap();
        fs::write(staging.folder().join("half"), "x").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
        let staging = StagingFolder::create(cache.path(), "abc").unwrap();
        fs::write(staging.folder().join("complete"), "x").unwrap();
        let target = staging.commit().unwrap();
        assert!(target.join("complete").is_file());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_of_ended_processes_are_removed_and_those_of_others_stay() {
        let cache = tempfile::tempdir().unwrap();
        // above the largest process id
        let ended = Owner { process: 99_999_999, ..Owner::current().clone() };
        fs::create_dir(cache.path().join(ended.temporary_name("abc"))).unwrap();
        fs::create_dir(cache.path().join(ended.temporary_name("other"))).unwrap();
        let elsewhere = Owner { host: "another-host".into(), ..ended };
        fs::create_dir(cache.path().join(elsewhere.temporary_name("abc"))).unwrap();
        let staging = StagingFolder::create(cache.path(), "abc").unwrap();
        fs::create_dir(cache.path().join("abc")).unwrap();
        fs::write(cache.path().join("abc/theirs"), "x").unwrap();
        assert!(staging.commit().unwrap().join("theirs").is_file());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
    }

    /// Process 1 always runs. Signalling it gives EPERM unless the test runs as root, as for any process of another
    /// user.
    #[test]
    #[cfg(unix)]
    fn an_unfinished_folder_of_another_users_process_stays() {
        let cache = tempfile::tempdir().unwrap();
        let init = Owner { process: 1, ..Owner::current().clone() };
        let theirs = cache.path().join(init.temporary_name("abc"));
        fs::create_dir(&theirs).unwrap();
        let staging = StagingFolder::create(cache.path(), "abc").unwrap();
        assert!(theirs.is_dir());
        drop(staging);
        assert!(theirs.is_dir());
    }

    #[test]
    fn two_writers_of_one_key_do_not_interfere() {
        let cache = tempfile::tempdir().unwrap();
        let [first, second] = [1, 2].map(|_| StagingFolder::create(cache.path(), "abc").unwrap());
        fs::write(first.folder().join("complete"), "1").unwrap();
        fs::write(second.folder().join("complete"), "2").unwrap();
        let target = second.commit().unwrap();
        assert_eq!(first.commit().unwrap(), target);
        assert_eq!(fs::read(target.join("complete")).unwrap(), b"2");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }
}
