//! A sequence made ready for scoring: identities numbered from zero, overlaps computed once.

use super::TrackedBox;
use crate::assignment::Costs;

/// An identity stands twice in one frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identity {id} stands twice in frame {frame} of the {side}; an identity can be in one place only")]
pub struct DuplicateId {
    /// Counted from zero.
    pub frame: usize,
    pub id: u64,
    /// `truth` or `tracks`.
    pub side: &'static str,
}

/// One frame: who is there, by number, and how much they overlap.
pub(super) struct Frame {
    pub truth: Vec<usize>,
    pub tracks: Vec<usize>,
    /// Intersection over union, truth x tracks.
    pub overlap: Costs,
}

/// A sequence made ready for scoring.
pub struct Prepared {
    pub(super) frames: Vec<Frame>,
    pub(super) truth_ids: usize,
    pub(super) track_ids: usize,
    pub(super) truth_boxes: u64,
    pub(super) track_boxes: u64,
}

impl Prepared {
    /// # Errors
    /// If an identity stands twice in a frame.
    pub fn new(truth: &[Vec<TrackedBox>], tracks: &[Vec<TrackedBox>]) -> Result<Prepared, DuplicateId> {
        let (truth_numbers, track_numbers) = (ids(truth, "truth")?, ids(tracks, "tracks")?);
        let number = |ids: &[u64], boxes: &[TrackedBox]| -> Vec<usize> {
            boxes.iter().map(|of| ids.partition_point(|&id| id < of.id)).collect()
        };
        let frames = (0..truth.len().max(tracks.len())).map(|frame| {
            let of = |side: &'_ [Vec<TrackedBox>]| side.get(frame).cloned().unwrap_or_default();
            let (truth, tracks) = (of(truth), of(tracks));
            Frame {
                overlap: Costs::from_fn(truth.len(), tracks.len(), |row, column| {
                    truth[row].iou(&tracks[column])
                }),
                truth: number(&truth_numbers, &truth),
                tracks: number(&track_numbers, &tracks),
            }
        });
        let boxes = |side: &[Vec<TrackedBox>]| side.iter().map(|frame| frame.len() as u64).sum();
        Ok(Prepared {
            frames: frames.collect(),
            truth_ids: truth_numbers.len(),
            track_ids: track_numbers.len(),
            truth_boxes: boxes(truth),
            track_boxes: boxes(tracks),
        })
    }
}

/// The identities of one side, rising.
fn ids(side: &[Vec<TrackedBox>], name: &'static str) -> Result<Vec<u64>, DuplicateId> {
    let mut all = Vec::new();
    for (frame, boxes) in side.iter().enumerate() {
        let mut here: Vec<u64> = boxes.iter().map(|of| of.id).collect();
        here.sort_unstable();
        if let Some(pair) = here.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(DuplicateId { frame, id: pair[0], side: name });
        }
        all.extend(here);
        // keeps what is held to the identities seen, not the boxes
        all.sort_unstable();
        all.dedup();
    }
    Ok(all)
}
