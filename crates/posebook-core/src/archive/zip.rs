//! Reads ZIP archives by their central directory: stored and deflated entries, with ZIP64 records.

use super::ArchiveError;
use flate2::{Crc, read::DeflateDecoder};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

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
/// Compression method: none.
const STORED: u16 = 0;
/// Compression method: deflate.
const DEFLATED: u16 = 8;

/// An entry, as the central directory describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Its path.
    pub name: String,
    /// Uncompressed bytes, by the directory.
    pub size: u64,
    compressed_size: u64,
    crc32: u32,
    method: u16,
    encrypted: bool,
    /// The Unix mode, where the directory gives one.
    pub mode: Option<u32>,
    /// Position of its local header.
    header_offset: u64,
}

/// An open ZIP archive.
pub struct Zip {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    directory_offset: u64,
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
        let end = find_directory(&mut file, path)?;
        let mut directory = Vec::new();
        file.seek(SeekFrom::Start(end.start)).map_err(ArchiveError::file(path))?;
        Read::by_ref(&mut file)
            .take(end.bytes)
            .read_to_end(&mut directory)
            .map_err(ArchiveError::file(path))?;
        let mut entries = Vec::new();
        let mut rest = directory.as_slice();
        for _ in 0..end.entries {
            let (entry, after) = parse_entry(rest).map_err(|reason| ArchiveError::damaged(path, reason))?;
            entries.push(entry);
            rest = after;
        }
        let mut by_name = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(ArchiveError::unsafe_entry(path, &entry.name, "occurs twice"));
            }
        }
        check_no_overlap(path, &entries, end.start)?;
        let verified = HashSet::new();
        Ok(Zip { path: path.to_path_buf(), file, entries, by_name, directory_offset: end.start, verified })
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
        let index = self.index(name)?;
        let size = self.entries[index].size;
        if size > max_bytes {
            let reason = format!("declares {size} bytes, and at most {max_bytes} are allowed");
            return Err(ArchiveError::unsafe_entry(&self.path, name, reason));
        }
        self.read_part(index, 0, size)
    }

    /// `length` bytes of an entry, starting at byte `offset`. The entry's checksum is verified at the first call.
    ///
    /// # Errors
    /// If there is no such entry, it is shorter, or its size or checksum is wrong.
    pub fn read_range(&mut self, name: &str, offset: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let index = self.index(name)?;
        let size = self.entries[index].size;
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let reason = format!("has {size} bytes, but {length} bytes from byte {offset} on are needed");
            return Err(ArchiveError::unsafe_entry(&self.path, name, reason));
        }
        if (offset, length) != (0, size) && !self.verified.contains(&index) {
            let path = self.path.clone();
            io::copy(&mut self.reader(index)?, &mut io::sink())
                .map_err(|error| entry_error(&path, name, &error))?;
            self.verified.insert(index);
        }
        self.read_part(index, offset, length)
    }

    /// `length` bytes of an entry from byte `offset` on; the checksum is verified if that is the whole entry.
    fn read_part(&mut self, index: usize, offset: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let (path, name) = (self.path.clone(), self.entries[index].name.clone());
        let failed = |error: io::Error| entry_error(&path, &name, &error);
        let entry = &self.entries[index];
        // the declared length is not trusted for an allocation
        let mut bytes = Vec::with_capacity(length.min(1 << 20) as usize);
        if entry.method == STORED && (offset, length) != (0, entry.size) {
            let start = self.data_offset(index)?.saturating_add(offset);
            self.file.seek(SeekFrom::Start(start)).map_err(failed)?;
            Read::by_ref(&mut self.file).take(length).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let whole = (offset, length) == (0, entry.size);
            let mut reader = self.reader(index)?;
            io::copy(&mut Read::by_ref(&mut reader).take(offset), &mut io::sink()).map_err(failed)?;
            // one byte more than the whole entry, so that its size and checksum are verified
            let most = if whole { length.saturating_add(1) } else { length };
            Read::by_ref(&mut reader).take(most).read_to_end(&mut bytes).map_err(failed)?;
        }
        if bytes.len() as u64 != length {
            let reason = format!("gives {} bytes, but {length} are declared", bytes.len());
            return Err(ArchiveError::unsafe_entry(&path, &name, reason));
        }
        Ok(bytes)
    }

    /// A reader of an entry's content; at the end it compares size and checksum with the directory's.
    pub(super) fn reader(&mut self, index: usize) -> Result<EntryReader<'_>, ArchiveError> {
        let start = self.data_offset(index)?;
        let entry = &self.entries[index];
        self.file.seek(SeekFrom::Start(start)).map_err(ArchiveError::file(&self.path))?;
        let compressed = Read::by_ref(&mut self.file).take(entry.compressed_size);
        let inner: Box<dyn Read + '_> = match entry.method {
            STORED => Box::new(compressed),
            _ => Box::new(DeflateDecoder::new(BufReader::with_capacity(1 << 16, compressed))),
        };
        Ok(EntryReader { inner, remaining: entry.size, crc: Crc::new(), expected_crc: entry.crc32 })
    }

    fn index(&self, name: &str) -> Result<usize, ArchiveError> {
        let index = self.by_name.get(name).copied();
        index.ok_or_else(|| ArchiveError::damaged(&self.path, format!("it has no entry `{name}`")))
    }

    /// Position of an entry's data, after its local header, whose name must be that of the directory.
    fn data_offset(&mut self, index: usize) -> Result<u64, ArchiveError> {
        let entry = &self.entries[index];
        let invalid = |reason: &str| ArchiveError::unsafe_entry(&self.path, &entry.name, reason);
        if entry.encrypted {
            return Err(invalid("is encrypted"));
        }
        if !matches!(entry.method, STORED | DEFLATED) {
            return Err(invalid(&format!(
                "uses compression method {}; only stored and deflated are supported",
                entry.method
            )));
        }
        let mut header = [0; 30];
        let failed = ArchiveError::file(&self.path);
        self.file
            .seek(SeekFrom::Start(entry.header_offset))
            .and_then(|_| self.file.read_exact(&mut header))
            .map_err(failed)?;
        let (name_bytes, extra_bytes) = (u16_at(&header, 26), u16_at(&header, 28));
        let mut name = vec![0; usize::from(name_bytes)];
        self.file.read_exact(&mut name).map_err(ArchiveError::file(&self.path))?;
        if &header[..4] != b"PK\x03\x04" || String::from_utf8_lossy(&name) != entry.name {
            return Err(invalid("has a local header that is missing or names another entry"));
        }
        let header_bytes = 30 + u64::from(name_bytes) + u64::from(extra_bytes);
        let start = entry.header_offset.saturating_add(header_bytes);
        if start.saturating_add(entry.compressed_size) > self.directory_offset {
            return Err(invalid("extends into the central directory"));
        }
        Ok(start)
    }
}

