//! Interface between a reading mode and the delivery of its frames.
//!
//! A mode implements [`FrameReader`]: it fills a buffer with one frame at a time, in the consumer's thread
//! ([`super::synchronous`]) or in a background thread ([`super::prefetch`]). [`ReaderContext`] holds what both sides
//! share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::VideoError;
use crate::ffmpeg::child::ChildSlot;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Decodes the selected frames of a video, one at a time and in order.
pub trait FrameReader: Send {
    /// Does what must be done before the first frame can be read. `spare` is a buffer of one frame's size that may be
    /// overwritten.
    fn prepare(&mut self, _spare: &mut [u8]) -> Result<(), VideoError> {
        Ok(())
    }

    /// Fills `rgb` with frame `index` of the clip. Called for the selected frames in ascending order, once each.
    fn read(&mut self, index: usize, rgb: &mut [u8]) -> Result<(), VideoError>;

    /// Checks, after the last frame, that the decoder has no more frames, and waits for its exit.
    fn finish(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

/// What is read, and the state that the reader, its delivery and the [`FrameSource`](crate::FrameSource) share. Clones share the child and the statistics.
#[derive(Clone)]
pub struct ReaderContext {
    pub probe: Arc<Probe>,
    pub selection: Selection,
    /// The ffmpeg that decodes now.
    pub child: ChildSlot,
    pub stats: Arc<ReaderStats>,
}

/// Statistics that a reader updates while it reads.
#[derive(Default)]
pub struct ReaderStats {
    disk_bytes: AtomicU64,
    internal_buffer_bytes: AtomicU64,
    decoder_warnings: Mutex<String>,
}

impl ReaderContext {
    /// A context without a child and with all statistics zero.
    pub fn new(probe: Probe, selection: Selection) -> ReaderContext {
        ReaderContext {
            probe: Arc::new(probe),
            selection,
            child: ChildSlot::default(),
            stats: Arc::new(ReaderStats::default()),
        }
    }
}

impl ReaderStats {
    /// Bytes in scratch files now.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    /// Sets the bytes in scratch files.
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Most bytes that the reader held at once in pixel buffers that do not become frames (a decoded image that is copied, say).
    pub fn internal_buffer_bytes(&self) -> u64 {
        self.internal_buffer_bytes.load(Ordering::Relaxed)
    }

    /// Raises [`ReaderStats::internal_buffer_bytes`] to at least `bytes`.
    pub fn record_internal_buffer_bytes(&self, bytes: u64) {
        self.internal_buffer_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// What ffmpeg wrote to stderr although it succeeded.
    pub fn decoder_warnings(&self) -> String {
        self.decoder_warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what ffmpeg wrote to stderr.
    pub fn set_decoder_warnings(&self, warnings: String) {
        *self.decoder_warnings.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
    }
}
