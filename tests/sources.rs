//! Video sources: folders of images and web addresses, tracked with provided boxes; and the audio of overlays.

mod common;
#[path = "common/ffmpeg.rs"]
mod ffmpeg;
#[path = "common/skip.rs"]
mod skip;

use common::Project;
use ffmpeg::ffmpeg;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const FRAMES: usize = 5;

/// A project with `boxes.txt`, one box in every frame.
fn project() -> Project {
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/quickstart.toml");
    let project = Project::with_experiment("quickstart", &std::fs::read_to_string(quickstart).unwrap());
    let line = |frame: usize| format!("{frame},1,20,10,40,80,1,-1,-1,-1\n");
    std::fs::write(project.path("boxes.txt"), (1..=FRAMES).map(line).collect::<String>()).unwrap();
    project
}

/// A file's tracks by ffprobe.
fn tracks(path: &Path) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_type,avg_frame_rate,nb_frames",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_folder_of_images_is_tracked() {
    let project = project();
    std::fs::create_dir(project.path("pictures")).unwrap();
    ffmpeg(&project.path("pictures"), &format!("-f lavfi -i testsrc2=size=96x96 -frames:v {FRAMES} %d.png"));
    project.posebook(&["track", "pictures", "model=tiny", "boxes=boxes.txt", "fps=10", "out=out"]).succeeds();
    let overlay = project.path("out/latest/overlay.mp4");
    assert_eq!(tracks(&overlay).trim(), format!("video,10/1,{FRAMES}"));
    let summary = std::fs::read_to_string(project.path("out/latest/summary.md")).unwrap();
    let expected = "# pictures\n\n- video: pictures, 96x96, 10.000 frames/s\n";
    assert!(summary.starts_with(expected) && summary.contains("\n- frames 0 to 5"), "{summary}");
    assert!(!project.path(".posebook/downloads").exists(), "nothing is derived from the images");
    let run = &common::rows(&project.path("out/latest/runs.csv"))[0];
    assert_eq!(
        (run["clip"].as_str(), run["clip_frames"].as_str(), run["fps"].as_str()),
        ("pictures", "5", "10.0")
    );
    // the rate and the images identify the run
    let again = project
        .posebook(&["track", "pictures/", "model=tiny", "boxes=boxes.txt", "fps=20", "out=out"])
        .succeeds();
    let other = &common::rows(&project.path("out/latest/runs.csv"))[0];
    assert!(run["clip_sha256"] != other["clip_sha256"] && other["clip"] == "pictures", "{}", again.errors());
    let wrong = project.posebook(&["track", "pictures", "model=tiny", "boxes=boxes.txt", "fps=0"]);
    assert!(wrong.errors().contains("frames a second, more than 0"), "{}", wrong.errors());
    std::fs::create_dir(project.path("empty")).unwrap();
    let wrong = project.posebook(&["track", "empty", "model=tiny", "boxes=boxes.txt"]);
    assert!(wrong.errors().contains("there are no images in this folder"), "{}", wrong.errors());
}

/// SHA-256 of every frame by `posebook frames`.
fn hashes(project: &Project, arguments: &[&str]) -> Vec<String> {
    let said = project.posebook(&[&["frames"], arguments, &["--sha256", "--json"]].concat()).succeeds();
    let list: serde_json::Value = serde_json::from_slice(&said.0.stdout).unwrap();
    let hash = |frame: &serde_json::Value| frame["sha256"].as_str().unwrap().to_string();
    list["frames"].as_array().unwrap().iter().map(hash).collect()
}

