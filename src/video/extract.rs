//! Extraction into files: every frame of the range is decoded and written before the first is read back.
//!
//! Must not know who takes the frames.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::FrameSource;
use super::buffers::Recycler;
use super::child::Slot;
use super::decoder::Decoder;
use super::error::{Fault, VideoError};
use super::pictures::Format;
use super::probe::Probe;
use crate::frame::Frame;

/// Frames of a range, a file each.
pub(super) struct Extracted {
    probe: Arc<Probe>,
    range: Range<usize>,
    format: Format,
    folder: Folder,
    slot: Slot,
    prepared: bool,
    next: usize,
    disk_bytes: u64,
    /// Bytes of the picture being written or read.
    file: Vec<u8>,
    recycler: Recycler,
    said: String,
}

impl Extracted {
    /// Nothing is decoded or written yet.
    pub fn new(probe: Probe, range: Range<usize>, format: Format, scratch: &Path) -> Extracted {
        Extracted {
            recycler: Recycler::new(probe.frame_bytes()),
            probe: Arc::new(probe),
            next: range.start,
            range,
            format,
            folder: Folder::within(scratch),
            slot: Slot::default(),
            prepared: false,
            disk_bytes: 0,
            file: Vec::new(),
            said: String::new(),
        }
    }

    fn extract(&mut self) -> Result<(), VideoError> {
        let probe = Arc::clone(&self.probe);
        let fail = |n, fault| VideoError::at_frame(&probe.path, n, fault);
        self.folder.make().map_err(|fault| fail(self.range.start, fault))?;
        let mut decoder = Decoder::start(&self.probe, self.range.clone(), self.slot.clone())?;
        // of the recycler's, so that reading back begins with it
        let mut rgb = self.recycler.take().map_err(|fault| fail(self.range.start, fault))?;
        while let Some(n) = decoder.read(&mut rgb)? {
            self.format
                .encode(&rgb, probe.width, probe.height, &mut self.file)
                .map_err(|reason| fail(n, Fault::Picture(reason)))?;
            let file = self.folder.file(n, self.format);
            fs::write(&file, &self.file).map_err(|source| fail(n, Fault::ScratchWrite { file, source }))?;
            self.disk_bytes += self.file.len() as u64;
        }
        self.recycler.give_back(rgb);
        self.said = decoder.finish()?;
        Ok(())
    }

    fn read_back(&mut self, n: usize) -> Result<Frame, Fault> {
        let began = Instant::now();
        let file = self.folder.file(n, self.format);
        let mut rgb = self.recycler.take()?;
        self.file.clear();
        let read = fs::File::open(&file)
            .and_then(|mut source| std::io::Read::read_to_end(&mut source, &mut self.file))
            .map_err(|error| error.to_string())
            .and_then(|_| self.format.decode(&self.file, &mut rgb));
        match read {
            Ok(()) => Ok(self.recycler.frame(&self.probe, n, rgb).decoded_since(began)),
            Err(reason) => Err(Fault::ScratchRead { file, reason }),
        }
    }
}

impl FrameSource for Extracted {
    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    fn prepare(&mut self) -> Result<(), VideoError> {
        if self.prepared {
            return Ok(());
        }
        self.prepared = true;
        let extracted = self.extract();
        if extracted.is_err() {
            self.next = self.range.end;
            self.folder.remove();
            self.disk_bytes = 0;
        }
        extracted
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let n = self.next;
        if n >= self.range.end {
            return Ok(None);
        }
        let frame = self.read_back(n).map_err(|fault| VideoError::at_frame(&self.probe.path, n, fault));
        self.next = if frame.is_ok() { n + 1 } else { self.range.end };
        frame.map(Some)
    }

    fn frame_buffer_bytes(&self) -> u64 {
        self.recycler.made_bytes()
    }

    fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    fn decoder_pids(&self) -> Vec<u32> {
        self.slot.pids()
    }

    fn decoder_starts(&self) -> usize {
        self.slot.started()
    }

    fn complaints(&self) -> String {
        self.said.clone()
    }
}

/// A scratch folder of one extraction, gone when its owner is.
struct Folder(PathBuf);

impl Folder {
    /// A name in `scratch` that no other extraction has.
    fn within(scratch: &Path) -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Folder(scratch.join(format!("frames-{}-{number}", std::process::id())))
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
