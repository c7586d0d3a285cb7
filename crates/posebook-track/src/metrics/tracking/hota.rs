//! HOTA (Luiten et al., IJCV 2021).

use super::{PreparedSequence, share};
use crate::assignment::{Costs, crouse};
use std::collections::BTreeMap;

/// Number of IoU thresholds at which HOTA is computed: 0.05, 0.10, ... 0.95.
pub const ALPHAS: usize = 19;

/// How often each pair of identities was matched, at each threshold; pairs without a match are not stored.
type Matches = BTreeMap<usize, [u32; ALPHAS]>;

/// HOTA's counts and accuracies, one value per threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Hota {
    /// Matched boxes.
    pub tp: [f64; ALPHAS],
    /// Track boxes without a match.
    pub fp: [f64; ALPHAS],
    /// Ground truth boxes without a match.
    pub fn_: [f64; ALPHAS],
    /// Association accuracy.
    pub assa: [f64; ALPHAS],
    /// Association recall.
    pub assre: [f64; ALPHAS],
    /// Association precision.
    pub asspr: [f64; ALPHAS],
    /// Localization accuracy: mean IoU of the matches.
    pub loca: [f64; ALPHAS],
}

impl Hota {
    /// Matches a sequence's boxes at all thresholds.
    pub fn compute(prepared: &PreparedSequence) -> Hota {
        let track_ids = prepared.track_ids;
        let boxes = BoxCounts::count(prepared);
        let alignment = alignment(prepared, &boxes);
        let mut hota = Hota {
            tp: [0.0; ALPHAS],
            fp: [0.0; ALPHAS],
            fn_: [0.0; ALPHAS],
            assa: [0.0; ALPHAS],
            assre: [0.0; ALPHAS],
            asspr: [0.0; ALPHAS],
            loca: [0.0; ALPHAS],
        };
        let mut matches = Matches::new();
        for frame in &prepared.frames {
            let score = Costs::from_fn(frame.truth.len(), frame.tracks.len(), |row, column| {
                -alignment[frame.truth[row] * track_ids + frame.tracks[column]]
                    * frame.overlap.get(row, column)
            });
            let pairs: Vec<(usize, usize)> = pairs(&score).collect();
            for (index, alpha) in alphas().into_iter().enumerate() {
                let mut matched = 0_u32;
                for &(row, column) in &pairs {
                    let overlap = frame.overlap.get(row, column);
                    if overlap >= alpha - f64::EPSILON {
                        matched += 1;
                        hota.loca[index] += overlap;
                        let pair = frame.truth[row] * track_ids + frame.tracks[column];
                        matches.entry(pair).or_insert([0; ALPHAS])[index] += 1;
                    }
                }
                hota.tp[index] += f64::from(matched);
                hota.fn_[index] += (frame.truth.len() - matched as usize) as f64;
                hota.fp[index] += (frame.tracks.len() - matched as usize) as f64;
            }
        }
        hota.associate(&matches, &boxes);
        hota
    }

    /// Computes association accuracies from the matches of each pair of identities.
    fn associate(&mut self, matches: &Matches, boxes: &BoxCounts) {
        for index in 0..ALPHAS {
            let (mut accuracy, mut recall, mut precision) = (0.0, 0.0, 0.0);
            for (pair, matches) in matches.iter().filter(|(_, matches)| matches[index] > 0) {
                let common = f64::from(matches[index]);
                let truth = boxes.of_truth[pair / boxes.of_track.len()];
                let track = boxes.of_track[pair % boxes.of_track.len()];
                accuracy += common * share(common, truth + track - common);
                recall += common * share(common, truth);
                precision += common * share(common, track);
            }
            self.assa[index] = share(accuracy, self.tp[index]);
            self.assre[index] = share(recall, self.tp[index]);
            self.asspr[index] = share(precision, self.tp[index]);
            // without a match the localization accuracy is 1
            self.loca[index] = self.loca[index].max(1e-10) / self.tp[index].max(1e-10);
        }
    }

    /// Detection recall.
    pub fn detre(&self) -> [f64; ALPHAS] {
        std::array::from_fn(|index| share(self.tp[index], self.tp[index] + self.fn_[index]))
    }

    /// Detection precision.
    pub fn detpr(&self) -> [f64; ALPHAS] {
        std::array::from_fn(|index| share(self.tp[index], self.tp[index] + self.fp[index]))
    }

    /// Detection accuracy.
    pub fn deta(&self) -> [f64; ALPHAS] {
        std::array::from_fn(|index| share(self.tp[index], self.tp[index] + self.fp[index] + self.fn_[index]))
    }

    /// HOTA: geometric mean of detection and association accuracy.
    pub fn hota(&self) -> [f64; ALPHAS] {
        let deta = self.deta();
        std::array::from_fn(|index| (deta[index] * self.assa[index]).sqrt())
    }
}

/// The thresholds, with the rounding of numpy's `arange(0.05, 0.99, 0.05)`.
fn alphas() -> [f64; ALPHAS] {
    std::array::from_fn(|index| 0.05 + index as f64 * 0.05)
}

/// Assigned pairs of rows and columns, ascending by row.
fn pairs(costs: &Costs) -> impl Iterator<Item = (usize, usize)> {
    crouse(costs).into_iter().enumerate().filter_map(|(row, column)| Some((row, column?)))
}

/// Number of boxes of each identity.
struct BoxCounts {
    of_truth: Vec<f64>,
    of_track: Vec<f64>,
}

impl BoxCounts {
    fn count(prepared: &PreparedSequence) -> BoxCounts {
        let mut boxes =
            BoxCounts { of_truth: vec![0.0; prepared.truth_ids], of_track: vec![0.0; prepared.track_ids] };
        for frame in &prepared.frames {
            frame.truth.iter().for_each(|&id| boxes.of_truth[id] += 1.0);
            frame.tracks.iter().for_each(|&id| boxes.of_track[id] += 1.0);
        }
        boxes
    }
}

/// Global alignment score of each pair of identities over the whole sequence, truth x tracks.
fn alignment(prepared: &PreparedSequence, boxes: &BoxCounts) -> Vec<f64> {
    let mut potential = vec![0.0; prepared.truth_ids * prepared.track_ids];
    for frame in &prepared.frames {
        let (rows, columns) = (frame.truth.len(), frame.tracks.len());
        let of_row: Vec<f64> =
            (0..rows).map(|row| (0..columns).map(|column| frame.overlap.get(row, column)).sum()).collect();
        let of_column: Vec<f64> =
            (0..columns).map(|column| (0..rows).map(|row| frame.overlap.get(row, column)).sum()).collect();
        for row in 0..rows {
            for column in 0..columns {
                let overlap = frame.overlap.get(row, column);
                let union = of_column[column] + of_row[row] - overlap;
                if union > f64::EPSILON {
                    potential[frame.truth[row] * prepared.track_ids + frame.tracks[column]] +=
                        overlap / union;
                }
            }
        }
    }
    for (pair, potential) in potential.iter_mut().enumerate() {
        let union = boxes.of_truth[pair / prepared.track_ids] + boxes.of_track[pair % prepared.track_ids];
        *potential /= union - *potential;
    }
    potential
}
