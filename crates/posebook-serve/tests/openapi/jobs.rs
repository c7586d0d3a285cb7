//! Answers about jobs and their results.

use crate::contract::Contract;
use crate::support::{Answer, TestServer};
use crate::{JSON, NO_JOB};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub fn simulated(settings: &Value) -> Value {
    json!({ "kind": "experiment", "experiment": "simulated", "settings": settings })
}

/// Adds a job that ends; its id.
pub fn finished(server: &TestServer, settings: Value) -> String {
    let id = server.queue(settings);
    server.wait_for(&id, "succeeded");
    id
}

pub fn jobs(contract: &mut Contract, server: &TestServer) -> String {
    let job = simulated(&json!({ "frames": 2 }));
    let text = job.to_string();
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        server.request(method, path, headers, body.as_bytes())
    };
    let added = contract.check("addJob", &send("POST", "/v1/jobs", &[JSON], &text));
    assert_eq!(added.status, 202);
    let done = added.json()["id"].as_str().unwrap().to_owned();
    server.wait_for(&done, "succeeded");
    contract.check_as("addJob", 200, &send("POST", "/v1/jobs", &[JSON, ("Prefer", "wait=30")], &text));
    contract.check_as("addJob", 400, &send("POST", "/v1/jobs", &[JSON], "{"));
    contract.check_as(
        "addJob",
        403,
        &server.post("/v1/jobs", &json!({ "kind": "track", "source": { "path": "/etc/passwd" } })),
    );
    contract.check_as("addJob", 413, &send("POST", "/v1/jobs", &[JSON], &"x".repeat(2_000_000)));
    contract.check_as("addJob", 415, &send("POST", "/v1/jobs", &[("Content-Type", "text/plain")], &text));
    contract.check_as("addJob", 422, &server.post("/v1/jobs", &simulated(&json!({ "frame": 1 }))));
    let too_much = simulated(&json!({ "predicted_bytes": 1_u64 << 60 }));
    contract.check_as("addJob", 507, &server.post("/v1/jobs", &too_much));

    let path = format!("/v1/jobs/{}", "11111111-1111-4111-8111-111111111111");
    contract.check_as("putJob", 202, &send("PUT", &path, &[JSON], &text));
    contract.check_as("putJob", 200, &send("PUT", &path, &[JSON, ("Prefer", "wait=30")], &text));
    contract.check_as("putJob", 400, &send("PUT", &path, &[JSON], "{"));
    let source = json!({ "kind": "track", "source": { "url": "http://127.0.0.1/" } }).to_string();
    let other = format!("/v1/jobs/{}", "22222222-2222-4222-8222-222222222222");
    contract.check_as("putJob", 403, &send("PUT", &other, &[JSON], &source));
    contract.check_as("putJob", 413, &send("PUT", &path, &[JSON], &"x".repeat(2_000_000)));
    contract.check_as("putJob", 415, &send("PUT", &path, &[], &text));
    contract.check_as(
        "putJob",
        422,
        &send("PUT", &path, &[JSON], &simulated(&json!({ "frames": 3 })).to_string()),
    );
    contract.check_as("putJob", 507, &send("PUT", &other, &[JSON], &too_much.to_string()));

    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    contract.check_as("listJobs", 200, &server.get("/v1/jobs?limit=2"));
    contract.check_as("listJobs", 200, &server.get("/v1/jobs?state=succeeded"));
    contract.check_as("listJobs", 400, &server.get("/v1/jobs?limit=0"));
    contract.check_as("listJobs", 404, &server.get(&format!("/v1/jobs?after={NO_JOB}")));
    let asked = contract.check_as("getJob", 200, &server.get(&format!("/v1/jobs/{done}")));
    let tag = asked.header("etag").unwrap().to_owned();
    contract.check_as("getJob", 200, &server.get(&format!("/v1/jobs/{running}")));
    contract.check_as(
        "getJob",
        304,
        &send("GET", &format!("/v1/jobs/{done}"), &[("If-None-Match", &tag)], ""),
    );
    contract.check_as("getJob", 404, &server.get(&format!("/v1/jobs/{NO_JOB}")));

    let post = |path: String| server.request("POST", &path, &[], b"");
    contract.check_as("retryJob", 409, &post(format!("/v1/jobs/{running}/retry")));
    contract.check_as("deleteJob", 409, &send("DELETE", &format!("/v1/jobs/{running}"), &[], ""));
    // first without an end, so that the stream is read while it is open
    contract.check_as("jobEvents", 200, &first_bytes(server, &format!("/v1/jobs/{running}/events")));
    contract.check_as("cancelJob", 200, &post(format!("/v1/jobs/{running}/cancel")));
    contract.check_as("cancelJob", 404, &post(format!("/v1/jobs/{NO_JOB}/cancel")));
    server.wait_for(&running, "canceled");
    let newest = server.service.store.newest_event().unwrap().to_string();
    contract.check_as(
        "jobEvents",
        204,
        &send("GET", &format!("/v1/jobs/{running}/events"), &[("Last-Event-ID", &newest)], ""),
    );
    contract.check_as("jobEvents", 400, &server.get(&format!("/v1/jobs/{running}/events?after=x")));
    contract.check_as("jobEvents", 404, &server.get(&format!("/v1/jobs/{NO_JOB}/events")));
    contract.check_as("events", 200, &first_bytes(server, "/v1/events?after=0"));
    contract.check_as("events", 400, &send("GET", "/v1/events", &[("Last-Event-ID", "x")], ""));

    contract.check_as("retryJob", 202, &post(format!("/v1/jobs/{done}/retry")));
    contract.check_as(
        "retryJob",
        200,
        &send("POST", &format!("/v1/jobs/{done}/retry"), &[("Prefer", "wait=30")], ""),
    );
    contract.check_as("retryJob", 404, &post(format!("/v1/jobs/{NO_JOB}/retry")));
    contract.check_as(
        "retryJob",
        415,
        &send("POST", &format!("/v1/jobs/{done}/retry"), &[("Content-Type", "text/plain")], "{}"),
    );
    let wrong = json!({ "settings": { "frame": 1 } }).to_string();
    contract.check_as("retryJob", 422, &send("POST", &format!("/v1/jobs/{done}/retry"), &[JSON], &wrong));
    // a job that failed has a failure
    let failed = server.queue(json!({ "fail": "out_of_memory" }));
    server.wait_for(&failed, "failed");
    contract.check_as("getJob", 200, &server.get(&format!("/v1/jobs/{failed}")));
    contract.check_as("deleteJob", 204, &send("DELETE", &format!("/v1/jobs/{failed}"), &[], ""));
    contract.check_as("deleteJob", 404, &send("DELETE", &format!("/v1/jobs/{failed}"), &[], ""));
    done
}

