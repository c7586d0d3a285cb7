//! CLEAR MOT (Bernardin and Stiefelhagen, 2008), as TrackEval computes it.

use super::{MATCH_IOU, PreparedSequence, share};
use crate::assignment::{Costs, crouse};

/// Bonus in the assignment for a track that keeps the identity of the previous frame: larger than any IoU.
const CONTINUITY_BONUS: f64 = 1000.0;

/// CLEAR's counts (TrackEval's names).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clear {
    /// Matched boxes.
    pub tp: u64,
    /// Track boxes without a match.
    pub fp: u64,
    /// Ground truth boxes without a match.
    pub fn_: u64,
    /// Identity switches.
    pub idsw: u64,
    /// Fragmentations: times a ground truth identity is matched again after a gap.
    pub frag: u64,
    /// Mostly tracked: identities matched in more than 80% of their frames.
    pub mt: u64,
    /// Partially tracked: at least 20%.
    pub pt: u64,
    /// Mostly lost: less than 20%.
    pub ml: u64,
    /// Sum of the IoU of all matches.
    pub overlap_sum: f64,
}

/// Matches of one ground truth identity so far.
#[derive(Debug, Clone, Copy, Default)]
struct IdentityMatches {
    boxes: u64,
    matched: u64,
    segments: u64,
    /// The track of its last match.
    last_track: Option<usize>,
    /// The track of its match in the previous frame.
    previous_track: Option<usize>,
}

impl Clear {
    /// Counts a sequence's matches.
    pub fn compute(prepared: &PreparedSequence) -> Clear {
        let mut clear = Clear::default();
        if prepared.track_boxes == 0 || prepared.truth_boxes == 0 {
            clear.fn_ = prepared.truth_boxes;
            clear.fp = prepared.track_boxes;
            clear.ml = prepared.truth_ids as u64;
            return clear;
        }
        let mut identities = vec![IdentityMatches::default(); prepared.truth_ids];
        for frame in &prepared.frames {
            frame.truth.iter().for_each(|&id| identities[id].boxes += 1);
            if frame.truth.is_empty() || frame.tracks.is_empty() {
                // TrackEval skips such frames: matches of the frame before them count as those of the previous
                // frame
                clear.fp += frame.tracks.len() as u64;
                clear.fn_ += frame.truth.len() as u64;
                continue;
            }
            clear.add(&frame.truth, &frame.tracks, &frame.overlap, &mut identities);
        }
        let ratio = |identity: &IdentityMatches| identity.matched as f64 / identity.boxes as f64;
        clear.mt = identities.iter().filter(|identity| ratio(identity) > 0.8).count() as u64;
        clear.pt = identities.iter().filter(|identity| ratio(identity) >= 0.2).count() as u64 - clear.mt;
        clear.ml = prepared.truth_ids as u64 - clear.mt - clear.pt;
        clear.frag = identities.iter().map(|identity| identity.segments.saturating_sub(1)).sum();
        clear
    }

    fn add(
        &mut self,
        truth: &[usize],
        tracks: &[usize],
        overlap: &Costs,
        identities: &mut [IdentityMatches],
    ) {
        let score = |row: usize, column: usize| {
            let is_continued = identities[truth[row]].previous_track == Some(tracks[column]);
            let near = overlap.get(row, column) >= MATCH_IOU - f64::EPSILON;
            if near {
                f64::from(u8::from(is_continued)) * CONTINUITY_BONUS + overlap.get(row, column)
            } else {
                0.0
            }
        };
        let costs = Costs::from_fn(truth.len(), tracks.len(), |row, column| -score(row, column));
        let before: Vec<Option<usize>> =
            identities.iter_mut().map(|identity| std::mem::take(&mut identity.previous_track)).collect();
        let mut matched = 0;
        for (row, column) in crouse(&costs).into_iter().enumerate() {
            let Some(column) = column.filter(|&column| -costs.get(row, column) > f64::EPSILON) else {
                continue;
            };
            let (identity, track) = (&mut identities[truth[row]], tracks[column]);
            matched += 1;
            identity.matched += 1;
            self.overlap_sum += overlap.get(row, column);
            self.idsw += u64::from(identity.last_track.is_some_and(|last| last != track));
            identity.segments += u64::from(before[truth[row]].is_none());
            (identity.last_track, identity.previous_track) = (Some(track), Some(track));
        }
        self.tp += matched;
        self.fn_ += truth.len() as u64 - matched;
        self.fp += tracks.len() as u64 - matched;
    }

    /// Multiple object tracking accuracy; 0 without ground truth, as in TrackEval.
    pub fn mota(&self) -> f64 {
        if self.tp + self.fn_ == 0 {
            return 0.0;
        }
        share(self.tp as f64 - self.fp as f64 - self.idsw as f64, (self.tp + self.fn_) as f64)
    }

    /// Multiple object tracking precision: mean IoU of the matches.
    pub fn motp(&self) -> f64 {
        share(self.overlap_sum, self.tp as f64)
    }
}
