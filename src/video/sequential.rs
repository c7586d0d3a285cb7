//! The stream as it should be: one decoder runs through what is selected.
//!
//! Must not know who takes the frames, nor in which thread it runs.

use super::decoder::Manner;
use super::error::VideoError;
use super::frame_decoder::FrameDecoder;
use super::reader::{Reader, Reading};

/// Frames from one decoder.
pub(super) struct Sequential {
    reading: Reading,
    decoder: Option<FrameDecoder>,
}

impl Sequential {
    /// Starts decoding; the decoder runs until the pipe is full.
    ///
    /// # Errors
    /// If ffmpeg cannot be started.
    pub fn start(reading: Reading, manner: &Manner) -> Result<Sequential, VideoError> {
        let Reading { probe, selection, slot, account } = &reading;
        account.note_own_bytes(manner.own_bytes(probe));
        let decoder = FrameDecoder::start(probe, manner, selection.clone(), slot.clone())?;
        Ok(Sequential { reading, decoder: Some(decoder) })
    }
}

impl Reader for Sequential {
    fn read(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let read = self.decoder.as_mut().map(|decoder| decoder.read(rgb)).transpose()?;
        debug_assert_eq!(read.flatten(), Some(n), "frames are read in their order");
        Ok(())
    }

    fn finish(&mut self) -> Result<(), VideoError> {
        if let Some(decoder) = self.decoder.take() {
            self.reading.account.set_said(decoder.finish()?);
        }
        Ok(())
    }
}
