//! Jitter of bodies along their tracks: the mean magnitude of the second differences of their joints.
//!
//! Joints are relative to the pelvis, so that walking at constant speed is no jitter. A second difference needs three
//! consecutive frames among those that were read; gaps and the ends of a track contribute nothing.

use posebook_core::geometry::{self, Vec3};
use posebook_core::person::{COMMON_JOINTS, JOINTS, PELVIS};
use posebook_track::metrics::pose;
use std::collections::HashMap;

/// Accumulates second differences. Bodies must come in the order of frames.
pub struct Jitter {
    /// Distance of consecutive frames that were read.
    step: u64,
    tracks: HashMap<u64, Vec<(u64, Vec<Vec3>)>>,
    sum_mm: f64,
    count: u64,
}

impl Jitter {
    /// An accumulator without bodies; `step` is the setting `video.every`.
    pub fn new(step: u64) -> Jitter {
        Jitter { step: step.max(1), tracks: HashMap::new(), sum_mm: 0.0, count: 0 }
    }

    /// Adds a body of a track: 44 joints in meters, x, y, z of each. A row with fewer joints is ignored.
    pub fn add(&mut self, track: u64, frame: u64, joints_m: &[f32]) {
        let joints: Vec<Vec3> = joints_m.chunks_exact(3).map(|xyz| [xyz[0], xyz[1], xyz[2]]).collect();
        if joints.len() < JOINTS {
            return;
        }
        let common = COMMON_JOINTS.map(|joint| geometry::sub(joints[joint], joints[PELVIS])).to_vec();
        let last = self.tracks.entry(track).or_default();
        if last.last().is_some_and(|(before, _)| before + self.step != frame) {
            last.clear();
        }
        last.push((frame, common));
        if let [(_, a), (_, b), (_, c)] = last.as_slice() {
            if let Some(jitter) = pose::jitter_mm_per_frame2(&[a, b, c]) {
                self.sum_mm += jitter;
                self.count += 1;
            }
            last.remove(0);
        }
    }

    /// The mean, millimeters per frame squared; `None` if no track has three consecutive frames.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_mm / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(x: f32) -> Vec<f32> {
        (0..JOINTS).flat_map(|joint| [if joint == PELVIS { 0.0 } else { x }, 0.0, 0.0]).collect()
    }

    #[test]
    fn steady_motion_has_no_jitter_and_gaps_are_skipped() {
        let mut jitter = Jitter::new(2);
        for (frame, x) in [(0, 0.0), (2, 0.1), (4, 0.2)] {
            jitter.add(1, frame, &body(x));
        }
        assert!(jitter.mean().unwrap() < 1e-3);
        // a step of 10 mm and back: one second difference of 20 mm
        let mut jitter = Jitter::new(1);
        for (frame, x) in [(0, 0.0), (1, 0.01), (2, 0.0), (9, 0.5), (10, 0.0)] {
            jitter.add(1, frame, &body(x));
        }
        assert!((jitter.mean().unwrap() - 20.0).abs() < 1e-3, "{:?}", jitter.mean());
        assert_eq!(Jitter::new(1).mean(), None);
    }
}
