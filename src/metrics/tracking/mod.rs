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
    pub id: u32,
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl TrackedBox {
    pub fn new(id: u32, bbox: BBox) -> TrackedBox {
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
