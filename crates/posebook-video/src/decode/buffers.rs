//! Allocation and reuse of frame buffers.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};

use posebook_core::frame::Frame;

use crate::error::VideoErrorKind;
use crate::probe::Probe;

/// A zeroed buffer for one frame. Its pages are written, so that the memory is resident before the first frame.
///
/// # Errors
/// [`VideoErrorKind::OutOfMemory`] if the allocator refuses.
pub fn allocate_buffer(bytes: usize) -> Result<Vec<u8>, VideoErrorKind> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| VideoErrorKind::OutOfMemory { bytes })?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}

/// Frame `index` of the probed video with the pixels `rgb`.
pub fn new_frame(probe: &Probe, index: usize, rgb: Vec<u8>) -> Frame {
    Frame::new(index, probe.time_secs(index), probe.width, probe.height, rgb)
}

/// Buffers for one thread. A new one is allocated only while all others are in use; the buffer of a dropped frame
/// comes back.
pub struct BufferPool {
    buffer_bytes: usize,
    allocated: Cell<u64>,
    return_sender: Sender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
}

impl BufferPool {
    /// An empty pool for buffers of `buffer_bytes`.
    pub fn new(buffer_bytes: usize) -> BufferPool {
        let (return_sender, returned) = channel();
        BufferPool { buffer_bytes, allocated: Cell::new(0), return_sender, returned }
    }

    /// A free buffer, allocated if there is none.
    pub fn acquire(&self) -> Result<Vec<u8>, VideoErrorKind> {
        if let Ok(returned) = self.returned.try_recv() {
            return Ok(returned);
        }
        let buffer = allocate_buffer(self.buffer_bytes)?;
        self.allocated.set(self.allocated.get() + 1);
        Ok(buffer)
    }

    /// Takes back a buffer that never became a frame.
    pub fn release(&self, buffer: Vec<u8>) {
        // cannot fail: the receiver is a field of this pool
        let _ = self.return_sender.send(buffer);
    }

    /// Bytes in all buffers allocated so far.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated.get() * self.buffer_bytes as u64
    }

    /// A frame whose buffer comes back to this pool when it is dropped.
    pub fn pooled_frame(&self, probe: &Probe, index: usize, rgb: Vec<u8>) -> Frame {
        new_frame(probe, index, rgb).pooled(self.return_sender.clone())
    }
}
