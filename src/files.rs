//! Files that are whole or absent: written beside their place, then renamed into it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::scratch;

/// A file under construction. Nothing stands at `path` until [`WholeFile::finish`]; dropped before
/// that, what was written is removed.
pub struct WholeFile {
    path: PathBuf,
    beside: PathBuf,
    file: Option<BufWriter<File>>,
}

impl WholeFile {
    /// Starts writing what will stand at `path`; missing folders are made.
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub fn create(path: &Path) -> io::Result<WholeFile> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = scratch::beside(path);
        let file = Some(BufWriter::new(File::create(&beside)?));
        Ok(WholeFile { path: path.to_path_buf(), beside, file })
    }

    /// Where the bytes are until [`WholeFile::finish`], for a program that writes them itself.
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// If the last bytes cannot be written (a full disk, say); then nothing stands at `path`.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
            file.get_ref().sync_data()?;
        }
        fs::rename(&self.beside, &self.path)
    }
}

impl Write for WholeFile {
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

impl Drop for WholeFile {
    fn drop(&mut self) {
        self.file.take();
        // after finish() there is nothing left to remove
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// As [`WholeFile`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// Checks that `folder` is there, or can be made, and that files can be made in it: before work whose results go
/// there. Leaves nothing.
///
/// # Errors
/// Why not.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    let try_out = || {
        fs::create_dir_all(folder)?;
        let probe = folder.join(scratch::name("check"));
        File::create_new(&probe)?;
        fs::remove_file(&probe)
    };
    let tried = match try_out() {
        // another process has just removed the folder that it made for its own check
        Err(error) if error.kind() == io::ErrorKind::NotFound => try_out(),
        tried => tried,
    };
    for made in missing {
        // one that another process uses by now is not empty, and stays
        let _ = fs::remove_dir(made);
    }
    tried
}

/// `path` as typed, `~` and `~/` at its start being the home folder.
///
/// # Errors
/// If it begins so and there is no `HOME`: what to do.
pub fn from_home(path: &str) -> Result<PathBuf, String> {
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
            let home = home.ok_or_else(|| format!("`{path}`: there is no HOME; write the path in full"))?;
            Ok(PathBuf::from(home).join(rest.trim_start_matches('/')))
        }
        _ => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_checked_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["", "a:b", "-x", "deep/er/~", "with blank "] {
            check_folder(&inside(name)).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(inside("file"), "x").unwrap();
        assert!(check_folder(&inside("file")).is_err() && check_folder(&inside("file/below")).is_err());
        assert!(check_folder(&inside(&"e".repeat(300))).is_err());
        assert_eq!(fs::read(inside("file")).unwrap(), b"x");
    }

    #[test]
    fn only_a_tilde_alone_is_the_home() {
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
            assert_eq!(from_home(typed).unwrap(), path, "{typed}");
        }
    }

    #[test]
    fn names_as_long_as_may_be_are_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e".repeat(255));
        write_whole(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/table.csv");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        write_whole(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
