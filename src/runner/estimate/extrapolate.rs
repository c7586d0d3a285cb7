//! Extrapolates from a trial run to the full run.
//!
//! | grows | by |
//! |---|---|
//! | frames stored in memory or on the GPU | width x height x 3 bytes per frame |
//! | images on disk | mean size of images from all over the video |
//! | results, where they are accumulated | those of the trial run, by people and frames |
//! | buffers of a stream | constant: allocated and written before its first frame |
//!
//! Everything else is as in the trial run.

use super::ModeEstimate;
use super::sampling::{self, DecodeRate};
use super::trial::Trial;
use super::workload::Workload;
use posebook_video::{Access, Extract, Mode, Probe, Store, Stream};
use std::ops::Range;

/// The full run over the video.
pub(super) struct FullRun<'a> {
    /// Number of frames that the run processes.
    pub frames: usize,
    /// Range of the video that they come from.
    pub range: Range<usize>,
    pub probe: &'a Probe,
    pub workload: &'a Workload,
    pub decode_rate: DecodeRate,
}

impl FullRun<'_> {
    /// Estimates the full run in `mode` from its trial run; `image_bytes` is the mean size of an image, if any are written.
    pub fn extrapolate(&self, mode: Mode, trial: &Trial, image_bytes: Option<f64>) -> ModeEstimate {
        let metrics = &trial.report.metrics;
        let further_frames = self.frames.saturating_sub(self.workload.trial_frames()) as u64;
        let frame_bytes = self.probe.frame_bytes() as u64;
        let frames_bytes = further_frames * frame_bytes;
        let store = match mode {
            Mode::Extract(Extract { store, .. }) => Some(store),
            Mode::Stream(_) => None,
        };
        let on_host = if store == Some(Store::Memory) { frames_bytes } else { 0 };
        let on_gpu = if store == Some(Store::Device) { frames_bytes } else { 0 };
        let results = self.more_results_bytes(trial);
        let images = image_bytes.map(|bytes| (bytes * self.frames as f64) as u64);
        ModeEstimate {
            frames_decoded: Some(self.frames_decoded(mode)),
            heap_bytes: metrics.host.heap_peak_bytes.map(|bytes| bytes + on_host + results),
            process_bytes: metrics.host.process_peak_bytes.map(|bytes| bytes + on_host + results),
            // a trial run is too short for a decoder to fill its buffers
            decoder_bytes: metrics.host.decoder_peak_bytes.max(self.decode_rate.decoder_bytes),
            device_bytes: metrics.device.device_peak_bytes.map(|bytes| bytes + on_gpu),
            disk_bytes: Some(images.unwrap_or(0)),
            secs: self.secs(mode, trial),
            ..ModeEstimate::default()
        }
    }

    /// Number of frames that must be decoded to reach all requested ones.
    pub fn frames_decoded(&self, mode: Mode) -> u64 {
        let passes = self.frames.div_ceil(self.frames_per_pass()) as u64;
        let once = match mode {
            Mode::Stream(Stream { access: Access::Seek, .. }) => {
                sampling::decoded_by_seeking(|n| self.probe.is_key(n), &self.range, self.every())
            }
            // from the key frame before the range
            _ => {
                let start = self.range.start;
                let key = (0..=start).rev().find(|&n| self.probe.is_key(n)).unwrap_or(0);
                (self.range.end - key) as u64
            }
        };
        once * passes
    }

    fn every(&self) -> usize {
        // fewer frames than the range has: a step; more: loops
        (self.range.len() / self.frames.max(1)).max(1)
    }

    fn frames_per_pass(&self) -> usize {
        self.range.len().div_ceil(self.every()).max(1)
    }

    fn more_results_bytes(&self, trial: &Trial) -> u64 {
        let results_bytes = trial.report.metrics.host.heap_results_bytes.unwrap_or(0) as f64;
        let trial_people = self.workload.trial_frames() as f64 * self.workload.trial_mean();
        let all = self.frames as f64 * self.workload.mean;
        if trial_people > 0.0 { (results_bytes * (all / trial_people - 1.0)).max(0.0) as u64 } else { 0 }
    }

    /// Mean time for the people of a frame, seconds.
    fn people_secs(&self, trial: &Trial) -> f64 {
        let timing = &trial.report.metrics.timing;
        let by_people = timing.recover_secs.unwrap_or(0.0) + timing.track_secs.unwrap_or(0.0);
        let trial_frames = self.workload.trial_frames().max(1) as f64;
        let people_ratio = self.workload.mean / self.workload.trial_mean().max(f64::MIN_POSITIVE);
        (by_people * people_ratio.min(1.0) + timing.detect_secs.unwrap_or(0.0)) / trial_frames
    }

    fn secs(&self, mode: Mode, trial: &Trial) -> Option<f64> {
        let timing = &trial.report.metrics.timing;
        let frames = self.frames as f64;
        let trial_frames = self.workload.trial_frames().max(1) as f64;
        let DecodeRate { start_secs, frame_secs, .. } = self.decode_rate;
        let stages = [timing.open_secs?, timing.decode_secs?, timing.detect_secs?, timing.recover_secs?];
        let stages_secs: f64 = stages.iter().sum::<f64>() + timing.track_secs?;
        // time before the first frame and after the last one
        let overhead_secs = (timing.wall_secs.unwrap_or(0.0) - stages_secs).max(0.0);
        let people = frames * self.people_secs(trial);
        let decoding = self.frames_decoded(mode) as f64 * frame_secs;
        let frames_secs = match mode {
            Mode::Extract(_) => {
                // writing an image takes about as long as reading it
                let read_back = timing.decode_secs? / trial_frames;
                start_secs + decoding + 2.0 * frames * read_back + people
            }
            Mode::Stream(Stream { access: Access::Seek, .. }) => frames * start_secs + decoding + people,
            Mode::Stream(_) => start_secs + decoding.max(people),
        };
        Some(overhead_secs + frames_secs)
    }
}