/// The head and the first bytes of an answer that does not end.
fn first_bytes(server: &TestServer, path: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(7).any(|seven| seven == b"retry: ") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..read]);
    }
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let text: String = String::from_utf8_lossy(&bytes[..head + 4])
        .to_lowercase()
        .replace("transfer-encoding: chunked\r\n", "");
    Answer::parse(text.as_bytes()).unwrap()
}

pub fn results(contract: &mut Contract, server: &TestServer, done: &str) {
    let base = format!("/v1/jobs/{done}");
    let expired = finished(server, json!({ "frames": 1 }));
    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.service.store.set_expired(expired.parse().unwrap()).unwrap();
    let tables = [
        ("listFiles", "files"),
        ("getArchive", "archive.zip"),
        ("getPeople", "people"),
        ("getTimeline", "timeline"),
        ("getMemory", "memory"),
        ("getStages", "stages"),
        ("jobLog", "log"),
        ("getFile", "files/people.csv"),
    ];
    for (id, name) in tables {
        contract.check_as(id, 200, &server.get(&format!("{base}/{name}")));
        contract.check_as(id, 404, &server.get(&format!("/v1/jobs/{NO_JOB}/{name}")));
        contract.check_as(id, 410, &server.get(&format!("/v1/jobs/{expired}/{name}")));
        // the log is there from the beginning
        if id != "jobLog" {
            contract.check_as(id, 409, &server.get(&format!("/v1/jobs/{running}/{name}")));
        }
    }
    contract.check_as("jobLog", 400, &server.get(&format!("{base}/log?tail=x")));
    let people = |query: &str, accept: &str| {
        server.request("GET", &format!("{base}/people{query}"), &[("Accept", accept)], b"")
    };
    for accept in ["application/x-ndjson", "text/csv", "application/vnd.apache.parquet"] {
        contract.check_as("getPeople", 200, &people("?from=0&to=2", accept));
    }
    contract.check_as("getPeople", 400, &people("?frame=x", "*/*"));
    contract.check_as("getPeople", 406, &people("", "image/png"));

    let path = format!("{base}/files/people.csv");
    let tag = server.get(&path).header("etag").unwrap().to_owned();
    for (method, id) in [("GET", "getFile"), ("HEAD", "headFile")] {
        contract.check_as(id, 200, &server.request(method, &path, &[], b""));
        contract.check_as(id, 304, &server.request(method, &path, &[("If-None-Match", &tag)], b""));
        contract.check_as(id, 404, &server.request(method, &format!("{base}/files/none"), &[], b""));
    }
    contract.check_as("getFile", 206, &server.request("GET", &path, &[("Range", "bytes=0-1")], b""));
    contract.check_as("getFile", 412, &server.request("GET", &path, &[("If-Match", "\"other\"")], b""));
    contract.check_as("getFile", 416, &server.request("GET", &path, &[("Range", "bytes=999999-")], b""));
    server.request("POST", &format!("/v1/jobs/{running}/cancel"), &[], b"");
    server.wait_for(&running, "canceled");
}

