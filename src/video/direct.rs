//! Reading as the reference has it: a frame is read when it is asked for, and nothing goes on meanwhile but
//! what a decoder does of its own.
//!
//! Must not know how frames are read.

use std::ops::Range;
use std::time::Instant;

use super::FrameSource;
use super::buffers::Recycler;
use super::error::VideoError;
use super::probe::Probe;
use super::reader::{Reader, Reading};
use crate::frame::Frame;

/// Frames read one at a time by whoever asks for them.
pub(super) struct Direct {
    reading: Reading,
    reader: Box<dyn Reader>,
    recycler: Recycler,
    prepared: bool,
    next: usize,
    finished: bool,
}

impl Direct {
    /// Nothing is read yet.
    pub fn new(reading: Reading, reader: Box<dyn Reader>) -> Direct {
        Direct {
            recycler: Recycler::new(reading.probe.frame_bytes()),
            next: reading.selection.range.start,
            reading,
            reader,
            prepared: false,
            finished: false,
        }
    }

    fn read(&mut self, n: usize) -> Result<Frame, VideoError> {
        let began = Instant::now();
        let mut rgb =
            self.recycler.take().map_err(|fault| VideoError::at_frame(&self.reading.probe.path, n, fault))?;
        self.reader.read(n, &mut rgb)?;
        Ok(self.recycler.frame(&self.reading.probe, n, rgb).decoded_since(began))
    }

    /// There are no more frames, because one could not be read or because all are.
    fn end(&mut self) {
        self.next = self.reading.selection.range.end;
        self.finished = true;
    }
}

impl FrameSource for Direct {
    fn probe(&self) -> &Probe {
        &self.reading.probe
    }

    fn range(&self) -> Range<usize> {
        self.reading.selection.range.clone()
    }

    fn frames(&self) -> usize {
        self.reading.selection.frames()
    }

    fn prepare(&mut self) -> Result<(), VideoError> {
        if self.prepared {
            return Ok(());
        }
        self.prepared = true;
        let path = &self.reading.probe.path;
        let spare = self.recycler.take().map_err(|fault| VideoError::new(path, fault));
        let prepared = spare.and_then(|mut spare| {
            let prepared = self.reader.prepare(&mut spare);
            self.recycler.give_back(spare);
            prepared
        });
        if prepared.is_err() {
            self.end();
        }
        prepared
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let n = self.next;
        if n >= self.reading.selection.range.end {
            if !std::mem::replace(&mut self.finished, true) {
                self.reader.finish()?;
            }
            return Ok(None);
        }
        let frame = self.read(n);
        match frame {
            Ok(_) => self.next += self.reading.selection.every,
            Err(_) => self.end(),
        }
        frame.map(Some)
    }

    fn frame_buffer_bytes(&self) -> u64 {
        self.recycler.made_bytes() + self.reading.account.own_bytes()
    }

    fn disk_bytes(&self) -> u64 {
        self.reading.account.disk_bytes()
    }

    fn decoder_pids(&self) -> Vec<u32> {
        self.reading.slot.pids()
    }

    fn decoder_starts(&self) -> usize {
        self.reading.slot.started()
    }

    fn complaints(&self) -> String {
        self.reading.account.said()
    }
}
