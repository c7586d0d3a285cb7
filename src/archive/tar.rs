//! Tar files, entry by entry as they come: plain files and folders, with the long names of pax and GNU.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Long names and other notes are this long at most.
const LONGEST_NOTE_BYTES: u64 = 1 << 16;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// Links, devices and pipes, in words.
    Other(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
    pub kind: Kind,
}

/// A tar that is being read.
pub struct Tar<R> {
    reader: R,
    /// Bytes of the present entry that were not read, and those that fill its last block.
    left: u64,
    filling: u64,
}

impl<R: Read> Tar<R> {
    pub fn new(reader: R) -> Tar<R> {
        Tar { reader, left: 0, filling: 0 }
    }

    /// The next entry; what was not read of the one before is passed over.
    ///
    /// # Errors
    /// If the archive is damaged or cut short.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_name, mut long_size) = (None, None);
        loop {
            let skip = self.left + self.filling;
            if io::copy(&mut Read::by_ref(&mut self.reader).take(skip), &mut io::sink())? != skip {
                return Err(io::Error::other("it is cut short"));
            }
            (self.left, self.filling) = (0, 0);
            let Some(block) = self.block()? else { return Ok(None) };
            let size = number(&block[124..136]).ok_or_else(|| io::Error::other("a size that is none"))?;
            self.expect(size)?;
            let note = match block[156] {
                b'L' | b'x' => self.note(size)?,
                // notes for all entries, and long names of links, concern nobody here
                b'g' | b'K' => continue,
                flag => {
                    let name = long_name.unwrap_or_else(|| short_name(&block));
                    let size = long_size.unwrap_or(size);
                    self.expect(size)?;
                    return Ok(Some(Entry { name, size, kind: kind(flag) }));
                }
            };
            if block[156] == b'L' {
                long_name = Some(text(&note));
                continue;
            }
            for (key, value) in records(&note).ok_or_else(|| io::Error::other("a note that is none"))? {
                match key {
                    "path" => long_name = Some(value.to_string()),
                    "size" => {
                        let size = value.parse().map_err(|_| io::Error::other("a size that is none"))?;
                        long_size = Some(size);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Reads to the end of what the archive came from, so that it may look at its checksum.
    ///
    /// # Errors
    /// If that is damaged or cut short.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map(|_| ())
    }

    fn expect(&mut self, size: u64) -> io::Result<()> {
        // the most that a tar of any use holds; beyond that, sums overflow
        if size > 1 << 60 {
            return Err(io::Error::other("an absurd size"));
        }
        (self.left, self.filling) = (size, size.next_multiple_of(BLOCK as u64) - size);
        Ok(())
    }

    /// A header, its checksum looked at; `None` at the end.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut at = 0;
        while at < BLOCK {
            match self.reader.read(&mut block[at..])? {
                // the two empty blocks at the end are missing in files of some writers
                0 if at == 0 => return Ok(None),
                0 => return Err(io::Error::other("it is cut short")),
                read => at += read,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let as_spaces = |at: usize| if (148..156).contains(&at) { 32 } else { u64::from(block[at]) };
        let sum: u64 = (0..BLOCK).map(as_spaces).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(io::Error::other("a header has a wrong checksum; this is no tar, or a damaged one"));
        }
        Ok(Some(block))
    }

    fn note(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LONGEST_NOTE_BYTES {
            return Err(io::Error::other(format!("a name of {size} bytes")));
        }
        let mut note = Vec::new();
        self.read_to_end(&mut note)?;
        Ok(note)
    }
}

/// The present entry's bytes.
impl<R: Read> Read for Tar<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(into.len() as u64) as usize;
        let read = self.reader.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("it is cut short"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn kind(flag: u8) -> Kind {
    match flag {
        b'0' | 0 | b'7' => Kind::File,
        b'5' => Kind::Folder,
        b'1' => Kind::Other("a hard link"),
        b'2' => Kind::Other("a symbolic link"),
        b'3' | b'4' => Kind::Other("a device"),
        b'6' => Kind::Other("a pipe"),
        _ => Kind::Other("of an unknown kind"),
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn short_name(block: &[u8; BLOCK]) -> String {
    let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
    let has_prefix = block[257..].starts_with(b"ustar\0") && !prefix.is_empty();
    if has_prefix { format!("{prefix}/{name}") } else { name }
}

/// Octal digits, or big-endian bytes behind a first bit that is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let high = &field[..field.len() - 8];
        let is_small = high.iter().enumerate().all(|(at, byte)| *byte == if at == 0 { 0x80 } else { 0 });
        let low: [u8; 8] = field[field.len() - 8..].try_into().ok()?;
        return is_small.then(|| u64::from_be_bytes(low));
    }
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The records of a pax note: `LENGTH KEY=VALUE`, a line each.
fn records(note: &[u8]) -> Option<Vec<(&str, &str)>> {
    let mut rest = std::str::from_utf8(note).ok()?;
    let mut records = Vec::new();
    while !rest.trim_end_matches('\0').is_empty() {
        let (length, _) = rest.split_once(' ')?;
        let record = rest.get(..length.parse().ok()?)?;
        rest = rest.get(record.len()..)?;
        let (key, value) = record.get(length.len() + 1..)?.strip_suffix('\n')?.split_once('=')?;
        records.push((key, value));
    }
    Some(records)
}
