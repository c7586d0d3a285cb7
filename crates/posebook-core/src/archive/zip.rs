//! Reads ZIP archives with the `zip` crate: stored and deflated entries, with ZIP64 records.
//!
//! The crate parses headers, decompresses, limits the data of an entry to its declared size and compares its checksum. It
//! accepts more than this project wants, so these cases are rejected in addition:
//! - end records that are ambiguous: the directory that [`Directory::find`] finds and the one that the crate reads must be
//!   the same. The crate ignores a ZIP64 record that it does not need, and uses an earlier end record if the last is invalid;
//! - a directory that is too large, before the crate allocates memory for it;
//! - data before or after the archive (executables with an archive at their end);
//! - two entries of the same name, of which the crate would keep the last;
//! - entries that overlap: with them, a file of a few megabytes can unpack to petabytes;
//! - local headers that differ from the directory, since other programs may read those;
//! - an entry that is shorter than declared, although its checksum fits.

use super::ArchiveError;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, ZipArchive, ZipFile, ZipReadOptions};
use zip::result::ZipError;

/// Largest central directory: that of a checkpoint has about 100 bytes per tensor.
const MAX_DIRECTORY_BYTES: u64 = 64 << 20;
/// Most entries of an archive.
const MAX_ENTRIES: u64 = 200_000;
/// Bytes of the end-of-central-directory record without its comment.
const END_BYTES: usize = 22;
/// Bytes of the ZIP64 locator.
const LOCATOR_BYTES: usize = 20;
/// Longest comment after the end record.
const MAX_COMMENT_BYTES: usize = 0xffff;

/// An entry, as the central directory describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Its path.
    pub name: String,
    /// Uncompressed bytes.
    pub size: u64,
    /// The Unix mode with the file type; 0 where the directory gives none.
    pub mode: u32,
    is_stored: bool,
}

/// An open ZIP archive.
pub struct Zip {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// Entries whose checksums were verified.
    verified: HashSet<usize>,
}

impl Zip {
    /// Opens an archive and reads its central directory.
    ///
    /// # Errors
    /// If the file is not a ZIP archive or truncated, two entries have the same name or overlap, or the directory is too
    /// large.
    pub fn open(path: &Path) -> Result<Zip, ArchiveError> {
        let mut file = File::open(path).map_err(ArchiveError::file(path))?;
        let directory = Directory::find(&mut file, path)?;
        let damaged = |error: ZipError| ArchiveError::damaged(path, error.to_string().escape_debug());
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut archive = ZipArchive::with_config(config, BufReader::new(file)).map_err(damaged)?;
        if archive.has_duplicate_names() {
            return Err(ArchiveError::rejected(path, "has two entries of the same name"));
        }
        if (archive.central_directory_start(), archive.len() as u64) != (directory.start, directory.entries) {
            return Err(ArchiveError::rejected(path, "has end records that contradict each other"));
        }
        if archive.has_overlapping_entries().map_err(damaged)? {
            return Err(ArchiveError::rejected(path, "has entries that overlap each other or the directory"));
        }
        let mut entries = Vec::with_capacity(archive.len());
        let mut by_name = HashMap::with_capacity(archive.len());
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(damaged)?;
            let name = entry.name().map_err(damaged)?.into_owned();
            let (size, is_stored) = (entry.size(), entry.compression() == CompressionMethod::Stored);
            if is_stored && size != entry.compressed_size() {
                let reason = format!("declares {size} bytes and has {}", entry.compressed_size());
                return Err(ArchiveError::unsafe_entry(path, &name, reason));
            }
            // names of different bytes may be the same text
            if by_name.insert(name.clone(), index).is_some() {
                return Err(ArchiveError::unsafe_entry(path, &name, "occurs twice"));
            }
            entries.push(Entry { name, size, mode: entry.external_attributes() >> 16, is_stored });
        }
        Ok(Zip { path: path.to_path_buf(), archive, entries, by_name, verified: HashSet::new() })
    }

    /// The names of all entries, in the directory's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Uncompressed bytes of an entry, by the directory; `None` if there is no such entry.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|index| self.entries[*index].size)
    }

    /// All entries, in the directory's order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The content of an entry of at most `max_bytes`.
    ///
    /// # Errors
    /// If there is no such entry, it is larger, or its size or checksum is wrong.
    pub fn read(&mut self, name: &str, max_bytes: u64) -> Result<Vec<u8>, ArchiveError> {
        let size = self.entries[self.index(name)?].size;
        if size > max_bytes {
            let reason = format!("declares {size} bytes, and at most {max_bytes} are allowed");
            return Err(ArchiveError::unsafe_entry(&self.path, name, reason));
        }
        self.read_range(name, 0, size)
    }

    /// `length` bytes of an entry, starting at byte `offset`. The entry's checksum is verified at the first call.
    ///
    /// # Errors
    /// If there is no such entry, it is shorter, or its size or checksum is wrong.
    pub fn read_range(&mut self, name: &str, offset: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let index = self.index(name)?;
        let Entry { size, is_stored, .. } = self.entries[index];
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let reason = format!("has {size} bytes, but {length} bytes from byte {offset} on are needed");
            return Err(ArchiveError::unsafe_entry(&self.path, name, reason));
        }
        let path = self.path.clone();
        let failed = |error: io::Error| entry_error(&path, name, &error);
        let is_whole = (offset, length) == (0, size);
        if !is_whole && !self.verified.contains(&index) {
            let read = io::copy(&mut self.reader(index)?, &mut io::sink()).map_err(failed)?;
            check_size(&path, name, read, size)?;
            self.verified.insert(index);
        }
        // a declared length is not trusted for an allocation, but a stored entry lies within the file
        let mut bytes = Vec::with_capacity(if is_stored { length } else { length.min(1 << 20) } as usize);
        if is_whole {
            self.reader(index)?.read_to_end(&mut bytes).map_err(failed)?;
        } else if is_stored {
            let mut reader = self.archive.by_index_seek(index).map_err(|error| failed(error.into()))?;
            reader.seek(SeekFrom::Start(offset)).map_err(failed)?;
            reader.take(length).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let mut reader = self.reader(index)?;
            io::copy(&mut Read::by_ref(&mut reader).take(offset), &mut io::sink()).map_err(failed)?;
            reader.take(length).read_to_end(&mut bytes).map_err(failed)?;
        }
        check_size(&path, name, bytes.len() as u64, length)?;
        Ok(bytes)
    }

    /// A reader of an entry's content. It gives an error at the end if the checksum is wrong, but none if the content is
    /// shorter than declared: see [`check_size`].
    pub(super) fn reader(&mut self, index: usize) -> Result<ZipFile<'_, BufReader<File>>, ArchiveError> {
        let name = &self.entries[index].name;
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let reader = self.archive.by_index_with_options(index, options);
        reader.map_err(|error| entry_error(&self.path, name, &error.into()))
    }

    fn index(&self, name: &str) -> Result<usize, ArchiveError> {
        let index = self.by_name.get(name).copied();
        index.ok_or_else(|| ArchiveError::damaged(&self.path, format!("it has no entry `{name}`")))
    }
}

