//! Extraction into memory, the host's or a device's: every frame of the range is decoded and held before
//! the first is given out.
//!
//! Must not know who takes the frames.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::FrameSource;
use super::buffers::{buffer, frame};
use super::child::Slot;
use super::decoder::Decoder;
use super::error::{Fault, VideoError};
use super::probe::Probe;
use crate::frame::Frame;
use candle_core::{Device, Tensor};

/// Frames of a range, all of them held until they are given out: `frames * width * height * 3` bytes.
pub(super) struct Kept {
    probe: Arc<Probe>,
    range: Range<usize>,
    slot: Slot,
    prepared: bool,
    next: usize,
    /// Where frames are kept as tensors; none keeps them as bytes on the host.
    device: Option<Device>,
    frames: VecDeque<Held>,
    buffers: usize,
    said: String,
}

enum Held {
    Host(Vec<u8>),
    Device(Tensor),
}

impl Kept {
    /// Frames kept in the host's memory, or on `device`.
    pub fn new(probe: Probe, range: Range<usize>, device: Option<Device>) -> Kept {
        Kept {
            probe: Arc::new(probe),
            next: range.start,
            range,
            slot: Slot::default(),
            prepared: false,
            device,
            frames: VecDeque::new(),
            buffers: 0,
            said: String::new(),
        }
    }

    fn decode_all(&mut self) -> Result<(), VideoError> {
        self.frames.reserve_exact(self.range.len());
        let mut decoder = Decoder::start(&self.probe, self.range.clone(), self.slot.clone())?;
        let mut spare = None;
        for n in self.range.clone() {
            let at = |fault| VideoError::at_frame(&self.probe.path, n, fault);
            let mut rgb = match spare.take() {
                Some(rgb) => rgb,
                None => {
                    let made = buffer(self.probe.frame_bytes()).map_err(at)?;
                    self.buffers += 1;
                    made
                }
            };
            decoder.read(&mut rgb)?;
            self.frames.push_back(match &self.device {
                None => Held::Host(rgb),
                Some(device) => {
                    let shape = (self.probe.height, self.probe.width, 3);
                    let tensor = Tensor::from_slice(&rgb, shape, device).map_err(|e| at(Fault::device(e)))?;
                    spare = Some(rgb); // one buffer carries all frames over
                    Held::Device(tensor)
                }
            });
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
        let Some(held) = self.frames.pop_front() else { return Ok(None) };
        let n = self.next;
        self.next += 1;
        match held {
            Held::Host(rgb) => Ok(Some(frame(&self.probe, n, rgb))),
            Held::Device(rgb) => Frame::on_device(n, self.probe.time_secs(n), rgb)
                .map(Some)
                .map_err(|e| VideoError::at_frame(&self.probe.path, n, Fault::device(e))),
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffers * self.probe.frame_bytes()) as u64
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
