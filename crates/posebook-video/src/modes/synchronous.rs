//! Decodes each frame in the consumer's thread when it is requested, as PHALP does. Only ffmpeg itself runs in
//! parallel, until the pipe is full.
//!
//! In: a [`FrameReader`]. Out: its frames, in buffers that are reused once their frame is dropped.

use std::time::Instant;

use posebook_core::frame::Frame;

use super::delivery::FrameDelivery;
use super::reader::{FrameReader, ReaderContext};
use crate::decode::buffers::BufferPool;
use crate::error::VideoError;

/// Frames decoded on request.
pub struct SynchronousDelivery {
    context: ReaderContext,
    reader: Box<dyn FrameReader>,
    pool: BufferPool,
    is_prepared: bool,
    /// Clip index of the next frame.
    next: usize,
    is_finished: bool,
}

impl SynchronousDelivery {
    /// A delivery that has read nothing yet.
    pub fn new(context: ReaderContext, reader: Box<dyn FrameReader>) -> SynchronousDelivery {
        SynchronousDelivery {
            pool: BufferPool::new(context.probe.frame_bytes()),
            next: context.selection.range.start,
            context,
            reader,
            is_prepared: false,
            is_finished: false,
        }
    }

    fn read(&mut self, index: usize) -> Result<Frame, VideoError> {
        let began = Instant::now();
        let mut rgb = self
            .pool
            .acquire()
            .map_err(|kind| VideoError::at_frame(&self.context.probe.path, index, kind))?;
        self.reader.read(index, &mut rgb)?;
        Ok(self.pool.pooled_frame(&self.context.probe, index, rgb).with_decode_start(began))
    }

    /// Makes `next_frame` return `None` from now on, after an error.
    fn stop(&mut self) {
        self.next = self.context.selection.range.end;
        self.is_finished = true;
    }
}

impl FrameDelivery for SynchronousDelivery {
    fn prepare(&mut self) -> Result<(), VideoError> {
        if self.is_prepared {
            return Ok(());
        }
        self.is_prepared = true;
        let path = &self.context.probe.path;
        let spare = self.pool.acquire().map_err(|kind| VideoError::new(path, kind));
        let prepared = spare.and_then(|mut spare| {
            let prepared = self.reader.prepare(&mut spare);
            self.pool.release(spare);
            prepared
        });
        if prepared.is_err() {
            self.stop();
        }
        prepared
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let index = self.next;
        if index >= self.context.selection.range.end {
            if !std::mem::replace(&mut self.is_finished, true) {
                self.reader.finish()?;
            }
            return Ok(None);
        }
        let frame = self.read(index);
        match frame {
            Ok(_) => self.next += self.context.selection.every,
            Err(_) => self.stop(),
        }
        frame.map(Some)
    }

    fn frame_buffer_bytes(&self) -> u64 {
        self.pool.allocated_bytes()
    }
}
