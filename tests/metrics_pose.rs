//! End-to-end test of `posebook metrics pose` with synthetic ground truth and a table of people.

use posebook_core::landmarks::SCORED_LANDMARKS;
use posebook_core::person::JOINTS;
use posebook_notebook::tables::PersonRow;
use posebook_notebook::tables::files::TableWriter;
use posebook_track::metrics::views::{SCORED_JOINTS, ViewsTruth};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TRUTH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/views/two_views.json");

/// The ground truth's person in one frame and view, with the left wrist's depth changed by `off_m`.
fn person(truth: &ViewsTruth, view: &str, at: usize, off_m: f32) -> PersonRow {
    let camera = &truth.cameras[view];
    let (mut joints_m, mut joints_px) = (vec![0.0; 3 * JOINTS], vec![0.0; 2 * (JOINTS + 1)]);
    for (index, &landmark) in SCORED_LANDMARKS.iter().enumerate() {
        let Some(point) = truth.world_m[at][landmark] else { continue };
        let viewed = camera.to_camera(point);
        let pixel = camera.project_from_camera(viewed).unwrap();
        let joint = SCORED_JOINTS[index];
        for axis in 0..3 {
            joints_m[3 * joint + axis] = viewed[axis] as f32;
        }
        joints_m[3 * joint + 2] += if index == 4 { off_m } else { 0.0 };
        for axis in 0..2 {
            joints_px[2 * joint + axis] = pixel[axis] as f32;
        }
    }
    PersonRow { run_id: "a".into(), frame: truth.frames[at], joints_m, joints_px, ..PersonRow::default() }
}

fn table(folder: &Path, people: &[PersonRow]) -> PathBuf {
    let mut writer = TableWriter::create(folder).unwrap();
    people.iter().for_each(|person| writer.push(person.clone()).unwrap());
    writer.finish().unwrap();
    folder.join("people.parquet")
}

fn metrics_pose(people: &Path, view: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
    command.args(["metrics", "pose", "--truth", TRUTH, "--view", view, "--people"]).arg(people).args(more);
    command.output().expect("the program starts")
}

#[test]
fn a_view_is_scored_as_json_and_as_a_table() {
    let truth = ViewsTruth::read(Path::new(TRUTH)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // frames 0, 5 and 10 with a wrist error of 120 mm, a mean of 10 mm; no people after frame 10
    let people: Vec<PersonRow> = (0..3).map(|at| person(&truth, "front", at, 0.12)).collect();
    let path = table(folder.path(), &people);
    let output = metrics_pose(&path, "front", &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // in frame 10 the ground truth has 11 of the joints
    let expected = (10.0 + 10.0 + 120.0 / 11.0) / 3.0;
    assert!((json["mpjpe_mm"].as_f64().unwrap() - expected).abs() < 1e-2, "{json}");
    // one outlier changes the alignment of all joints, so that the mean after it may be larger
    assert!((1.0..30.0).contains(&json["pa_mpjpe_mm"].as_f64().unwrap()), "{json}");
    for (key, count) in
        [("frames", 3), ("frames_missed", 0), ("frames_outside", 1), ("frames_without_truth", 0)]
    {
        assert_eq!(json[key], count, "{key} of {json}");
    }
    let output = metrics_pose(&path, "front", &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("PA-MPJPE") && text.contains("10.3"), "{text}");
    // the same people compared with the other view are at other pixels, or in wrong axes
    let output = metrics_pose(&path, "side", &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["mpjpe_mm"].as_f64().is_none_or(|mm| mm > 100.0), "{json}");
}

#[test]
fn an_unknown_view_is_an_error_that_names_the_views() {
    let folder = tempfile::tempdir().unwrap();
    let output = metrics_pose(&table(folder.path(), &[]), "cam01", &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("front, side"), "{text}");
}
