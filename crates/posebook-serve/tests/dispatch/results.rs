//! Results, events, logs and failures of executed jobs.

use crate::support::TestServer;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The events of an ended job: kinds and data.
fn events(server: &TestServer, id: &str) -> Vec<(String, Value)> {
    let id = id.parse().unwrap();
    let events = server.service.store.events(Some(id), 0, 1000).unwrap();
    events.into_iter().map(|event| (event.kind, event.data)).collect()
}

#[test]
fn a_job_runs_and_its_results_are_recorded_with_size_and_hash() {
    let server = TestServer::fresh(|_| ());
    let id = server.queue(json!({ "frames": 3, "bytes": 5000 }));
    let job = server.wait_for(&id, "succeeded");
    assert_eq!((&job["attempt"], &job["device"], &job["failure"]), (&json!(1), &json!("cpu"), &Value::Null));
    let files = job["files"].as_array().unwrap();
    let file = |name: &str| {
        files.iter().find(|file| file["name"] == name).unwrap_or_else(|| panic!("{name}: {job:#}"))
    };
    assert_eq!(file("overlay.mp4")["bytes"], 5000);
    assert_eq!(file("overlay.mp4")["media_type"], "video/mp4");
    let done = server.service.done_folder(id.parse().unwrap());
    for file in files {
        let path = done.join("files").join(file["name"].as_str().unwrap());
        let sha256 = posebook_core::provenance::sha256_of_file(&path).unwrap();
        assert_eq!(file["sha256"], sha256.as_str());
    }
    let people = std::fs::read_to_string(done.join("files/people.csv")).unwrap();
    assert_eq!(people.lines().count(), 1 + 2 * 3);
    let work = std::fs::read_dir(server.service.options.data.join("work")).unwrap();
    assert_eq!(work.count(), 0, "the folder was renamed");
    let expires = server.service.store.job(id.parse().unwrap()).unwrap().unwrap().expires.unwrap();
    let week = 7 * 24 * 3600 * 1000;
    assert!((expires - server.service.store.now() - week).abs() < 60_000);
}

#[test]
fn progress_notes_and_the_end_are_events_and_progress_is_stored_at_most_four_times_a_second() {
    let server = TestServer::fresh(|_| ());
    let began = Instant::now();
    let id = server.queue(json!({ "frames": 40, "frame_seconds": 0.03 }));
    let job = server.wait_for(&id, "succeeded");
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!((&job["progress"]["done"], &job["progress"]["of"]), (&json!(40), &json!(40)));
    let events = events(&server, &id);
    let of_kind =
        |kind: &str| events.iter().filter(|event| event.0 == kind).map(|event| &event.1).collect::<Vec<_>>();
    let states: Vec<&str> = of_kind("state").iter().filter_map(|data| data["state"].as_str()).collect();
    assert_eq!(states, ["queued", "starting", "running", "succeeded"]);
    assert_eq!(of_kind("log")[0]["text"], "the job has begun");
    assert_eq!(of_kind("end").len(), 1);
    let progress = of_kind("progress");
    let most = seconds * 4.0 + 2.0;
    assert!(progress.len() >= 3 && (progress.len() as f64) <= most, "{} in {seconds} s", progress.len());
    let rates: Vec<f64> = progress.iter().filter_map(|data| data["rate"].as_f64()).collect();
    assert!(!rates.is_empty() && rates.iter().all(|rate| (1.0..34.0).contains(rate)), "{rates:?}");
    assert!(progress.iter().any(|data| data["seconds_left"].as_f64().is_some_and(|left| left > 0.0)));
}

#[test]
fn messages_and_lines_that_are_no_events_are_in_the_log() {
    let server = TestServer::fresh(|_| ());
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
    let log = server.get(&format!("/v1/jobs/{id}/log")).text();
    for line in ["job of 1 frames", "this line is not JSON", "the job has begun"] {
        assert!(log.lines().any(|found| found == line), "{line}: {log}");
    }
}

#[test]
fn a_failure_of_the_process_keeps_its_kind_message_advice_and_partial_results() {
    let server = TestServer::fresh(|_| ());
    for kind in ["error", "out_of_memory", "bad_source", "disk_full"] {
        let id = server.queue(json!({ "frames": 2, "fail": kind }));
        let job = server.wait_for(&id, "failed");
        assert_eq!(job["failure"]["kind"], kind);
        assert_eq!(job["failure"]["message"], "the simulated failure");
        assert_eq!(job["failure"]["changed_settings"], json!({ "frames": 1 }));
        assert!(job["files"].as_array().unwrap().iter().any(|file| file["name"] == "people.csv"));
        assert!(server.get(&format!("/v1/jobs/{id}/log")).text().contains("job of 2 frames"));
    }
}

