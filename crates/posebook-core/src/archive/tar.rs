//! Reads TAR archives with the `tar` crate, as a stream, entry by entry: plain files and folders, with the long names of pax
//! and GNU.
//!
//! The crate parses headers, verifies their checksums and skips data. Its entries are read raw, because it would read long
//! names and pax headers of any size into memory, skip damaged pax records, and follow the map of a sparse file. Differences
//! to its own treatment of these:
//! - an extended header has at most [`MAX_EXTENSION_BYTES`], and its records must all be valid: UTF-8 without empty lines or
//!   line breaks in values;
//! - a pax header must not give another size than the entry's own header, since raw entries have the latter: a file of 8 GiB
//!   or more must be in an archive of GNU's format;
//! - a size in binary digits must fit into 64 bits, of which the crate reads the lower part;
//! - a sparse file is an entry of an unknown kind.

use super::ArchiveError;
use std::io::{self, Read};
use std::path::Path;
use tar::{Archive, EntryType, Header, PaxExtensions};

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

/// Passes each entry of the archive that `reader` gives, and a reader of its content, to `take`; `path` names the archive in
/// errors. What `take` leaves of the content is skipped. The rest of `reader` after the archive's end is read, so that a
/// decompressor verifies its checksum.
///
/// # Errors
/// If the archive is damaged or truncated, or `take` fails.
pub fn read_entries(
    path: &Path,
    reader: impl Read,
    take: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    // messages may contain names of the archive
    let damaged = |error: io::Error| ArchiveError::damaged(path, error.to_string().escape_debug());
    let mut archive = Archive::new(reader);
    let (mut long_name, mut long_size) = (None, None);
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        check_size_field(entry.header()).map_err(damaged)?;
        let kind = match entry.header().entry_type() {
            EntryType::GNULongName => {
                let name = read_extension(&mut entry).map_err(damaged)?;
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                long_name = Some(name[..end].to_vec());
                continue;
            }
            EntryType::XHeader => {
                let records = read_extension(&mut entry).map_err(damaged)?;
                parse_pax(&records, &mut long_name, &mut long_size).map_err(damaged)?;
                continue;
            }
            // global pax headers and long names of links are not needed
            EntryType::XGlobalHeader | EntryType::GNULongLink => continue,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Link => Kind::Other("a hard link"),
            EntryType::Symlink => Kind::Other("a symbolic link"),
            EntryType::Char | EntryType::Block => Kind::Other("a device"),
            EntryType::Fifo => Kind::Other("a pipe"),
            _ => Kind::Other("of an unknown kind"),
        };
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).into_owned();
        let size = entry.size();
        if long_size.take().is_some_and(|long_size| long_size != size) {
            let reason = "has different sizes in its pax header and its own";
            return Err(ArchiveError::unsafe_entry(path, &name, reason));
        }
        take(&Entry { name, size, kind }, &mut entry)?;
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(())
}

/// Reads a long name or pax header.
fn read_extension(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    if entry.size() > MAX_EXTENSION_BYTES {
        return Err(io::Error::other(format!("a name of {} bytes", entry.size())));
    }
    let mut extension = Vec::new();
    entry.read_to_end(&mut extension)?;
    Ok(extension)
}

/// Reads the path and the size in a pax header, whose records are lines of the form `LENGTH KEY=VALUE`.
fn parse_pax(records: &[u8], name: &mut Option<Vec<u8>>, size: &mut Option<u64>) -> io::Result<()> {
    let invalid = || io::Error::other("an invalid pax header");
    let text = std::str::from_utf8(records).map_err(|_| invalid())?;
    // the crate ends at an empty line, and accepts a last line without its end
    if text.starts_with('\n') || text.contains("\n\n") || !(text.is_empty() || text.ends_with('\n')) {
        return Err(invalid());
    }
    for record in PaxExtensions::new(records) {
        let record = record.map_err(|_| invalid())?;
        match record.key_bytes() {
            b"path" => *name = Some(record.value_bytes().to_vec()),
            b"size" => {
                let digits = record.value().ok().and_then(|digits| digits.parse().ok());
                *size = Some(digits.ok_or_else(|| io::Error::other("an invalid size"))?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a size in binary digits (the first bit is set) is neither negative nor longer than 64 bits.
fn check_size_field(header: &Header) -> io::Result<()> {
    let [first, rest @ ..] = header.as_old().size;
    if first & 0x80 != 0 && (first != 0x80 || rest[..3] != [0; 3]) {
        return Err(io::Error::other("an invalid size"));
    }
    Ok(())
}
