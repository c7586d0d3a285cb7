//! The example `track_mot` on committed detections: the scores stay the same.

#[path = "../examples/track_mot.rs"]
#[expect(dead_code, reason = "the test does not call the example's `main`")]
mod track_mot;

use posebook_core::frame::FrameSize;
use std::path::Path;
use track_mot::track_and_score;

#[test]
fn tracks_of_committed_detections_have_these_scores() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/phalp/a/mot");
    for (name, counts, shares) in [
        ("swap", [115, 3, 0], [0.8869, 0.8836, 0.8902, 0.9787, 0.9583]),
        ("hard", [154, 4, 0], [0.5111, 0.5004, 0.5223, 0.8061, 0.6364]),
    ] {
        let file = |side: &str| folder.join(format!("{name}_{side}.txt"));
        let scores = track_and_score(&file("pred"), &file("gt"), FrameSize::new(640, 480)).unwrap();
        assert_eq!([scores.track_boxes, scores.track_ids, scores.idsw], counts, "{name}");
        let got = [scores.hota, scores.deta, scores.assa, scores.idf1, scores.mota];
        for (got, expected) in got.into_iter().zip(shares) {
            assert!((got - expected).abs() < 5e-5, "{name}: {got}, not {expected}");
        }
    }
}
