//! Published detectors in `track`, `plan`, `reconstruct` and `detect`, with small networks whose weights come from a formula. Their
//! detections are meaningless; the tests check that they are computed, written and read back unchanged.

mod common;
#[path = "common/ffmpeg.rs"]
mod ffmpeg;

use common::{Project, rows};
use ffmpeg::ffmpeg;
use posebook_models::detect::mask_rcnn::{Architecture, Config};
use posebook_notebook::tables::{PersonRow, files};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use toml::{Table, Value};

const FRAMES: usize = 5;

/// A project with the repository's models and small detectors, and `clip.mp4`.
fn project() -> Project {
    let project = Project::with_experiment("none", "");
    let models = project.path("models");
    let repository = std::fs::read_link(&models).unwrap();
    std::fs::remove_file(&models).unwrap();
    std::fs::create_dir(&models).unwrap();
    for entry in std::fs::read_dir(repository).unwrap() {
        let path = entry.unwrap().path();
        std::os::unix::fs::symlink(&path, models.join(path.file_name().unwrap())).unwrap();
    }
    for (name, architecture) in [
        ("small", Architecture::Vitdet),
        ("small-regnety", Architecture::Regnety),
        ("small-x101", Architecture::X101),
    ] {
        write_set(&project, name, architecture);
    }
    ffmpeg(
        &project.path("."),
        &format!("-f lavfi -i testsrc2=size=160x120:rate=10 -frames:v {FRAMES} clip.mp4"),
    );
    project
}

/// Writes the set of a small detector.
fn write_set(project: &Project, name: &str, architecture: Architecture) {
    let text = |text: &str| Value::String(text.into());
    let mut set = Table::from_iter([
        ("kind".to_string(), text("detector")),
        ("detector".to_string(), text(architecture.name())),
        ("description".to_string(), text("a small detector")),
        ("licence".to_string(), text("none: no weights")),
        ("origin".to_string(), text("a formula")),
    ]);
    set.insert("weights".into(), Value::Table(Table::from_iter([("formula".to_string(), text("a"))])));
    set.insert("config".into(), Value::try_from(Config::small(architecture)).unwrap());
    let path = project.path(&format!("models/{name}.toml"));
    std::fs::write(path, toml::to_string(&set).unwrap()).unwrap();
}

/// The people of a run without the run's id.
fn people(folder: &Path) -> Vec<String> {
    let rows = files::read_rows::<PersonRow>(folder).unwrap();
    rows.map(|row| format!("{:?}", PersonRow { run_id: String::new(), ..row.unwrap() })).collect()
}

/// Tracks `clip.mp4` with these settings into `out`; returns its people and what was said.
fn track(project: &Project, out: &str, more: &[&str]) -> (Vec<String>, String) {
    // with textures the silhouettes of bodies are masks, too
    let no_textures = "phalp.cues.texture=off";
    let given = ["track", "clip.mp4", "model=tiny", "device=cpu", no_textures, &format!("out={out}")];
    let said = project.posebook(&[&given, more].concat()).succeeds();
    (people(&project.path(&format!("{out}/latest"))), said.errors())
}

const SMALL: [&str; 2] = ["detect.model=vitdet", "detect.weights=small"];

#[test]
fn a_video_is_tracked_with_a_published_detector_in_batches_or_not() {
    let project = project();
    let (found, said) = track(&project, "out", &SMALL);
    assert!(found.len() > FRAMES, "{} people", found.len());
    assert!(found.iter().all(|person| person.contains("mask_counts: Some(")), "{}", found[0]);
    assert!(said.contains("detect.least_score=0.5"), "{said}");
    let run = &rows(&project.path("out/latest/runs.csv"))[0];
    assert_eq!((run["detector"].as_str(), run["detector_sha256"].as_str()), ("vitdet", "formula a"));
    // more frames than the queue of this mode has buffers
    let batch = ["detect.batch=4", "detect.budget_mib=1", "video.mode=stream-seek"];
    let batched = track(&project, "batched", &[&SMALL[..], &batch].concat());
    assert!(found == batched.0, "a batch changes the result");
    // the user's thresholds
    let (strict, said) = track(&project, "strict", &[&SMALL[..], &["detect.least_score=0.9"]].concat());
    assert!(strict.len() < found.len() && !said.contains("least_score"), "{said}");
    let (of_regnety, said) = track(
        &project,
        "regnety",
        &["detect.model=regnety", "detect.weights=small-regnety", "detect.jitter=0.1"],
    );
    assert!(said.contains("detect.jitter has no effect with detect.model=regnety"), "{said}");
    assert_ne!(of_regnety, found);
}

