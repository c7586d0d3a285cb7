//! What gives decoded frames in order, whatever the video is: one ffmpeg for a file, the still reader for a folder
//! of pictures.
//!
//! Must not know who takes the frames.

use std::sync::Arc;

use super::child::Slot;
use super::decoder::{Decoder, Manner};
use super::error::VideoError;
use super::folder::PictureReader;
use super::probe::Probe;
use super::range::Selection;

/// Selected frames, decoded in order.
pub(super) enum FrameDecoder {
    File(Box<Decoder>),
    Folder(PictureReader),
}

impl FrameDecoder {
    /// Starts decoding what is selected; an ffmpeg lives in `slot`, through which another thread may end it.
    ///
    /// # Errors
    /// If ffmpeg cannot be started.
    pub fn start(
        probe: &Arc<Probe>,
        manner: &Manner,
        selection: Selection,
        slot: Slot,
    ) -> Result<FrameDecoder, VideoError> {
        if probe.pictures().is_some() {
            return Ok(FrameDecoder::Folder(PictureReader::new(probe, selection)));
        }
        Ok(FrameDecoder::File(Box::new(Decoder::start(probe, manner, selection, slot)?)))
    }

    /// The frame that comes next, a number in the clip; beyond the range after the last.
    pub fn next(&self) -> usize {
        match self {
            FrameDecoder::File(decoder) => decoder.next(),
            FrameDecoder::Folder(reader) => reader.next(),
        }
    }

    /// Writes the next frame into `rgb` and returns its number in the clip; `None` after the last frame.
    ///
    /// # Errors
    /// If the frame cannot be decoded.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        match self {
            FrameDecoder::File(decoder) => decoder.read(rgb),
            FrameDecoder::Folder(reader) => reader.read(rgb),
        }
    }

    /// Lets the next frame go by; as [`FrameDecoder::read`] without its pixels.
    ///
    /// # Errors
    /// As [`FrameDecoder::read`].
    pub fn skip(&mut self) -> Result<Option<usize>, VideoError> {
        match self {
            FrameDecoder::File(decoder) => decoder.skip(),
            FrameDecoder::Folder(reader) => Ok(reader.skip()),
        }
    }

    /// Checks, after the last frame, that the decoder has no more of them and ended well. Returns its complaints.
    ///
    /// # Errors
    /// If it gives more frames, or ended badly.
    pub fn finish(self) -> Result<String, VideoError> {
        match self {
            FrameDecoder::File(decoder) => decoder.finish(),
            FrameDecoder::Folder(_) => Ok(String::new()),
        }
    }
}
