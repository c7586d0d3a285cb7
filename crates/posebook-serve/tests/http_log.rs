//! The server's log: one line a request and one per change of a job's state, without secrets and control characters.

mod support;

use posebook_serve::Server;
use posebook_serve::options::LogFormat;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use support::{FakeBackend, TestServer, request, send_raw, wait_until};

/// Format of the log of [`a_server_for_the_tests_of_this_file`].
const FORMAT: &str = "POSEBOOK_TEST_LOG_FORMAT";

/// Token of that server.
const TOKEN: &str = "the-secret-token-0123456789";

/// Not a test: the process whose log the tests read, when they start it with the variable set.
#[test]
fn a_server_for_the_tests_of_this_file() {
    let Ok(format) = std::env::var(FORMAT) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = TestServer::options(&folder);
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, mode).expect("mode");
    options.token_file = Some(token);
    options.log = if format == "json" { LogFormat::Json } else { LogFormat::Text };
    let server = Server::bind(options, Arc::new(FakeBackend::default())).expect("the server starts");
    println!("\nlistening on {}", server.address());
    // the test kills this process
    server.run(&AtomicBool::new(false)).expect("served");
}

struct Process {
    child: Child,
    address: SocketAddr,
    log: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(format: &str) -> Process {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_server_for_the_tests_of_this_file", "--nocapture"])
            .env(FORMAT, format)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut lines = lines.map_while(Result::ok);
        let address =
            lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).expect("an address");
        // its output is read to the end, so that it never waits for this
        std::thread::spawn(move || lines.count());
        Process { child, address: address.parse().expect("an address"), log, _folder: folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("UTF-8")
    }

    /// Sends requests with secrets and hostile texts; the id of a job that ended.
    fn provoke(&self) -> String {
        let bearer = format!("Bearer {TOKEN}");
        let authorized = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("X-Request-Id", "mine-1"),
        ];
        let body = json!({ "kind": "experiment", "experiment": "simulated", "settings": { "frames": 1 } })
            .to_string();
        let job = request(self.address, "POST", "/v1/jobs", &authorized, body.as_bytes())
            .expect("an answer")
            .json();
        let id = job["id"].as_str().expect("an id").to_owned();
        let get = |path: &str| request(self.address, "GET", path, &authorized[..1], b"").expect("an answer");
        wait_until("the job has ended", || get(&format!("/v1/jobs/{id}")).json()["state"] == "succeeded");
        get(&format!("/v1/jobs?token={TOKEN}"));
        get("/nothing/%0a%1b[2J/at-all?query-secret=1");
        request(self.address, "GET", "/v1/jobs", &[("Authorization", "Bearer guess-secret")], b"")
            .expect("an answer");
        request(self.address, "GET", "/v1/jobs", &[("Cookie", "posebook_session=cookie-secret")], b"")
            .expect("an answer");
        let url = json!({ "kind": "track", "source": { "url": "https://user:pass-secret@a.example/b.mp4?sig-secret=1" } });
        request(self.address, "POST", "/v1/jobs", &authorized, url.to_string().as_bytes())
            .expect("an answer");
        let sign_in = json!({ "token": TOKEN }).to_string();
        request(self.address, "POST", "/sign-in", &authorized[1..], sign_in.as_bytes()).expect("an answer");
        let panics = json!({ "kind": "experiment", "experiment": "panics" }).to_string();
        request(self.address, "POST", "/v1/jobs", &authorized, panics.as_bytes()).expect("an answer");
        // bytes that are not UTF-8 within an address
        let raw = [
            b"GET /\xc3\x28\xff HTTP/1.1\r\nHost: ".as_slice(),
            self.address.to_string().as_bytes(),
            b"\r\n\r\n",
        ]
        .concat();
        let _ = send_raw(self.address, &raw);
        request(self.address, "GET", "/last", &[], b"").expect("an answer");
        wait_until("the last line is written", || self.log().contains("/last"));
        id
    }
}

#[track_caller]
fn assert_clean(log: &str) {
    for secret in [TOKEN, "secret", "posebook_session"] {
        assert!(!log.contains(secret), "{secret} is in\n{log}");
    }
    let acts = |letter: char| letter.is_control() && letter != '\n';
    // the message of a panic is printed by the program itself, with its own line breaks
    assert!(!log.contains(acts), "{log:?}");
}

#[test]
fn json_lines_are_objects_with_request_and_job() {
    let server = Process::start("json");
    let id = server.provoke();
    let log = server.log();
    assert_clean(&log);
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    let states: Vec<Value> =
        of("job").iter().filter(|line| line["job"] == id).map(|line| line["state"].clone()).collect();
    assert_eq!(states, ["queued", "starting", "running", "succeeded"], "{log}");
    let requests = of("request");
    let post = requests.iter().find(|line| line["method"] == "POST").expect("a line");
    for (key, value) in [
        ("route", json!("/v1/jobs")),
        ("status", json!(202)),
        ("request", json!("mine-1")),
        ("job", json!(id)),
    ] {
        assert_eq!(post[key], value, "{post:#}");
    }
    assert!(post["ms"].is_u64() && post["bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{post:#}");
    assert!(requests.iter().any(|line| line["route"] == "/v1/jobs/{id}" && line["job"] == id), "{log}");
    let failed = requests.iter().find(|line| line["status"] == 500).expect("the panic");
    assert!(
        failed["error"].as_str().is_some_and(|error| error.contains("the simulated panic")),
        "{failed:#}"
    );
    assert!(
        requests.iter().all(|line| line["route"].as_str().is_some_and(|route| !route.contains('?'))),
        "{log}"
    );
}

#[test]
fn text_lines_are_one_a_request() {
    let server = Process::start("text");
    let id = server.provoke();
    let log = server.log();
    assert_clean(&log);
    let posted = " event=request method=POST route=/v1/jobs status=202 ms=";
    let line = log.lines().find(|line| line.contains(posted)).expect("a line");
    assert!(line.contains(" request=mine-1") && line.ends_with(&format!(" job={id}")), "{line}");
    assert!(log.lines().any(|line| line.contains("event=job") && line.contains("state=succeeded")), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("/last")).count(), 1);
}
