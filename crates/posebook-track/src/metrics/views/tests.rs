//! Scores of a synthetic person seen by two synthetic cameras, with known errors.

use super::*;

/// A camera 4 m from the origin on the world's x axis (z up), looking at the origin.
const CAMERA: &str = r#"{"K": [[1000, 0, 500], [0, 1000, 900], [0, 0, 1]], "D": [0, 0, 0, 0],
    "R": [[0, 1, 0], [0, 0, -1], [-1, 0, 0]], "t": [0, 1, 4]}"#;
/// The same from 5 m away on the y axis, with distortion.
const SIDE: &str = r#"{"K": [[1200, 0, 540], [0, 1200, 960], [0, 0, 1]], "D": [-0.05, 0.1, 0.001, -0.001],
    "R": [[-1, 0, 0], [0, 0, -1], [0, -1, 0]], "t": [0, 1, 5]}"#;

/// Points of a person standing at the origin, world coordinates.
fn standing() -> Vec<[f64; 3]> {
    let mut points = vec![[0.0, 0.0, 1.6]; 33];
    for (pair, [y, z]) in
        [[0.2, 1.4], [0.3, 1.1], [0.35, 0.85], [0.1, 0.9], [0.12, 0.5], [0.13, 0.1]].into_iter().enumerate()
    {
        points[SCORED_LANDMARKS[2 * pair]] = [0.02 * pair as f64, y, z];
        points[SCORED_LANDMARKS[2 * pair + 1]] = [-0.03 * pair as f64, -y, z];
    }
    points
}

fn file(frames: &str, world: &[Vec<[f64; 3]>]) -> String {
    let world = serde_json::to_string(world).unwrap();
    format!(
        r#"{{"unit": "meters", "frames": {frames}, "points": "33", "cameras": {{"front": {CAMERA}, "side": {SIDE}}},
        "world_m": {world}, "reprojection_px": [[null]]}}"#
    )
}

fn read(text: &str) -> Result<ViewsTruth, ViewsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.json");
    std::fs::write(&path, text).unwrap();
    ViewsTruth::read(&path)
}

fn truth() -> ViewsTruth {
    read(&file("[0, 8]", &[standing(), standing()])).unwrap()
}

/// A person whose joints are the ground truth's in a view, after `change`.
fn person(
    truth: &ViewsTruth,
    view: &str,
    frame: u64,
    change: impl Fn(usize, [f64; 3]) -> [f64; 3],
) -> ViewPerson {
    let camera = &truth.cameras[view];
    let mut candidate =
        ViewPerson { frame, joints_m: vec![[0.0; 3]; JOINTS], joints_px: vec![[0.0; 2]; JOINTS + 1] };
    for (joint, &landmark) in SCORED_LANDMARKS.iter().enumerate() {
        let at = camera.to_camera(standing()[landmark]);
        // a body's joints are relative to its own origin
        let own = change(joint, at).map(|x| x as f32);
        candidate.joints_m[SCORED_JOINTS[joint]] = [own[0] - 0.3, own[1] + 0.1, own[2] - 3.0];
        candidate.joints_px[SCORED_JOINTS[joint]] = camera.project_from_camera(at).unwrap().map(|x| x as f32);
    }
    candidate
}

#[test]
fn the_ground_truth_scores_zero_error() {
    let truth = truth();
    for view in ["front", "side"] {
        let people = [0, 8].map(|frame| person(&truth, view, frame, |_, at| at));
        let scores = truth.score(view, &people).unwrap();
        assert!(scores.mpjpe_mm.unwrap() < 1e-3 && scores.pa_mpjpe_mm.unwrap() < 1e-3, "{scores:?}");
        assert_eq!((scores.frames_scored, scores.frames_missed, scores.frames_outside), (2, 0, 0));
    }
}

#[test]
fn known_errors_are_measured() {
    let truth = truth();
    // both wrists 60 mm off: 120 / 12 = 10 mm; twice the size: no effect on PA-MPJPE
    let people = [
        person(&truth, "front", 0, |joint, [x, y, z]| {
            [x, y, z + if matches!(joint, 4 | 5) { 0.06 } else { 0.0 }]
        }),
        person(&truth, "front", 8, |_, at| at.map(|x| 2.0 * x)),
    ];
    let scores = truth.score("front", &people).unwrap();
    let [first, second] = [scores.per_frame[0], scores.per_frame[1]];
    assert!((first.mpjpe_mm.unwrap() - 10.0).abs() < 1e-3, "{first:?}");
    assert!(second.mpjpe_mm.unwrap() > 200.0 && second.pa_mpjpe_mm.unwrap() < 1e-2, "{second:?}");
    let mean = 0.5 * (first.mpjpe_mm.unwrap() + second.mpjpe_mm.unwrap());
    assert!((scores.mpjpe_mm.unwrap() - mean).abs() < 1e-9);
}