#[test]
fn wrong_sets_are_named_with_what_to_do() {
    let project = project();
    let wrong = |given: &[&str]| {
        let output = project.posebook(&[&["track", "clip.mp4", "model=tiny", "device=cpu"], given].concat());
        assert!(!output.0.status.success());
        output.errors()
    };
    let said = wrong(&["detect.model=vitdet", "detect.weights=smal"]);
    assert!(said.contains("there is no detector `smal`") && said.contains("small"), "{said}");
    let said = wrong(&["detect.model=vitdet"]);
    assert!(said.contains("model import vitdet") && said.contains("model fetch vitdet"), "{said}");
    let said = wrong(&["detect.model=regnety", "detect.weights=small"]);
    assert!(said.contains("is a set of vitdet, and detect.model is regnety"), "{said}");
    let said = wrong(&["detect.model=x101", "detect.weights=small-x101"]);
    assert!(said.contains("computes masks of given boxes, and there are none"), "{said}");
    let said = wrong(&["detect.model=vitdt"]);
    assert!(said.contains("vitdet"), "{said}");
    let said = wrong(&["detect.model=vitdet", "detect.score=2"]);
    assert!(said.contains("detect.score is 2; set it to a number from 0 to 1"), "{said}");
}

#[test]
fn masks_of_given_boxes_are_computed_and_frames_without_boxes_fall_back() {
    let project = project();
    std::fs::write(project.path("boxes.txt"), "1,4,20,10,60,100\n2,4,-10,10,60,90\n2,5,300,10,20,20\n")
        .unwrap();
    let masks = ["boxes=boxes.txt", "detect.model=x101", "detect.weights=small-x101"];
    let (found, _) = track(&project, "masks", &masks);
    assert_eq!(found.len(), 2, "the box outside of the frame is dropped");
    assert!(
        found.iter().all(|person| person.contains("mask_counts: Some(") && person.contains("score: 1.0"))
    );
    let (given, _) = track(&project, "given", &masks[..1]);
    assert!(given.len() == 2 && given.iter().all(|person| person.contains("mask_counts: None")));
    write_set(&project, "vitdet", Architecture::Vitdet);
    let (both, _) = track(&project, "both", &[&masks[..1], &["detect.fallback=vitdet"]].concat());
    assert_eq!(both[..2], given[..2]);
    let alone = track(&project, "alone", &["detect.model=vitdet"]).0;
    let without_boxes: Vec<&String> = alone
        .iter()
        .filter(|person| !(person.contains("frame: 0,") || person.contains("frame: 1,")))
        .collect();
    assert_eq!(both.len(), 2 + without_boxes.len());
}

#[test]
fn phalps_pickle_gets_masks_and_detections_under_a_preset() {
    let project = project();
    ffmpeg(
        &project.path("."),
        "-f lavfi -i testsrc2=size=160x160:rate=10 -frames:v 2 -start_number 0 %d.jpg",
    );
    let pickle = "(dV0.jpg\n(dVgt_bbox\n(l(lF20\naF10\naF80\naF120\naassV1.jpg\n(dVgt_bbox\n(lss.";
    std::fs::write(project.path("given.pkl"), pickle).unwrap();
    let track = || {
        let given =
            ["track", "given.pkl", "preset=phalp", "phalp.predict=L", "model=tiny", "device=cpu", "out=out"];
        let said = project.posebook(&given).succeeds().errors();
        (people(&project.path("out/latest")), said)
    };
    let (found, said) = track();
    assert!(
        said.contains("model import x101") && said.contains("PHALP would detect people in them"),
        "{said}"
    );
    assert!(found.len() == 1 && found[0].contains("mask_counts: None"), "{found:?}");
    write_set(&project, "x101", Architecture::X101);
    write_set(&project, "vitdet", Architecture::Vitdet);
    let (found, said) = track();
    assert!(said.contains("detect.model=x101") && said.contains("detect.fallback=vitdet"), "{said}");
    assert!(!said.contains("PHALP would detect people in them"), "{said}");
    assert!(found[0].contains("frame: 0,") && found[0].contains("mask_counts: Some("), "{}", found[0]);
    assert!(found[1..].iter().all(|person| person.contains("frame: 1,")));
}

