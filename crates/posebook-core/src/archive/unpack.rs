//! Unpacks an archive into a folder: only inside it, without links, within given limits.

use super::ArchiveError;
use super::tar::{self, Kind};
use super::zip::{Zip, check_size, entry_error};
use crate::scratch;
use flate2::read::MultiGzDecoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Limits of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub max_entries: usize,
    /// Most bytes of all unpacked files together.
    pub max_bytes: u64,
    /// Most components of a path.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_entries: 100_000, max_bytes: 32 << 30, max_depth: 32 }
    }
}

/// Unpacks a .zip, .whl, .tar, .tgz or .tar.gz (recognized by its content) into the folder `into`, which must not exist. Only
/// files that `is_selected` accepts are written. Returns their paths. The folder appears completely or not at all.
///
/// # Errors
/// If the archive is damaged, an entry's name points outside of the folder, an entry is a link or a device or appears twice,
/// or the archive exceeds `limits`.
pub fn unpack(
    archive: &Path,
    into: &Path,
    limits: Limits,
    is_selected: &dyn Fn(&str) -> bool,
) -> Result<Vec<PathBuf>, ArchiveError> {
    let temporary = scratch::temporary_path(into);
    fs::create_dir_all(&temporary).map_err(ArchiveError::file(&temporary))?;
    let mut extraction =
        Extraction { archive, folder: &temporary, limits, entries: 0, bytes: 0, files: Vec::new() };
    let unpacked = match detect_kind(archive) {
        Ok(ArchiveKind::Zip) => unzip(&mut extraction, is_selected),
        Ok(ArchiveKind::Gzip(file)) => {
            untar(&mut extraction, MultiGzDecoder::new(BufReader::new(file)), is_selected)
        }
        Ok(ArchiveKind::Tar(file)) => untar(&mut extraction, BufReader::new(file), is_selected),
        Err(error) => Err(error),
    };
    let files = std::mem::take(&mut extraction.files);
    let result = unpacked.and_then(|()| fs::rename(&temporary, into).map_err(ArchiveError::file(into)));
    if let Err(error) = result {
        let _ = fs::remove_dir_all(&temporary);
        return Err(error);
    }
    Ok(files.into_iter().map(|file| into.join(file)).collect())
}

/// Kind of an archive, with its open file.
enum ArchiveKind {
    Zip,
    Gzip(File),
    Tar(File),
}

/// Recognizes an archive by its first bytes.
fn detect_kind(archive: &Path) -> Result<ArchiveKind, ArchiveError> {
    let failed = |source| ArchiveError::File { path: archive.to_path_buf(), source };
    let mut file = File::open(archive).map_err(failed)?;
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(512).read_to_end(&mut start).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    match start.as_slice() {
        [b'P', b'K', ..] => Ok(ArchiveKind::Zip),
        [0x1f, 0x8b, ..] => Ok(ArchiveKind::Gzip(file)),
        block if block.len() == 512 && block[257..].starts_with(b"ustar") => Ok(ArchiveKind::Tar(file)),
        _ => Err(ArchiveError::damaged(
            archive,
            "it is neither a ZIP nor a TAR archive (compressed by gzip or not)",
        )),
    }
}

/// An archive that is being unpacked.
struct Extraction<'a> {
    archive: &'a Path,
    /// Where files are written.
    folder: &'a Path,
    limits: Limits,
    /// Entries so far.
    entries: usize,
    /// Bytes written so far.
    bytes: u64,
    /// Paths of the files written so far, relative to the folder.
    files: Vec<PathBuf>,
}

