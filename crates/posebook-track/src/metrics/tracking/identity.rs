//! Identity scores (Ristani et al., 2016): one track for each ground truth identity over the whole sequence.

use super::{MATCH_IOU, PreparedSequence, share};
use crate::assignment::{Costs, crouse};

/// Cost of an assignment that is not allowed.
const FORBIDDEN: f64 = 1e10;

/// Boxes with the right, a missed, or a wrong identity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct IdentityScores {
    /// Identity true positives.
    pub idtp: f64,
    /// Identity false negatives.
    pub idfn: f64,
    /// Identity false positives.
    pub idfp: f64,
}

impl IdentityScores {
    /// Assigns the tracks of a sequence to its ground truth identities.
    pub fn compute(prepared: &PreparedSequence) -> IdentityScores {
        let (truth, tracks) = (prepared.truth_ids, prepared.track_ids);
        if prepared.track_boxes == 0 || prepared.truth_boxes == 0 {
            let (idfn, idfp) = (prepared.truth_boxes as f64, prepared.track_boxes as f64);
            return IdentityScores { idtp: 0.0, idfn, idfp };
        }
        let mut common = vec![0.0; truth * tracks];
        let (mut of_truth, mut of_track) = (vec![0.0; truth], vec![0.0; tracks]);
        for frame in &prepared.frames {
            frame.truth.iter().for_each(|&id| of_truth[id] += 1.0);
            frame.tracks.iter().for_each(|&id| of_track[id] += 1.0);
            for (row, &id) in frame.truth.iter().enumerate() {
                for (column, &track) in frame.tracks.iter().enumerate() {
                    if frame.overlap.get(row, column) >= MATCH_IOU {
                        common[id * tracks + track] += 1.0;
                    }
                }
            }
        }
        // rows: the ground truth identities, then one placeholder per track; columns: the tracks, then one placeholder per
        // ground truth identity
        let false_negatives = |row: usize, column: usize| match (row < truth, column < tracks) {
            (true, true) => of_truth[row] - common[row * tracks + column],
            (true, false) if column - tracks == row => of_truth[row],
            (true, false) => FORBIDDEN,
            (false, _) => 0.0,
        };
        let false_positives = |row: usize, column: usize| match (row < truth, column < tracks) {
            (true, true) => of_track[column] - common[row * tracks + column],
            (false, true) if row - truth == column => of_track[column],
            (false, true) => FORBIDDEN,
            (_, false) => 0.0,
        };
        let side = truth + tracks;
        let costs = Costs::from_fn(side, side, |row, column| {
            false_negatives(row, column) + false_positives(row, column)
        });
        let mut identity = IdentityScores::default();
        for (row, column) in crouse(&costs).into_iter().enumerate() {
            if let Some(column) = column {
                identity.idfn += false_negatives(row, column);
                identity.idfp += false_positives(row, column);
            }
        }
        identity.idtp = prepared.truth_boxes as f64 - identity.idfn;
        identity
    }

    /// Identity recall.
    pub fn idr(&self) -> f64 {
        share(self.idtp, self.idtp + self.idfn)
    }

    /// Identity precision.
    pub fn idp(&self) -> f64 {
        share(self.idtp, self.idtp + self.idfp)
    }

    /// F1 of identity precision and recall.
    pub fn idf1(&self) -> f64 {
        share(self.idtp, self.idtp + 0.5 * self.idfn + 0.5 * self.idfp)
    }
}
