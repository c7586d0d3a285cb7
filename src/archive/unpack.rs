//! An archive's files into a folder: only inside it, no links, no more than was agreed to.

use super::ArchiveError;
use super::tar::{Kind, Tar};
use super::zip::{Zip, broken};
use crate::scratch;
use flate2::read::MultiGzDecoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// What an archive may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub entries: usize,
    /// All files together, unpacked.
    pub bytes: u64,
    /// Folders within folders.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 100_000, bytes: 32 << 30, depth: 32 }
    }
}

/// Unpacks a .zip, .whl, .tar, .tgz or .tar.gz (told by what is in it) into the folder `into`, which must not be
/// there; of its files, those that `wanted` says yes to. The folder is there whole or not at all.
///
/// # Errors
/// If the archive is damaged, an entry's name points elsewhere, is a link or a device, comes twice, or it goes beyond
/// `limits`.
pub fn unpack(
    archive: &Path,
    into: &Path,
    limits: Limits,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<PathBuf>, ArchiveError> {
    let beside = scratch::beside(into);
    fs::create_dir_all(&beside).map_err(ArchiveError::file(&beside))?;
    let mut place = Place { archive, folder: &beside, limits, entries: 0, bytes: 0, files: Vec::new() };
    let unpacked = match kind_of(archive) {
        Ok(Packed::Zip) => unzip(&mut place, wanted),
        Ok(Packed::Gzip(file)) => untar(&mut place, MultiGzDecoder::new(BufReader::new(file)), wanted),
        Ok(Packed::Tar(file)) => untar(&mut place, BufReader::new(file), wanted),
        Err(error) => Err(error),
    };
    let files = std::mem::take(&mut place.files);
    let placed = unpacked.and_then(|()| fs::rename(&beside, into).map_err(ArchiveError::file(into)));
    if let Err(error) = placed {
        let _ = fs::remove_dir_all(&beside);
        return Err(error);
    }
    Ok(files.into_iter().map(|file| into.join(file)).collect())
}

enum Packed {
    Zip,
    Gzip(File),
    Tar(File),
}

fn kind_of(archive: &Path) -> Result<Packed, ArchiveError> {
    let failed = |source| ArchiveError::File { path: archive.to_path_buf(), source };
    let mut file = File::open(archive).map_err(failed)?;
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(512).read_to_end(&mut start).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    match start.as_slice() {
        [b'P', b'K', ..] => Ok(Packed::Zip),
        [0x1f, 0x8b, ..] => Ok(Packed::Gzip(file)),
        block if block.len() == 512 && block[257..].starts_with(b"ustar") => Ok(Packed::Tar(file)),
        _ => Err(ArchiveError::damaged(archive, "it is neither a zip nor a tar, packed by gzip or not")),
    }
}

/// Where files go, and how much has come.
struct Place<'a> {
    archive: &'a Path,
    folder: &'a Path,
    limits: Limits,
    entries: usize,
    bytes: u64,
    files: Vec<PathBuf>,
}

impl Place<'_> {
    fn refused(&self, entry: &str, reason: &str) -> ArchiveError {
        ArchiveError::unsafe_entry(self.archive, entry, reason)
    }

    fn count(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries <= self.limits.entries {
            return Ok(());
        }
        let reason = format!("has more than {} entries", self.limits.entries);
        Err(ArchiveError::TooLarge { path: self.archive.to_path_buf(), reason })
    }

    /// The path below the folder that an entry's name stands for.
    fn inside(&self, name: &str) -> Result<PathBuf, ArchiveError> {
        if name.contains(['\\', '\0']) || name.len() > 1024 {
            return Err(self.refused(name, "has a name that is no path"));
        }
        let mut inside = PathBuf::new();
        for part in Path::new(name).components() {
            match part {
                Component::Normal(part) => inside.push(part),
                Component::CurDir => {}
                _ => return Err(self.refused(name, "points outside of the folder that it is unpacked to")),
            }
        }
        let depth = inside.components().count();
        if depth == 0 || depth > self.limits.depth {
            return Err(self.refused(name, "has a name that is no path of a sensible length"));
        }
        Ok(inside)
    }

    fn folder(&self, name: &str) -> Result<(), ArchiveError> {
        // `./`, the archive's own root, is no entry of it
        if name.chars().all(|letter| matches!(letter, '.' | '/'))
            && !name.contains("..")
            && !name.starts_with('/')
        {
            return Ok(());
        }
        let path = self.folder.join(self.inside(name)?);
        fs::create_dir_all(&path).map_err(ArchiveError::file(&path))
    }

    /// Writes one file; `from` says at its end whether it was whole.
    fn file(&mut self, name: &str, from: &mut dyn Read) -> Result<(), ArchiveError> {
        let inside = self.inside(name)?;
        let path = self.folder.join(&inside);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ArchiveError::file(parent))?;
        }
        let created = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.refused(name, "is there twice"),
            _ => ArchiveError::File { path: path.clone(), source: error },
        })?;
        let room = self.limits.bytes - self.bytes;
        // one byte more than there is room for tells a file that is too long from one that fits
        let written = io::copy(&mut from.take(room + 1), &mut file);
        let written = written.map_err(|error| broken(self.archive, name, &error))?;
        if written > room {
            let reason = format!("has more than {} bytes unpacked", self.limits.bytes);
            return Err(ArchiveError::TooLarge { path: self.archive.to_path_buf(), reason });
        }
        self.bytes += written;
        self.files.push(inside);
        Ok(())
    }
}

fn unzip(place: &mut Place<'_>, wanted: &dyn Fn(&str) -> bool) -> Result<(), ArchiveError> {
    let mut zip = Zip::open(place.archive)?;
    for index in 0..zip.entries().len() {
        place.count()?;
        let entry = zip.entries()[index].clone();
        // the kind of file in a Unix mode: plain, a folder, or none given
        if entry.mode.is_some_and(|mode| !matches!(mode & 0o170_000, 0 | 0o100_000 | 0o040_000)) {
            return Err(place.refused(&entry.name, "is a link or a device"));
        }
        if entry.name.ends_with('/') {
            place.folder(&entry.name)?;
            continue;
        }
        place.inside(&entry.name)?;
        if wanted(&entry.name) {
            place.file(&entry.name, &mut zip.reader(index)?)?;
        }
    }
    Ok(())
}

fn untar(
    place: &mut Place<'_>,
    reader: impl Read,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(), ArchiveError> {
    let archive = place.archive;
    let damaged = |error: io::Error| ArchiveError::damaged(archive, error.to_string());
    // what is not unpacked has to be read all the same
    let most = place.limits.bytes.saturating_mul(2).saturating_add(1 << 20);
    let mut tar = Tar::new(reader.take(most));
    while let Some(entry) = tar.next().map_err(damaged)? {
        place.count()?;
        match entry.kind {
            Kind::Folder => place.folder(&entry.name)?,
            Kind::Other(what) => return Err(place.refused(&entry.name, &format!("is {what}"))),
            Kind::File => {
                place.inside(&entry.name)?;
                if wanted(&entry.name) {
                    place.file(&entry.name, &mut tar)?;
                }
            }
        }
    }
    // what follows is empty; at its end gzip's checksum is looked at
    tar.finish().map_err(damaged)
}
