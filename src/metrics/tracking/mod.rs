//! How well identities are kept: HOTA, CLEAR and identity scores, equal to TrackEval 1.3.0
//! (`trackeval/metrics/{hota,clear,identity}.py`), ties of its assignments included.

mod clear;
mod hota;
mod identity;
mod prepare;

pub use clear::Clear;
pub use hota::{ALPHAS, Hota};
pub use identity::Identity;
pub use prepare::{DuplicateId, Prepared};

use crate::person::BBox;
use serde::{Deserialize, Serialize};

/// The overlap from which on CLEAR and identity scores call a pair a match.
const MATCH_IOU: f64 = 0.5;

/// A box with an identity, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackedBox {
    pub id: u64,
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl TrackedBox {
    pub fn new(id: u64, bbox: BBox) -> TrackedBox {
        let [left, top, right, bottom] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
        TrackedBox { id, left, top, width: right - left, height: bottom - top }
    }

    /// Intersection over union, 0 when either box is empty.
    pub fn iou(&self, other: &TrackedBox) -> f64 {
        let corners = |of: &TrackedBox| [of.left, of.top, of.left + of.width, of.top + of.height];
        let area = |of: [f64; 4]| (of[2] - of[0]) * (of[3] - of[1]);
        let (a, b) = (corners(self), corners(other));
        let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
        let both = width * height;
        let either = area(a) + area(b) - both;
        let empty = area(a) <= f64::EPSILON || area(b) <= f64::EPSILON || either <= f64::EPSILON;
        if empty { 0.0 } else { both / either }
    }
}

/// The scores of one sequence. Shares are from 0 to 1 (MOTA can be negative), the rest are counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackingScores {
    /// HOTA, detection, association and localisation accuracy, each the mean over 19 overlaps.
    pub hota: f64,
    pub deta: f64,
    pub assa: f64,
    pub loca: f64,
    pub mota: f64,
    /// The mean overlap of CLEAR's matches.
    pub motp: f64,
    /// Identity switches.
    pub idsw: u64,
    /// Times a track was taken up again.
    pub frag: u64,
    /// True identities that were followed more than 80%, at least 20%, and less of their frames.
    pub mt: u64,
    pub pt: u64,
    pub ml: u64,
    pub idf1: f64,
    pub idp: f64,
    pub idr: f64,
    /// CLEAR's matches, boxes too many, boxes missed.
    pub tp: u64,
    pub fp: u64,
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Boxes and identities of the truth and of the tracks.
    pub truth_boxes: u64,
    pub track_boxes: u64,
    pub truth_ids: u64,
    pub track_ids: u64,
}

/// The scores of one sequence: boxes of the truth and of the tracks, frame by frame. The shorter side
/// counts as empty from its end on.
///
/// # Errors
/// If an identity stands twice in a frame.
pub fn evaluate(
    truth: &[Vec<TrackedBox>],
    tracks: &[Vec<TrackedBox>],
) -> Result<TrackingScores, DuplicateId> {
    let prepared = Prepared::new(truth, tracks)?;
    Ok(TrackingScores::of(&prepared))
}

impl TrackingScores {
    pub fn of(prepared: &Prepared) -> TrackingScores {
        let hota = Hota::of(prepared);
        let clear = Clear::of(prepared);
        let identity = Identity::of(prepared);
        TrackingScores {
            hota: mean(hota.hota()),
            deta: mean(hota.deta()),
            assa: mean(hota.assa),
            loca: mean(hota.loca),
            mota: clear.mota(),
            motp: clear.motp(),
            idsw: clear.idsw,
            frag: clear.frag,
            mt: clear.mt,
            pt: clear.pt,
            ml: clear.ml,
            idf1: identity.idf1(),
            idp: identity.idp(),
            idr: identity.idr(),
            tp: clear.tp,
            fp: clear.fp,
            fn_: clear.fn_,
            truth_boxes: prepared.truth_boxes,
            track_boxes: prepared.track_boxes,
            truth_ids: prepared.truth_ids as u64,
            track_ids: prepared.track_ids as u64,
        }
    }
}

/// The mean over the overlaps.
fn mean(curve: [f64; ALPHAS]) -> f64 {
    curve.iter().sum::<f64>() / ALPHAS as f64
}

/// `part / whole`, 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    part / whole.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn people() -> impl Strategy<Value = Vec<Vec<TrackedBox>>> {
        let person = (any::<bool>(), 0.0f64..20.0, 0.0f64..20.0);
        let frame = prop::collection::vec(person, 4).prop_map(|people| {
            let seen = people.into_iter().zip(1u64..).filter(|((seen, ..), _)| *seen);
            seen.map(|((_, x, y), id)| TrackedBox {
                id,
                left: 100.0 * id as f64 + x,
                top: y,
                width: 40.0,
                height: 90.0,
            })
            .collect()
        });
        prop::collection::vec(frame, 1..30)
    }

    proptest! {
        #[test]
        fn perfect_tracks_score_one(truth in people()) {
            prop_assume!(truth.iter().any(|frame| !frame.is_empty()));
            let renamed: Vec<Vec<TrackedBox>> = truth.iter().map(|frame| {
                frame.iter().rev().map(|of| TrackedBox { id: 1000 - 7 * of.id, ..*of }).collect()
            }).collect();
            let scores = evaluate(&truth, &renamed).unwrap();
            let shares = [scores.hota, scores.deta, scores.assa, scores.loca, scores.mota, scores.motp,
                scores.idf1, scores.idp, scores.idr];
            prop_assert!(shares.iter().all(|share| (share - 1.0).abs() < 1e-12), "{:?}", scores);
            prop_assert_eq!((scores.fp, scores.fn_, scores.idsw), (0, 0, 0));
            prop_assert_eq!((scores.mt, scores.pt, scores.ml), (scores.truth_ids, 0, 0));
        }

        #[test]
        fn scores_stay_in_their_range(truth in people(), tracks in people()) {
            let scores = evaluate(&truth, &tracks).unwrap();
            let shares = [scores.hota, scores.deta, scores.assa, scores.loca, scores.motp, scores.idf1, scores.idp, scores.idr];
            prop_assert!(shares.iter().all(|share| (0.0..=1.0 + 1e-12).contains(share)), "{:?}", scores);
            prop_assert!(scores.mota <= 1.0);
            prop_assert_eq!(scores.tp + scores.fn_, scores.truth_boxes);
            prop_assert_eq!(scores.tp + scores.fp, scores.track_boxes);
        }
    }

    #[test]
    fn nothing_found_and_nothing_there() {
        let one = vec![vec![TrackedBox { id: 1, left: 0.0, top: 0.0, width: 9.0, height: 9.0 }]];
        let lost = evaluate(&one, &[]).unwrap();
        assert_eq!((lost.hota, lost.mota, lost.idf1, lost.fn_, lost.ml), (0.0, 0.0, 0.0, 1, 1));
        let invented = evaluate(&[], &one).unwrap();
        assert_eq!((invented.hota, invented.fp, invented.idp), (0.0, 1, 0.0));
        let twice = vec![vec![one[0][0], one[0][0]]];
        assert_eq!(
            evaluate(&one, &twice).unwrap_err().to_string(),
            "identity 1 stands twice in frame 0 of the tracks; an identity can be in one place only"
        );
    }

    #[test]
    fn scores_have_plain_names() {
        let scores = serde_json::to_value(evaluate(&[], &[]).unwrap()).unwrap();
        for name in ["hota", "mota", "idf1", "idsw", "frag", "mt", "tp", "fp", "fn"] {
            assert!(scores.get(name).is_some(), "{name}");
        }
    }
}
