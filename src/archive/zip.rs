//! Zip files, read by their central directory: entries that are stored or deflated, zip64 where it is needed.

use super::ArchiveError;
use flate2::{Crc, read::DeflateDecoder};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A directory longer than this is none: a checkpoint's has a hundred bytes per tensor.
const LONGEST_DIRECTORY_BYTES: u64 = 64 << 20;
const MOST_ENTRIES: u64 = 200_000;
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const LONGEST_COMMENT: usize = 0xffff;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// One file of a zip, as its directory has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    /// Bytes as they come out, if the directory says the truth.
    pub size: u64,
    packed: u64,
    crc32: u32,
    method: u16,
    encrypted: bool,
    /// The Unix mode, where the directory has one.
    pub mode: Option<u32>,
    /// Where its local header begins.
    header: u64,
}

/// A zip file, opened.
pub struct Zip {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    directory_start: u64,
    /// Entries whose checksums were found right.
    checked: HashSet<usize>,
}

impl Zip {
    /// Opens a zip and reads its directory.
    ///
    /// # Errors
    /// If it is none or is cut short, has two entries of one name, entries that overlap, or claims too much.
    pub fn open(path: &Path) -> Result<Zip, ArchiveError> {
        let mut file = File::open(path).map_err(ArchiveError::file(path))?;
        let end = find_end(&mut file, path)?;
        let mut directory = Vec::new();
        file.seek(SeekFrom::Start(end.start)).map_err(ArchiveError::file(path))?;
        Read::by_ref(&mut file)
            .take(end.bytes)
            .read_to_end(&mut directory)
            .map_err(ArchiveError::file(path))?;
        let mut entries = Vec::new();
        let mut rest = directory.as_slice();
        for _ in 0..end.entries {
            let (entry, behind) = entry(rest).map_err(|reason| ArchiveError::damaged(path, reason))?;
            entries.push(entry);
            rest = behind;
        }
        let mut by_name = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(ArchiveError::unsafe_entry(path, &entry.name, "is there twice"));
            }
        }
        check_places(path, &entries, end.start)?;
        let checked = HashSet::new();
        Ok(Zip { path: path.to_path_buf(), file, entries, by_name, directory_start: end.start, checked })
    }

    /// The names of all entries, in the directory's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Bytes of an entry, as the directory has it; `None` where there is no such entry.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|index| self.entries[*index].size)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A whole entry of at most `most_bytes`.
    ///
    /// # Errors
    /// If there is none of that name, it is longer, or its size or checksum is wrong.
    pub fn whole(&mut self, name: &str, most_bytes: u64) -> Result<Vec<u8>, ArchiveError> {
        let index = self.index(name)?;
        let size = self.entries[index].size;
        if size > most_bytes {
            let reason = format!("claims {size} bytes, and {most_bytes} is the most it may have");
            return Err(ArchiveError::unsafe_entry(&self.path, name, reason));
        }
        self.take(index, 0, size)
    }

    /// `length` bytes of an entry, from the one at `from`. The entry's checksum is looked at once.
    ///
    /// # Errors
    /// If there is no such entry, it ends before that, or its size or checksum is wrong.
    pub fn range(&mut self, name: &str, from: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let index = self.index(name)?;
        let size = self.entries[index].size;
        if from.checked_add(length).is_none_or(|end| end > size) {
            let reason = format!("has {size} bytes, where {length} from byte {from} on are needed");
            return Err(ArchiveError::unsafe_entry(&self.path, name, reason));
        }
        if (from, length) != (0, size) && !self.checked.contains(&index) {
            let path = self.path.clone();
            io::copy(&mut self.reader(index)?, &mut io::sink())
                .map_err(|error| broken(&path, name, &error))?;
            self.checked.insert(index);
        }
        self.take(index, from, length)
    }

    fn take(&mut self, index: usize, from: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let (path, name) = (self.path.clone(), self.entries[index].name.clone());
        let failed = |error: io::Error| broken(&path, &name, &error);
        let entry = &self.entries[index];
        // what is claimed is no reason to allocate it: it grows with what comes
        let mut bytes = Vec::with_capacity(length.min(1 << 20) as usize);
        if entry.method == STORED && (from, length) != (0, entry.size) {
            let start = self.data_start(index)?;
            self.file.seek(SeekFrom::Start(start + from)).map_err(failed)?;
            Read::by_ref(&mut self.file).take(length).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let whole = (from, length) == (0, entry.size);
            let mut reader = self.reader(index)?;
            io::copy(&mut Read::by_ref(&mut reader).take(from), &mut io::sink()).map_err(failed)?;
            // one more is asked for at the end of the whole, so that size and checksum are looked at
            let most = if whole { length + 1 } else { length };
            Read::by_ref(&mut reader).take(most).read_to_end(&mut bytes).map_err(failed)?;
        }
        if bytes.len() as u64 != length {
            let reason = format!("gives {} bytes where {length} are claimed", bytes.len());
            return Err(ArchiveError::unsafe_entry(&path, &name, reason));
        }
        Ok(bytes)
    }

    /// What an entry holds; at its end the size and the checksum are held against the directory's.
    pub(super) fn reader(&mut self, index: usize) -> Result<EntryReader<'_>, ArchiveError> {
        let start = self.data_start(index)?;
        let entry = &self.entries[index];
        self.file.seek(SeekFrom::Start(start)).map_err(ArchiveError::file(&self.path))?;
        let packed = Read::by_ref(&mut self.file).take(entry.packed);
        let inner: Box<dyn Read + '_> = match entry.method {
            STORED => Box::new(packed),
            _ => Box::new(DeflateDecoder::new(BufReader::with_capacity(1 << 16, packed))),
        };
        Ok(EntryReader { inner, left: entry.size, crc: Crc::new(), wanted: entry.crc32 })
    }

    fn index(&self, name: &str) -> Result<usize, ArchiveError> {
        let index = self.by_name.get(name).copied();
        index.ok_or_else(|| ArchiveError::damaged(&self.path, format!("there is no `{name}` in it")))
    }

    /// Where an entry's bytes begin: behind its local header, which has to name it as the directory does.
    fn data_start(&mut self, index: usize) -> Result<u64, ArchiveError> {
        let entry = &self.entries[index];
        let lies = |reason: &str| ArchiveError::unsafe_entry(&self.path, &entry.name, reason);
        if entry.encrypted {
            return Err(lies("is encrypted"));
        }
        if !matches!(entry.method, STORED | DEFLATED) {
            return Err(lies(&format!(
                "is packed by method {}, and only stored and deflated are read",
                entry.method
            )));
        }
        let mut header = [0; 30];
        let failed = ArchiveError::file(&self.path);
        self.file
            .seek(SeekFrom::Start(entry.header))
            .and_then(|_| self.file.read_exact(&mut header))
            .map_err(failed)?;
        let (name_bytes, extra_bytes) = (u16_at(&header, 26), u16_at(&header, 28));
        let mut name = vec![0; usize::from(name_bytes)];
        self.file.read_exact(&mut name).map_err(ArchiveError::file(&self.path))?;
        if &header[..4] != b"PK\x03\x04" || String::from_utf8_lossy(&name) != entry.name {
            return Err(lies("is another one where it lies"));
        }
        let start = entry.header + 30 + u64::from(name_bytes) + u64::from(extra_bytes);
        if start + entry.packed > self.directory_start {
            return Err(lies("reaches beyond the archive's files"));
        }
        Ok(start)
    }
}

