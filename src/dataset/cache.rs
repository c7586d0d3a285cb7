//! Folders of made things under the hash of what made them: whole or absent.
//!
//! Must not know what is in them.

use crate::scratch;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder under construction. Dropped before [`Making::finish`], what was made is removed.
pub struct Making {
    beside: PathBuf,
    place: PathBuf,
}

impl Making {
    /// Starts making `cache/key`. What processes that are gone left of it is removed.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn start(cache: &Path, key: &str) -> io::Result<Making> {
        fs::create_dir_all(cache)?;
        scratch::sweep(cache, |stem| stem == key);
        let beside = cache.join(scratch::name(key));
        fs::create_dir(&beside)?;
        Ok(Making { beside, place: cache.join(key) })
    }

    /// Where to write.
    pub fn folder(&self) -> &Path {
        &self.beside
    }

    /// Puts the folder in its place. If another process was faster, its folder stays.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn finish(self) -> io::Result<PathBuf> {
        let place = self.place.clone();
        match fs::rename(&self.beside, &place) {
            Err(_) if place.is_dir() => Ok(place),
            moved => moved.map(|()| place),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // after finish() there is nothing left to remove
        let _ = fs::remove_dir_all(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Owner;

    #[test]
    fn an_unfinished_folder_leaves_nothing_and_a_finished_one_is_whole() {
        let cache = tempfile::tempdir().unwrap();
        let making = Making::start(cache.path(), "abc").unwrap();
        fs::write(making.folder().join("half"), "x").unwrap();
        drop(making);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
        let making = Making::start(cache.path(), "abc").unwrap();
        fs::write(making.folder().join("whole"), "x").unwrap();
        let place = making.finish().unwrap();
        assert!(place.join("whole").is_file());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_an_ended_process_left_is_cleared_and_what_others_made_stays() {
        let cache = tempfile::tempdir().unwrap();
        // beyond the largest process number there is
        let ended = Owner { process: 99_999_999, ..Owner::this().clone() };
        fs::create_dir(cache.path().join(ended.name("abc"))).unwrap();
        fs::create_dir(cache.path().join(ended.name("other"))).unwrap();
        let elsewhere = Owner { host: "another-host".into(), ..ended };
        fs::create_dir(cache.path().join(elsewhere.name("abc"))).unwrap();
        let making = Making::start(cache.path(), "abc").unwrap();
        fs::create_dir(cache.path().join("abc")).unwrap();
        fs::write(cache.path().join("abc/theirs"), "x").unwrap();
        assert!(making.finish().unwrap().join("theirs").is_file());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
    }

    #[test]
    fn two_that_make_the_same_do_not_disturb_each_other() {
        let cache = tempfile::tempdir().unwrap();
        let [first, second] = [1, 2].map(|_| Making::start(cache.path(), "abc").unwrap());
        fs::write(first.folder().join("whole"), "1").unwrap();
        fs::write(second.folder().join("whole"), "2").unwrap();
        let place = second.finish().unwrap();
        assert_eq!(first.finish().unwrap(), place);
        assert_eq!(fs::read(place.join("whole")).unwrap(), b"2");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }
}