#[test]
fn a_preset_takes_the_imported_detector() {
    let project = project();
    write_set(&project, "vitdet", Architecture::Vitdet);
    let (_, said) = track(&project, "out", &["preset=4dhumans", "video.end_frame=2"]);
    assert!(said.contains("detect.model=vitdet: PHALP's detector is imported here"), "{said}");
    let run = &rows(&project.path("out/latest/runs.csv"))[0];
    assert_eq!(run["detector"], "vitdet");
    let settings: serde_json::Value = serde_json::from_str(&run["settings"]).unwrap();
    let detect = &settings["detect"];
    assert_eq!((detect["score"].as_f64(), detect["least_score"].as_f64()), (Some(0.5), Some(0.8)));
    assert_eq!(detect["smallest_width"].as_f64(), Some(50.0));
}

#[test]
fn detections_are_written_once_and_tracked_as_if_they_were_detected() {
    let project = project();
    let detect =
        |more: &[&str]| project.posebook(&[&["detect", "clip.mp4", "device=cpu"], &SMALL[..], more].concat());
    let said = detect(&[]).succeeds();
    assert!(
        said.errors().contains(&format!("[1/{FRAMES}] frame 0, {} left", FRAMES - 1)),
        "{}",
        said.errors()
    );
    let path = project.path("clip.detections.json");
    let written = std::fs::read(&path).unwrap();
    let records: serde_json::Value = serde_json::from_slice(&written).unwrap();
    let first = &records[0];
    assert_eq!((first["image_id"].as_u64(), first["category_id"].as_u64()), (Some(0), Some(1)));
    assert_eq!(first["segmentation"]["size"], serde_json::json!([120, 160]));
    let about = std::fs::read(project.path("clip.detections.json.about.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    assert_eq!(
        (about["detector"].as_str(), about["frames_read"].as_u64()),
        (Some("vitdet"), Some(FRAMES as u64))
    );

    // everything is found again
    let (detected, _) = track(&project, "detected", &SMALL);
    let (read, said) = track(&project, "read", &["boxes=clip.detections.json"]);
    assert!(said.contains("have the scores of vitdet") && said.contains("detect.least_score=0.5"), "{said}");
    assert!(detected.len() > FRAMES && detected == read, "{} and {} people", detected.len(), read.len());
    let part = ["video.start_frame=1", "video.every=2"];
    let detected = track(&project, "detected-part", &[&SMALL[..], &part].concat()).0;
    let read = track(&project, "read-part", &[&["boxes=clip.detections.json"], &part[..]].concat()).0;
    assert!(!detected.is_empty() && detected == read);

    // the same command has nothing to do, another does not overwrite
    let again = detect(&[]).succeeds();
    assert!(String::from_utf8_lossy(&again.0.stdout).contains("nothing to do"));
    let other = detect(&["detect.score=0.4"]);
    assert!(other.errors().contains("exists and holds something else: `settings`"), "{}", other.errors());
    assert_eq!(std::fs::read(&path).unwrap(), written);

    // boxes of another video are refused
    ffmpeg(
        &project.path("."),
        &format!("-f lavfi -i testsrc=size=160x120:rate=10 -frames:v {FRAMES} other.mp4"),
    );
    ffmpeg(
        &project.path("."),
        &format!("-f lavfi -i testsrc=size=96x64:rate=10 -frames:v {FRAMES} tiny.mp4"),
    );
    for (video, hint) in [("other.mp4", "with SHA-256"), ("tiny.mp4", "and this video has 5 of 96x64")] {
        let wrong = project.posebook(&["track", video, "model=tiny", "boxes=clip.detections.json"]);
        assert!(
            wrong.errors().contains(hint) && wrong.errors().contains("detections.json"),
            "{}",
            wrong.errors()
        );
    }
    let wrong =
        project.posebook(&["track", "clip.mp4", "model=tiny", "boxes=clip.detections.json", "use_gt=True"]);
    assert!(wrong.errors().contains("use_gt pairs people by the identities"), "{}", wrong.errors());

    // MOTChallenge text, for other programs
    detect(&["--as", "mot", "--out", "people.txt"]).succeeds();
    let text = std::fs::read_to_string(project.path("people.txt")).unwrap();
    assert!(text.starts_with("1,-1,") && text.lines().count() == records.as_array().unwrap().len(), "{text}");
    let (of_text, said) = track(&project, "text", &["boxes=people.txt"]);
    assert!(said.contains("people.txt have the scores of vitdet"), "{said}");
    assert!(of_text.iter().any(|person| !person.contains("score: 1.0,")), "{of_text:?}");
}

#[test]
fn interrupted_detections_go_on() {
    let project = project();
    let detect =
        |out: &str| ["detect", "clip.mp4", "device=cpu", SMALL[0], SMALL[1], "--out", out].map(String::from);
    let start = |out: &str| {
        let arguments = detect(out);
        project.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(start("whole.json").output().unwrap().status.success());
    // interrupted after the first frame
    let mut process = start("cut.json").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("[1/")));
    let id = nix::unistd::Pid::from_raw(process.id() as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(!process.wait().unwrap().success());
    let said = rest.join("\n");
    assert!(said.contains("interrupted: ") && said.contains("cut.json.part"), "{said}");
    assert!(!project.path("cut.json").exists());
    let done = std::fs::read_to_string(project.path("cut.json.part")).unwrap().lines().count() - 1;
    assert!((1..FRAMES).contains(&done), "{done} frames are done");
    let output = start("cut.json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("{done} of {FRAMES} frames are done from before")), "{said}");
    assert!(!project.path("cut.json.part").exists());
    let file = |name: &str| std::fs::read(project.path(name)).unwrap();
    assert_eq!(file("whole.json"), file("cut.json"));
    assert_eq!(file("whole.json.about.json"), file("cut.json.about.json"));
}

#[test]
fn what_has_no_effect_on_detections_is_refused() {
    let project = project();
    for (more, hint) in [
        (&["hmr2.batch=3"][..], "`hmr2.batch` has no effect on detections"),
        (&["boxes=boxes.txt"], "leave boxes= and truth= out"),
        (&["out=folder"], "--out FILE"),
        (&["detect.model=given"], "detect.model=given finds nobody"),
        (&["detect.model=x101"], "`posebook track my.mp4 boxes=FILE detect.model=x101`"),
        (&["detect.model=vitdet", "--out", "models/small.toml"], "exists and holds something else"),
        (&["detect.model=vitdet", "detect.weights=nothing"], "there is no detector `nothing`"),
    ] {
        let more = if more[0] == "detect.model=vitdet" && more.len() == 3 {
            [&SMALL[..], &more[1..]].concat()
        } else {
            more.to_vec()
        };
        let wrong = project.posebook(&[&["detect", "clip.mp4"], &more[..]].concat());
        assert!(!wrong.0.status.success() && wrong.errors().contains(hint), "{more:?}: {}", wrong.errors());
    }
}

#[test]
fn plan_and_reconstruct_use_published_detectors() {
    let project = project();
    let given = ["plan", "clip.mp4", "model=tiny", "device=cpu", "video.mode=stream-sequential", "--json"];
    let planned = project.posebook(&[&given[..], &SMALL].concat()).succeeds();
    assert!(planned.errors().contains("detects 1 frame: minutes on a CPU"), "{}", planned.errors());
    let plan: serde_json::Value = serde_json::from_slice(&planned.0.stdout).unwrap();
    let note = |text: &str| {
        plan["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains(text))
    };
    assert!(
        note("the detector small takes up to ") && note("detect.budget_mib=N lowers the buffers"),
        "{plan}"
    );
    assert!(plan["modes"][0]["heap_bytes"].as_u64() > Some(1 << 20), "{plan}");

    ffmpeg(&project.path("."), "-f lavfi -i testsrc2=size=160x120 -frames:v 1 image.png");
    let given = ["reconstruct", "image.png", "model=tiny", "device=cpu", "out=images"];
    let said = project.posebook(&[&given[..], &SMALL].concat()).succeeds().errors();
    assert!(said.contains(", detected by ViTDet"), "{said}");
    let wrong = project.posebook(&[&given[..], &["detect.model=x101"]].concat()).errors();
    assert!(
        wrong.contains("detect.model=x101 computes masks of given boxes, which nothing here uses"),
        "{wrong}"
    );
}
