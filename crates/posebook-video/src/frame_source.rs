//! The frames of an opened video, and what is known while they are read.

use std::ops::Range;

use posebook_core::frame::Frame;

use crate::error::VideoError;
use crate::modes::delivery::FrameDelivery;
use crate::modes::reader::ReaderContext;
use crate::probe::Probe;

/// Decoded frames of a selection of one video, in order. [`open`](crate::open) makes one.
///
/// Dropping a source kills and reaps its decoder and removes its scratch files.
pub struct FrameSource {
    context: ReaderContext,
    delivery: Box<dyn FrameDelivery>,
}

impl FrameSource {
    /// The frames of `delivery`, which reads with `context`.
    pub(crate) fn new(context: ReaderContext, delivery: impl FrameDelivery + 'static) -> FrameSource {
        FrameSource { context, delivery: Box::new(delivery) }
    }

    /// Properties of the video.
    pub fn probe(&self) -> &Probe {
        &self.context.probe
    }

    /// The range of the frames, as indices in the clip; the end is exclusive. Never empty.
    pub fn range(&self) -> Range<usize> {
        self.context.selection.range.clone()
    }

    /// Total number of frames that the source delivers.
    pub fn frame_count(&self) -> usize {
        self.context.selection.frame_count()
    }

    /// Does the work that precedes the first frame: the whole extraction, or nothing for a stream. The first
    /// [`FrameSource::next_frame`] calls it; a separate call makes it possible to time it.
    ///
    /// # Errors
    /// If the video cannot be decoded, or its frames cannot be stored.
    pub fn prepare(&mut self) -> Result<(), VideoError> {
        self.delivery.prepare()
    }

    /// The next frame, `None` after the last. Its buffer is reused once the frame is dropped, so hold only a few
    /// frames at a time.
    ///
    /// # Errors
    /// If the frame cannot be decoded, stored or read back. After an error there are no more frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.delivery.next_frame()
    }

    /// Peak bytes of host memory in pixel buffers that the source allocated, including those of delivered frames.
    pub fn frame_buffer_bytes(&self) -> u64 {
        self.delivery.frame_buffer_bytes() + self.context.stats.internal_buffer_bytes()
    }

    /// Bytes in scratch files now.
    pub fn disk_bytes(&self) -> u64 {
        self.context.stats.disk_bytes()
    }

    /// Peak bytes in scratch files: those of now, because a source keeps its files until it is dropped.
    pub fn disk_peak_bytes(&self) -> u64 {
        self.disk_bytes()
    }

    /// Process ids of the running decoders.
    pub fn decoder_pids(&self) -> Vec<u32> {
        self.context.child.pids()
    }

    /// Number of decoder processes started so far.
    pub fn decoder_starts(&self) -> usize {
        self.context.child.start_count()
    }

    /// What ffmpeg reported on stderr although it succeeded, such as concealed damage; empty if nothing.
    pub fn decoder_warnings(&self) -> String {
        self.context.stats.decoder_warnings()
    }
}
