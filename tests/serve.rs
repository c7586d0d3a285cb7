//! `posebook serve` by the real program: jobs over HTTP from upload to results, refusals, cancellation, restarts.

#![cfg(unix)]

mod common;

use common::Project;
use job_project::project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[path = "common/job_project.rs"]
mod job_project;

/// Time limit of every wait; far more than is needed.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer, which must have this status.
    fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A running server; killed on drop.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts a server with the data folder `data` of the project.
    fn start(project: &Project, options: &[&str]) -> Server {
        let mut arguments = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            "data",
            "--devices",
            "cpu",
            "--disk-floor",
            "100MiB",
        ];
        arguments.extend(options);
        let log = fs::OpenOptions::new().create(true).append(true).open(project.path("server.log")).unwrap();
        let mut command = project.command(&arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap_or_default().to_string();
        let log = || fs::read_to_string(project.path("server.log")).unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{line}{}", log());
        Server { process, address }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut reader = BufReader::new(self.send(method, path, headers, body));
        read_answer(&mut reader)
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    fn upload(&self, name: &str, bytes: &[u8]) -> Value {
        let answer = self.request("PUT", &format!("/v1/uploads?name={name}"), &[], bytes).is(201);
        json!({ "upload": answer.json()["id"] })
    }

    fn upload_clip(&self, project: &Project, name: &str) -> Value {
        self.upload(name, &fs::read(project.path("clips").join(name)).unwrap())
    }

    fn post(&self, job: &Value) -> Answer {
        let json = [("Content-Type", "application/json")];
        self.request("POST", "/v1/jobs", &json, job.to_string().as_bytes())
    }

    /// Posts a job and returns its id.
    fn add(&self, job: &Value) -> String {
        self.post(job).is(202).json()["id"].as_str().unwrap().to_string()
    }

    fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).is(200).json()
    }

    /// Waits until the job fulfils a condition.
    fn wait(&self, id: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let job = self.job(id);
            if is_met(&job) {
                return job;
            }
            assert!(began.elapsed() < WAIT_LIMIT, "{job}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, id: &str, state: &str) -> Value {
        let ended = ["succeeded", "failed", "canceled"];
        let job =
            self.wait(id, |job| job["state"] == state || ended.contains(&job["state"].as_str().unwrap()));
        assert_eq!(job["state"], state, "{job}\n{}", self.get(&format!("/v1/jobs/{id}/log")).text());
        job
    }

    fn terminate(&mut self) -> ExitStatus {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM).unwrap();
        self.process.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads an answer with or without chunks.
fn read_answer(reader: &mut impl BufRead) -> Answer {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        }
    } else {
        reader.read_to_end(&mut body).unwrap();
    }
    Answer { status, headers, body }
}

/// Processes whose command line has `text`.
#[cfg(target_os = "linux")]
fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let command_lines = entries.filter_map(|entry| {
        let bytes = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    });
    command_lines.filter(|line| line.contains(text)).collect()
}

