//! Decodes selected frames in order, of a file (with ffmpeg) or of a folder of images (with the image reader).

use std::sync::Arc;

use super::decoder::{DecodeOptions, Decoder};
use super::image_reader::ImageReader;
use crate::error::VideoError;
use crate::ffmpeg::child::ChildSlot;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Decoder of either kind of video.
pub enum FrameDecoder {
    File(Box<Decoder>),
    Folder(ImageReader),
}

impl FrameDecoder {
    /// Starts decoding the selection. ffmpeg is put into `child`, through which another thread may kill it.
    ///
    /// # Errors
    /// If ffmpeg cannot be started.
    pub fn start(
        probe: &Arc<Probe>,
        options: &DecodeOptions,
        selection: Selection,
        child: ChildSlot,
    ) -> Result<FrameDecoder, VideoError> {
        if probe.images().is_some() {
            return Ok(FrameDecoder::Folder(ImageReader::new(probe, selection)));
        }
        Ok(FrameDecoder::File(Box::new(Decoder::start(probe, options, selection, child)?)))
    }

    /// Clip index of the next frame; at or beyond the range's end after the last.
    pub fn next_index(&self) -> usize {
        match self {
            FrameDecoder::File(decoder) => decoder.next_index(),
            FrameDecoder::Folder(reader) => reader.next_index(),
        }
    }

    /// Writes the next frame into `rgb` and returns its clip index; `None` after the last frame.
    ///
    /// # Errors
    /// If the frame cannot be decoded.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        match self {
            FrameDecoder::File(decoder) => decoder.read(rgb),
            FrameDecoder::Folder(reader) => reader.read(rgb),
        }
    }

    /// Skips the next frame; as [`FrameDecoder::read`] without its pixels.
    ///
    /// # Errors
    /// As [`FrameDecoder::read`].
    pub fn skip(&mut self) -> Result<Option<usize>, VideoError> {
        match self {
            FrameDecoder::File(decoder) => decoder.skip(),
            FrameDecoder::Folder(reader) => Ok(reader.skip()),
        }
    }

    /// Checks, after the last frame, that the decoder has no more frames. Returns the end of ffmpeg's stderr.
    ///
    /// # Errors
    /// If the decoder gives more frames.
    pub fn finish(self) -> Result<String, VideoError> {
        match self {
            FrameDecoder::File(decoder) => decoder.finish(),
            FrameDecoder::Folder(_) => Ok(String::new()),
        }
    }
}
