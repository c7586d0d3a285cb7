//! From a rehearsal to the whole video: what grows with its length, and by how much.
//!
//! | grows | by |
//! |---|---|
//! | frames kept in memory or on the card | width x height x 3 bytes a frame |
//! | pictures on disk | the mean of pictures from all over the video |
//! | results, where they are kept to the end | what the rehearsal kept, by people and frames |
//! | buffers of a stream | not at all: they are made, and written to, before its first frame |
//!
//! Everything else is as the rehearsal had it. Must not know how it was measured.

use super::Foreseen;
use super::crowd::Crowd;
use super::rehearsal::Rehearsal;
use super::sample::{self, Pace};
use crate::video::{Access, Extract, Mode, Probe, Store, Stream};
use std::ops::Range;

/// The whole video.
pub struct Whole<'a> {
    /// Frames that a run gives out.
    pub frames: usize,
    /// Those of the video that they come from.
    pub range: Range<usize>,
    pub probe: &'a Probe,
    pub crowd: &'a Crowd,
    pub pace: Pace,
}

impl Whole<'_> {
    /// What `mode` takes for the whole video; pictures are so many bytes each, where there are any.
    pub fn foreseen(&self, mode: Mode, rehearsal: &Rehearsal, picture_bytes: Option<f64>) -> Foreseen {
        let seen = &rehearsal.seen;
        let more = self.frames.saturating_sub(self.crowd.rehearsed()) as u64;
        let frame_bytes = self.probe.frame_bytes() as u64;
        let kept = more * frame_bytes;
        let store = match mode {
            Mode::Extract(Extract { store, .. }) => Some(store),
            Mode::Stream(_) => None,
        };
        let on_host = if store == Some(Store::Memory) { kept } else { 0 };
        let on_card = if store == Some(Store::Device) { kept } else { 0 };
        let results = self.more_results_bytes(rehearsal);
        let pictures = picture_bytes.map(|bytes| (bytes * self.frames as f64) as u64);
        Foreseen {
            frames_decoded: Some(self.frames_decoded(mode)),
            heap_bytes: seen.heap_peak_bytes.map(|bytes| bytes + on_host + results),
            process_bytes: seen.process_peak_bytes.map(|bytes| bytes + on_host + results),
            // a rehearsal is too short for a decoder to fill its own buffers
            decoder_bytes: seen.decoder_peak_bytes.max(self.pace.decoder_bytes),
            device_bytes: seen.device_peak_bytes.map(|bytes| bytes + on_card),
            disk_bytes: Some(pictures.unwrap_or(0)),
            secs: self.secs(mode, rehearsal),
            ..Foreseen::default()
        }
    }

    /// Frames that must be decoded to give out all.
    pub fn frames_decoded(&self, mode: Mode) -> u64 {
        let passes = self.frames.div_ceil(self.given_in_a_pass()) as u64;
        let once = match mode {
            Mode::Stream(Stream { access: Access::Seek, .. }) => {
                sample::decoded_by_seeking(|n| self.probe.is_key(n), &self.range, self.every())
            }
            // from the key frame that the range hangs on
            _ => {
                let start = self.range.start;
                let key = (0..=start).rev().find(|&n| self.probe.is_key(n)).unwrap_or(0);
                (self.range.end - key) as u64
            }
        };
        once * passes
    }

    fn every(&self) -> usize {
        // a range that gives out fewer frames than it has is thinned; one that gives out more is repeated
        (self.range.len() / self.frames.max(1)).max(1)
    }

    fn given_in_a_pass(&self) -> usize {
        self.range.len().div_ceil(self.every()).max(1)
    }

    fn more_results_bytes(&self, rehearsal: &Rehearsal) -> u64 {
        let kept = rehearsal.seen.facts.heap_results_bytes.unwrap_or(0) as f64;
        let rehearsed = self.crowd.rehearsed() as f64 * self.crowd.rehearsed_mean();
        let all = self.frames as f64 * self.crowd.mean;
        if rehearsed > 0.0 { (kept * (all / rehearsed - 1.0)).max(0.0) as u64 } else { 0 }
    }

    /// Seconds that a frame's people take, in the mean.
    fn people_secs(&self, rehearsal: &Rehearsal) -> f64 {
        let facts = &rehearsal.seen.facts;
        let by_people = facts.recover_secs.unwrap_or(0.0) + facts.track_secs.unwrap_or(0.0);
        let rehearsed = self.crowd.rehearsed().max(1) as f64;
        let more_or_fewer = self.crowd.mean / self.crowd.rehearsed_mean().max(f64::MIN_POSITIVE);
        (by_people * more_or_fewer.min(1.0) + facts.detect_secs.unwrap_or(0.0)) / rehearsed
    }

    fn secs(&self, mode: Mode, rehearsal: &Rehearsal) -> Option<f64> {
        let facts = &rehearsal.seen.facts;
        let frames = self.frames as f64;
        let rehearsed = self.crowd.rehearsed().max(1) as f64;
        let Pace { start_secs, frame_secs, .. } = self.pace;
        // what the process takes before its first frame and after its last
        let stages = [facts.open_secs?, facts.decode_secs?, facts.detect_secs?, facts.recover_secs?];
        let inside: f64 = stages.iter().sum::<f64>() + facts.track_secs?;
        let around = (rehearsal.seen.wall_secs - inside).max(0.0);
        let people = frames * self.people_secs(rehearsal);
        let decoding = self.frames_decoded(mode) as f64 * frame_secs;
        let inside = match mode {
            Mode::Extract(_) => {
                // writing a picture takes about as long as reading it back
                let read_back = facts.decode_secs? / rehearsed;
                start_secs + decoding + 2.0 * frames * read_back + people
            }
            Mode::Stream(Stream { access: Access::Seek, .. }) => frames * start_secs + decoding + people,
            Mode::Stream(_) => start_secs + decoding.max(people),
        };
        Some(around + inside)
    }
}