#[cfg(target_os = "linux")]
fn wait_until_no_process_has(text: &str) {
    let began = Instant::now();
    loop {
        let left = processes_with(text);
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tracking(video: &Value, boxes: &Value, more: Value) -> Value {
    let mut settings = json!({"model": "tiny"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"kind": "track", "source": video, "boxes": boxes, "settings": settings})
}

/// Minutes of frames: long enough to be interrupted.
fn long() -> Value {
    json!({"video.loops": 2000, "render.enable": false})
}

#[test]
fn a_video_is_tracked_from_upload_to_results() {
    let project = project();
    let server = Server::start(&project, &[]);
    let (video, boxes) =
        (server.upload_clip(&project, "walk.mp4"), server.upload_clip(&project, "boxes.txt"));
    let id = server.add(&tracking(&video, &boxes, json!({"video.mode": "extract-png"})));
    // events until the end
    let stream = server.send("GET", &format!("/v1/jobs/{id}/events"), &[], b"");
    let mut events = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        events.extend(
            line.strip_prefix("event: ").or(line.strip_prefix("event:")).map(|name| name.trim().to_string()),
        );
        if events.last().is_some_and(|event| event == "end") {
            break;
        }
    }
    for event in ["state", "progress", "end"] {
        assert!(events.iter().any(|one| one == event), "{events:?}");
    }
    let job = server.wait_for(&id, "succeeded");
    assert_eq!((&job["name"], &job["attempt"]), (&json!("walk.mp4"), &json!(1)));
    let names: Vec<&str> =
        job["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    for name in ["people.parquet", "overlay.mp4", "summary.md", "results/demo_walk.pkl"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // a file, and a part of it
    let file = format!("/v1/jobs/{id}/files/overlay.mp4");
    let whole = server.get(&file).is(200);
    let part = server.request("GET", &file, &[("Range", "bytes=4-7")], b"").is(206);
    assert_eq!((part.body.as_slice(), &whole.body[4..8]), (&b"ftyp"[..], &b"ftyp"[..]));
    // people by frame and track
    let path = format!("/v1/jobs/{id}/people?frame=3");
    let people = server.request("GET", &path, &[("Accept", "application/json")], b"").is(200).json();
    assert_eq!(people.as_array().unwrap().len(), 2);
    let track = people[0]["track"].as_u64().unwrap();
    let path = format!("/v1/jobs/{id}/people?track={track}&from=2&to=5");
    let csv = server.request("GET", &path, &[("Accept", "text/csv")], b"").is(200).text();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let parquet = [("Accept", "application/vnd.apache.parquet")];
    let parquet = server.request("GET", &format!("/v1/jobs/{id}/people"), &parquet, b"").is(200);
    assert_eq!(parquet.body, server.get(&format!("/v1/jobs/{id}/files/people.parquet")).body);
    let timeline = server.get(&format!("/v1/jobs/{id}/timeline")).is(200).json();
    assert_eq!((&timeline["frames"], timeline["tracks"].as_array().unwrap().len()), (&json!(10), 2));
    let memory = server.get(&format!("/v1/jobs/{id}/memory")).is(200).json();
    assert!(memory.to_string().contains("heap_bytes"), "{memory}");
    // the page of the job, without script
    let page = server.request("GET", &format!("/jobs/{id}"), &[("Accept", "text/html")], b"").is(200).text();
    assert!(page.contains("walk.mp4") && page.contains("extract"), "{page}");
    let text = server.get(&format!("/v1/jobs/{id}/files/summary.md")).text();
    assert!(text.contains("- video: walk.mp4, 160x120") && !text.contains("uploads"), "{text}");
}

#[test]
fn images_and_experiments_are_jobs_too() {
    let project = project();
    let server = Server::start(&project, &[]);
    let image = server.upload_clip(&project, "still.png");
    let settings = json!({"model": "tiny", "boxes": "10,10,40,90;100,10,40,80"});
    let images = server.add(&json!({"kind": "reconstruct", "source": image, "settings": settings}));
    let settings = json!({"quick": true, "dataset.frames": 5, "video.mode": "stream-sequential"});
    let experiment = server.add(&json!({"kind": "experiment", "experiment": "small", "settings": settings}));
    let job = server.wait_for(&images, "succeeded");
    let names = job["files"].to_string();
    assert!(names.contains("still_all.png") && names.contains("still_1.obj"), "{names}");
    let people = server.get(&format!("/v1/jobs/{images}/people?frame=0")).is(200).json();
    assert_eq!(people.as_array().unwrap().len(), 2);
    let job = server.wait_for(&experiment, "succeeded");
    assert!(job["files"].to_string().contains("report.html"), "{job}");
    let runs = server.get(&format!("/v1/jobs/{experiment}/files/runs.csv")).is(200).text();
    assert_eq!(runs.lines().count(), 2, "{runs}");
}

#[test]
fn wrong_requests_are_refused_with_what_to_change() {
    let project = project();
    let server = Server::start(&project, &[]);
    let (video, boxes) =
        (server.upload_clip(&project, "walk.mp4"), server.upload_clip(&project, "boxes.txt"));
    let refused = |job: &Value, status: u16, name: &str, pointer: &str| {
        let answer = server.post(job).is(status);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert!(problem["type"].as_str().unwrap().ends_with(&format!("/{name}")), "{problem}");
        assert_eq!(problem["pointer"], pointer, "{problem}");
        problem["detail"].as_str().unwrap().to_string()
    };
    let detail = refused(
        &tracking(&video, &boxes, json!({"video.evry": 2})),
        422,
        "unknown-setting",
        "/settings/video.evry",
    );
    assert!(detail.contains("did you mean `video.every`?"), "{detail}");
    refused(&tracking(&video, &boxes, json!({"out": "/tmp"})), 422, "bad-setting", "/settings/out");
    refused(&tracking(&video, &boxes, json!({"video.start_frame": 99})), 422, "bad-setting", "/settings");
    refused(&json!({"kind": "experiment", "experiment": "smal"}), 422, "bad-setting", "/experiment");
    refused(
        &tracking(&json!({"path": "/etc/passwd"}), &boxes, json!({})),
        403,
        "path-not-allowed",
        "/source",
    );
    // a playlist that names another file of the server
    let secret = project.path("clips/walk.mp4").display().to_string();
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n");
    for name in ["x.mp4", "x.m3u8"] {
        let source = server.upload(name, playlist.as_bytes());
        let detail = refused(&tracking(&source, &boxes, json!({})), 422, "not-a-video", "/source");
        assert!(!detail.contains("160"), "{detail}");
    }
    let text = server.upload("notes.mp4", b"this is no video");
    let detail = refused(&tracking(&text, &boxes, json!({})), 422, "not-a-video", "/source");
    assert!(detail.starts_with("this is not a video") && !detail.contains("uploads"), "{detail}");
    assert_eq!(server.get("/v1/jobs/00000000-0000-4000-8000-000000000000").is(404).json()["status"], 404);
}

#[cfg(target_os = "linux")]
#[test]
fn a_canceled_job_leaves_no_process() {
    let project = project();
    let server = Server::start(&project, &[]);
    let (video, boxes) =
        (server.upload_clip(&project, "walk.mp4"), server.upload_clip(&project, "boxes.txt"));
    let id = server.add(&tracking(&video, &boxes, long()));
    server.wait(&id, |job| job["progress"]["stage"] == "run" && job["progress"]["done"].as_u64() > Some(0));
    assert!(!processes_with(&id).is_empty());
    server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").is(200);
    server.wait_for(&id, "canceled");
    assert_eq!(processes_with(&id), [] as [String; 0], "canceled is said when no process is left");
    // it stays so
    server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").is(200);
    assert_eq!(server.job(&id)["state"], "canceled");
}

#[cfg(target_os = "linux")]
#[test]
fn jobs_of_a_killed_server_are_finished_by_the_next_one() {
    let project = project();
    let mut server = Server::start(&project, &[]);
    let (video, boxes) =
        (server.upload_clip(&project, "walk.mp4"), server.upload_clip(&project, "boxes.txt"));
    let settings = json!({"video.loops": 8, "render.enable": false});
    let id = server.add(&tracking(&video, &boxes, settings));
    let next = server.add(&tracking(&video, &boxes, json!({"render.enable": false})));
    server.wait(&id, |job| job["progress"]["stage"] == "run");
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    wait_until_no_process_has(&id);
    let server = Server::start(&project, &[]);
    let job = server.wait_for(&id, "succeeded");
    assert_eq!(job["attempt"], 2);
    assert_eq!(server.wait_for(&next, "succeeded")["attempt"], 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminated_server_puts_running_jobs_back() {
    let project = project();
    let mut server = Server::start(&project, &["--drain", "0s"]);
    let (video, boxes) =
        (server.upload_clip(&project, "walk.mp4"), server.upload_clip(&project, "boxes.txt"));
    let id = server.add(&tracking(&video, &boxes, long()));
    server.wait(&id, |job| job["progress"]["stage"] == "run");
    let began = Instant::now();
    let status = server.terminate();
    assert!(status.success() && began.elapsed() < Duration::from_secs(20), "{status}");
    wait_until_no_process_has(&id);
    let server = Server::start(&project, &[]);
    server.wait(&id, |job| job["state"] == "running" && job["attempt"] == 2);
    server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").is(200);
    server.wait_for(&id, "canceled");
}

#[test]
fn one_job_runs_without_listening() {
    let project = project();
    let clips = project.path("clips");
    let path = |name: &str| json!({"path": clips.join(name)});
    let write = |name: &str, job: &Value| fs::write(project.path(name), job.to_string()).unwrap();
    write("good.json", &tracking(&path("walk.mp4"), &path("boxes.txt"), json!({"render.enable": false})));
    let once = |name: &str| {
        project.posebook(&[
            "serve",
            "--data",
            "data",
            "--devices",
            "cpu",
            "--disk-floor",
            "100MiB",
            "--once",
            name,
        ])
    };
    let output = once("good.json").succeeds();
    let text = String::from_utf8_lossy(&output.0.stdout).into_owned();
    let folder =
        text.lines().find_map(|line| line.strip_prefix("results: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(Path::new(folder).join("people.parquet").is_file());
    write("wrong.json", &tracking(&path("walk.mp4"), &path("boxes.txt"), json!({"hmr2.batch": 0})));
    let wrong = once("wrong.json");
    assert_eq!(wrong.0.status.code(), Some(1));
    assert!(wrong.errors().contains("(at /settings/hmr2.batch)"), "{}", wrong.errors());
    write(
        "failing.json",
        &tracking(&path("walk.mp4"), &path("boxes.txt"), json!({"limits.wall_secs": 0.01})),
    );
    let failing = once("failing.json");
    assert_eq!(failing.0.status.code(), Some(1));
    assert!(failing.errors().contains("limits.wall_secs"), "{}", failing.errors());
}

#[test]
fn wrong_options_have_clear_messages() {
    let project = project();
    fs::write(project.path("file"), "").unwrap();
    for (options, expected) in [
        (&["--listen", "0.0.0.0:0"][..], "a token is needed: add --token-file"),
        (&["--listen", "[::]:0"], "a token is needed"),
        (&["--listen", "7878"], "give an address and a port"),
        (&["--devices", "cuda:99"], "--devices cuda:99"),
        (&["--devices", "gpu"], "gpu"),
        (&["--devices", "auto"], "name the devices"),
        (&["--devices", "cpu,cpu"], "names cpu twice"),
        (&["--allow", "no/such/folder"], "--allow no/such/folder: there is no such folder"),
        (&["--map", "/data"], "write FROM=TO"),
        (&["--host", "https://a/b"], "give a name without scheme"),
        (&["--cors-origin", "*"], "--cors-origin *"),
        (&["--queue-max", "0"], "would refuse every job"),
        (&["--keep", "soon"], "`soon`"),
        (&["--upload-max", "4 GB"], "`4 GB` is no size"),
        (&["--drain", "forever"], "--drain forever"),
        (&["--log", "xml"], "xml"),
        (&["--data", "file"], "file"),
        (&["--once", "missing.json"], "missing.json"),
        (&["--once", "file"], "is no job"),
    ] {
        let started = Instant::now();
        let any_port: &[&str] = if options[0] == "--listen" { &[] } else { &["--listen", "127.0.0.1:0"] };
        let output = project.posebook(&[&["serve"][..], any_port, options].concat());
        assert!(!output.0.status.success() && started.elapsed() < Duration::from_secs(20), "{options:?}");
        let errors = output.errors();
        assert!(errors.contains(expected) && !errors.contains("panicked"), "{options:?}: {errors}");
    }
}
