//! Jobs of the service are runs of the command line: `posebook job FOLDER` and `posebook serve --once` make the same rows and files.

mod common;

use common::{Project, rows};
use job_project::project;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "common/job_project.rs"]
mod job_project;

/// A job's folder, and the process that executes it.
struct JobRun {
    folder: PathBuf,
    output: Output,
}

impl JobRun {
    fn new(project: &Project, name: &str, job: Value) -> JobRun {
        let folder = prepare(project, name, job);
        let output = command(project, &folder).output().unwrap();
        JobRun { folder, output }
    }

    fn outcome(&self) -> Value {
        let bytes = fs::read(self.folder.join("outcome.json")).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.output.stderr));
        });
        serde_json::from_slice(&bytes).unwrap()
    }

    fn succeeds(self) -> JobRun {
        let outcome = self.outcome();
        assert!(outcome["failure"].is_null() && outcome["interrupted"] == false, "{outcome}");
        assert_eq!(self.output.status.code(), Some(0));
        self
    }

    fn events(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.output.stdout).into_owned();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    fn stages(&self) -> Vec<String> {
        let mut stages: Vec<String> =
            self.events().iter().filter_map(|event| Some(event["stage"].as_str()?.to_string())).collect();
        stages.dedup();
        stages
    }

    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }
}

fn prepare(project: &Project, name: &str, mut job: Value) -> PathBuf {
    let folder = project.path(&format!("jobs/{name}"));
    fs::create_dir_all(&folder).unwrap();
    let defaults = json!({
        "id": "00000000-0000-4000-8000-000000000001",
        "sources": [],
        "source_name": "",
        "boxes": null,
        "experiment": null,
        "settings": {},
        "device": "cpu",
    });
    for (key, value) in defaults.as_object().unwrap() {
        job.as_object_mut().unwrap().entry(key).or_insert(value.clone());
    }
    fs::write(folder.join("job.json"), job.to_string()).unwrap();
    folder
}

fn command(project: &Project, folder: &Path) -> Command {
    project.command(&["job", folder.to_str().unwrap()])
}

/// An upload: its file has another name than the client's.
fn upload(project: &Project, name: &str, extension: &str) -> PathBuf {
    let folder = project.path(&format!("uploads/{}", name.replace('.', "-")));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("source.{extension}"));
    fs::copy(project.path("clips").join(name), &path).unwrap();
    path
}

