//! HOTA (Luiten et al., IJCV 2021).

use super::{Prepared, share};
use crate::assignment::{Costs, crouse};
use std::collections::BTreeMap;

/// Overlaps at which HOTA is computed: 0.05, 0.10, ... 0.95.
pub const ALPHAS: usize = 19;

/// How often two identities were matched, at each overlap; pairs that never were are not held.
type Matches = BTreeMap<usize, [u32; ALPHAS]>;

/// HOTA's counts and accuracies, one of each per overlap.
#[derive(Debug, Clone, PartialEq)]
pub struct Hota {
    pub tp: [f64; ALPHAS],
    pub fp: [f64; ALPHAS],
    pub fn_: [f64; ALPHAS],
    pub assa: [f64; ALPHAS],
    pub assre: [f64; ALPHAS],
    pub asspr: [f64; ALPHAS],
    pub loca: [f64; ALPHAS],
}

impl Hota {
    pub fn of(prepared: &Prepared) -> Hota {
        let track_ids = prepared.track_ids;
        let boxes = Boxes::count(prepared);
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
                    * frame.overlap.at(row, column)
            });
            let pairs: Vec<(usize, usize)> = pairs(&score).collect();
            for (at, alpha) in alphas().into_iter().enumerate() {
                let mut matched = 0;
                for &(row, column) in &pairs {
                    let overlap = frame.overlap.at(row, column);
                    if overlap >= alpha - f64::EPSILON {
                        matched += 1;
                        hota.loca[at] += overlap;
                        let pair = frame.truth[row] * track_ids + frame.tracks[column];
                        matches.entry(pair).or_insert([0; ALPHAS])[at] += 1;
                    }
                }
                hota.tp[at] += f64::from(matched);
                hota.fn_[at] += (frame.truth.len() - matched as usize) as f64;
                hota.fp[at] += (frame.tracks.len() - matched as usize) as f64;
            }
        }
        hota.associate(&matches, &boxes);
        hota
    }

    /// Turns the matches of each pair of identities into association accuracies.
    fn associate(&mut self, matches: &Matches, boxes: &Boxes) {
        for at in 0..ALPHAS {
            let (mut accuracy, mut recall, mut precision) = (0.0, 0.0, 0.0);
            for (pair, matches) in matches.iter().filter(|(_, matches)| matches[at] > 0) {
                let together = f64::from(matches[at]);
                let truth = boxes.of_truth[pair / boxes.of_track.len()];
                let track = boxes.of_track[pair % boxes.of_track.len()];
                accuracy += together * share(together, truth + track - together);
                recall += together * share(together, truth);
                precision += together * share(together, track);
            }
            self.assa[at] = share(accuracy, self.tp[at]);
            self.assre[at] = share(recall, self.tp[at]);
            self.asspr[at] = share(precision, self.tp[at]);
            // without a match the localisation counts as perfect
            self.loca[at] = self.loca[at].max(1e-10) / self.tp[at].max(1e-10);
        }
    }

    pub fn detre(&self) -> [f64; ALPHAS] {
        std::array::from_fn(|at| share(self.tp[at], self.tp[at] + self.fn_[at]))
    }

    pub fn detpr(&self) -> [f64; ALPHAS] {
        std::array::from_fn(|at| share(self.tp[at], self.tp[at] + self.fp[at]))
    }

    pub fn deta(&self) -> [f64; ALPHAS] {
        std::array::from_fn(|at| share(self.tp[at], self.tp[at] + self.fp[at] + self.fn_[at]))
    }

    pub fn hota(&self) -> [f64; ALPHAS] {
        let deta = self.deta();
        std::array::from_fn(|at| (deta[at] * self.assa[at]).sqrt())
    }
}

/// The overlaps, summed as numpy's `arange(0.05, 0.99, 0.05)` sums them.
fn alphas() -> [f64; ALPHAS] {
    std::array::from_fn(|at| 0.05 + at as f64 * 0.05)
}

/// Pairs of rows and columns at the least total cost, by rising row.
fn pairs(costs: &Costs) -> impl Iterator<Item = (usize, usize)> {
    crouse(costs).into_iter().enumerate().filter_map(|(row, column)| Some((row, column?)))
}

/// Boxes of each identity.
struct Boxes {
    of_truth: Vec<f64>,
    of_track: Vec<f64>,
}

impl Boxes {
    fn count(prepared: &Prepared) -> Boxes {
        let mut boxes =
            Boxes { of_truth: vec![0.0; prepared.truth_ids], of_track: vec![0.0; prepared.track_ids] };
        for frame in &prepared.frames {
            frame.truth.iter().for_each(|&id| boxes.of_truth[id] += 1.0);
            frame.tracks.iter().for_each(|&id| boxes.of_track[id] += 1.0);
        }
        boxes
    }
}

/// How well two identities go together over the whole sequence, truth x tracks.
fn alignment(prepared: &Prepared, boxes: &Boxes) -> Vec<f64> {
    let mut potential = vec![0.0; prepared.truth_ids * prepared.track_ids];
    for frame in &prepared.frames {
        let (rows, columns) = (frame.truth.len(), frame.tracks.len());
        let of_row: Vec<f64> =
            (0..rows).map(|row| (0..columns).map(|column| frame.overlap.at(row, column)).sum()).collect();
        let of_column: Vec<f64> =
            (0..columns).map(|column| (0..rows).map(|row| frame.overlap.at(row, column)).sum()).collect();
        for row in 0..rows {
            for column in 0..columns {
                let overlap = frame.overlap.at(row, column);
                let either = of_column[column] + of_row[row] - overlap;
                if either > f64::EPSILON {
                    potential[frame.truth[row] * prepared.track_ids + frame.tracks[column]] +=
                        overlap / either;
                }
            }
        }
    }
    for (pair, potential) in potential.iter_mut().enumerate() {
        let either = boxes.of_truth[pair / prepared.track_ids] + boxes.of_track[pair % prepared.track_ids];
        *potential /= either - *potential;
    }
    potential
}
