//! CLEAR MOT (Bernardin and Stiefelhagen, 2008), as TrackEval computes it.

use super::{MATCH_IOU, Prepared, share};
use crate::assignment::{Costs, crouse};

/// What staying with the identity of the frame before is worth in the assignment: more than any overlap.
const LOYALTY: f64 = 1000.0;

/// CLEAR's counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clear {
    pub tp: u64,
    pub fp: u64,
    pub fn_: u64,
    pub idsw: u64,
    pub frag: u64,
    pub mt: u64,
    pub pt: u64,
    pub ml: u64,
    /// The sum of the matches' overlaps.
    pub overlap_sum: f64,
}

/// What is known of one true identity while the frames go by.
#[derive(Debug, Clone, Copy, Default)]
struct Followed {
    boxes: u64,
    matched: u64,
    taken_up: u64,
    /// By whom it was followed last.
    last_by: Option<usize>,
    /// By whom it was followed in the frame before.
    just_by: Option<usize>,
}

impl Clear {
    pub fn of(prepared: &Prepared) -> Clear {
        let mut clear = Clear::default();
        if prepared.track_boxes == 0 || prepared.truth_boxes == 0 {
            clear.fn_ = prepared.truth_boxes;
            clear.fp = prepared.track_boxes;
            clear.ml = prepared.truth_ids as u64;
            return clear;
        }
        let mut followed = vec![Followed::default(); prepared.truth_ids];
        for frame in &prepared.frames {
            frame.truth.iter().for_each(|&id| followed[id].boxes += 1);
            if frame.truth.is_empty() || frame.tracks.is_empty() {
                // TrackEval leaves such frames out: what was followed before counts as followed still
                clear.fp += frame.tracks.len() as u64;
                clear.fn_ += frame.truth.len() as u64;
                continue;
            }
            clear.add(&frame.truth, &frame.tracks, &frame.overlap, &mut followed);
        }
        let ratio = |of: &Followed| of.matched as f64 / of.boxes as f64;
        clear.mt = followed.iter().filter(|of| ratio(of) > 0.8).count() as u64;
        clear.pt = followed.iter().filter(|of| ratio(of) >= 0.2).count() as u64 - clear.mt;
        clear.ml = prepared.truth_ids as u64 - clear.mt - clear.pt;
        clear.frag = followed.iter().map(|of| of.taken_up.saturating_sub(1)).sum();
        clear
    }

    fn add(&mut self, truth: &[usize], tracks: &[usize], overlap: &Costs, followed: &mut [Followed]) {
        let score = |row: usize, column: usize| {
            let loyal = followed[truth[row]].just_by == Some(tracks[column]);
            let near = overlap.at(row, column) >= MATCH_IOU - f64::EPSILON;
            if near { f64::from(u8::from(loyal)) * LOYALTY + overlap.at(row, column) } else { 0.0 }
        };
        let costs = Costs::from_fn(truth.len(), tracks.len(), |row, column| -score(row, column));
        let before: Vec<Option<usize>> =
            followed.iter_mut().map(|of| std::mem::take(&mut of.just_by)).collect();
        let mut matched = 0;
        for (row, column) in crouse(&costs).into_iter().enumerate() {
            let Some(column) = column.filter(|&column| -costs.at(row, column) > f64::EPSILON) else {
                continue;
            };
            let (of, track) = (&mut followed[truth[row]], tracks[column]);
            matched += 1;
            of.matched += 1;
            self.overlap_sum += overlap.at(row, column);
            self.idsw += u64::from(of.last_by.is_some_and(|last| last != track));
            of.taken_up += u64::from(before[truth[row]].is_none());
            (of.last_by, of.just_by) = (Some(track), Some(track));
        }
        self.tp += matched;
        self.fn_ += truth.len() as u64 - matched;
        self.fp += tracks.len() as u64 - matched;
    }

    /// 0 where there is no truth, as TrackEval has it for a sequence.
    pub fn mota(&self) -> f64 {
        if self.tp + self.fn_ == 0 {
            return 0.0;
        }
        share(self.tp as f64 - self.fp as f64 - self.idsw as f64, (self.tp + self.fn_) as f64)
    }

    pub fn motp(&self) -> f64 {
        share(self.overlap_sum, self.tp as f64)
    }
}