/// Reads an entry's content and verifies it.
pub(super) struct EntryReader<'z> {
    inner: Box<dyn Read + 'z>,
    remaining: u64,
    crc: Crc,
    expected_crc: u32,
}

impl Read for EntryReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read as u64 > self.remaining {
            return Err(io::Error::other("is longer than declared"));
        }
        self.remaining -= read as u64;
        self.crc.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() {
            if self.remaining > 0 {
                return Err(io::Error::other(format!(
                    "ends {} bytes before its declared size",
                    self.remaining
                )));
            }
            if self.crc.sum() != self.expected_crc {
                return Err(io::Error::other("has another checksum than the directory says: it is damaged"));
            }
        }
        Ok(read)
    }
}

/// An error while an entry was read. Errors of [`EntryReader`] are predicates of the entry.
pub(super) fn entry_error(path: &Path, name: &str, error: &io::Error) -> ArchiveError {
    let reason = match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        _ => format!("cannot be read ({error})"),
    };
    ArchiveError::unsafe_entry(path, name, reason)
}

/// Position and size of the central directory.
struct Directory {
    start: u64,
    bytes: u64,
    entries: u64,
}

/// Finds the end record, or its ZIP64 counterpart.
fn find_directory(file: &mut File, path: &Path) -> Result<Directory, ArchiveError> {
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
    if end.start.checked_add(end.bytes).is_none_or(|end| end > before) {
        return Err(damaged("its directory extends beyond its end"));
    }
    if end.bytes > MAX_DIRECTORY_BYTES || end.entries > MAX_ENTRIES {
        let reason = format!("declares a directory of {} entries in {} bytes", end.entries, end.bytes);
        return Err(ArchiveError::TooLarge { path: path.to_path_buf(), reason });
    }
    Ok(end)
}

