//! Extraction into files: every frame of the range is decoded and written before the first is read back.
//!
//! Must not know who takes the frames.

use std::fs;
use std::path::{Path, PathBuf};

use super::decoder::Manner;
use super::error::{Fault, VideoError};
use super::frame_decoder::FrameDecoder;
use super::pictures::Format;
use super::reader::{Reader, Reading};

/// Frames in a file each.
pub(super) struct Extracted {
    reading: Reading,
    manner: Manner,
    format: Format,
    folder: Folder,
    /// Bytes of the picture being written or read.
    file: Vec<u8>,
}

impl Extracted {
    /// Nothing is decoded or written yet.
    pub fn new(reading: Reading, manner: Manner, format: Format, scratch: &Path) -> Extracted {
        Extracted { reading, manner, format, folder: Folder::within(scratch), file: Vec::new() }
    }

    fn extract(&mut self, rgb: &mut [u8]) -> Result<(), VideoError> {
        let Reading { probe, selection, slot, account } = &self.reading;
        let fail = |n, fault| VideoError::at_frame(&probe.path, n, fault);
        account.note_own_bytes(self.manner.own_bytes(probe));
        self.folder.make().map_err(|fault| fail(selection.range.start, fault))?;
        let mut decoder = FrameDecoder::start(probe, &self.manner, selection.clone(), slot.clone())?;
        while let Some(n) = decoder.read(rgb)? {
            self.format
                .encode(rgb, probe.width, probe.height, &mut self.file)
                .map_err(|reason| fail(n, Fault::Picture(reason)))?;
            let file = self.folder.file(n, self.format);
            fs::write(&file, &self.file).map_err(|source| fail(n, Fault::ScratchWrite { file, source }))?;
            account.set_disk_bytes(account.disk_bytes() + self.file.len() as u64);
        }
        account.set_said(decoder.finish()?);
        Ok(())
    }

    fn read_back(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), Fault> {
        let file = self.folder.file(n, self.format);
        self.file.clear();
        fs::File::open(&file)
            .and_then(|mut source| std::io::Read::read_to_end(&mut source, &mut self.file))
            .map_err(|error| error.to_string())
            .and_then(|_| self.format.decode(&self.file, rgb))
            .map_err(|reason| Fault::ScratchRead { file, reason })
    }
}

impl Reader for Extracted {
    fn prepare(&mut self, spare: &mut [u8]) -> Result<(), VideoError> {
        let extracted = self.extract(spare);
        if extracted.is_err() {
            self.folder.remove();
            self.reading.account.set_disk_bytes(0);
        }
        extracted
    }

    fn read(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        self.read_back(n, rgb).map_err(|fault| VideoError::at_frame(&self.reading.probe.path, n, fault))
    }
}

/// A scratch folder of one extraction, gone when its owner is.
struct Folder(PathBuf);

impl Folder {
    /// A name in `scratch` that no other extraction has.
    fn within(scratch: &Path) -> Folder {
        Folder(scratch.join(crate::scratch::name("frames")))
    }

    fn make(&self) -> Result<(), Fault> {
        fs::create_dir_all(&self.0).map_err(|source| Fault::ScratchWrite { file: self.0.clone(), source })
    }

    /// Numbered from 1 with six digits at least, as PHALP names its own.
    fn file(&self, n: usize, format: Format) -> PathBuf {
        self.0.join(format!("{:06}.{}", n + 1, format.extension()))
    }

    fn remove(&self) {
        // it may never have been made
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}
