//! Folders of made things under the hash of what made them: whole or absent.
//!
//! Must not know what is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder under construction. Dropped before [`Making::finish`], what was made is removed.
pub struct Making {
    beside: PathBuf,
    place: PathBuf,
}

impl Making {
    /// Starts making `cache/key`. What an interrupted process left of it is cleared away.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn start(cache: &Path, key: &str) -> io::Result<Making> {
        fs::create_dir_all(cache)?;
        clear_left_overs(cache, key)?;
        let beside = cache.join(format!("{key}.{}.part", std::process::id()));
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

/// Removes `key.<process>.part` of processes that are gone, and this one's own.
fn clear_left_overs(cache: &Path, key: &str) -> io::Result<()> {
    for entry in fs::read_dir(cache)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let part = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".part"));
        let Some(Ok(process)) = part.map(str::parse::<i32>) else { continue };
        let own = process as u32 == std::process::id();
        if own || nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), None).is_err() {
            fs::remove_dir_all(cache.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_the_dead_left_is_cleared_and_what_others_made_stays() {
        let cache = tempfile::tempdir().unwrap();
        // beyond the largest process number there is
        fs::create_dir(cache.path().join("abc.99999999.part")).unwrap();
        fs::create_dir(cache.path().join("other.99999999.part")).unwrap();
        let making = Making::start(cache.path(), "abc").unwrap();
        fs::create_dir(cache.path().join("abc")).unwrap();
        fs::write(cache.path().join("abc/theirs"), "x").unwrap();
        assert!(making.finish().unwrap().join("theirs").is_file());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2);
    }
}
