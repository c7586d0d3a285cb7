//! Writes files atomically: to a temporary file in the same folder, then renamed to their path.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::scratch;

/// A file that appears at its path only once it is complete, with [`AtomicFile::finish`]. Dropped before that, what was
/// written is removed.
pub struct AtomicFile {
    path: PathBuf,
    temporary_path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Creates a temporary file in the folder of `path`, and missing folders.
    ///
    /// # Errors
    /// If the folder cannot be created or written to.
    pub fn create(path: &Path) -> io::Result<AtomicFile> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary_path = scratch::temporary_path(path);
        let file = Some(BufWriter::new(File::create(&temporary_path)?));
        Ok(AtomicFile { path: path.to_path_buf(), temporary_path, file })
    }

    /// Path of the temporary file, for another program that writes it.
    pub fn temporary_path(&self) -> &Path {
        &self.temporary_path
    }

    /// Writes the remaining bytes to disk and renames the file to its path.
    ///
    /// # Errors
    /// If that fails (a full disk, for example); then there is no file at the path.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
            file.get_ref().sync_data()?;
        }
        fs::rename(&self.temporary_path, &self.path)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("the file is finished")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        self.file.take();
        // after finish() there is nothing left to remove
        let _ = fs::remove_file(&self.temporary_path);
    }
}

/// Writes `bytes` to `path`, completely or not at all.
///
/// # Errors
/// As [`AtomicFile`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// Checks that `folder` exists or can be created and that files can be created in it, before work whose results go there.
/// Leaves nothing behind.
///
/// # Errors
/// If that is not so.
pub fn check_writable_folder(folder: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    let attempt = || {
        fs::create_dir_all(folder)?;
        let probe = folder.join(scratch::temporary_name("check"));
        File::create_new(&probe)?;
        fs::remove_file(&probe)
    };
    let result = match attempt() {
        // another process has just removed the folder that it created for its own check
        Err(error) if error.kind() == io::ErrorKind::NotFound => attempt(),
        result => result,
    };
    for created in missing {
        // fails, as intended, if another process uses the folder by now
        let _ = fs::remove_dir(created);
    }
    result
}

/// Replaces `~` at the start of a path by the home folder; `~user` is not supported and stays.
///
/// # Errors
/// If the path begins with `~` and the variable `HOME` is not set.
pub fn expand_home(path: &str) -> Result<PathBuf, String> {
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
            let home =
                home.ok_or_else(|| format!("`{path}`: the variable HOME is not set; write the full path"))?;
            Ok(PathBuf::from(home).join(rest.trim_start_matches('/')))
        }
        _ => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checking_a_folder_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["", "a:b", "-x", "deep/er/~", "with blank "] {
            check_writable_folder(&inside(name)).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(inside("file"), "x").unwrap();
        assert!(
            check_writable_folder(&inside("file")).is_err()
                && check_writable_folder(&inside("file/below")).is_err()
        );
        assert!(check_writable_folder(&inside(&"e".repeat(300))).is_err());
        assert_eq!(fs::read(inside("file")).unwrap(), b"x");
    }

    #[test]
    fn a_tilde_stands_for_the_home_folder_only_as_the_first_component() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        for (typed, path) in [
            ("~", home.clone()),
            ("~/", home.clone()),
            ("~/a b", home.join("a b")),
            ("~//etc", home.join("etc")),
            ("~a", "~a".into()),
            ("./~", "./~".into()),
            ("a/~/b", "a/~/b".into()),
        ] {
            assert_eq!(expand_home(typed).unwrap(), path, "{typed}");
        }
    }

    #[test]
    fn names_of_the_maximum_length_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e".repeat(255));
        write_atomically(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn an_unfinished_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/table.csv");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        write_atomically(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
