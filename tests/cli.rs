//! The command line interface: help, error messages, and JSON output.

use std::path::Path;
use std::process::{Command, Output};

fn posebook(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_posebook"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error of a command that must fail, without the folder of the checkout.
fn error(arguments: &[&str]) -> String {
    let output = posebook(arguments);
    assert!(!output.status.success(), "{arguments:?} should have failed, but printed: {}", out(&output));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text.replace(env!("CARGO_MANIFEST_DIR"), "[checkout]").trim_end().to_string()
}

#[test]
fn the_help_of_every_command_is_complete() {
    for command in [
        "",
        "experiment",
        "experiment run",
        "track",
        "reconstruct",
        "plan",
        "frames",
        "metrics mot",
        "dataset",
        "model",
        "model import",
        "model import hmr2",
        "model import phalp",
        "model fetch",
        "device",
        "parity",
        "gpu",
        "report",
        "serve",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let name = format!("help {command}").trim().replace(' ', "-");
        insta::assert_snapshot!(name, out(&posebook(&arguments)));
    }
}

#[test]
fn every_mistake_gets_one_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let not_a_video = file("notes.mp4", b"this is no video");
    let bad_truth = file("bad.txt", b"1,1,10,10,NaN,40\n");
    let twice = file("twice.txt", b"1,1,10,10,20,40\n1,1,12,10,20,40\n");
    let typo = file("typo.toml", b"question = \"?\"\n[defaults]\ndataset = \"walkers\"\nmodle = \"tiny\"\n");
    let wrong_type =
        file("type.toml", b"question = \"?\"\n[defaults]\ndataset = \"walkers\"\nseed = \"one\"\n");
    let cases: Vec<(&str, Vec<&str>)> = vec![
        ("no such experiment", vec!["experiment", "run", "quikstart"]),
        ("no such dataset", vec!["dataset", "make", "wlakers"]),
        ("no such model", vec!["model", "verify", "tinny"]),
        ("nothing to import", vec!["model", "import", "hmr2"]),
        (
            "no checkpoint there",
            vec!["model", "import", "hmr2", "--checkpoint", "no.ckpt", "--smpl", "no.pkl"],
        ),
        (
            "not a checkpoint",
            vec!["model", "import", "hmr2", "--checkpoint", &not_a_video, "--smpl", "no.pkl"],
        ),
        ("no such manifest", vec!["model", "fetch", "hmr3"]),
        ("a licence that requires agreement", vec!["model", "fetch", "hmr2"]),
        ("misspelled key in a file", vec!["experiment", "show", &typo]),
        ("wrong type in a file", vec!["experiment", "show", &wrong_type]),
        ("misspelled key on the command line", vec!["experiment", "show", "quickstart", "video.moed=x"]),
        ("not a pair", vec!["experiment", "show", "quickstart", "seed"]),
        ("no such mode", vec!["frames", &not_a_video, "video.mode=stream-sideways"]),
        ("no video there", vec!["frames", "nowhere.mp4"]),
        ("not a video", vec!["frames", &not_a_video]),
        ("a setting that does not concern frames", vec!["frames", &not_a_video, "seed=3"]),
        ("NaN in truth", vec!["metrics", "mot", "--truth", &bad_truth, "--tracks", &bad_truth]),
        ("an identity twice", vec!["metrics", "mot", "--truth", &twice, "--tracks", &twice]),
        ("no boxes", vec!["track", &not_a_video, "model=tiny", "detect.model=given"]),
        ("nothing to plan", vec!["plan", &not_a_video, "model=tiny", "detect.model=given"]),
        ("PHALP's switch misused", vec!["track", &not_a_video, "video.extract_video=maybe"]),
        ("no such device", vec!["experiment", "show", "quickstart", "device=gpu"]),
        (
            "a GPU memory limit on the CPU",
            vec!["experiment", "show", "quickstart", "device=cpu", "limits.device_mib=100"],
        ),
        ("no report yet", vec!["report", "no-such-experiment"]),
    ];
    let folder = folder.path().to_string_lossy().into_owned();
    let text: Vec<String> = cases
        .iter()
        .map(|(what, arguments)| (what, error(arguments).replace(&folder, "[folder]")))
        // ffmpeg's messages differ between versions
        .map(|(what, text)| (what, text.split(" ([mov").next().unwrap_or_default().to_string()))
        .map(|(what, text)| format!("# {what}\n{text}\n"))
        .collect();
    insta::assert_snapshot!("mistakes", text.join("\n"));
}