#[test]
fn a_crash_is_reported_with_the_signal_or_code_and_the_end_of_the_log() {
    let server = TestServer::fresh(|_| ());
    for (settings, word) in [
        (json!({ "crash": true }), "signal 11 (SIGSEGV)"),
        (json!({ "crash": true, "crash_signal": "KILL" }), "lack of memory"),
        (json!({ "exit": 7 }), "exit code 7"),
    ] {
        let id = server.queue(settings);
        let job = server.wait_for(&id, "failed");
        let message = job["failure"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
        let line = if word.contains("code") { "ends with 7" } else { "the simulated crash" };
        assert!(message.contains(line), "{message}");
        // another process of the machine may have been killed for lack of memory meanwhile
        let kind = job["failure"]["kind"].as_str().unwrap();
        assert!(kind == "crashed" || (kind == "out_of_memory" && word == "lack of memory"), "{kind}");
        let done = server.service.done_folder(id.parse().unwrap());
        let outcome: Value =
            serde_json::from_slice(&std::fs::read(done.join("outcome.json")).unwrap()).unwrap();
        assert_eq!(outcome["failure"]["message"], message, "the folder says what the record says");
    }
}

#[test]
fn a_job_process_gains_no_rights_and_has_no_files_of_the_server() {
    let server = TestServer::fresh(|_| ());
    let id = server.queue(json!({ "frames": 1, "inspect": true }));
    server.wait_for(&id, "succeeded");
    let log = server.get(&format!("/v1/jobs/{id}/log")).text();
    assert!(log.contains("NoNewPrivs:\t1"), "{log}");
    assert!(log.contains("0 -> /dev/null") && log.contains("2 -> pipe:"), "{log}");
    for file in ["sqlite", "/lock", "socket:", "eventpoll"] {
        assert!(!log.contains(file), "{log}");
    }
}

#[test]
fn two_devices_execute_two_jobs_at_a_time() {
    let server = TestServer::fresh(|options| options.devices = vec!["cpu".into(), "cuda:0".into()]);
    let settings = json!({ "frames": 20, "frame_seconds": 0.05 });
    let ids = [server.queue(settings.clone()), server.queue(settings)];
    crate::support::wait_until("both run", || ids.iter().all(|id| server.job(id)["state"] == "running"));
    let devices: Vec<Value> = ids.iter().map(|id| server.job(id)["device"].clone()).collect();
    assert!(devices.contains(&json!("cpu")) && devices.contains(&json!("cuda:0")), "{devices:?}");
    for id in &ids {
        server.wait_for(id, "succeeded");
    }
}

#[test]
fn a_queued_job_starts_at_once_and_jobs_of_higher_priority_first() {
    let server = TestServer::fresh(|_| ());
    let first = server.queue(json!({ "frames": 10, "frame_seconds": 0.05 }));
    server.wait_for(&first, "running");
    let job = |priority: i32| {
        let body = json!({ "kind": "experiment", "experiment": "simulated", "priority": priority });
        server.post("/v1/jobs", &body).json()["id"].as_str().unwrap().to_owned()
    };
    let (low, high) = (job(-1), job(5));
    let (low, high) = (server.wait_for(&low, "succeeded"), server.wait_for(&high, "succeeded"));
    assert!(high["started"].as_str() < low["started"].as_str());
    // an idle device is woken, it does not wait for its next look
    let began = Instant::now();
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[test]
#[ignore = "a measurement: run it alone with --nocapture"]
fn overhead_of_the_server_for_a_job() {
    let server = TestServer::fresh(|_| ());
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let mut with_server = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let id = server.queue(json!({ "frames": 5 }));
        let id = id.parse().unwrap();
        while !server.service.store.job(id).unwrap().unwrap().state.is_final() {
            std::thread::sleep(Duration::from_micros(500));
        }
        with_server.push(began.elapsed().as_secs_f64());
    }
    // the same process without the server, in the folder of an ended job
    let newest = server.get("/v1/jobs?limit=1").json();
    let id = newest["jobs"][0]["id"].as_str().unwrap().parse().unwrap();
    let done = server.service.done_folder(id);
    let mut alone = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let mut command = server.service.backend.job_command(&done);
        command.current_dir(&done).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        assert!(command.status().unwrap().success());
        alone.push(began.elapsed().as_secs_f64());
    }
    let (with_server, alone) = (median(with_server), median(alone));
    println!(
        "median of 50 jobs: {:.1} ms with the server, {:.1} ms the process alone, {:.1} ms overhead",
        with_server * 1e3,
        alone * 1e3,
        (with_server - alone) * 1e3
    );
}

/// The server was killed between the deletion of the record and of the files, and the client uses the id again.
#[test]
fn results_of_a_deleted_job_are_not_those_of_a_later_one_with_its_id() {
    let server = TestServer::fresh(|_| ());
    let id = posebook_serve::job::JobId::random();
    let done = server.service.done_folder(id);
    std::fs::create_dir_all(done.join("files")).unwrap();
    std::fs::write(done.join("outcome.json"), r#"{"failure": null, "interrupted": false}"#).unwrap();
    let settings = json!({ "frames": 100, "frame_seconds": 0.05 });
    let body = json!({ "kind": "experiment", "experiment": "simulated", "settings": settings }).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = server.request("PUT", &format!("/v1/jobs/{id}"), &headers, body.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
    server.wait_for(&id.to_string(), "running");
    assert!(!done.exists(), "a server that is killed now would take the old results for its own");
}
