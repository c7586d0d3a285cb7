//! Decodes each frame in the consumer's thread when it is requested, as PHALP does. Only ffmpeg itself runs in
//! parallel, until the pipe is full.
//!
//! In: a [`FrameReader`]. Out: its frames, in buffers that are reused once their frame is dropped.

use std::ops::Range;
use std::time::Instant;

use super::reader::{FrameReader, ReaderContext};
use crate::FrameSource;
use crate::decode::buffers::BufferPool;
use crate::error::VideoError;
use crate::probe::Probe;
use posebook_core::frame::Frame;

/// Frames decoded on request.
pub struct SynchronousSource {
    context: ReaderContext,
    reader: Box<dyn FrameReader>,
    pool: BufferPool,
    is_prepared: bool,
    /// Clip index of the next frame.
    next: usize,
    is_finished: bool,
}

impl SynchronousSource {
    /// A source that has read nothing yet.
    pub fn new(context: ReaderContext, reader: Box<dyn FrameReader>) -> SynchronousSource {
        SynchronousSource {
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

impl FrameSource for SynchronousSource {
    fn probe(&self) -> &Probe {
        &self.context.probe
    }

    fn range(&self) -> Range<usize> {
        self.context.selection.range.clone()
    }

    fn frame_count(&self) -> usize {
        self.context.selection.frame_count()
    }

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
        self.pool.allocated_bytes() + self.context.stats.internal_buffer_bytes()
    }

    fn disk_bytes(&self) -> u64 {
        self.context.stats.disk_bytes()
    }

    fn decoder_pids(&self) -> Vec<u32> {
        self.context.child.pids()
    }

    fn decoder_starts(&self) -> usize {
        self.context.child.start_count()
    }

    fn decoder_warnings(&self) -> String {
        self.context.stats.decoder_warnings()
    }
}
