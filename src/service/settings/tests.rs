//! What a job may set, and what its problems name.

use super::*;
use posebook_serve::job::Source;
use serde_json::json;

fn project() -> Project {
    Project::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn request(kind: JobKind, settings: Value) -> JobRequest {
    let value = json!({
        "kind": kind,
        "source": if kind == JobKind::Experiment { json!([]) } else { json!({"upload": "1"}) },
        "settings": settings,
    });
    let mut request: JobRequest = serde_json::from_value(value).unwrap();
    request.experiment = (kind == JobKind::Experiment).then(|| "precision".to_string());
    request
}

fn problem(kind: JobKind, settings: Value) -> (String, String, String) {
    let problem = check(&project(), &request(kind, settings)).unwrap_err();
    (problem.name().to_string(), problem.pointer.clone().unwrap_or_default(), problem.detail.clone())
}

#[test]
fn settings_of_the_command_line_are_accepted() {
    for settings in [
        json!({}),
        json!({"video.mode": "stream-seek", "video.every": 2, "smoothing.results": true, "model": "tiny"}),
        json!({"video.mode": {"extract": {"store": "png"}}, "hmr2.batch": 4}),
        json!({"video.mode.extract.quality": 90, "video.mode.extract.store": "jpeg"}),
        json!({"preset": "4dhumans", "phalp.low_th_c": 0.8, "video.start_time": "0s", "video.end_time": "3s"}),
        json!({"hmr2.expand_bbox_shape": [192, 256], "video.end_frame": null, "fps": 25, "benchmark": "mot17"}),
    ] {
        check(&project(), &request(JobKind::Track, settings.clone())).unwrap_or_else(|error| {
            panic!("{settings}: {}", error.detail);
        });
    }
    let images = json!({"detect.model": "given", "hmr2.batch": 2, "boxes": "1,2,30,40; 5,6,70,80"});
    check(&project(), &request(JobKind::Reconstruct, images)).unwrap();
    let experiment = json!({"quick": true, "dataset.frames": 12, "sweep.dataset.people": [1, 2], "seed": 3});
    check(&project(), &request(JobKind::Experiment, experiment)).unwrap();
}

#[test]
fn an_unknown_setting_has_its_pointer_and_the_nearest_name() {
    let (name, pointer, detail) = problem(JobKind::Track, json!({"video.every": 2, "video.evry": 2}));
    assert_eq!((name.as_str(), pointer.as_str()), ("unknown-setting", "/settings/video.evry"));
    assert!(detail.contains("did you mean `video.every`?"), "{detail}");
    let (name, pointer, detail) = problem(JobKind::Reconstruct, json!({"hmr2.bacth": 2}));
    assert_eq!((name.as_str(), pointer.as_str()), ("unknown-setting", "/settings/hmr2.bacth"));
    assert!(detail.contains("did you mean `batch`?"), "{detail}");
    let (name, pointer, detail) = problem(JobKind::Experiment, json!({"seed": 1, "video.evry": 2}));
    assert_eq!((name.as_str(), pointer.as_str()), ("unknown-setting", "/settings/video.evry"));
    assert!(
        detail.contains("did you mean `every`?") && !detail.contains(env!("CARGO_MANIFEST_DIR")),
        "{detail}"
    );
    let (name, pointer, _) = problem(JobKind::Track, json!({"quick": true}));
    assert_eq!((name.as_str(), pointer.as_str()), ("unknown-setting", "/settings/quick"));
    // characters that change which key is meant
    for (key, pointer) in
        [("out=/x", "out=/x"), ("+out", "+out"), ("~out", "~0out"), ("", ""), ("a b", "a b")]
    {
        let (name, found, _) = problem(JobKind::Track, json!({ key: 1 }));
        let pointer = format!("/settings/{}", pointer.replace('/', "~1"));
        assert_eq!((name.as_str(), found.as_str()), ("unknown-setting", pointer.as_str()), "{key}");
    }
}

#[test]
fn a_wrong_value_has_its_pointer_also_among_others() {
    for (kind, settings, pointer) in [
        (JobKind::Track, json!({"hmr2.batch": 0, "seed": 1}), "hmr2.batch"),
        (JobKind::Track, json!({"seed": 1, "video.mode": "sideways"}), "video.mode"),
        (JobKind::Track, json!({"phalp.n_init": "five"}), "phalp.n_init"),
        (JobKind::Track, json!({"video.start_frame": 4, "video.start_time": 2.0}), "video.start_frame"),
        (JobKind::Track, json!({"benchmark": "mot99"}), "benchmark"),
        (JobKind::Track, json!({"video.every": {"a": null}}), "video.every"),
        (JobKind::Track, json!({"model": "tinny"}), "model"),
        (JobKind::Reconstruct, json!({"detect.least_score": 2}), "detect.least_score"),
        (JobKind::Experiment, json!({"dataset.frames": 9, "video.every": 0}), "video.every"),
        (JobKind::Experiment, json!({"quick": "yes"}), "quick"),
    ] {
        let (name, found, detail) = problem(kind, settings);
        assert_eq!((name.as_str(), found), ("bad-setting", format!("/settings/{pointer}")), "{detail}");
        assert!(!detail.is_empty() && detail != "bad setting");
    }
    let many: Map<String, Value> = (0..1_001).map(|n| (format!("a{n}"), json!(n))).collect();
    assert_eq!(problem(JobKind::Track, Value::Object(many)).1, "/settings");
}

/// Each would read or write a file of the server.
#[test]
fn settings_that_name_files_of_the_server_are_refused() {
    for (kind, key, value) in [
        (JobKind::Track, "out", json!("/tmp/x")),
        (JobKind::Track, "video.output_dir", json!("/tmp/x")),
        (JobKind::Track, "video.source", json!("/etc/passwd")),
        (JobKind::Track, "video.base_path", json!("/etc")),
        (JobKind::Track, "boxes", json!("/etc/passwd")),
        (JobKind::Track, "truth", json!("/etc/passwd")),
        (JobKind::Track, "device", json!("cuda:1")),
        (JobKind::Track, "dataset", json!("walkers")),
        (JobKind::Track, "model", json!("/tmp/model.toml")),
        (JobKind::Track, "model", json!("../secret")),
        (JobKind::Track, "model", json!("evil.toml")),
        (JobKind::Track, "appearance.encoder", json!("/tmp/x.safetensors")),
        (JobKind::Track, "appearance.encoder", json!("x.safetensors")),
        (JobKind::Track, "pose_predictor.model", json!("../x")),
        (JobKind::Track, "detect.weights", json!("/tmp/x.toml")),
        (JobKind::Track, "pose_predictor.weights_path", json!("/tmp/x.pth")),
        (JobKind::Track, "SMPL.MODEL_PATH", json!("/tmp")),
        (JobKind::Reconstruct, "boxes", json!("/etc/passwd")),
        (JobKind::Reconstruct, "boxes", json!("7")),
        (JobKind::Reconstruct, "model", json!("./m.toml")),
        (JobKind::Reconstruct, "detect.weights", json!("a/b")),
        (JobKind::Experiment, "model", json!("/tmp/m.toml")),
        (JobKind::Experiment, "sweep.model", json!(["tiny", "/tmp/m.toml"])),
        (JobKind::Experiment, "dataset", json!("/tmp/d.toml")),
        (JobKind::Experiment, "dataset.kind", json!("files")),
        (JobKind::Experiment, "device", json!("cpu")),
    ] {
        let (name, pointer, detail) = problem(kind, json!({ "hmr2.batch": 2, key: value.clone() }));
        let expected = ("bad-setting", format!("/settings/{key}"));
        assert_eq!((name.as_str(), pointer), expected, "{key}={value}: {detail}");
    }
    let clips = json!({"dataset": {"name": "own", "clip": [{"name": "x", "video": "/etc/passwd"}]}});
    let (name, _, detail) = problem(JobKind::Experiment, clips);
    assert_eq!(name, "bad-setting", "{detail}");
}

#[test]
fn a_preset_does_not_set_an_output_folder() {
    let settings = json!({"preset": "phalp"});
    let request = request(JobKind::Track, settings);
    let Ok(Work::Track(parsed)) = parse(&project(), &given(&request, &[])) else { panic!() };
    assert_eq!((parsed.out, parsed.options.base_path, parsed.boxes), (None, None, None));
}

#[test]
fn a_request_has_what_its_kind_needs() {
    let refused = |change: &dyn Fn(&mut JobRequest), kind, pointer: &str| {
        let mut request = request(kind, json!({}));
        change(&mut request);
        let problem = check(&project(), &request).unwrap_err();
        assert_eq!(problem.pointer.as_deref(), Some(pointer), "{}", problem.detail);
    };
    let path = || Source::Path("/a.mp4".into());
    refused(&|request| request.source.clear(), JobKind::Track, "/source");
    refused(&|request| request.source.push(path()), JobKind::Track, "/source");
    refused(&|request| request.source.clear(), JobKind::Reconstruct, "/source");
    refused(&|request| request.source.push(path()), JobKind::Experiment, "/source");
    refused(&|request| request.boxes = Some(path()), JobKind::Experiment, "/boxes");
    refused(&|request| request.experiment = Some("quickstart".into()), JobKind::Track, "/experiment");
    refused(&|request| request.experiment = None, JobKind::Experiment, "/experiment");
    for name in ["quikstart", "../models/tiny", "/tmp/x.toml", "quickstart.toml", ""] {
        refused(&|request| request.experiment = Some(name.into()), JobKind::Experiment, "/experiment");
    }
}

#[test]
fn settings_are_shown_in_full_as_toml() {
    let text = toml(&project(), &request(JobKind::Track, json!({"video.every": 3}))).unwrap();
    let table: ::toml::Table = text.parse().unwrap();
    assert_eq!(table["video"]["every"].as_integer(), Some(3));
    assert!(!table.contains_key("dataset") && !table.contains_key("model"), "{text}");
    let text = toml(&project(), &request(JobKind::Reconstruct, json!({"hmr2.batch": 3}))).unwrap();
    assert!(text.contains("batch = 3"), "{text}");
    let text = toml(&project(), &request(JobKind::Experiment, json!({"quick": true}))).unwrap();
    assert!(text.contains("is_quick = true"), "{text}");
}

/// Planning them took all memory of the machine.
#[test]
fn an_experiment_of_too_many_runs_is_refused_before_it_is_planned() {
    let list: Vec<u64> = (10..50).collect();
    for (settings, pointer) in [
        (json!({"repeats": 100_000_000, "seed": 1}), "/settings/repeats"),
        (json!({"sweep.repeats": [1, 9_999_999]}), "/settings/sweep.repeats"),
        (json!({"sweep.seed": list, "sweep.hmr2.batch": list, "sweep.dataset.frames": list}), "/settings"),
    ] {
        let (name, found, detail) = problem(JobKind::Experiment, settings.clone());
        assert_eq!((name.as_str(), found.as_str()), ("bad-setting", pointer), "{settings}: {detail}");
        assert!(detail.contains(" runs, and one that is a job has 2000 at most"), "{detail}");
    }
    // none of the project's own is near
    for path in project().experiments().unwrap() {
        let points = Experiment::load(&path, &[]).unwrap().points().unwrap();
        let runs: u64 = points.iter().map(|point| runs_of(&point.settings)).sum();
        assert!(runs < MAX_RUNS / 4, "{}: {runs}", path.display());
    }
}
