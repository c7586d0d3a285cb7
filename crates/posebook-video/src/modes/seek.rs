//! Stream access `seek`, as in PHALP: for every frame, opens the file, seeks to the preceding key frame, and
//! decodes up to the frame and beyond it (`IO_Manager.read_frame`: `torchvision.io.read_video` from a timestamp to
//! the next tick).

use super::reader::{FrameReader, ReaderContext};
use crate::decode::decoder::DecodeOptions;
use crate::decode::frame_decoder::FrameDecoder;
use crate::error::VideoError;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// torchvision's margin for codecs that reorder frames (`torchvision/io/video.py`, `_read_from_stream`:
/// `max_buffer_size` and `seek_offset`). It decodes this many frames more after the first one behind the wanted
/// frame, in case one of them belongs before it, and seeks this many ticks earlier, so that a key frame is reached
/// from the previous key frame.
const REORDER_MARGIN: usize = 5;

/// Frames of a new decoder each.
pub struct SeekReader {
    context: ReaderContext,
    options: DecodeOptions,
}

impl SeekReader {
    pub fn new(context: ReaderContext, options: DecodeOptions) -> SeekReader {
        let margin_ticks = margin_frames(&context.probe) as i64;
        SeekReader { context, options: DecodeOptions { seek_margin_ticks: margin_ticks, ..options } }
    }
}

impl FrameReader for SeekReader {
    fn read(&mut self, index: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let ReaderContext { probe, child, .. } = &self.context;
        let mut decoder =
            FrameDecoder::start(probe, &self.options, seek_selection(probe, index), child.clone())?;
        decoder.read(rgb)?;
        // the frame was read: an error of a later one is reported when that one is read
        let _ = decoder.skip();
        Ok(())
    }
}

/// Frames decoded beyond the first one after the wanted frame, and ticks that the seek aims before it.
pub fn margin_frames(probe: &Probe) -> usize {
    if probe.reorders_frames { REORDER_MARGIN } else { 0 }
}

/// The frames to decode for frame `index`: that frame and the last one of the margin. When ffmpeg has written the
/// latter, it has decoded all between them.
pub fn seek_selection(probe: &Probe, index: usize) -> Selection {
    // torchvision detects the end of the wanted frame by the first frame after it
    let past = (1 + margin_frames(probe)).min(probe.file_frames() - 1 - probe.file_frame(index));
    Selection { range: index..index + past + 1, every: past.max(1) }
}
