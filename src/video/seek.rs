//! The stream as PHALP has it: for every frame, open the file, seek to the key frame before it, decode
//! up to it and on (`IO_Manager.read_frame`: `torchvision.io.read_video` from a timestamp to the next tick).
//!
//! Must not know who takes the frames.

use super::decoder::{Decoder, Manner};
use super::error::VideoError;
use super::range::Selection;
use super::reader::{Reader, Reading};

/// Frames decoded after the wanted one: torchvision stops neither there nor at the first frame past its
/// end (`torchvision/io/video.py`, `_read_from_stream`: `max_buffer_size`), in case frames come out of
/// order, as they do from old DivX files.
const FRAMES_PAST: usize = 5;

/// Frames from a decoder of their own each.
pub(super) struct Seek {
    reading: Reading,
    manner: Manner,
}

impl Seek {
    pub fn new(reading: Reading, manner: Manner) -> Seek {
        Seek { reading, manner: manner.without_planes() }
    }
}

impl Reader for Seek {
    fn read(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let Reading { probe, slot, .. } = &self.reading;
        let past = FRAMES_PAST.min(probe.file_frames() - 1 - probe.file_frame(n));
        // the last of those past it is asked for as well: when it is there, all before it are decoded
        let selection = Selection { range: n..n + past + 1, every: past.max(1) };
        let mut decoder = Decoder::start(probe, &self.manner, selection, slot.clone())?;
        decoder.read(rgb)?;
        // the frame is there: what is wrong with a later one is told when that one is wanted
        let _ = decoder.skip();
        Ok(())
    }
}
