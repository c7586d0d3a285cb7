//! Prepares a sequence for scoring: renumbers identities from zero and computes the IoU of all boxes once.

use super::TrackedBox;
use crate::assignment::Costs;

/// An identity occurs twice in one frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identity {id} occurs twice in frame {frame} of the {side}; give each identity once per frame")]
pub struct DuplicateId {
    /// Counted from zero.
    pub frame: usize,
    /// The identity.
    pub id: u64,
    /// `truth` or `tracks`.
    pub side: &'static str,
}

/// One frame: the identities' numbers and the IoU of their boxes.
pub(super) struct Frame {
    /// Numbers of the ground truth identities.
    pub truth: Vec<usize>,
    /// Numbers of the track identities.
    pub tracks: Vec<usize>,
    /// Intersection over union, truth x tracks.
    pub overlap: Costs,
}

/// A sequence prepared for scoring.
pub struct PreparedSequence {
    pub(super) frames: Vec<Frame>,
    pub(super) truth_ids: usize,
    pub(super) track_ids: usize,
    pub(super) truth_boxes: u64,
    pub(super) track_boxes: u64,
}

impl PreparedSequence {
    /// Prepares the boxes of both sides, frame by frame.
    ///
    /// # Errors
    /// If an identity occurs twice in a frame.
    pub fn new(
        truth: &[Vec<TrackedBox>],
        tracks: &[Vec<TrackedBox>],
    ) -> Result<PreparedSequence, DuplicateId> {
        let (truth_numbers, track_numbers) = (ids(truth, "truth")?, ids(tracks, "tracks")?);
        let number = |ids: &[u64], boxes: &[TrackedBox]| -> Vec<usize> {
            boxes.iter().map(|tracked| ids.partition_point(|&id| id < tracked.id)).collect()
        };
        let frames = (0..truth.len().max(tracks.len())).map(|frame| {
            let boxes = |side: &'_ [Vec<TrackedBox>]| side.get(frame).cloned().unwrap_or_default();
            let (truth, tracks) = (boxes(truth), boxes(tracks));
            Frame {
                overlap: Costs::from_fn(truth.len(), tracks.len(), |row, column| {
                    truth[row].bbox.iou(&tracks[column].bbox)
                }),
                truth: number(&truth_numbers, &truth),
                tracks: number(&track_numbers, &tracks),
            }
        });
        let boxes = |side: &[Vec<TrackedBox>]| side.iter().map(|frame| frame.len() as u64).sum();
        Ok(PreparedSequence {
            frames: frames.collect(),
            truth_ids: truth_numbers.len(),
            track_ids: track_numbers.len(),
            truth_boxes: boxes(truth),
            track_boxes: boxes(tracks),
        })
    }
}

/// The identities of one side, ascending.
fn ids(side: &[Vec<TrackedBox>], name: &'static str) -> Result<Vec<u64>, DuplicateId> {
    let mut all = Vec::new();
    for (frame, boxes) in side.iter().enumerate() {
        let mut frame_ids: Vec<u64> = boxes.iter().map(|tracked| tracked.id).collect();
        frame_ids.sort_unstable();
        if let Some(pair) = frame_ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(DuplicateId { frame, id: pair[0], side: name });
        }
        all.extend(frame_ids);
        // limits memory to the number of identities, not of boxes
        all.sort_unstable();
        all.dedup();
    }
    Ok(all)
}