fn files_below(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Asserts that no text file names a folder of the server.
fn hides_paths(folder: &Path, project: &Project) {
    let root = project.path("").to_string_lossy().trim_end_matches('/').to_string();
    for name in files_below(folder) {
        let bytes = fs::read(folder.join(&name)).unwrap();
        let has_path = bytes.windows(root.len()).any(|window| window == root.as_bytes());
        assert!(!has_path, "{name} names {root}");
    }
}

#[test]
fn a_tracked_video_has_the_rows_and_files_of_the_command_line() {
    let project = project();
    let settings = ["model=tiny", "boxes=clips/boxes.txt", "out=by_hand", "video.mode=extract-jpeg"];
    project.posebook(&[&["track", "clips/walk.mp4"][..], &settings].concat()).succeeds();
    let by_hand = project.path("by_hand/latest");
    let (video, boxes) = (upload(&project, "walk.mp4", "mp4"), upload(&project, "boxes.txt", "txt"));
    let job = json!({
        "kind": "track",
        "sources": [video],
        "source_name": "walk.mp4",
        "boxes": boxes,
        "settings": {"model": "tiny", "video.mode": "extract-jpeg"},
    });
    let run = JobRun::new(&project, "track", job).succeeds();
    let files = run.files();
    assert_eq!(files_below(&files), files_below(&by_hand));
    for name in ["people.parquet", "detections.txt", "overlay.mp4"] {
        let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
        assert!(read(&files) == read(&by_hand), "{name} differs");
    }
    let (ours, theirs) = (rows(&files.join("runs.csv")), rows(&by_hand.join("runs.csv")));
    for column in ["run_id", "clip", "clip_sha256", "settings", "outcome", "people", "tracks"] {
        assert_eq!(ours[0][column], theirs[0][column], "{column}");
    }
    let summary = fs::read_to_string(files.join("summary.md")).unwrap();
    assert!(summary.contains("- video: walk.mp4, 160x120"), "{summary}");
    assert_eq!(run.outcome()["summary"].as_str().unwrap(), summary);
    hides_paths(&run.files(), &project);
    let stages = run.stages();
    assert!(stages.iter().any(|stage| stage == "run") && stages.contains(&"write".to_string()), "{stages:?}");
    let last = run.events().into_iter().rfind(|event| event["stage"] == "run").unwrap();
    assert!(last["of"] == 10 || last["of"].is_null(), "{last}");
    assert!(!run.folder.join("scratch").exists(), "scratch files are removed");
    assert!(files_below(&project.path(".posebook")).iter().all(|name| !name.contains("uploads")));
    // the bound holds: everything that the job wrote and kept, and the images that it removed
    let written: u64 =
        files_below(&files).iter().map(|name| files.join(name).metadata().unwrap().len()).sum();
    let scratch: u64 = ours[0]["disk_peak_bytes"].parse().unwrap();
    assert!(scratch > 0);
    assert!(written + scratch < bound(&project, "extract-jpeg"), "{written} + {scratch}");
}

/// The bytes that a job over the clip is predicted to write at most.
fn bound(project: &Project, mode: &str) -> u64 {
    use posebook::experiment::Settings;
    let text = format!("dataset = 'one video'\n[video]\nmode = '{mode}'");
    let mut table: toml::Table = "dataset = 'one video'".parse().unwrap();
    let mode: posebook_video::Mode = mode.parse().unwrap();
    posebook::experiment::overrides::set(&mut table, "video.mode", toml::Value::try_from(mode).unwrap());
    let settings = Settings::from_table(table).unwrap_or_else(|error| panic!("{text}: {error}"));
    let probe = posebook_video::probe(&project.path("clips/walk.mp4")).unwrap();
    let size = (probe.width, probe.height);
    let options = posebook::experiment::phalp_settings::TrackOptions::default();
    posebook::runner::disk_bound::of_video(&settings, &options, size, probe.frames())
}

#[test]
fn reconstructed_images_have_the_rows_and_files_of_the_command_line() {
    let project = project();
    let settings = ["model=tiny", "device=cpu", "boxes=10,10,40,90;100,10,40,80", "out=by_hand"];
    project.posebook(&[&["reconstruct", "clips/still.png"][..], &settings].concat()).succeeds();
    let image = upload(&project, "still.png", "png");
    let job = json!({
        "kind": "reconstruct",
        "sources": [image],
        "source_name": "still.png",
        "source_names": ["still.png"],
        "settings": {"model": "tiny", "boxes": "10,10,40,90;100,10,40,80"},
    });
    let run = JobRun::new(&project, "images", job).succeeds();
    let by_hand = project.path("by_hand/latest");
    assert_eq!(files_below(&run.files()), files_below(&by_hand));
    for name in files_below(&by_hand).iter().filter(|name| name.ends_with("png")) {
        assert!(fs::read(run.files().join(name)).unwrap() == fs::read(by_hand.join(name)).unwrap(), "{name}");
    }
    let people = |folder: &Path| -> Vec<posebook_notebook::tables::ImagePersonRow> {
        posebook_notebook::tables::files::read_rows(folder).unwrap().map(Result::unwrap).collect()
    };
    let (ours, mut theirs) = (people(&run.files()), people(&by_hand));
    // the command line shows the path as it was given
    theirs.iter_mut().for_each(|row| row.picture = "still.png".into());
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 2);
    hides_paths(&run.files(), &project);
    assert!(run.outcome()["summary"].as_str().unwrap().starts_with("2 people in 1 images; tiny on cpu"));
}

#[test]
fn an_experiment_shares_its_runs_with_the_command_line() {
    let project = project();
    project.posebook(&["experiment", "run", "small", "--quick"]).succeeds();
    let job = |name: &str| {
        let settings = json!({"quick": true});
        JobRun::new(
            &project,
            name,
            json!({"kind": "experiment", "experiment": "small", "settings": settings}),
        )
    };
    let run = job("experiment").succeeds();
    let by_hand = project.path("reports/small/latest");
    assert!(run.outcome()["summary"].as_str().unwrap().starts_with("2 of 2 runs (2 reused), 0 failed"));
    assert_eq!(
        fs::read(run.files().join("people.parquet")).unwrap(),
        fs::read(by_hand.join("people.parquet")).unwrap()
    );
    assert_eq!(files_below(&run.files()), files_below(&by_hand));
    assert!(run.stages().contains(&"runs".to_string()) && run.stages().contains(&"report".to_string()));
}

