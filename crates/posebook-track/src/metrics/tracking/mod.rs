//! Tracking scores: HOTA, CLEAR and identity scores, equal to TrackEval 1.3.0
//! (`trackeval/metrics/{hota,clear,identity}.py`), ties of its assignments included.

mod clear;
mod hota;
mod identity;
mod prepare;

pub use clear::Clear;
pub use hota::{ALPHAS, Hota};
pub use identity::IdentityScores;
pub use prepare::{DuplicateId, PreparedSequence};

use posebook_core::person::{BBox, LtwhBox};
use serde::{Deserialize, Serialize};

/// Least IoU of a match for CLEAR and identity scores.
const MATCH_IOU: f64 = 0.5;

/// A box with an identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackedBox {
    /// MOTChallenge files have identities beyond 32 bits.
    pub id: u64,
    /// Pixels.
    pub bbox: LtwhBox,
}

impl TrackedBox {
    /// A box of the identity `id`.
    pub fn new(id: u64, bbox: BBox) -> TrackedBox {
        TrackedBox { id, bbox: bbox.into() }
    }
}

/// Scores of one sequence. Shares are from 0 to 1 (MOTA can be negative), the rest are counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackingScores {
    /// HOTA, the mean over 19 IoU thresholds.
    pub hota: f64,
    /// Detection accuracy, likewise.
    pub deta: f64,
    /// Association accuracy, likewise.
    pub assa: f64,
    /// Localization accuracy, likewise.
    pub loca: f64,
    /// CLEAR's multiple object tracking accuracy.
    pub mota: f64,
    /// Mean IoU of CLEAR's matches.
    pub motp: f64,
    /// Identity switches.
    pub idsw: u64,
    /// Fragmentations.
    pub frag: u64,
    /// Ground truth identities matched in more than 80% of their frames (mostly tracked).
    pub mt: u64,
    /// At least 20% (partially tracked).
    pub pt: u64,
    /// Less than 20% (mostly lost).
    pub ml: u64,
    /// F1 of identities.
    pub idf1: f64,
    /// Precision of identities.
    pub idp: f64,
    /// Recall of identities.
    pub idr: f64,
    /// CLEAR's matched boxes.
    pub tp: u64,
    /// CLEAR's track boxes without a match.
    pub fp: u64,
    /// CLEAR's ground truth boxes without a match.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Ground truth boxes.
    pub truth_boxes: u64,
    /// Track boxes.
    pub track_boxes: u64,
    /// Ground truth identities.
    pub truth_ids: u64,
    /// Track identities.
    pub track_ids: u64,
}

/// Scores one sequence: ground truth and track boxes, frame by frame. Missing frames at the end of the shorter side
/// count as empty.
///
/// # Errors
/// If an identity occurs twice in a frame.
pub fn evaluate(
    truth: &[Vec<TrackedBox>],
    tracks: &[Vec<TrackedBox>],
) -> Result<TrackingScores, DuplicateId> {
    let prepared = PreparedSequence::new(truth, tracks)?;
    Ok(TrackingScores::compute(&prepared))
}

impl TrackingScores {
    /// Computes all scores of a sequence.
    pub fn compute(prepared: &PreparedSequence) -> TrackingScores {
        let hota = Hota::compute(prepared);
        let clear = Clear::compute(prepared);
        let identity = IdentityScores::compute(prepared);
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

/// Mean over the thresholds.
fn mean(curve: [f64; ALPHAS]) -> f64 {
    curve.iter().sum::<f64>() / ALPHAS as f64
}

/// `part / whole`, 0 if both are 0.
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
            let visible = people.into_iter().zip(1u64..).filter(|((visible, ..), _)| *visible);
            visible
                .map(|((_, x, y), id)| TrackedBox {
                    id,
                    bbox: LtwhBox { left: 100.0 * id as f64 + x, top: y, width: 40.0, height: 90.0 },
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
    fn empty_sides_score_zero() {
        let one =
            vec![vec![TrackedBox { id: 1, bbox: LtwhBox { left: 0.0, top: 0.0, width: 9.0, height: 9.0 } }]];
        let lost = evaluate(&one, &[]).unwrap();
        assert_eq!((lost.hota, lost.mota, lost.idf1, lost.fn_, lost.ml), (0.0, 0.0, 0.0, 1, 1));
        let invented = evaluate(&[], &one).unwrap();
        assert_eq!((invented.hota, invented.fp, invented.idp), (0.0, 1, 0.0));
        let twice = vec![vec![one[0][0], one[0][0]]];
        assert_eq!(
            evaluate(&one, &twice).unwrap_err().to_string(),
            "identity 1 occurs twice in frame 0 of the tracks; give each identity once per frame"
        );
    }

    #[test]
    fn scores_are_serialized_under_their_usual_names() {
        let scores = serde_json::to_value(evaluate(&[], &[]).unwrap()).unwrap();
        for name in ["hota", "mota", "idf1", "idsw", "frag", "mt", "tp", "fp", "fn"] {
            assert!(scores.get(name).is_some(), "{name}");
        }
    }
}
