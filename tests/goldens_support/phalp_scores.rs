//! PHALP's golden 9: tracking scores equal TrackEval's.

use super::{json, number};
use crate::sets::{Set, sets};
use posebook_track::metrics::mot;
use posebook_track::metrics::tracking::{
    ALPHAS, Clear, Hota, IdentityScores, PreparedSequence, TrackingScores,
};
use posebook_track::motchallenge::Benchmark;
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn read(set: &Set, sequence: &str, side: &str) -> mot::MotSequence {
    let path = set.folder.join(format!("mot/{sequence}_{side}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    mot::parse(&text, &path).unwrap()
}

fn check(what: &str, golden: &Value, got: &[(&str, f64)], worst: &mut f64) {
    for (name, got) in got {
        let error = (got - number(&golden[*name])).abs();
        assert!(error < TOLERANCE, "{what} {name}: {got}, not {}", golden[*name]);
        *worst = worst.max(error);
    }
}

fn check_curve(what: &str, golden: &Value, got: &[(&str, [f64; ALPHAS])], worst: &mut f64) {
    for (name, got) in got {
        for (at, (got, want)) in got.iter().zip(golden[*name].as_array().unwrap()).enumerate() {
            let error = (got - number(want)).abs();
            assert!(error < TOLERANCE, "{what} {name}[{at}]: {got}, not {want}");
            *worst = worst.max(error);
        }
    }
}

fn check_sequence(what: &str, golden: &Value, prepared: &PreparedSequence) -> f64 {
    let mut worst = 0.0;
    let (hota, clear, identity) =
        (Hota::compute(prepared), Clear::compute(prepared), IdentityScores::compute(prepared));
    let curves = [
        ("HOTA/HOTA", hota.hota()),
        ("HOTA/DetA", hota.deta()),
        ("HOTA/DetRe", hota.detre()),
        ("HOTA/DetPr", hota.detpr()),
        ("HOTA/AssA", hota.assa),
        ("HOTA/AssRe", hota.assre),
        ("HOTA/AssPr", hota.asspr),
        ("HOTA/LocA", hota.loca),
        ("HOTA/HOTA_TP", hota.tp),
        ("HOTA/HOTA_FN", hota.fn_),
        ("HOTA/HOTA_FP", hota.fp),
    ];
    check_curve(what, golden, &curves, &mut worst);
    let scores = TrackingScores::compute(prepared);
    let single = [
        ("HOTA/HOTA/mean", scores.hota),
        ("HOTA/DetA/mean", scores.deta),
        ("HOTA/AssA/mean", scores.assa),
        ("HOTA/LocA/mean", scores.loca),
        ("CLEAR/MOTA", scores.mota),
        ("CLEAR/MOTP", scores.motp),
        ("CLEAR/MOTP_sum", clear.overlap_sum),
        ("CLEAR/CLR_TP", scores.tp as f64),
        ("CLEAR/CLR_FN", scores.fn_ as f64),
        ("CLEAR/CLR_FP", scores.fp as f64),
        ("CLEAR/IDSW", scores.idsw as f64),
        ("CLEAR/Frag", scores.frag as f64),
        ("CLEAR/MT", scores.mt as f64),
        ("CLEAR/PT", scores.pt as f64),
        ("CLEAR/ML", scores.ml as f64),
        ("Identity/IDF1", scores.idf1),
        ("Identity/IDP", scores.idp),
        ("Identity/IDR", scores.idr),
        ("Identity/IDTP", identity.idtp),
        ("Identity/IDFN", identity.idfn),
        ("Identity/IDFP", identity.idfp),
    ];
    check(what, golden, &single, &mut worst);
    worst
}

#[test]
fn scores_equal_trackevals() {
    for set in sets("phalp") {
        let golden = json(&set, "g9_tracking_metrics.json");
        for sequence in golden["sequences"].as_object().unwrap().keys() {
            let (truth, tracks) = (read(&set, sequence, "gt"), read(&set, sequence, "pred"));
            // TrackEval never preprocesses MOT15
            for (key, rules) in [("trackeval", Benchmark::Mot17), ("trackeval_no_preproc", Benchmark::Mot15)]
            {
                let what = format!("{}/mot {sequence} {key}", set.name);
                let prepared = mot::prepare(&truth, &tracks, rules).unwrap();
                let worst = check_sequence(&what, &golden[key][sequence], &prepared);
                println!("{what:<40} largest error {worst:.1e}");
            }
        }
    }
}
