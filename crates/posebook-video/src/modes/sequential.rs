//! Stream access `sequential`: one decoder runs through the selection.

use super::reader::{FrameReader, ReaderContext};
use crate::decode::decoder::DecodeOptions;
use crate::decode::frame_decoder::FrameDecoder;
use crate::error::VideoError;

/// Frames of one decoder.
pub struct SequentialReader {
    context: ReaderContext,
    decoder: Option<FrameDecoder>,
}

impl SequentialReader {
    /// Starts the decoder, which runs until the pipe is full.
    ///
    /// # Errors
    /// If ffmpeg cannot be started.
    pub fn start(context: ReaderContext, options: &DecodeOptions) -> Result<SequentialReader, VideoError> {
        let ReaderContext { probe, selection, child, .. } = &context;
        let decoder = FrameDecoder::start(probe, options, selection.clone(), child.clone())?;
        Ok(SequentialReader { context, decoder: Some(decoder) })
    }
}

impl FrameReader for SequentialReader {
    fn read(&mut self, index: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let read = self.decoder.as_mut().map(|decoder| decoder.read(rgb)).transpose()?;
        debug_assert_eq!(read.flatten(), Some(index), "frames are read in ascending order");
        Ok(())
    }

    fn finish(&mut self) -> Result<(), VideoError> {
        if let Some(decoder) = self.decoder.take() {
            self.context.stats.set_decoder_warnings(decoder.finish()?);
        }
        Ok(())
    }
}
