//! Files that are whole or absent: written beside their place, then renamed into it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(name);
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

#[cfg(test)]
mod tests {
    use super::*;

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