/// What comes out of an entry.
pub(super) struct EntryReader<'z> {
    inner: Box<dyn Read + 'z>,
    left: u64,
    crc: Crc,
    wanted: u32,
}

impl Read for EntryReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        if read as u64 > self.left {
            return Err(io::Error::other("is longer than it claims"));
        }
        self.left -= read as u64;
        self.crc.update(&into[..read]);
        if read == 0 && !into.is_empty() {
            if self.left > 0 {
                return Err(io::Error::other(format!(
                    "ends {} bytes before the size that it claims",
                    self.left
                )));
            }
            if self.crc.sum() != self.wanted {
                return Err(io::Error::other("has another checksum than the directory says: it is damaged"));
            }
        }
        Ok(read)
    }
}

/// An error while an entry was read; what [`EntryReader`] says is said of the entry.
pub(super) fn broken(path: &Path, name: &str, error: &io::Error) -> ArchiveError {
    let reason = match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        _ => format!("cannot be read ({error})"),
    };
    ArchiveError::unsafe_entry(path, name, reason)
}

/// Where the directory lies and how much it claims.
struct End {
    start: u64,
    bytes: u64,
    entries: u64,
}

fn find_end(file: &mut File, path: &Path) -> Result<End, ArchiveError> {
    let failed = |source| ArchiveError::File { path: path.to_path_buf(), source };
    let damaged = |reason: &str| ArchiveError::damaged(path, reason);
    let whole = file.metadata().map_err(failed)?.len();
    let tail_bytes = whole.min((END_BYTES + LONGEST_COMMENT) as u64);
    file.seek(SeekFrom::Start(whole - tail_bytes)).map_err(failed)?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(tail_bytes).read_to_end(&mut tail).map_err(failed)?;
    let is_end = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06")
            && at + END_BYTES + usize::from(u16_at(&tail, at + 20)) == tail.len()
    };
    let last = tail.len().checked_sub(END_BYTES);
    let at = last.and_then(|last| (0..=last).rev().find(is_end));
    let at = at.ok_or_else(|| damaged("a zip's end is not there: the file is cut short"))?;
    let place = whole - tail_bytes + at as u64;
    let mut end = End {
        start: u64::from(u32_at(&tail, at + 16)),
        bytes: u64::from(u32_at(&tail, at + 12)),
        entries: u64::from(u16_at(&tail, at + 10)),
    };
    let mut before = place;
    if let Some(locator) = place.checked_sub(LOCATOR_BYTES as u64) {
        let mut bytes = [0; LOCATOR_BYTES];
        file.seek(SeekFrom::Start(locator)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
        if bytes.starts_with(b"PK\x06\x07") {
            before = u64_at(&bytes, 8);
            let mut wide = [0; 56];
            let read = file.seek(SeekFrom::Start(before)).and_then(|_| file.read_exact(&mut wide));
            if read.is_err() || !wide.starts_with(b"PK\x06\x06") {
                return Err(damaged("the 64-bit end record is not where it should be"));
            }
            end = End { start: u64_at(&wide, 48), bytes: u64_at(&wide, 40), entries: u64_at(&wide, 32) };
        }
    }
    if end.start.checked_add(end.bytes).is_none_or(|end| end > before) {
        return Err(damaged("its directory lies beyond its end"));
    }
    if end.bytes > LONGEST_DIRECTORY_BYTES || end.entries > MOST_ENTRIES {
        let reason = format!("claims a directory of {} entries in {} bytes", end.entries, end.bytes);
        return Err(ArchiveError::TooLarge { path: path.to_path_buf(), reason });
    }
    Ok(end)
}

