//! Identity scores (Ristani et al., 2016): one track for one true identity over the whole sequence.

use super::{MATCH_IOU, Prepared, share};
use crate::assignment::{Costs, crouse};

/// The cost of a pairing that must not be.
const FORBIDDEN: f64 = 1e10;

/// Boxes that keep, miss or lack their identity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Identity {
    pub idtp: f64,
    pub idfn: f64,
    pub idfp: f64,
}

impl Identity {
    pub fn of(prepared: &Prepared) -> Identity {
        let (truth, tracks) = (prepared.truth_ids, prepared.track_ids);
        if prepared.track_boxes == 0 || prepared.truth_boxes == 0 {
            let (idfn, idfp) = (prepared.truth_boxes as f64, prepared.track_boxes as f64);
            return Identity { idtp: 0.0, idfn, idfp };
        }
        let mut together = vec![0.0; truth * tracks];
        let (mut of_truth, mut of_track) = (vec![0.0; truth], vec![0.0; tracks]);
        for frame in &prepared.frames {
            frame.truth.iter().for_each(|&id| of_truth[id] += 1.0);
            frame.tracks.iter().for_each(|&id| of_track[id] += 1.0);
            for (row, &id) in frame.truth.iter().enumerate() {
                for (column, &track) in frame.tracks.iter().enumerate() {
                    if frame.overlap.at(row, column) >= MATCH_IOU {
                        together[id * tracks + track] += 1.0;
                    }
                }
            }
        }
        // rows: the true identities, then one stand-in per track; columns the other way round
        let missed = |row: usize, column: usize| match (row < truth, column < tracks) {
            (true, true) => of_truth[row] - together[row * tracks + column],
            (true, false) if column - tracks == row => of_truth[row],
            (true, false) => FORBIDDEN,
            (false, _) => 0.0,
        };
        let too_many = |row: usize, column: usize| match (row < truth, column < tracks) {
            (true, true) => of_track[column] - together[row * tracks + column],
            (false, true) if row - truth == column => of_track[column],
            (false, true) => FORBIDDEN,
            (_, false) => 0.0,
        };
        let side = truth + tracks;
        let costs = Costs::from_fn(side, side, |row, column| missed(row, column) + too_many(row, column));
        let mut identity = Identity::default();
        for (row, column) in crouse(&costs).into_iter().enumerate() {
            if let Some(column) = column {
                identity.idfn += missed(row, column);
                identity.idfp += too_many(row, column);
            }
        }
        identity.idtp = prepared.truth_boxes as f64 - identity.idfn;
        identity
    }

    pub fn idr(&self) -> f64 {
        share(self.idtp, self.idtp + self.idfn)
    }

    pub fn idp(&self) -> f64 {
        share(self.idtp, self.idtp + self.idfp)
    }

    pub fn idf1(&self) -> f64 {
        share(self.idtp, self.idtp + 0.5 * self.idfn + 0.5 * self.idfp)
    }
}
