//! Extraction into memory, the host's or a device's: every frame of the range is decoded and held before
//! the first is given out.
//!
//! Must not know who takes the frames.

use std::collections::VecDeque;
use std::ops::Range;

use super::FrameSource;
use super::buffers::{buffer, frame};
use super::decoder::Manner;
use super::error::{Fault, VideoError};
use super::frame_decoder::FrameDecoder;
use super::probe::Probe;
use super::reader::Reading;
use crate::frame::Frame;
use candle_core::{Device, Tensor};

/// Frames of a range, all of them held until they are given out: `frames * width * height * 3` bytes.
pub(super) struct Kept {
    reading: Reading,
    manner: Manner,
    prepared: bool,
    next: usize,
    /// Where frames are kept as tensors; none keeps them as bytes on the host.
    device: Option<Device>,
    frames: VecDeque<Held>,
    buffers: usize,
}

enum Held {
    Host(Vec<u8>),
    Device(Tensor),
}

impl Kept {
    /// Frames kept in the host's memory, or on `device`.
    pub fn new(reading: Reading, manner: Manner, device: Option<Device>) -> Kept {
        Kept {
            next: reading.selection.range.start,
            reading,
            manner,
            prepared: false,
            device,
            frames: VecDeque::new(),
            buffers: 0,
        }
    }

    fn decode_all(&mut self) -> Result<(), VideoError> {
        let Reading { probe, selection, slot, account } = &self.reading;
        account.note_own_bytes(self.manner.own_bytes(probe));
        self.frames.reserve_exact(selection.frames());
        let mut decoder = FrameDecoder::start(probe, &self.manner, selection.clone(), slot.clone())?;
        let mut spare = None;
        for n in selection.numbers() {
            let at = |fault| VideoError::at_frame(&probe.path, n, fault);
            let mut rgb = match spare.take() {
                Some(rgb) => rgb,
                None => {
                    let made = buffer(probe.frame_bytes()).map_err(at)?;
                    self.buffers += 1;
                    made
                }
            };
            decoder.read(&mut rgb)?;
            self.frames.push_back(match &self.device {
                None => Held::Host(rgb),
                Some(device) => {
                    let shape = (probe.height, probe.width, 3);
                    let tensor = Tensor::from_slice(&rgb, shape, device).map_err(|e| at(Fault::device(e)))?;
                    spare = Some(rgb); // one buffer carries all frames over
                    Held::Device(tensor)
                }
            });
        }
        account.set_said(decoder.finish()?);
        Ok(())
    }
}

impl FrameSource for Kept {
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
        self.next += self.reading.selection.every;
        let probe = &self.reading.probe;
        match held {
            Held::Host(rgb) => Ok(Some(frame(probe, n, rgb))),
            Held::Device(rgb) => Frame::on_device(n, probe.time_secs(n), rgb)
                .map(Some)
                .map_err(|e| VideoError::at_frame(&probe.path, n, Fault::device(e))),
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffers * self.reading.probe.frame_bytes()) as u64 + self.reading.account.own_bytes()
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