/// Parses an entry of the directory; returns it and the bytes after it.
fn parse_entry(bytes: &[u8]) -> Result<(Entry, &[u8]), String> {
    let short = || "its directory is truncated".to_string();
    let fixed = bytes.get(..46).ok_or_else(short)?;
    if !fixed.starts_with(b"PK\x01\x02") {
        return Err("its directory is damaged".into());
    }
    let [name_bytes, extra_bytes, comment_bytes] = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at)));
    let after = bytes.get(46 + name_bytes + extra_bytes + comment_bytes..).ok_or_else(short)?;
    let name = String::from_utf8_lossy(&bytes[46..46 + name_bytes]).into_owned();
    let mut zip64 = zip64_numbers(&bytes[46 + name_bytes..46 + name_bytes + extra_bytes]);
    let mut number = |at: usize| match u32_at(fixed, at) {
        u32::MAX => zip64.next().ok_or_else(|| format!("the entry `{name}` lacks its 64-bit sizes")),
        narrow => Ok(u64::from(narrow)),
    };
    // ZIP64 numbers come in this order
    let (size, compressed_size, header_offset) = (number(24)?, number(20)?, number(42)?);
    let method = u16_at(fixed, 10);
    if method == STORED && size != compressed_size {
        return Err(format!("the entry `{name}` declares {size} bytes and has {compressed_size}"));
    }
    // from Unix: the upper half of the attributes is the mode
    let mode = (fixed[5] == 3).then(|| u32_at(fixed, 38) >> 16).filter(|mode| *mode != 0);
    let encrypted = u16_at(fixed, 8) & 1 != 0;
    Ok((
        Entry {
            name,
            size,
            compressed_size,
            crc32: u32_at(fixed, 16),
            method,
            encrypted,
            mode,
            header_offset,
        },
        after,
    ))
}

/// The numbers in the ZIP64 extra fields of an entry.
fn zip64_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut numbers = Vec::new();
    while extra.len() >= 4 {
        let (id, bytes) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + bytes) else { break };
        if id == 1 {
            numbers.extend(field.chunks_exact(8).map(|number| u64_at(number, 0)));
        }
        extra = &extra[4 + bytes..];
    }
    numbers.into_iter()
}

/// Checks that entries do not overlap each other or the directory: overlapping entries let a small file declare huge content.
fn check_no_overlap(path: &Path, entries: &[Entry], directory_offset: u64) -> Result<(), ArchiveError> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|entry| entry.header_offset);
    let nexts = order.iter().skip(1).map(|entry| entry.header_offset).chain([directory_offset]);
    for (entry, next) in order.iter().zip(nexts) {
        let least = 30 + entry.name.len() as u64;
        let end =
            entry.header_offset.checked_add(least).and_then(|end| end.checked_add(entry.compressed_size));
        if end.is_none_or(|end| end > next) {
            return Err(ArchiveError::unsafe_entry(path, &entry.name, "overlaps what follows it"));
        }
    }
    Ok(())
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
