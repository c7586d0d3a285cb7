//! Stream access `indexed`, for frames far apart: one decoder runs forward, and is restarted at a key frame where
//! that is faster than decoding all frames in between.
//!
//! The cost of a restart and of a frame are measured while reading. They decide only when to restart; the frames are
//! the same in any case.

use std::time::Instant;

use super::reader::{FrameReader, ReaderContext};
use crate::decode::decoder::DecodeOptions;
use crate::decode::frame_decoder::FrameDecoder;
use crate::error::VideoError;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Assumed time to start a decoder until it was measured.
const DEFAULT_START_SECS: f64 = 0.1;
/// Assumed time to decode a pixel until it was measured.
const DEFAULT_PIXEL_SECS: f64 = 3e-9;
/// Until costs were measured, a restart must be this many times faster.
const UNMEASURED_SAFETY_FACTOR: f64 = 4.0;

/// Selected frames of one or more decoders.
pub struct IndexedReader {
    context: ReaderContext,
    options: DecodeOptions,
    decoder: Option<FrameDecoder>,
    cost: DecodeCost,
}

/// Measured decoding times.
#[derive(Debug, Clone, Copy)]
pub struct DecodeCost {
    /// To start a decoder.
    start_secs: f64,
    /// To decode a frame, mean.
    frame_secs: f64,
    /// Number of frames in that mean: all but the first one of each decoder.
    frames: usize,
}

impl DecodeCost {
    fn unmeasured(probe: &Probe) -> DecodeCost {
        let frame_secs = (probe.width * probe.height) as f64 * DEFAULT_PIXEL_SECS;
        DecodeCost { start_secs: DEFAULT_START_SECS, frame_secs, frames: 0 }
    }

    /// Whether a restart, which decodes `restart_frames`, is faster than decoding the next `forward_frames`.
    fn is_restart_faster(self, restart_frames: usize, forward_frames: usize) -> bool {
        let factor = if self.frames == 0 { UNMEASURED_SAFETY_FACTOR } else { 1.0 };
        factor * (self.start_secs + restart_frames as f64 * self.frame_secs)
            < forward_frames as f64 * self.frame_secs
    }

    /// Records that decoding `frames` consecutive frames took `elapsed_secs`.
    fn record_frames(&mut self, frames: usize, elapsed_secs: f64) {
        let previous_secs = self.frames as f64 * self.frame_secs;
        self.frames += frames;
        self.frame_secs = (previous_secs + elapsed_secs) / self.frames as f64;
    }

    /// Records that a start and decoding `frames` frames took `elapsed_secs`.
    fn record_start(&mut self, frames: usize, elapsed_secs: f64) {
        self.start_secs = (elapsed_secs - frames as f64 * self.frame_secs).max(0.0);
    }
}

impl IndexedReader {
    /// A reader without a decoder yet and with assumed costs.
    pub fn new(context: ReaderContext, options: DecodeOptions) -> IndexedReader {
        let cost = DecodeCost::unmeasured(&context.probe);
        IndexedReader::with_cost(context, options, cost)
    }

    fn with_cost(context: ReaderContext, options: DecodeOptions, cost: DecodeCost) -> IndexedReader {
        IndexedReader { context, options, decoder: None, cost }
    }

    /// Number of frames that a new decoder decodes to reach frame `index`, from its key frame on.
    fn restart_frames(&self, index: usize) -> usize {
        let probe = &self.context.probe;
        let file_index = probe.file_frame(index);
        file_index - probe.key_at_or_before(file_index).unwrap_or(0) + 1
    }

    /// Whether a new decoder reaches frame `index`, the next one, faster than the running one.
    fn should_restart(&self, index: usize) -> bool {
        let every = self.context.selection.every;
        let restart_frames = self.restart_frames(index);
        restart_frames < every && self.cost.is_restart_faster(restart_frames, every)
    }
}

impl FrameReader for IndexedReader {
    fn read(&mut self, index: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        let began = Instant::now();
        let restart = self.should_restart(index);
        if let Some(decoder) =
            self.decoder.as_mut().filter(|decoder| decoder.next_index() == index && !restart)
        {
            decoder.read(rgb)?;
            self.cost.record_frames(self.context.selection.every, began.elapsed().as_secs_f64());
            return Ok(());
        }
        let Selection { range, every } = self.context.selection.clone();
        let rest = Selection { range: index..range.end, every };
        // dropped first, so that only one decoder holds memory
        self.decoder = None;
        let mut decoder =
            FrameDecoder::start(&self.context.probe, &self.options, rest, self.context.child.clone())?;
        decoder.read(rgb)?;
        self.cost.record_start(self.restart_frames(index), began.elapsed().as_secs_f64());
        self.decoder = Some(decoder);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), VideoError> {
        if let Some(decoder) = self.decoder.take() {
            self.context.stats.set_decoder_warnings(decoder.finish()?);
        }
        Ok(())
    }
}

#[cfg(test)]
impl IndexedReader {
    /// A reader with so many frames in its mean that further measurements do not change `frame_secs`. With 0 it never
    /// restarts; with 1 it restarts whenever that saves a frame.
    pub fn with_frame_secs(context: ReaderContext, frame_secs: f64) -> IndexedReader {
        let options = DecodeOptions::default();
        let cost = DecodeCost { start_secs: 0.0, frame_secs, frames: usize::MAX >> 12 };
        IndexedReader::with_cost(context, options, cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_is_restarted_only_where_that_is_faster() {
        let mut cost = DecodeCost { start_secs: 0.1, frame_secs: 0.01, frames: 0 };
        let is_faster = DecodeCost::is_restart_faster;
        assert!(!is_faster(cost, 1, 12) && !is_faster(cost, 5, 30), "assumed costs need a margin");
        assert!(is_faster(cost, 1, 60));
        cost.record_frames(10, 0.1);
        assert_eq!(cost.frames, 10);
        assert!(is_faster(cost, 1, 12) && !is_faster(cost, 1, 10) && !is_faster(cost, 11, 20));
        cost.record_start(5, 0.35);
        assert!((cost.start_secs - 0.3).abs() < 1e-12);
        cost.record_frames(10, 0.3);
        assert!((cost.frame_secs - 0.02).abs() < 1e-12);
    }
}
