//! Files mapped into memory: their bytes can be read without copying them to the heap.

use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a whole file. Their pages belong to the system's cache: they do not count as heap, and the system drops them
/// when it needs memory.
///
/// A file that another process cuts short while it is read ends this process (SIGBUS), which cannot be caught.
pub struct MappedFile(Option<Mmap>);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// If it cannot be opened, or is no ordinary file.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not an ordinary file"));
        }
        match usize::try_from(metadata.len()).map_err(io::Error::other)? {
            // an empty range cannot be mapped
            0 => Ok(MappedFile(None)),
            length => Ok(MappedFile(Some(map(&file, 0, length)?))),
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Maps `length` bytes of a file from `start` on. The range must lie inside the file.
#[expect(unsafe_code, reason = "memory maps: other processes may change the file")]
pub(super) fn map(file: &File, start: u64, length: usize) -> io::Result<Mmap> {
    // SAFETY: the range lies inside the file (checked by the callers just before). Its contents are read as bytes, for
    // which every value is valid
    unsafe { MmapOptions::new().offset(start).len(length).map(file) }
}
