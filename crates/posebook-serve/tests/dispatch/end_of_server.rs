//! Drain: what happens to running jobs when the server ends.

use crate::support::TestServer;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn an_idle_server_ends_at_once() {
    let server = TestServer::fresh(|options| options.drain = Duration::from_secs(30));
    server.get("/healthz");
    let began = Instant::now();
    server.stop().unwrap();
    let took = began.elapsed();
    println!("an idle server ended in {:.0} ms", took.as_secs_f64() * 1e3);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_short_job_is_finished_before_the_server_ends() {
    let folder = tempfile::tempdir().unwrap();
    let options = posebook_serve::Options { drain: Duration::from_secs(20), ..TestServer::options(&folder) };
    let server = TestServer::start(options.clone());
    let id = server.queue(json!({ "frames": 10, "frame_seconds": 0.05 }));
    server.wait_for(&id, "running");
    server.stop().unwrap();
    let server = TestServer::start(options);
    let job = server.job(&id);
    assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)));
}

#[test]
fn a_long_job_is_queued_again_without_counting_as_a_crash_and_runs_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = TestServer::options(&folder);
    let first = TestServer::start(options.clone());
    let id = first.queue(json!({ "frames": 30, "frame_seconds": 0.05 }));
    let waiting = first.queue(json!({ "frames": 1 }));
    let has_frames = |server: &TestServer| {
        let job = server.service.store.job(id.parse().unwrap()).unwrap().unwrap();
        job.progress.is_some_and(|progress| progress.done > 0)
    };
    crate::support::wait_until("it has frames", || has_frames(&first));
    first.stop().unwrap();
    // three times: after two crashes the job would fail
    for _ in 0..2 {
        let server = TestServer::start(options.clone());
        crate::support::wait_until("it has frames", || has_frames(&server));
        server.stop().unwrap();
    }
    let server = TestServer::start(options);
    let job = server.wait_for(&id, "succeeded");
    assert_eq!(job["attempt"], 4);
    assert_eq!(server.service.store.job(id.parse().unwrap()).unwrap().unwrap().server_crashes, 0);
    server.wait_for(&waiting, "succeeded");
    let log = server.get(&format!("/v1/jobs/{id}/log")).text();
    assert!(log.contains("the server was stopped during attempt 3; the job is queued again"), "{log}");
    assert_eq!(log.matches("job of 30 frames").count(), 4, "{log}");
}

#[test]
fn a_draining_server_says_so_and_takes_no_jobs() {
    let server = TestServer::fresh(|options| options.drain = Duration::from_secs(20));
    let id = server.queue(json!({ "frames": 60, "frame_seconds": 0.05 }));
    server.wait_for(&id, "running");
    let address = server.address;
    let stopping = std::thread::spawn(move || server.stop());
    let get = |path: &str| crate::support::request(address, "GET", path, &[], b"").unwrap();
    crate::support::wait_until("it drains", || get("/readyz").status == 503);
    assert_eq!(get("/healthz").status, 200);
    let body = json!({ "kind": "experiment", "experiment": "simulated" }).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = crate::support::request(address, "POST", "/v1/jobs", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.json()["type"].as_str().unwrap().ends_with("/draining"), "{}", answer.text());
    stopping.join().unwrap().unwrap();
}

#[test]
fn a_job_that_is_canceled_while_the_server_drains_is_canceled() {
    let folder = tempfile::tempdir().unwrap();
    let options = posebook_serve::Options { drain: Duration::from_secs(20), ..TestServer::options(&folder) };
    let server = TestServer::start(options.clone());
    let id = server.queue(json!({ "frames": 1000, "frame_seconds": 0.05 }));
    server.wait_for(&id, "running");
    let address = server.address;
    let stopping = std::thread::spawn(move || server.stop());
    std::thread::sleep(Duration::from_millis(100));
    let headers = [("Content-Type", "application/json")];
    let path = format!("/v1/jobs/{id}/cancel");
    assert_eq!(crate::support::request(address, "POST", &path, &headers, b"{}").unwrap().status, 200);
    stopping.join().unwrap().unwrap();
    assert_eq!(TestServer::start(options).job(&id)["state"], "canceled");
}

/// The device may take it after the server has looked for jobs to interrupt.
#[test]
fn a_job_that_is_queued_just_before_the_end_is_not_executed_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let options = posebook_serve::Options { drain: Duration::ZERO, ..TestServer::options(&folder) };
    let mut last = String::new();
    for round in 0..10 {
        let server = TestServer::start(options.clone());
        last = server.queue(json!({ "frames": 400, "frame_seconds": 0.05 }));
        std::thread::sleep(Duration::from_micros(500 * round));
        let began = Instant::now();
        server.stop().unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?} in round {round}", began.elapsed());
    }
    let store = posebook_serve::store::Store::open(&options.data).unwrap();
    assert_eq!(store.counts().unwrap(), [(posebook_serve::job::JobState::Queued, 10)]);
    assert_eq!(store.job(last.parse().unwrap()).unwrap().unwrap().server_crashes, 0);
}
