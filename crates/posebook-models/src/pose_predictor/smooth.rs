//! Smooths a whole track: each pose is read from the network's tokens, given the poses before and after it.
//!
//! The track is processed in steps; each step sees a window of frames on both sides. Frames without a detection are masked, and
//! get a pose as well.

use super::network::Sequences;
use super::predictor::pose_vectors;
use super::{PosePredictorError, PoseTransformer};
use candle_core::Tensor;
use posebook_core::appearance::POSE_VECTOR_LENGTH;

/// Steps per forward pass, and tokens per readout in multiples of it: bounds memory.
const BATCH: usize = 16;
/// Tokens that the heads read at a time.
const READOUT_ROWS: usize = 1024;

/// How a track is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmoothingWindow {
    /// Frames that are read from one forward pass.
    pub step: usize,
    /// Frames of context on both sides.
    pub window: usize,
}

impl Default for SmoothingWindow {
    /// The default of the reference's `smooth_tracks`.
    fn default() -> SmoothingWindow {
        SmoothingWindow { step: 1, window: 20 }
    }
}

/// A smoothed track.
#[derive(Debug, Clone, PartialEq)]
pub struct SmoothedTrack {
    /// The pose vector of each frame.
    pub poses: Vec<[f32; POSE_VECTOR_LENGTH]>,
    /// Scores of action classes of each frame; empty if the weights have no action head.
    pub actions: Vec<Vec<f32>>,
}

/// The frames of one forward pass.
struct Step {
    /// First frame of the sequence.
    from: usize,
    /// Frames that are read.
    read: std::ops::Range<usize>,
}

impl PoseTransformer {
    /// Smooths consecutive frames of one track; `None` is a frame without a detection.
    ///
    /// # Errors
    /// If step and windows do not fit the network's positions, a value is not finite, or the device fails.
    pub fn smooth(
        &self,
        poses: &[Option<&[f32; POSE_VECTOR_LENGTH]>],
        window: SmoothingWindow,
    ) -> Result<SmoothedTrack, PosePredictorError> {
        let positions = self.network.sizes().frames;
        let SmoothingWindow { step, window } = window;
        let needed = window.saturating_mul(2).saturating_add(step);
        if step == 0 || needed >= positions {
            return Err(PosePredictorError::Input(format!(
                "a step of {step} frames and a window of {window} frames on both sides take {needed} positions; the step has to \
                 be at least 1, and the network allows {}",
                positions - 1
            )));
        }
        let mut all = Sequences::default();
        let mut rows = Vec::with_capacity(poses.len());
        for (frame, pose) in poses.iter().enumerate() {
            let Some(pose) = pose else {
                rows.push(None);
                continue;
            };
            if let Some(index) = pose.iter().position(|value| !value.is_finite()) {
                let message = format!("value {index} of the pose of frame {frame} is {}", pose[index]);
                return Err(PosePredictorError::Input(message));
            }
            rows.push(Some((all.poses.len() / POSE_VECTOR_LENGTH) as u32));
            self.normalizer.push(pose, &mut all.poses);
        }
        let starts = (0..poses.len()).step_by(step);
        let steps: Vec<Step> = starts
            .map(|start| {
                let from = start.saturating_sub(window);
                Step { from, read: start..(start + step).min(poses.len()) }
            })
            .collect();
        for part in &steps {
            let end = (part.read.start + needed - window).min(poses.len());
            let mut sequence = rows[part.from..end].to_vec();
            sequence.resize(positions, None);
            all.positions.push(sequence);
        }
        self.read_steps(&all, &steps)
    }

    fn read_steps(&self, all: &Sequences, steps: &[Step]) -> Result<SmoothedTrack, PosePredictorError> {
        let mut tokens = Vec::new();
        for (positions, steps) in all.positions.chunks(BATCH).zip(steps.chunks(BATCH)) {
            let batch = self.network.forward(&all.part(positions), &mut |_, _| ())?;
            for (index, step) in steps.iter().enumerate() {
                let sequence = batch.get(index)?;
                // a copy, so that the batch is freed
                tokens.push(sequence.narrow(0, step.read.start - step.from, step.read.len())?.copy()?);
            }
        }
        let mut track = SmoothedTrack { poses: Vec::new(), actions: Vec::new() };
        if tokens.is_empty() {
            return Ok(track);
        }
        let tokens = Tensor::cat(&tokens, 0)?;
        let count = tokens.dim(0)?;
        for from in (0..count).step_by(READOUT_ROWS) {
            let read =
                self.network.heads().read(&tokens.narrow(0, from, READOUT_ROWS.min(count - from))?)?;
            track.poses.extend(pose_vectors(&read.poses)?);
            if let Some(actions) = read.actions {
                track.actions.extend(actions.to_vec2::<f32>()?);
            }
        }
        Ok(track)
    }
}
