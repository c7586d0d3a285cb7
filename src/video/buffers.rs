//! Buffers for frames: asked for politely, and used again.
//!
//! Must not know what is decoded into them.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::error::Fault;
use super::probe::Probe;
use crate::frame::Frame;

/// A buffer for one frame, its pages touched, so that memory is spent here and at no other time.
///
/// # Errors
/// [`Fault::OutOfMemory`] where the allocator refuses.
pub(super) fn buffer(bytes: usize) -> Result<Vec<u8>, Fault> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| Fault::OutOfMemory { bytes })?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}

/// Frame `n` of the probed video with these pixels.
pub(super) fn frame(probe: &Probe, n: usize, rgb: Vec<u8>) -> Frame {
    Frame::new(n, probe.time_secs(n), probe.width, probe.height, rgb)
}

/// Hands out buffers one at a time and takes back those of dropped frames; makes a new one only while
/// all are held.
pub(super) struct Recycler {
    bytes: usize,
    made: Cell<u64>,
    home: Sender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
}

impl Recycler {
    pub fn new(bytes: usize) -> Recycler {
        let (home, returned) = channel();
        Recycler { bytes, made: Cell::new(0), home, returned }
    }

    pub fn take(&self) -> Result<Vec<u8>, Fault> {
        if let Ok(returned) = self.returned.try_recv() {
            return Ok(returned);
        }
        let buffer = buffer(self.bytes)?;
        self.made.set(self.made.get() + 1);
        Ok(buffer)
    }

    /// Takes back a buffer that never became a frame.
    pub fn give_back(&self, buffer: Vec<u8>) {
        // the other end lives as long as this one
        let _ = self.home.send(buffer);
    }

    /// Bytes in the buffers made so far.
    pub fn made_bytes(&self) -> u64 {
        self.made.get() * self.bytes as u64
    }

    /// A frame whose buffer comes back here.
    pub fn frame(&self, probe: &Probe, n: usize, rgb: Vec<u8>) -> Frame {
        frame(probe, n, rgb).pooled(self.home.clone())
    }
}