#[test]
fn failures_say_their_kind_and_no_path_of_the_server() {
    let project = project();
    let text = project.path("clips/notes.mp4");
    fs::write(&text, "this is no video").unwrap();
    let failed = |name: &str, job: Value| {
        let run = JobRun::new(&project, name, job);
        assert_eq!(run.output.status.code(), Some(1));
        let failure = run.outcome()["failure"].clone();
        let message = failure["message"].as_str().unwrap().to_string();
        assert!(!message.contains(&*project.path("").to_string_lossy()), "{message}");
        (failure["kind"].as_str().unwrap().to_string(), message, failure)
    };
    let track = |source: &Path, settings: Value| json!({"kind": "track", "sources": [source], "source_name": "mine.mp4", "settings": settings});
    let video = project.path("clips/walk.mp4");
    let tiny = |more: Value| {
        let mut settings = json!({"model": "tiny", "detect.model": "given"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    let (kind, message, failure) = failed("no-video", track(&text, tiny(json!({"model": "tiny"}))));
    assert!(
        message.starts_with("detect.model=given finds people by given boxes") || kind == "bad_source",
        "{message}"
    );
    let with_boxes = |mut job: Value| {
        job["boxes"] = json!(project.path("clips/boxes.txt"));
        job
    };
    assert!(failure["advice"].is_string() || kind == "error");
    let (kind, message, failure) = failed("text", with_boxes(track(&text, tiny(json!({})))));
    assert_eq!(
        (kind.as_str(), message.starts_with("mine.mp4: this is not a video")),
        ("bad_source", true),
        "{message}"
    );
    assert!(failure["advice"].as_str().unwrap().contains("ffmpeg"));
    let gone = with_boxes(track(&project.path("gone.mp4"), tiny(json!({}))));
    assert_eq!(failed("gone", gone).0, "bad_source");
    let slow = tiny(json!({"limits.wall_secs": 0.05}));
    let (kind, message, failure) = failed("slow", with_boxes(track(&video, slow)));
    assert_eq!(
        (kind.as_str(), &failure["changed_settings"]),
        ("timed_out", &json!({"limits.wall_secs": 0.1})),
        "{message}"
    );
    let small = tiny(json!({"limits.host_mib": 20, "hmr2.batch": 4}));
    let (kind, message, failure) = failed("small", with_boxes(track(&video, small)));
    assert_eq!(
        (kind.as_str(), &failure["changed_settings"]["hmr2.batch"]),
        ("out_of_memory", &json!(2)),
        "{message}"
    );
    let pickle = project.path("clips/frames.pkl");
    fs::write(&pickle, "x").unwrap();
    let (kind, message, _) = failed("pickle", track(&pickle, tiny(json!({}))));
    assert_eq!(kind, "bad_source");
    assert!(message.contains("give the video itself"), "{message}");
    let (kind, message, _) = failed("setting", track(&video, json!({"out": "/tmp"})));
    assert_eq!(kind, "error");
    assert!(message.contains("leave the setting out"), "{message}");
}

#[test]
fn a_job_without_a_valid_file_has_no_outcome() {
    let project = project();
    let folder = project.path("jobs/none");
    fs::create_dir_all(&folder).unwrap();
    let output = command(&project, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    fs::write(folder.join("job.json"), "{}").unwrap();
    let output = command(&project, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not a job"));
    assert!(!folder.join("outcome.json").exists());
}

#[cfg(unix)]
#[test]
fn a_terminated_job_says_that_it_was_interrupted() {
    use nix::sys::signal::{Signal, kill};
    let project = project();
    let job = json!({
        "kind": "track",
        "sources": [project.path("clips/walk.mp4")],
        "source_name": "walk.mp4",
        "boxes": project.path("clips/boxes.txt"),
        "settings": {"model": "tiny", "video.loops": 5000, "render.enable": false},
    });
    let folder = prepare(&project, "long", job);
    let log = fs::File::create(folder.join("events")).unwrap();
    let mut child = command(&project, &folder).stdout(log).spawn().unwrap();
    let began = std::time::Instant::now();
    while !fs::read_to_string(folder.join("events")).unwrap().contains("\"done\":")
        || !folder.join("scratch/work").exists()
    {
        assert!(began.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none(), "no progress");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let outcome: Value = serde_json::from_slice(&fs::read(folder.join("outcome.json")).unwrap()).unwrap();
    assert_eq!((&outcome["interrupted"], &outcome["failure"]), (&json!(true), &Value::Null));
    assert!(!folder.join("scratch").exists());
}
