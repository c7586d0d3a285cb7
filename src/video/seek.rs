//! The stream as PHALP has it: for every frame, open the file, seek to the key frame before it, decode
//! up to it and on (`IO_Manager.read_frame`: `torchvision.io.read_video` from a timestamp to the next tick).
//!
//! Must not know who takes the frames.

use super::decoder::Manner;
use super::error::VideoError;
use super::frame_decoder::FrameDecoder;
use super::probe::Probe;
use super::range::Selection;
use super::reader::{Reader, Reading};

/// Where frames are decoded in another order than shown, torchvision takes so many more beyond the first that
/// lies behind the wanted one, in case one of them belongs before it, and seeks so many ticks before it: a key
/// frame is then reached from the key frame before it (`torchvision/io/video.py`, `_read_from_stream`:
/// `max_buffer_size` and `seek_offset`).
const MARGIN: usize = 5;

/// Frames from a decoder of their own each.
pub(super) struct Seek {
    reading: Reading,
    manner: Manner,
}

impl Seek {
    pub fn new(reading: Reading, manner: Manner) -> Seek {
        let margin_ticks = margin(&reading.probe) as i64;
        Seek { reading, manner: Manner { margin_ticks, ..manner.without_planes() } }
    }
}

impl Reader for Seek {
    fn read(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let Reading { probe, slot, .. } = &self.reading;
        let mut decoder = FrameDecoder::start(probe, &self.manner, detour(probe, n), slot.clone())?;
        decoder.read(rgb)?;
        // the frame is there: what is wrong with a later one is told when that one is wanted
        let _ = decoder.skip();
        Ok(())
    }
}

/// Frames, and ticks, that decoding takes beyond what the wanted frame needs.
pub(super) fn margin(probe: &Probe) -> usize {
    if probe.colours.reorders { MARGIN } else { 0 }
}

/// What is decoded for frame `n`: the last of the frames behind it is asked for as well, for when that is there,
/// all before it are decoded.
pub(super) fn detour(probe: &Probe, n: usize) -> Selection {
    // the first frame behind tells that the wanted one is over
    let past = (1 + margin(probe)).min(probe.file_frames() - 1 - probe.file_frame(n));
    Selection { range: n..n + past + 1, every: past.max(1) }
}
