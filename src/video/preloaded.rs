//! Extraction into memory: decodes every selected frame into host or device memory before it delivers the first.

use std::collections::VecDeque;
use std::ops::Range;

use super::FrameSource;
use super::buffers::{allocate_buffer, new_frame};
use super::decoder::DecodeOptions;
use super::error::{VideoError, VideoErrorKind};
use super::frame_decoder::FrameDecoder;
use super::probe::Probe;
use super::reader::ReaderContext;
use crate::frame::Frame;
use candle_core::{Device, Tensor};

/// All selected frames, each stored until it is delivered: `frames * width * height * 3` bytes at the start.
pub(super) struct PreloadedSource {
    context: ReaderContext,
    options: DecodeOptions,
    is_prepared: bool,
    /// Clip index of the next frame.
    next: usize,
    /// Device that stores the frames as tensors; `None` stores them as bytes in host memory.
    device: Option<Device>,
    frames: VecDeque<StoredPixels>,
    /// Number of host buffers allocated.
    buffer_count: usize,
}

enum StoredPixels {
    Host(Vec<u8>),
    Device(Tensor),
}

impl PreloadedSource {
    /// A source that has decoded nothing yet, and stores frames on `device` or, if it is `None`, in host memory.
    pub fn new(context: ReaderContext, options: DecodeOptions, device: Option<Device>) -> PreloadedSource {
        PreloadedSource {
            next: context.selection.range.start,
            context,
            options,
            is_prepared: false,
            device,
            frames: VecDeque::new(),
            buffer_count: 0,
        }
    }

    fn decode_all(&mut self) -> Result<(), VideoError> {
        let ReaderContext { probe, selection, child, stats } = &self.context;
        stats.record_internal_buffer_bytes(self.options.yuv_buffer_bytes(probe));
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
            self.frames.push_back(match &self.device {
                None => StoredPixels::Host(rgb),
                Some(device) => {
                    let shape = (probe.height, probe.width, 3);
                    let tensor = Tensor::from_slice(&rgb, shape, device)
                        .map_err(|e| at_frame(VideoErrorKind::device(e)))?;
                    spare = Some(rgb); // all frames are copied from the same host buffer
                    StoredPixels::Device(tensor)
                }
            });
        }
        stats.set_decoder_warnings(decoder.finish()?);
        Ok(())
    }
}

impl FrameSource for PreloadedSource {
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
            StoredPixels::Device(rgb) => Frame::on_device(index, probe.time_secs(index), rgb)
                .map(Some)
                .map_err(|e| VideoError::at_frame(&probe.path, index, VideoErrorKind::device(e))),
        }
    }

    fn frame_buffer_bytes(&self) -> u64 {
        (self.buffer_count * self.context.probe.frame_bytes()) as u64
            + self.context.stats.internal_buffer_bytes()
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