#[test]
fn metrics_are_json_for_programs() {
    let mot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/phalp/a/mot");
    let file = |name: &str| mot.join(name).to_string_lossy().into_owned();
    let (truth, tracks) = (file("swap_gt.txt"), file("swap_pred.txt"));
    let output = posebook(&["metrics", "mot", "--truth", &truth, "--tracks", &tracks, "--json"]);
    let scores: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scores["idsw"], 3);
    assert!((scores["hota"].as_f64().unwrap() - 0.5684).abs() < 1e-4, "{scores}");
    assert_eq!(scores["benchmark"], "mot17");
    assert_eq!(scores["benchmark_because"], "nothing");
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(notes.contains("is read by mot17's rules, the default"), "{notes}");
}

#[test]
fn a_benchmark_is_named_or_detected() {
    let folder = tempfile::tempdir().unwrap();
    let sequence = folder.path().join("MOT20-91");
    std::fs::create_dir_all(sequence.join("gt")).unwrap();
    let (truth, tracks) = (sequence.join("gt/gt.txt"), folder.path().join("tracks.txt"));
    // a person, and a vehicle that is a distractor in MOT20 alone
    std::fs::write(&truth, "1,1,10,10,20,40,1,1,1\r1,2,100,10,20,40,0,6,1\r").unwrap();
    std::fs::write(&tracks, "1,1,10,10,20,40,1\n1,2,100,10,20,40,1\n").unwrap();
    let [truth, tracks] = [&truth, &tracks].map(|path| path.to_string_lossy().into_owned());
    let run = |more: &[&str]| -> (String, Option<serde_json::Value>) {
        let mut arguments =
            vec!["metrics", "mot", "--truth", truth.as_str(), "--tracks", tracks.as_str(), "--json"];
        arguments.extend(more);
        let output = posebook(&arguments);
        (String::from_utf8_lossy(&output.stderr).into_owned(), serde_json::from_slice(&output.stdout).ok())
    };
    let scored = |more: &[&str]| -> (String, serde_json::Value) {
        let (stderr, scores) = run(more);
        let scores = scores.unwrap_or_else(|| panic!("{stderr}"));
        (stderr, scores)
    };
    let (stderr, by_path) = scored(&[]);
    assert!(stderr.contains("is read by mot20's rules, because its path names it"), "{stderr}");
    assert_eq!(by_path["benchmark_because"], "path");
    assert_eq!(by_path["fp"], 0);
    let (stderr, named) = scored(&["--benchmark", "MOT17"]);
    assert!(stderr.contains("names mot20, and the rules are mot17's"), "{stderr}");
    assert_eq!(named["benchmark"], "mot17");
    assert_eq!(named["fp"], 1);
    assert_eq!(named["mota"], 0.0);
    let (stderr, none) = run(&["--benchmark", "mot18"]);
    assert!(
        none.is_none() && stderr.contains("there is no benchmark `mot18`; choose one of mot15"),
        "{stderr}"
    );
    // seqinfo.ini says how long the sequence is
    std::fs::write(sequence.join("seqinfo.ini"), "[Sequence]\nname=MOT20-91\nseqLength=1\n").unwrap();
    assert_eq!(scored(&[]).1["fp"], 0);
    std::fs::write(&tracks, "1,1,10,10,20,40,1\n99999999,2,100,10,20,40,1\n").unwrap();
    assert!(run(&[]).0.contains("tracks.txt, line 2: frame 99999999 is beyond the end of the sequence"));
}