pub fn full_and_ending(contract: &mut Contract) {
    let server = TestServer::fresh(|options| options.queue_max = 1);
    let slow = simulated(&json!({ "frames": 1, "pause_seconds": 60 }));
    let text = slow.to_string();
    let first = server.post("/v1/jobs", &slow).json()["id"].as_str().unwrap().to_owned();
    server.wait_for(&first, "running");
    assert_eq!(server.post("/v1/jobs", &slow).status, 202);
    let put = || server.request("PUT", &format!("/v1/jobs/{NO_JOB}"), &[JSON], text.as_bytes());
    contract.check_as("addJob", 429, &server.post("/v1/jobs", &slow));
    contract.check_as("putJob", 429, &put());
    let other = finished_on_another(&server);
    let retry = || server.request("POST", &format!("/v1/jobs/{other}/retry"), &[], b"");
    contract.check_as("retryJob", 429, &retry());
    server.service.draining.store(true, std::sync::atomic::Ordering::SeqCst);
    contract.check_as("ready", 503, &server.get("/readyz"));
    contract.check_as("addJob", 503, &server.post("/v1/jobs", &slow));
    contract.check_as("putJob", 503, &put());
    contract.check_as("retryJob", 503, &retry());
}

/// A job that has ended although the device is busy: it is canceled while it is queued.
fn finished_on_another(server: &TestServer) -> String {
    let queued = server.get("/v1/jobs?state=queued").json()["jobs"][0]["id"].as_str().unwrap().to_owned();
    server.request("POST", &format!("/v1/jobs/{queued}/cancel"), &[], b"");
    server.wait_for(&queued, "canceled");
    let slow = simulated(&json!({ "frames": 1, "pause_seconds": 60 }));
    assert_eq!(server.post("/v1/jobs", &slow).status, 202, "the queue is full again");
    queued
}