/// The crate's message for an entry whose checksum is wrong.
const CHECKSUM_MESSAGE: &str = "Invalid checksum";

/// An error while an entry was read.
pub(super) fn entry_error(path: &Path, name: &str, error: &io::Error) -> ArchiveError {
    let reason = match error.to_string().as_str() {
        CHECKSUM_MESSAGE => "has another checksum than the directory says".to_string(),
        // messages may contain names of the archive
        message => format!("cannot be read ({})", message.escape_debug()),
    };
    ArchiveError::unsafe_entry(path, name, reason)
}

/// Checks that an entry was read completely.
pub(super) fn check_size(path: &Path, name: &str, read: u64, declared: u64) -> Result<(), ArchiveError> {
    if read >= declared {
        return Ok(());
    }
    let reason = format!("ends {} bytes before its declared size", declared - read);
    Err(ArchiveError::unsafe_entry(path, name, reason))
}

/// Position of the central directory and number of its entries, as the end records say.
struct Directory {
    start: u64,
    bytes: u64,
    entries: u64,
}

impl Directory {
    /// Reads the end record at the end of the file, or its ZIP64 counterpart.
    fn find(file: &mut File, path: &Path) -> Result<Directory, ArchiveError> {
        let failed = |source| ArchiveError::File { path: path.to_path_buf(), source };
        let damaged = |reason: &str| ArchiveError::damaged(path, reason);
        let file_bytes = file.metadata().map_err(failed)?.len();
        let tail_bytes = file_bytes.min((END_BYTES + MAX_COMMENT_BYTES) as u64);
        file.seek(SeekFrom::Start(file_bytes - tail_bytes)).map_err(failed)?;
        let mut tail = Vec::new();
        Read::by_ref(file).take(tail_bytes).read_to_end(&mut tail).map_err(failed)?;
        let is_end = |at: &usize| {
            tail[*at..].starts_with(b"PK\x05\x06")
                && at + END_BYTES + usize::from(u16_at(&tail, at + 20)) == tail.len()
        };
        let last = tail.len().checked_sub(END_BYTES);
        let at = last.and_then(|last| (0..=last).rev().find(is_end));
        let at =
            at.ok_or_else(|| damaged("the end record of a ZIP archive is missing: the file is truncated"))?;
        let end_offset = file_bytes - tail_bytes + at as u64;
        let mut end = Directory {
            start: u64::from(u32_at(&tail, at + 16)),
            bytes: u64::from(u32_at(&tail, at + 12)),
            entries: u64::from(u16_at(&tail, at + 10)),
        };
        let mut before = end_offset;
        if let Some(locator) = end_offset.checked_sub(LOCATOR_BYTES as u64) {
            let mut bytes = [0; LOCATOR_BYTES];
            file.seek(SeekFrom::Start(locator)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
            if bytes.starts_with(b"PK\x06\x07") {
                before = u64_at(&bytes, 8);
                let mut zip64 = [0; 56];
                let read = file.seek(SeekFrom::Start(before)).and_then(|_| file.read_exact(&mut zip64));
                if read.is_err() || !zip64.starts_with(b"PK\x06\x06") {
                    return Err(damaged("the ZIP64 end record is missing"));
                }
                end = Directory {
                    start: u64_at(&zip64, 48),
                    bytes: u64_at(&zip64, 40),
                    entries: u64_at(&zip64, 32),
                };
            }
        }
        if end.start.checked_add(end.bytes) != Some(before) {
            return Err(damaged("its directory does not end where the end record begins"));
        }
        if end.bytes > MAX_DIRECTORY_BYTES || end.entries > MAX_ENTRIES {
            let reason = format!("declares a directory of {} entries in {} bytes", end.entries, end.bytes);
            return Err(ArchiveError::rejected(path, reason));
        }
        Ok(end)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