#[test]
fn frames_are_json_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=1"])
        .args(["-c:v", "libx264", "-bf", "2", "-g", "5", "-pix_fmt", "yuv420p"])
        .arg(&clip)
        .status()
        .unwrap();
    assert!(made.success());
    let clip = clip.to_string_lossy();
    let listed = |mode: &str| -> serde_json::Value {
        let mode = format!("video.mode={mode}");
        let output = posebook(&["frames", &clip, &mode, "video.start_frame=3", "--sha256", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let sequential = listed("stream-sequential");
    assert_eq!(sequential["frames"].as_array().unwrap().len(), 7);
    assert_eq!(sequential["frames"][0]["index"], 3);
    assert_eq!(sequential["frames"][2]["key"], true);
    for mode in ["extract-png", "extract-memory", "stream-seek"] {
        assert_eq!(listed(mode)["frames"], sequential["frames"], "{mode}");
    }
}

/// Runs ffmpeg in `folder` with arguments separated by spaces.
fn ffmpeg(folder: &Path, arguments: &str) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments.split(' ')).current_dir(folder);
    assert!(command.status().unwrap().success(), "{arguments}");
}

/// Runs the program in `folder`.
fn posebook_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_posebook")).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn existing_paths_are_files_even_if_they_look_like_options_or_urls() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=10 -frames:v 3 -c:v libx264 -g 2 a.mp4");
    let listed = |arguments: &[&str]| -> serde_json::Value {
        let arguments = [&["frames", "--sha256", "--json"], arguments].concat();
        let output = posebook_in(folder.path(), &arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["frames"].clone()
    };
    let expected = listed(&["a.mp4"]);
    assert_eq!(expected.as_array().unwrap().len(), 3);
    let long = format!("{}.mp4", "e".repeat(251));
    for name in [
        "12:30.mp4",
        "-dash.mp4",
        "-i",
        "data:x",
        "http:x.mp4",
        "file:x.mp4",
        "pipe:0",
        "concat:a.mp4|a.mp4",
        "video.mode=x",
        "100%d.mp4",
        "new\nline.mp4",
        "trail.mp4 ",
        &long,
    ] {
        std::fs::copy(folder.path().join("a.mp4"), folder.path().join(name)).unwrap();
        assert_eq!(listed(&[name]), expected, "{name}");
    }
    assert_eq!(listed(&["--", "-dash.mp4", "video.mode=stream-seek"]), expected);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.mp4");
        std::fs::copy(folder.path().join("a.mp4"), folder.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
        let output = command.arg("track").arg(name).current_dir(folder.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("is not UTF-8") && stderr.contains("ln -s"), "{stderr}");
    }
}

#[test]
fn playlists_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=10 -frames:v 3 -c:v libx264 a.ts");
    let hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.3,\na.ts\n#EXT-X-ENDLIST\n";
    for (name, text, kind) in [
        ("x.m3u8", hls, "HLS playlist"),
        ("x.mp4", hls, "HLS playlist"),
        ("x.ffconcat", "ffconcat version 1.0\nfile a.ts\n", "list of files"),
        ("y.mp4", "ffconcat version 1.0\nfile a.ts\n", "list of files"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let output = posebook_in(folder.path(), &["frames", "--json", name]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let has_message =
            stderr.contains(name) && stderr.contains(kind) && stderr.contains("ffmpeg -i IN -c copy");
        assert!(!output.status.success() && output.stdout.is_empty() && has_message, "{name}: {stderr}");
    }
}

#[test]
fn numbers_in_python_spelling_are_parsed_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=10 -frames:v 3 -c:v libx264 a.mp4");
    let run = |setting: &str| posebook_in(folder.path(), &["frames", "--json", "a.mp4", setting]);
    let frames = |output: &Output| -> usize {
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["frames"].as_array().unwrap().len()
    };
    assert_eq!(frames(&run("video.end_frame=2")), 2);
    assert_eq!(frames(&run("video.end_frame=None")), 3);
    for (setting, message) in [
        ("video.end_frame=2.0", "2.0 is not an integer; write 2"),
        ("video.every=None", "leave `video.every` out"),
    ] {
        let output = run(setting);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(message), "{stderr}");
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_cpu_build_refuses_a_gpu_in_one_line() {
    let stderr = error(&["experiment", "run", "quickstart", "device=cuda:0"]);
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{stderr}");
    assert!(stderr.contains("needs a build with CUDA (feature `cuda`)"), "{stderr}");
    let answer: serde_json::Value = serde_json::from_slice(&posebook(&["device", "--json"]).stdout).unwrap();
    assert_eq!((answer["auto"].as_str(), answer["cards"].as_array().map(Vec::len)), (Some("cpu"), Some(0)));
    assert!(answer["kernels"].as_array().unwrap().iter().all(|group| group["built"] == false));
}