#[test]
fn images_of_a_folder_are_decoded_as_by_reconstruct() {
    let project = project();
    let stills = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/opencv/stills");
    let pictures = project.path("pictures");
    std::fs::create_dir(&pictures).unwrap();
    // EXIF rotations to the same size; a JPEG is recognized by its content
    for (from, to) in [("exif-8.jpg", "9.jpg"), ("exif-5.jpg", "10.jpg"), ("exif-6.jpg", "1.png")] {
        std::fs::copy(stills.join(from), pictures.join(to)).unwrap();
    }
    std::fs::write(pictures.join("._9.jpg"), b"\0\x05\x16\x07 of macOS").unwrap();
    let message = project.posebook(&["frames", "pictures"]).succeeds().errors();
    assert!(message.contains("note: pictures/._9.jpg is left out: it is hidden"), "{message}");
    let goldens = std::fs::read_to_string(stills.with_extension("json")).unwrap();
    let goldens: serde_json::Value = serde_json::from_str(&goldens).unwrap();
    let golden = |name: &str| {
        let cases = goldens["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["file"] == name).unwrap();
        case["rgb_sha256"].as_str().unwrap().to_string()
    };
    let expected = ["exif-6.jpg", "exif-8.jpg", "exif-5.jpg"].map(golden);
    assert_eq!(hashes(&project, &["pictures"]), expected);
    assert_eq!(
        hashes(&project, &["pictures", "video.mode=stream-seek", "video.start_frame=1"]),
        expected[1..]
    );
    assert_eq!(
        hashes(&project, &["pictures", "video.loops=2", "video.every=3", "fps=5"]),
        vec![expected[0].clone(); 2]
    );
    // a damaged image is named; it ends a video, while `reconstruct` continues with the other images
    let bytes_of_image = std::fs::read(pictures.join("9.jpg")).unwrap();
    std::fs::write(pictures.join("9.jpg"), &bytes_of_image[..bytes_of_image.len() - 60]).unwrap();
    let reason = "the JPEG is damaged or cut short";
    let message = project.posebook(&["frames", "pictures", "--sha256"]).errors();
    assert!(message.contains(&format!("pictures/9.jpg, frame 1: {reason}")), "{message}");
    let message = project
        .posebook(&["reconstruct", "pictures", "device=cpu", "model=tiny", "detect.model=given"])
        .errors();
    assert!(message.contains("pictures/._9.jpg is left out: it is hidden"), "{message}");
    assert!(message.contains(&format!("[2/3] pictures/9.jpg: {reason}")), "{message}");
    assert!(message.contains("[3/3] pictures/10.jpg: 1 person"), "{message}");
}

/// Serves one file repeatedly on the loopback address.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/walk.mp4?size=large", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    address
}

#[test]
fn an_address_is_downloaded_once_and_the_overlay_has_its_audio() {
    if Command::new("curl").arg("--version").output().is_err() {
        return skip::skip("curl is not installed", true);
    }
    let project = project();
    ffmpeg(
        &project.path("."),
        "-f lavfi -i testsrc2=size=96x96:rate=25 -f lavfi -i sine -t 0.2 -c:v libx264 -c:a aac walk.mp4",
    );
    let address = serve(std::fs::read(project.path("walk.mp4")).unwrap());
    project.posebook(&["track", &address, "model=tiny", "boxes=boxes.txt", "out=out"]).succeeds();
    let overlay = tracks(&project.path("out/latest/overlay.mp4"));
    assert!(overlay.contains(&format!("video,25/1,{FRAMES}")) && overlay.contains("audio"), "{overlay}");
    let downloads: Vec<_> =
        std::fs::read_dir(project.path(".posebook/downloads")).unwrap().flatten().collect();
    assert_eq!(downloads.len(), 1);
    assert_eq!(std::fs::read(downloads[0].path()).unwrap(), std::fs::read(project.path("walk.mp4")).unwrap());
}