/// One entry of the directory, and what lies behind it.
fn entry(bytes: &[u8]) -> Result<(Entry, &[u8]), String> {
    let short = || "its directory is cut short".to_string();
    let fixed = bytes.get(..46).ok_or_else(short)?;
    if !fixed.starts_with(b"PK\x01\x02") {
        return Err("its directory is damaged".into());
    }
    let [name_bytes, extra_bytes, comment_bytes] = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at)));
    let behind = bytes.get(46 + name_bytes + extra_bytes + comment_bytes..).ok_or_else(short)?;
    let name = String::from_utf8_lossy(&bytes[46..46 + name_bytes]).into_owned();
    let mut wide = wide_numbers(&bytes[46 + name_bytes..46 + name_bytes + extra_bytes]);
    let mut number = |at: usize| match u32_at(fixed, at) {
        u32::MAX => wide.next().ok_or_else(|| format!("the entry `{name}` lacks its 64-bit sizes")),
        narrow => Ok(u64::from(narrow)),
    };
    // in this order where they are wide
    let (size, packed, header) = (number(24)?, number(20)?, number(42)?);
    let method = u16_at(fixed, 10);
    if method == STORED && size != packed {
        return Err(format!("the entry `{name}` claims {size} bytes and takes {packed}"));
    }
    // made on Unix: the upper half of the attributes is the mode
    let mode = (fixed[5] == 3).then(|| u32_at(fixed, 38) >> 16).filter(|mode| *mode != 0);
    let encrypted = u16_at(fixed, 8) & 1 != 0;
    Ok((Entry { name, size, packed, crc32: u32_at(fixed, 16), method, encrypted, mode, header }, behind))
}

/// The 64-bit numbers of an entry's extra fields.
fn wide_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
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

/// Entries lie behind each other and before the directory: those that share bytes are a way to claim much.
fn check_places(path: &Path, entries: &[Entry], directory_start: u64) -> Result<(), ArchiveError> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|entry| entry.header);
    let nexts = order.iter().skip(1).map(|entry| entry.header).chain([directory_start]);
    for (entry, next) in order.iter().zip(nexts) {
        let least = 30 + entry.name.len() as u64;
        let end = entry.header.checked_add(least).and_then(|end| end.checked_add(entry.packed));
        if end.is_none_or(|end| end > next) {
            return Err(ArchiveError::unsafe_entry(path, &entry.name, "overlaps what lies behind it"));
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