impl Extraction<'_> {
    fn unsafe_entry(&self, entry: &str, reason: &str) -> ArchiveError {
        ArchiveError::unsafe_entry(self.archive, entry, reason)
    }

    /// Counts an entry against the limit.
    fn count_entry(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries <= self.limits.max_entries {
            return Ok(());
        }
        let reason = format!("has more than {} entries", self.limits.max_entries);
        Err(ArchiveError::rejected(self.archive, reason))
    }

    /// An entry's path below the folder.
    fn relative_path(&self, name: &str) -> Result<PathBuf, ArchiveError> {
        if name.contains(['\\', '\0']) || name.len() > 1024 {
            return Err(self.unsafe_entry(name, "has a name that is not a path"));
        }
        let mut path = PathBuf::new();
        for part in Path::new(name).components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                _ => {
                    return Err(
                        self.unsafe_entry(name, "points outside of the folder that it is unpacked to")
                    );
                }
            }
        }
        let depth = path.components().count();
        if depth == 0 || depth > self.limits.max_depth {
            return Err(self.unsafe_entry(name, "has a path that is empty or too deep"));
        }
        Ok(path)
    }

    fn folder(&self, name: &str) -> Result<(), ArchiveError> {
        // `./`, the archive's own root, is not an entry of its own
        if name.chars().all(|letter| matches!(letter, '.' | '/'))
            && !name.contains("..")
            && !name.starts_with('/')
        {
            return Ok(());
        }
        let path = self.folder.join(self.relative_path(name)?);
        fs::create_dir_all(&path).map_err(ArchiveError::file(&path))
    }

    /// Writes one file of `size` bytes; `content` gives an error at its end if it was damaged.
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let relative_path = self.relative_path(name)?;
        let path = self.folder.join(&relative_path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ArchiveError::file(parent))?;
        }
        let created = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.unsafe_entry(name, "occurs twice"),
            _ => ArchiveError::File { path: path.clone(), source: error },
        })?;
        let remaining = self.limits.max_bytes.saturating_sub(self.bytes);
        // one byte more, to detect a file that is too long
        let written = io::copy(&mut content.take(remaining.saturating_add(1)), &mut file);
        let written = written.map_err(|error| entry_error(self.archive, name, &error))?;
        if written > remaining {
            let reason = format!("has more than {} bytes unpacked", self.limits.max_bytes);
            return Err(ArchiveError::rejected(self.archive, reason));
        }
        check_size(self.archive, name, written, size)?;
        self.bytes += written;
        self.files.push(relative_path);
        Ok(())
    }
}

/// Unpacks a ZIP archive.
fn unzip(extraction: &mut Extraction<'_>, is_selected: &dyn Fn(&str) -> bool) -> Result<(), ArchiveError> {
    let mut zip = Zip::open(extraction.archive)?;
    for index in 0..zip.entries().len() {
        extraction.count_entry()?;
        let entry = zip.entries()[index].clone();
        // the file type in a Unix mode: unknown, plain file or folder
        if !matches!(entry.mode & 0o170_000, 0 | 0o100_000 | 0o040_000) {
            return Err(extraction.unsafe_entry(&entry.name, "is a link or a device"));
        }
        if entry.name.ends_with('/') {
            extraction.folder(&entry.name)?;
            continue;
        }
        extraction.relative_path(&entry.name)?;
        if is_selected(&entry.name) {
            extraction.file(&entry.name, entry.size, &mut zip.reader(index)?)?;
        }
    }
    Ok(())
}

/// Unpacks a TAR archive.
fn untar(
    extraction: &mut Extraction<'_>,
    reader: impl Read,
    is_selected: &dyn Fn(&str) -> bool,
) -> Result<(), ArchiveError> {
    // files that are not selected have to be read, too
    let most = extraction.limits.max_bytes.saturating_mul(2).saturating_add(1 << 20);
    tar::read_entries(extraction.archive, reader.take(most), &mut |entry, content| {
        extraction.count_entry()?;
        match entry.kind {
            Kind::Folder => extraction.folder(&entry.name),
            Kind::Other(what) => Err(extraction.unsafe_entry(&entry.name, &format!("is {what}"))),
            Kind::File => {
                extraction.relative_path(&entry.name)?;
                if is_selected(&entry.name) {
                    extraction.file(&entry.name, entry.size, content)?;
                }
                Ok(())
            }
        }
    })
}
