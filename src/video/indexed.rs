//! A stream for frames that lie far apart: one decoder is kept open and runs forward, and is started anew
//! at a key frame where that is sooner there than decoding what lies between.
//!
//! What a start takes and what a frame takes is measured while it reads; the frames are the same whatever
//! the clock says. Must not know who takes the frames.

use std::time::Instant;

use super::decoder::Manner;
use super::error::VideoError;
use super::frame_decoder::FrameDecoder;
use super::probe::Probe;
use super::range::Selection;
use super::reader::{Reader, Reading};

/// Until something was measured: seconds of a start, and of a pixel.
const GUESSED_START_SECS: f64 = 0.1;
const GUESSED_PIXEL_SECS: f64 = 3e-9;
/// By how much a jump must pay while its price is a guess.
const CAUTION: f64 = 4.0;

/// Selected frames from as many decoders as pay.
pub(super) struct Indexed {
    reading: Reading,
    manner: Manner,
    decoder: Option<FrameDecoder>,
    pace: Pace,
}

/// What decoding costs here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    start_secs: f64,
    frame_secs: f64,
    /// Frames after the first of their decoder: what `frame_secs` is the mean of.
    frames: usize,
}

impl Pace {
    fn guessed(probe: &Probe) -> Pace {
        let frame_secs = (probe.width * probe.height) as f64 * GUESSED_PIXEL_SECS;
        Pace { start_secs: GUESSED_START_SECS, frame_secs, frames: 0 }
    }

    /// Whether a start that decodes `with_jump` frames is sooner there than `without` frames from here.
    fn pays(self, with_jump: usize, without: usize) -> bool {
        let caution = if self.frames == 0 { CAUTION } else { 1.0 };
        caution * (self.start_secs + with_jump as f64 * self.frame_secs) < without as f64 * self.frame_secs
    }

    /// Learns that `frames` on end took so long.
    fn went(&mut self, frames: usize, secs: f64) {
        let known_secs = self.frames as f64 * self.frame_secs;
        self.frames += frames;
        self.frame_secs = (known_secs + secs) / self.frames as f64;
    }

    /// Learns that a start, and the decoding of so many frames, took so long.
    fn started(&mut self, frames: usize, secs: f64) {
        self.start_secs = (secs - frames as f64 * self.frame_secs).max(0.0);
    }
}

impl Indexed {
    pub fn new(reading: Reading, manner: Manner) -> Indexed {
        let pace = Pace::guessed(&reading.probe);
        Indexed::at_pace(reading, manner, pace)
    }

    fn at_pace(reading: Reading, manner: Manner, pace: Pace) -> Indexed {
        reading.account.note_own_bytes(manner.own_bytes(&reading.probe));
        Indexed { reading, manner, decoder: None, pace }
    }

    /// Frames to decode for frame `n` with a start of its own.
    fn frames_with_its_key(&self, n: usize) -> usize {
        let (probe, n) = (&self.reading.probe, self.reading.probe.file_frame(n));
        n - probe.key_at_or_before(n).unwrap_or(0) + 1
    }

    /// Whether frame `n`, which comes next, is sooner there by a new start.
    fn jump_pays(&self, n: usize) -> bool {
        let every = self.reading.selection.every;
        let with_jump = self.frames_with_its_key(n);
        with_jump < every && self.pace.pays(with_jump, every)
    }
}

impl Reader for Indexed {
    fn read(&mut self, n: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let began = Instant::now();
        let jump = self.jump_pays(n);
        if let Some(decoder) = self.decoder.as_mut().filter(|decoder| decoder.next() == n && !jump) {
            decoder.read(rgb)?;
            self.pace.went(self.reading.selection.every, began.elapsed().as_secs_f64());
            return Ok(());
        }
        let Selection { range, every } = self.reading.selection.clone();
        let rest = Selection { range: n..range.end, every };
        // the one before ends first: two would need room for two
        self.decoder = None;
        let mut decoder =
            FrameDecoder::start(&self.reading.probe, &self.manner, rest, self.reading.slot.clone())?;
        decoder.read(rgb)?;
        self.pace.started(self.frames_with_its_key(n), began.elapsed().as_secs_f64());
        self.decoder = Some(decoder);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), VideoError> {
        if let Some(decoder) = self.decoder.take() {
            self.reading.account.set_said(decoder.finish()?);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Indexed {
    /// One who has measured for so long that a frame takes `frame_secs`, whatever the clock says: with 0 no
    /// start pays, with a second every one does that saves a frame.
    pub fn with_frames_that_take(reading: Reading, frame_secs: f64) -> Indexed {
        let manner = Manner::of(&reading.probe, None);
        Indexed::at_pace(reading, manner, Pace { start_secs: 0.0, frame_secs, frames: usize::MAX >> 12 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_must_pay() {
        let mut pace = Pace { start_secs: 0.1, frame_secs: 0.01, frames: 0 };
        assert!(!pace.pays(1, 12) && !pace.pays(5, 30), "a guess is not trusted by a hair");
        assert!(pace.pays(1, 60));
        pace.went(10, 0.1);
        assert_eq!(pace.frames, 10);
        assert!(pace.pays(1, 12) && !pace.pays(1, 10) && !pace.pays(11, 20));
        pace.started(5, 0.35);
        assert!((pace.start_secs - 0.3).abs() < 1e-12);
        pace.went(10, 0.3);
        assert!((pace.frame_secs - 0.02).abs() < 1e-12);
    }
}