#[test]
fn a_rotated_body_is_wrong_before_alignment_only() {
    let truth = truth();
    let people = [person(&truth, "front", 0, |_, [x, y, z]| [-x, y, 8.0 - z])];
    let scores = truth.score("front", &people).unwrap();
    assert!(scores.mpjpe_mm.unwrap() > 100.0 && scores.pa_mpjpe_mm.unwrap() < 1e-2, "{scores:?}");
}

#[test]
fn the_nearest_person_is_scored_and_a_distant_one_is_a_miss() {
    let truth = truth();
    let shifted_person = |by: f32, frame: u64| {
        let mut other = person(&truth, "front", frame, |_, at| at.map(|x| 1.5 * x));
        other.joints_px.iter_mut().for_each(|at| at[0] += by);
        other
    };
    let people = [shifted_person(60.0, 0), person(&truth, "front", 0, |_, at| at), shifted_person(600.0, 8)];
    let scores = truth.score("front", &people).unwrap();
    assert!(scores.mpjpe_mm.unwrap() < 1e-3);
    assert_eq!((scores.frames_scored, scores.frames_missed), (1, 1));
    assert!(scores.per_frame[1].mpjpe_mm.is_none() && scores.per_frame[1].distance_px.unwrap() > 500.0);
    // a frame without people between their first and last frame is missed; one outside that range is not covered
    let wide = read(&file("[0, 4, 8, 99]", &vec![standing(); 4])).unwrap();
    let people = [0, 8].map(|frame| person(&wide, "front", frame, |_, at| at));
    let scores = wide.score("front", &people).unwrap();
    assert_eq!((scores.frames_scored, scores.frames_missed, scores.frames_outside), (2, 1, 1));
    assert_eq!(scores.per_frame[1].distance_px, None);
}

#[test]
fn points_missing_from_the_ground_truth_are_skipped() {
    let mut truth = truth();
    truth.world_m[0][SCORED_LANDMARKS[4]] = None;
    truth.world_m[1][SCORED_LANDMARKS[6]] = None; // a hip
    let people = [0, 8].map(|frame| {
        person(&truth, "front", frame, |joint, at| if joint == 4 { at.map(|x| x + 1.0) } else { at })
    });
    let scores = truth.score("front", &people).unwrap();
    assert!(scores.mpjpe_mm.unwrap() < 1e-3, "{scores:?}");
    assert_eq!((scores.frames_scored, scores.frames_without_truth), (1, 1));
}

#[test]
fn distortion_is_opencvs() {
    // cv2.projectPoints of [0.5, -0.4, 2.0] with SIDE's K and D
    let truth = truth();
    let [x, y] = truth.cameras["side"].project_from_camera([0.5, -0.4, 2.0]).unwrap();
    assert!((x - 838.3846875).abs() < 1e-6 && (y - 721.31685).abs() < 1e-6, "{x} {y}");
    assert_eq!(truth.cameras["side"].project_from_camera([0.0, 0.0, -1.0]), None);
}

#[test]
fn invalid_truth_files_and_people_are_errors() {
    let truth = truth();
    let people = [person(&truth, "front", 0, |_, at| at)];
    let unknown = truth.score("cam09", &people).unwrap_err().to_string();
    assert!(unknown.contains("`cam09`") && unknown.contains("front, side"), "{unknown}");
    let late = [person(&truth, "front", 50, |_, at| at)];
    let apart = truth.score("front", &late).unwrap_err().to_string();
    assert!(apart.contains("0 to 8") && apart.contains("50 to 50"), "{apart}");
    assert!(truth.score("front", &[]).unwrap_err().to_string().contains("the people none"));
    let few = [ViewPerson { joints_m: vec![[0.0; 3]; 24], ..people[0].clone() }];
    let message = truth.score("front", &few).unwrap_err().to_string();
    assert!(message.contains("24 joints"), "{message}");
    let mut broken = people.clone();
    broken[0].joints_m[3][1] = f32::NAN;
    assert!(truth.score("front", &broken).unwrap_err().to_string().contains("not a number"));

    let good = file("[0, 8]", &[standing(), standing()]);
    for (from, to, part) in [
        ("\"unit\"", "\"units\"", "unknown field `units`"),
        ("[0, 8]", "[0]", "names 1 frames"),
        ("[0, 8]", "[8, 0]", "frames have to ascend"),
        ("[0, 1, 0]", "[0, 1, 1]", "camera `front`: R is no rotation"),
        ("[[1000, 0, 500]", "[[0, 0, 500]", "focal"),
        ("\"D\": [0, 0, 0, 0]", "\"D\": [0, 0, 0]", "length 3"),
        ("{\"unit\"", "[{\"unit\"", "truth"),
    ] {
        let message = read(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("truth.json"), "{message}");
    }
    let mut short = standing();
    short.pop();
    let message = read(&file("[0]", &[short])).unwrap_err().to_string();
    assert!(message.contains("32 points"), "{message}");
    let nowhere = ViewsTruth::read(std::path::Path::new("nowhere.json")).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere.json"), "{nowhere}");
}
