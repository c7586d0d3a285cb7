//! Extraction into memory: every frame of the range is decoded and held before the first is given out.
//!
//! Must not know who takes the frames.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::FrameSource;
use super::buffers::{buffer, frame};
use super::child::Slot;
use super::decoder::Decoder;
use super::error::VideoError;
use super::probe::Probe;
use crate::frame::Frame;

/// Frames of a range, all of them held until they are given out: `frames * width * height * 3` bytes.
pub(super) struct Kept {
    probe: Arc<Probe>,
    range: Range<usize>,
    slot: Slot,
    prepared: bool,
    next: usize,
    frames: VecDeque<Vec<u8>>,
    said: String,
}

impl Kept {
    pub fn new(probe: Probe, range: Range<usize>) -> Kept {
        Kept {
            probe: Arc::new(probe),
            next: range.start,
            range,
            slot: Slot::default(),
            prepared: false,
            frames: VecDeque::new(),
            said: String::new(),
        }
    }

    fn decode_all(&mut self) -> Result<(), VideoError> {
        self.frames.reserve_exact(self.range.len());
        let mut decoder = Decoder::start(&self.probe, self.range.clone(), self.slot.clone())?;
        for n in self.range.clone() {
            let mut rgb = buffer(self.probe.frame_bytes())
                .map_err(|fault| VideoError::at_frame(&self.probe.path, n, fault))?;
            decoder.read(&mut rgb)?;
            self.frames.push_back(rgb);
        }
        self.said = decoder.finish()?;
        Ok(())
    }
}

impl FrameSource for Kept {
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
        let decoded = self.decode_all();
        if decoded.is_err() {
            self.frames = VecDeque::new();
        }
        decoded
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let Some(rgb) = self.frames.pop_front() else { return Ok(None) };
        self.next += 1;
        Ok(Some(frame(&self.probe, self.next - 1, rgb)))
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
