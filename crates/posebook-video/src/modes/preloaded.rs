//! Extraction into memory: decodes every selected frame into host or device memory before it delivers the first.

use std::collections::VecDeque;
use std::sync::Arc;

use posebook_core::frame::{DevicePixels, Frame, FrameSize, FrameUploader};

use super::delivery::FrameDelivery;
use super::reader::ReaderContext;
use crate::decode::buffers::{allocate_buffer, new_frame};
use crate::decode::decoder::DecodeOptions;
use crate::decode::frame_decoder::FrameDecoder;
use crate::error::VideoError;

/// All selected frames, each stored until it is delivered: `frames * width * height * 3` bytes at the start.
pub struct PreloadedDelivery {
    context: ReaderContext,
    options: DecodeOptions,
    is_prepared: bool,
    /// Clip index of the next frame.
    next: usize,
    /// Copies the frames to a device; `None` keeps them in host memory.
    uploader: Option<Arc<dyn FrameUploader>>,
    frames: VecDeque<StoredPixels>,
    /// Number of host buffers allocated.
    buffer_count: usize,
}

enum StoredPixels {
    Host(Vec<u8>),
    Device(Box<dyn DevicePixels>),
}

impl PreloadedDelivery {
    /// A delivery that has decoded nothing yet. It stores frames on the device of `uploader` or, if that is
    /// `None`, in host memory.
    pub fn new(
        context: ReaderContext,
        options: DecodeOptions,
        uploader: Option<Arc<dyn FrameUploader>>,
    ) -> PreloadedDelivery {
        PreloadedDelivery {
            next: context.selection.range.start,
            context,
            options,
            is_prepared: false,
            uploader,
            frames: VecDeque::new(),
            buffer_count: 0,
        }
    }

    fn decode_all(&mut self) -> Result<(), VideoError> {
        let ReaderContext { probe, selection, child, stats } = &self.context;
        self.frames.reserve_exact(selection.frame_count());
        let mut decoder = FrameDecoder::start(probe, &self.options, selection.clone(), child.clone())?;
        let mut spare = None;
        for index in selection.frame_indices() {
            let at_frame = |kind| VideoError::at_frame(&probe.path, index, kind);
            let mut rgb = match spare.take() {
                Some(rgb) => rgb,
                None => {
                    let buffer = allocate_buffer(probe.frame_bytes()).map_err(at_frame)?;
                    self.buffer_count += 1;
                    buffer
                }
            };
            decoder.read(&mut rgb)?;
            self.frames.push_back(match &self.uploader {
                None => StoredPixels::Host(rgb),
                Some(uploader) => {
                    let size = FrameSize::new(probe.width, probe.height);
                    let pixels = uploader.upload(size, &rgb).map_err(|error| at_frame(error.into()))?;
                    spare = Some(rgb); // all frames are copied from the same host buffer
                    StoredPixels::Device(pixels)
                }
            });
        }
        stats.set_decoder_warnings(decoder.finish()?);
        Ok(())
    }
}

impl FrameDelivery for PreloadedDelivery {
    fn prepare(&mut self) -> Result<(), VideoError> {
        if self.is_prepared {
            return Ok(());
        }
        self.is_prepared = true;
        let decoded = self.decode_all();
        if decoded.is_err() {
            self.frames = VecDeque::new();
        }
        decoded
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError> {
        self.prepare()?;
        let Some(pixels) = self.frames.pop_front() else { return Ok(None) };
        let index = self.next;
        self.next += self.context.selection.every;
        let probe = &self.context.probe;
        match pixels {
            StoredPixels::Host(rgb) => Ok(Some(new_frame(probe, index, rgb))),
            StoredPixels::Device(pixels) => Ok(Some(Frame::on_device(index, probe.time_secs(index), pixels))),
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffer_count * self.context.probe.frame_bytes()) as u64
    }
}
