//! Compares the estimates of `posebook plan` with what runs in each mode really take.

mod common;

use common::{Project, Row, number, rows};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const FRAMES: usize = 96;
const MODES: [&str; 5] =
    ["extract-jpeg", "extract-png", "extract-memory", "stream-seek", "stream-sequential"];

/// A clip whose frames compress differently: regular patterns first, fine detail at the end.
fn clip(folder: &Path) -> PathBuf {
    let path = folder.join("clip.mp4");
    let half = FRAMES / 2;
    let flat = format!("testsrc2=size=480x270:rate=24,trim=end_frame={half}[a]");
    let detailed = format!("mandelbrot=size=480x270:rate=24,trim=end_frame={half}[b]");
    let filter = format!("{flat};{detailed};[a][b]concat=n=2:v=1");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-filter_complex", &filter])
        .args(["-c:v", "libx264", "-g", "24", "-bf", "2", "-pix_fmt", "yuv420p"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    path
}

/// Two people who walk to the right, a third in a few frames only.
fn boxes(folder: &Path) -> PathBuf {
    let mut text = String::new();
    for frame in 1..=FRAMES {
        let people = if (40..44).contains(&frame) { 3 } else { 2 };
        for person in 0..people {
            text.push_str(&format!("{frame},{person},{},40,70,180\n", 20 + 130 * person + frame / 2));
        }
    }
    let path = folder.join("boxes.txt");
    std::fs::write(&path, text).unwrap();
    path
}

/// The row of a run over the clip in `mode`.
fn measured(project: &Project, clip: &str, boxes: &str, mode: &str, more: &[&str]) -> Row {
    let out = project.path(&format!("out-{mode}"));
    let out_argument = format!("out={}", out.display());
    let mode = format!("video.mode={mode}");
    let arguments = [&["track", clip, "model=tiny", boxes, &mode, &out_argument], more].concat();
    project.posebook(&arguments).succeeds();
    rows(&out.join("latest/runs.csv")).remove(0)
}

/// The output of `posebook plan --json`.
fn planned(project: &Project, arguments: &[&str]) -> serde_json::Value {
    let output = project
        .posebook(&[&["plan"], arguments, &["model=tiny", "detect.model=given", "--json"]].concat())
        .succeeds();
    serde_json::from_slice(&output.0.stdout).unwrap()
}

fn by_mode(plan: &serde_json::Value) -> BTreeMap<String, serde_json::Value> {
    let modes = plan["modes"].as_array().unwrap().iter();
    modes.map(|mode| (mode["mode"].as_str().unwrap().to_string(), mode.clone())).collect()
}

/// Memory and disk within 15% in every mode.
#[test]
fn estimates_match_real_runs() {
    let project = Project::with_experiment("none", "");
    let (clip, boxes) = (clip(&project.path(".")), boxes(&project.path(".")));
    let (clip, boxes) = (clip.display().to_string(), format!("boxes={}", boxes.display()));
    let more = ["results=accumulate"];
    let plan = planned(&project, &[&clip, &boxes, more[0]]);
    assert_eq!((plan["frames"].as_u64(), plan["people_most"].as_u64()), (Some(FRAMES as u64), Some(3)));
    assert_eq!(plan["people_assumed"], false);
    let modes = by_mode(&plan);
    let mut misses = Vec::new();
    for mode in MODES {
        let row = measured(&project, &clip, &boxes, mode, &more);
        for (estimate, measurement) in [
            ("heap_bytes", "heap_peak_bytes"),
            ("process_bytes", "process_peak_bytes"),
            ("disk_bytes", "disk_peak_bytes"),
        ] {
            let (planned, actual) = (modes[mode][estimate].as_f64().unwrap(), number(&row, measurement));
            let error = if actual == planned { 0.0 } else { planned / actual - 1.0 };
            println!("{mode} {estimate}: planned {planned}, actual {actual}, {:+.1}%", 100.0 * error);
            if error.abs() > 0.15 {
                misses.push(format!("{mode} {estimate}: planned {planned}, actual {actual}"));
            }
        }
        assert_eq!(modes[mode]["fits"], true, "{}", modes[mode]);
    }
    assert!(misses.is_empty(), "{misses:#?}");
    let decoded = |mode: &str| modes[mode]["frames_decoded"].as_u64().unwrap();
    // four key frames, 24 frames apart: 4 x (1 + 2 + .. + 24)
    assert_eq!((decoded("stream-seek"), decoded("stream-sequential")), (1200, 96));
    let left = std::fs::read_dir(project.path(".posebook/work")).unwrap().count();
    assert_eq!(left, 0, "a plan leaves nothing behind");
}

#[test]
fn a_budget_decides_which_modes_fit_and_assumed_people_are_reported() {
    let project = Project::with_experiment("none", "");
    let clip = clip(&project.path(".")).display().to_string();
    // without textures, whose memory depends on how many people are compared
    let no_texture = "phalp.cues.texture=off";
    let plan = planned(&project, &[&clip, "limits.host_mib=76", no_texture, "--people", "1"]);
    let modes = by_mode(&plan);
    // besides the program's own 52 MiB or so, 96 frames of 480x270 take 36 MiB and a stream's queue 16
    assert_eq!(
        (&modes["stream-seek"]["fits"], &modes["extract-memory"]["fits"]),
        (&true.into(), &false.into())
    );
    assert!(modes["extract-memory"]["why_not"].as_str().unwrap().starts_with("host memory"), "{plan}");
    assert!(modes["extract-device"]["fits"] == false);
    assert_eq!((plan["people_assumed"].as_bool(), plan["people_most"].as_u64()), (Some(true), Some(1)));

    let output = project
        .posebook(&[
            "plan",
            &clip,
            "model=tiny",
            "detect.model=given",
            "video.mode=stream-seek",
            "video.end_frame=12",
        ])
        .succeeds();
    let text = String::from_utf8_lossy(&output.0.stdout).into_owned();
    assert!(text.contains("12 frames to read") && text.contains("stream-seek"), "{text}");
    assert!(!text.contains("extract-png") && text.contains("people in every frame are assumed"), "{text}");
}
