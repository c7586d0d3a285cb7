//! Reads TAR archives as a stream, entry by entry: plain files and folders, with the long names of pax and GNU.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Most bytes of a long name or a pax header.
const MAX_EXTENSION_BYTES: u64 = 1 << 16;

/// Kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A link, device or pipe, as a noun phrase.
    Other(&'static str),
}

/// An entry of the archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its path, as the archive has it.
    pub name: String,
    /// Bytes of a file.
    pub size: u64,
    /// Kind of the entry.
    pub kind: Kind,
}

/// Reads a TAR archive.
pub struct Tar<R> {
    reader: R,
    /// Bytes of the current entry that are not read yet.
    remaining: u64,
    /// Padding bytes of its last block.
    padding: u64,
}

impl<R: Read> Tar<R> {
    /// A reader of the archive that `reader` gives.
    pub fn new(reader: R) -> Tar<R> {
        Tar { reader, remaining: 0, padding: 0 }
    }

    /// The next entry; `None` after the last. What was not read of the previous entry is skipped.
    ///
    /// # Errors
    /// If the archive is damaged or truncated.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_name, mut long_size) = (None, None);
        loop {
            let skip = self.remaining.saturating_add(self.padding);
            if io::copy(&mut Read::by_ref(&mut self.reader).take(skip), &mut io::sink())? != skip {
                return Err(io::Error::other("it is truncated"));
            }
            (self.remaining, self.padding) = (0, 0);
            let Some(header) = self.read_header()? else { return Ok(None) };
            let size = parse_number(&header[124..136]).ok_or_else(|| io::Error::other("an invalid size"))?;
            self.set_size(size)?;
            let extension = match header[156] {
                b'L' | b'x' => self.read_extension(size)?,
                // global pax headers and long names of links are not needed
                b'g' | b'K' => continue,
                flag => {
                    let name = long_name.unwrap_or_else(|| short_name(&header));
                    let size = long_size.unwrap_or(size);
                    self.set_size(size)?;
                    return Ok(Some(Entry { name, size, kind: entry_kind(flag) }));
                }
            };
            if header[156] == b'L' {
                long_name = Some(text(&extension));
                continue;
            }
            for (key, value) in
                pax_records(&extension).ok_or_else(|| io::Error::other("an invalid pax header"))?
            {
                match key {
                    "path" => long_name = Some(value.to_string()),
                    "size" => {
                        let size = value.parse().map_err(|_| io::Error::other("an invalid size"))?;
                        long_size = Some(size);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Reads the underlying reader to its end, so that a decompressor verifies its checksum.
    ///
    /// # Errors
    /// If the data are damaged or truncated.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map(|_| ())
    }

    /// Sets the size of the current entry.
    fn set_size(&mut self, size: u64) -> io::Result<()> {
        // sums of larger numbers could overflow
        if size > 1 << 60 {
            return Err(io::Error::other("an implausibly large size"));
        }
        (self.remaining, self.padding) = (size, size.next_multiple_of(BLOCK as u64) - size);
        Ok(())
    }

    /// The next header block, with its checksum verified; `None` at the end.
    fn read_header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..])? {
                // some programs omit the two empty blocks at the end
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::Error::other("it is truncated")),
                read => filled += read,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // the checksum field counts as spaces
        let byte = |index: usize| if (148..156).contains(&index) { 32 } else { u64::from(block[index]) };
        let sum: u64 = (0..BLOCK).map(byte).sum();
        if parse_number(&block[148..156]) != Some(sum) {
            return Err(io::Error::other(
                "a header has a wrong checksum; this is not a TAR archive, or it is damaged",
            ));
        }
        Ok(Some(block))
    }

    /// Reads the current entry as a long name or pax header.
    fn read_extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENSION_BYTES {
            return Err(io::Error::other(format!("a name of {size} bytes")));
        }
        let mut extension = Vec::new();
        self.read_to_end(&mut extension)?;
        Ok(extension)
    }
}

/// Reads the current entry's content.
impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.remaining.min(buffer.len() as u64) as usize;
        let read = self.reader.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("it is truncated"));
        }
        self.remaining -= read as u64;
        Ok(read)
    }
}

fn entry_kind(flag: u8) -> Kind {
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

/// Text up to the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The name in a header without extensions.
fn short_name(block: &[u8; BLOCK]) -> String {
    let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
    let has_prefix = block[257..].starts_with(b"ustar\0") && !prefix.is_empty();
    if has_prefix { format!("{prefix}/{name}") } else { name }
}

/// A number in octal digits, or big-endian in binary if the first bit is set.
fn parse_number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let high = &field[..field.len() - 8];
        let is_small =
            high.iter().enumerate().all(|(index, byte)| *byte == if index == 0 { 0x80 } else { 0 });
        let low: [u8; 8] = field[field.len() - 8..].try_into().ok()?;
        return is_small.then(|| u64::from_be_bytes(low));
    }
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The records of a pax header, lines of the form `LENGTH KEY=VALUE`; `None` if it is damaged.
fn pax_records(header: &[u8]) -> Option<Vec<(&str, &str)>> {
    let mut rest = std::str::from_utf8(header).ok()?;
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
