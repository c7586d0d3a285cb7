//! The page in a real browser: `tests/browser/page.test.mjs` against the built program, which tracks a short drawn clip.
//!
//! Needs Chromium, Node.js and npm, on Debian the packages `chromium`, `nodejs`, `npm` and `fonts-dejavu-core`. npm installs
//! `playwright-core`, which downloads no browser, below the target folder. Where something is missing the test is skipped; in CI it
//! fails.

mod common;
#[path = "common/ffmpeg.rs"]
mod ffmpeg;
#[path = "common/skip.rs"]
mod skip;

use common::Project;
use ffmpeg::ffmpeg;
use skip::skip;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Two people cross. A box of each in every frame comes from the ground truth.
const CLIP: &str = r#"
kind = "walkers"
about = "two people cross"
seed = 20007
width = 320
height = 180
frames = 50
fps = 25.0

[encoding]
gop = 12
b_frames = 2
crf = 20

[[clip]]
name = "crossing"
place = "street"
seed = 1

[[clip.person]]
from = [-2.2, 6.0]
stages = [{ go = [[2.2, 6.0]], speed = 1.4 }]

[[clip.person]]
from = [2.0, 7.4]
stages = [{ go = [[-2.0, 7.4]], speed = 1.3 }]
"#;

/// Metadata of a container that a page could mistake for HTML.
const HOSTILE_TITLE: &str = r#""><img src=x onerror=alert(1)>"#;

#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let Some(tests) = browser.install() else { return };
    let project = Project::with_experiment("small", "question = \"none\"\n");
    let files = project.path("files");
    make_files(&project, &files);
    let server = Server::start(&project, "data", &[]);
    let locked = Server::start(&project, "locked", &["--token-file", "token"]);
    let token = fs::read_to_string(project.path("token")).unwrap();
    let output = Command::new("node")
        .args(["--test", "--test-reporter", "spec"])
        .current_dir(&tests)
        .env("CHROMIUM", &browser.chromium)
        .env("POSEBOOK_SERVER", &server.address)
        .env("POSEBOOK_LOCKED_SERVER", &locked.address)
        .env("POSEBOOK_TOKEN", token.trim())
        .env("POSEBOOK_FILES", &files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

/// The programs of the test.
struct Browser {
    chromium: PathBuf,
}

impl Browser {
    /// Finds the programs, or reports a skip.
    fn find() -> Option<Browser> {
        let chromium = std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| program("chromium"));
        for (what, found) in [
            ("chromium", chromium.is_some()),
            ("node", program("node").is_some()),
            ("npm", program("npm").is_some()),
        ] {
            if !found {
                skip(&format!("browser tests: {what} is not installed"), true);
                return None;
            }
        }
        chromium.map(|chromium| Browser { chromium })
    }

    /// Copies the tests below the target folder and installs what they need there, or reports a skip.
    fn install(&self) -> Option<PathBuf> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        fs::create_dir_all(&to).unwrap();
        let lock = fs::read(from.join("package-lock.json")).unwrap();
        // the lock file is copied last: with it, everything is installed
        let installed = fs::read(to.join("package-lock.json")).ok() == Some(lock.clone());
        for file in fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            if file.file_name() != "package-lock.json" && file.file_type().unwrap().is_file() {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        if !installed {
            fs::write(to.join("package-lock.json"), &lock).unwrap();
            let output = Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
                .current_dir(&to)
                .output()
                .unwrap();
            if !output.status.success() {
                fs::remove_file(to.join("package-lock.json")).unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                skip(&format!("browser tests: npm cannot install playwright-core: {}", said.trim()), true);
                return None;
            }
        }
        Some(to)
    }
}

/// A program on the PATH.
fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// The drawn clip with its boxes as MOTChallenge text, a clip that ends early, and one with a hostile title.
fn make_files(project: &Project, files: &Path) {
    fs::create_dir(files).unwrap();
    fs::write(project.path("clip.toml"), CLIP).unwrap();
    project.posebook(&["dataset", "make", "clip.toml"]).succeeds();
    let clips = fs::read_dir(project.path(".posebook/clips")).unwrap().map(|clip| clip.unwrap().path());
    let clip = clips.into_iter().find(|clip| clip.join("truth.jsonl").is_file()).expect("a generated clip");
    let mut boxes = String::new();
    for line in fs::read_to_string(clip.join("truth.jsonl")).unwrap().lines() {
        let frame: serde_json::Value = serde_json::from_str(line).unwrap();
        let index = frame["frame"].as_u64().unwrap();
        for (person, is_second) in frame["people"].as_array().unwrap().iter().zip([false, true]) {
            // one of them is missed for a while, so that the tracker predicts
            if is_second && (20..26).contains(&index) {
                continue;
            }
            let side = |name: &str| person["bbox"][name].as_f64().unwrap();
            let (x, y) = (side("x1"), side("y1"));
            let (width, height) = (side("x2") - x, side("y2") - y);
            boxes += &format!("{},-1,{x:.2},{y:.2},{width:.2},{height:.2},1,-1,-1,-1\n", index + 1);
        }
    }
    fs::write(files.join("boxes.txt"), boxes).unwrap();
    let from = clip.join("clip.mp4");
    ffmpeg(files, &format!("-i {} -c copy -movflags +faststart clip.mp4", from.display()));
    let whole = fs::read(files.join("clip.mp4")).unwrap();
    fs::write(files.join("broken.mp4"), &whole[..whole.len() * 6 / 10]).unwrap();
    let titled = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i", "clip.mp4", "-c", "copy"])
        .args([
            "-metadata",
            &format!("title={HOSTILE_TITLE}"),
            "-metadata:s:v",
            &format!("handler_name={HOSTILE_TITLE}"),
        ])
        .arg("titled.mp4")
        .current_dir(files)
        .status()
        .unwrap();
    assert!(titled.success());
}

/// A running server; ended when it is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts `posebook serve` on a free port and waits until it says its address.
    fn start(project: &Project, data: &str, more: &[&str]) -> Server {
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--devices",
            "cpu",
            "--data",
            data,
            "--drain",
            "0s",
            "--disk-floor",
            "100MiB",
        ];
        let mut process = project
            .command(&[&arguments[..], more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit(' ').next().filter(|word| word.starts_with("http://"));
        let address = address.unwrap_or_else(|| panic!("the server says `{said}`")).to_string();
        Server { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(self.process.id() as i32);
        // fails if it has ended, which `wait` reports as well
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