#[test]
fn paths_are_taken_literally_and_output_folders_are_checked_first() {
    let project = project();
    ffmpeg(&project.path("."), &format!("-f lavfi -i testsrc2=size=96x96:rate=10 -frames:v {FRAMES} a.mp4"));
    std::fs::copy(project.path("a.mp4"), project.path("-12:30.mp4")).unwrap();
    std::fs::copy(project.path("boxes.txt"), project.path("1e3")).unwrap();
    for (out, folder) in [("a:b", "a:b"), ("-x", "-x"), ("2024_11_27 ", "2024_11_27 ")] {
        let out = format!("out={out}");
        project.posebook(&["track", "-12:30.mp4", "model=tiny", "boxes=1e3", &out]).succeeds();
        let overlay = project.path(&format!("{folder}/latest/overlay.mp4"));
        assert_eq!(tracks(&overlay).trim(), format!("video,10/1,{FRAMES}"), "{folder}");
    }
    let home = project.path("home");
    let mut command = project.command(&["track", "a.mp4", "model=tiny", "boxes=1e3", "out=~/results"]);
    assert!(command.env("HOME", &home).output().unwrap().status.success());
    assert!(home.join("results/latest/overlay.mp4").is_file() && !project.path("~").exists());

    std::fs::write(project.path("file"), "mine").unwrap();
    for given in [
        &["track", "a.mp4", "model=tiny", "boxes=1e3", "out=file"][..],
        &["track", "a.mp4", "model=tiny", "boxes=1e3", "out=file/below"],
        &["reconstruct", "a.mp4", "model=tiny", "out=file"],
    ] {
        let wrong = project.posebook(given);
        assert!(!wrong.0.status.success());
        let said = wrong.errors();
        assert!(
            said.contains("results cannot be written to the folder") && !said.contains("frames"),
            "{said}"
        );
    }
    assert_eq!(std::fs::read(project.path("file")).unwrap(), b"mine");
}

/// The mean rate includes the last frame's duration, and is the same in all outputs.
#[test]
fn variable_frame_rates_have_one_mean_and_undecodable_audio_is_left_out() {
    let project = project();
    // frames at 0, 0.1, 0.2, 0.6 and 0.7 s, the last until 0.8 s
    let uneven = "select=not(between(n\\,3\\,5)),setpts=PTS";
    ffmpeg(
        &project.path("."),
        &format!(
            "-f lavfi -i testsrc2=size=96x96:rate=10:d=0.8 -f lavfi -i sine -t 0.8 -vf {uneven} -vsync vfr -bf 0 \
             -c:v libx264 -c:a aac uneven.mp4"
        ),
    );
    let mut bytes = std::fs::read(project.path("uneven.mp4")).unwrap();
    // an audio codec that ffmpeg cannot decode
    for (from, to) in [(b"mp4a", b"ac-4"), (b"esds", b"free")] {
        let at = bytes.windows(4).position(|four| four == from).unwrap();
        bytes[at..at + 4].copy_from_slice(to);
    }
    std::fs::write(project.path("unsupported.mp4"), bytes).unwrap();
    for (name, has_sound) in [("uneven.mp4", true), ("unsupported.mp4", false)] {
        let frames = project.posebook(&["frames", name]).succeeds();
        let message = String::from_utf8_lossy(&frames.0.stdout).into_owned();
        assert!(message.contains(" 6.250 frames/s (mean),"), "{name}: {message}");
        let tracked =
            project.posebook(&["track", name, "model=tiny", "boxes=boxes.txt", "out=out"]).succeeds();
        let summary = String::from_utf8_lossy(&tracked.0.stdout).into_owned();
        assert!(summary.contains("96x96, 6.250 frames/s (mean)\n"), "{name}: {summary}");
        assert_eq!(summary.contains("- note: the overlay has no sound:"), !has_sound, "{name}: {summary}");
        assert_eq!(common::rows(&project.path("out/latest/runs.csv"))[0]["fps"], "6.25");
        let overlay = tracks(&project.path("out/latest/overlay.mp4"));
        assert!(overlay.contains(&format!("video,25/4,{FRAMES}")), "{name}: {overlay}");
        assert_eq!(overlay.contains("audio"), has_sound, "{name}: {overlay}");
    }
}
