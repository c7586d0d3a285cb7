//! Event streams.

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::{TestServer, assert_problem};

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: i64,
    kind: String,
    data: Value,
}

/// An open event stream.
struct Stream {
    status: u16,
    lines: BufReader<TcpStream>,
}

impl Stream {
    fn open(server: &TestServer, path: &str, headers: &str) -> Stream {
        let mut socket = TcpStream::connect(server.address).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address).expect("sent");
        let mut lines = BufReader::new(socket);
        let mut line = String::new();
        lines.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        while !line.trim().is_empty() {
            line.clear();
            lines.read_line(&mut line).expect("a header");
        }
        Stream { status, lines }
    }

    /// The next line, without those of chunks; `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.lines.read_line(&mut line).expect("a line");
        (bytes > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event.
    fn event(&mut self) -> Option<Event> {
        let mut event = Event { id: -1, kind: String::new(), data: Value::Null };
        loop {
            let line = self.line()?;
            if let Some(id) = line.strip_prefix("id: ") {
                event.id = id.parse().expect("a number");
            } else if let Some(kind) = line.strip_prefix("event: ") {
                event.kind = kind.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).expect("JSON");
                return Some(event);
            }
        }
    }

    fn events(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }
}

#[test]
fn the_events_of_a_job_are_in_order_and_end_with_its_end() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 3, "frame_seconds": 0.1 }));
    let path = format!("/v1/jobs/{id}/events");
    let stream = Stream::open(&server, &path, "");
    assert_eq!(stream.status, 200);
    let events = stream.events();
    assert!(events.windows(2).all(|two| two[0].id < two[1].id), "{events:#?}");
    assert!(events.iter().all(|event| event.data["job"] == id), "{events:#?}");
    let states: Vec<&str> = events
        .iter()
        .filter(|event| event.kind == "state")
        .filter_map(|event| event.data["state"].as_str())
        .collect();
    assert_eq!(states, ["queued", "starting", "running", "succeeded"]);
    assert!(events.iter().any(|event| event.kind == "progress" && event.data["of"] == 3), "{events:#?}");
    assert!(events.iter().any(|event| event.kind == "log"), "{events:#?}");
    let end = events.last().expect("events");
    assert_eq!((end.kind.as_str(), &end.data["state"]), ("end", &json!("succeeded")));
    assert_eq!(events.iter().filter(|event| event.kind == "end").count(), 1);

    // a client that was cut off gets the rest, once; one that has all gets 204
    let middle = events[events.len() / 2].id;
    let rest = Stream::open(&server, &path, &format!("Last-Event-ID: {middle}\r\n")).events();
    assert!(!rest.is_empty() && rest.iter().all(|event| event.id > middle), "{rest:#?}");
    assert_eq!(rest.last(), events.last());
    let by_query = Stream::open(&server, &format!("{path}?after={middle}"), "").events();
    assert_eq!(by_query, rest);
    assert_eq!(Stream::open(&server, &path, &format!("Last-Event-ID: {}\r\n", end.id)).status, 204);
    assert_eq!(Stream::open(&server, &path, "Last-Event-ID: 999999999\r\n").status, 204);
    for id in ["-1", "x", "1e9", "99999999999999999999999"] {
        assert_problem(&server.request("GET", &path, &[("Last-Event-ID", id)], b""), 400, "malformed");
    }
    assert_problem(&server.get(&format!("{path}?from=1")), 400, "malformed");
}

#[test]
fn the_stream_of_all_jobs_begins_now_and_reports_the_end_of_the_server() {
    let server = TestServer::limited(|options, limits| {
        options.drain = Duration::from_millis(500);
        limits.comment_time = Duration::from_millis(50);
    });
    let before = server.queue(json!({ "frames": 1 }));
    server.wait_for(&before, "succeeded");
    let mut stream = Stream::open(&server, "/v1/events", "");
    let mut comments = 0;
    while comments < 3 {
        comments += usize::from(stream.line().expect("a comment") == ":");
    }
    let (a, b) =
        (server.queue(json!({ "frames": 1 })), server.queue(json!({ "frames": 1, "pause_seconds": 60 })));
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let event = stream.event().expect("an event");
        assert_ne!(event.data["job"], before);
        seen.insert(event.data["job"].as_str().expect("a job").to_owned());
    }
    assert_eq!(seen, [a, b.clone()].into());
    server.wait_for(&b, "running");
    let stopped = std::thread::spawn(move || server.stop());
    let rest = stream.events();
    assert!(rest.iter().any(|event| event.kind == "drain"), "{rest:#?}");
    assert!(rest.iter().any(|event| event.data["job"] == b && event.data["state"] == "queued"), "{rest:#?}");
    stopped.join().expect("no panic").expect("a clean end");
}

#[test]
fn numbers_of_events_go_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start(TestServer::options(&folder));
    let id = server.queue(json!({ "frames": 2 }));
    server.wait_for(&id, "succeeded");
    let path = format!("/v1/jobs/{id}/events");
    let before = Stream::open(&server, &path, "").events();
    server.stop().expect("a clean end");

    let server = TestServer::start(TestServer::options(&folder));
    let second = before[1].id;
    let rest = Stream::open(&server, &path, &format!("Last-Event-ID: {second}\r\n")).events();
    assert_eq!(rest, before[2..]);
    let last = before.last().expect("events").id;
    let all = Stream::open(&server, "/v1/events", &format!("Last-Event-ID: {last}\r\n"));
    let next = server.queue(json!({ "frames": 1 }));
    let mut all = all;
    let event = all.event().expect("an event");
    assert!(event.id > last && event.data["job"] == next, "{event:?}");
    server.wait_for(&next, "succeeded");
}

#[test]
fn progress_comes_at_most_four_times_a_second() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 60, "frame_seconds": 0.02 }));
    let began = std::time::Instant::now();
    let events = Stream::open(&server, &format!("/v1/jobs/{id}/events"), "").events();
    let seconds = began.elapsed().as_secs_f64();
    let progress = events.iter().filter(|event| event.kind == "progress").count();
    // one more for the last frame, which is always reported
    assert!(progress >= 2 && progress as f64 <= seconds * 4.0 + 2.0, "{progress} in {seconds} s");
}
