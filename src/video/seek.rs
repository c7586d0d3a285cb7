//! The stream as PHALP has it: for every frame, open the file, seek to the key frame before it, decode
//! up to it (`IO_Manager.read_frame`: `torchvision.io.read_video` from a timestamp to the next tick).
//!
//! Must not know who takes the frames.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::FrameSource;
use super::buffers::Recycler;
use super::child::Slot;
use super::decoder::Decoder;
use super::error::VideoError;
use super::probe::Probe;
use crate::frame::Frame;

/// Frames of a range, each from a decoder of its own.
pub(super) struct Seek {
    probe: Arc<Probe>,
    range: Range<usize>,
    next: usize,
    slot: Slot,
    recycler: Recycler,
}

impl Seek {
    pub fn new(probe: Probe, range: Range<usize>) -> Seek {
        let recycler = Recycler::new(probe.frame_bytes());
        Seek { probe: Arc::new(probe), next: range.start, range, slot: Slot::default(), recycler }
    }

    fn read(&self, n: usize) -> Result<Frame, VideoError> {
        let began = Instant::now();
        let mut rgb =
            self.recycler.take().map_err(|fault| VideoError::at_frame(&self.probe.path, n, fault))?;
        Decoder::start(&self.probe, n..n + 1, self.slot.clone())?.read(&mut rgb)?;
        Ok(self.recycler.frame(&self.probe, n, rgb).decoded_since(began))
    }
}

impl FrameSource for Seek {
    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        if self.next >= self.range.end {
            return Ok(None);
        }
        let frame = self.read(self.next);
        self.next = if frame.is_ok() { self.next + 1 } else { self.range.end };
        frame.map(Some)
    }

    fn frame_buffer_bytes(&self) -> u64 {
        self.recycler.made_bytes()
    }

    fn decoder_pids(&self) -> Vec<u32> {
        self.slot.pids()
    }

    fn decoder_starts(&self) -> usize {
        self.slot.started()
    }
}
