//! Cancellation of queued and running jobs, and of their processes.

use crate::support::{TestServer, wait_until};
use posebook_core::children::marked_processes;
use serde_json::json;
use std::time::{Duration, Instant};

/// Processes of jobs of this server.
fn processes(server: &TestServer) -> usize {
    let data = server.service.options.data.display().to_string();
    let all = marked_processes("POSEBOOK_JOB_FOLDER", None);
    all.iter()
        .filter(|process| process.value.as_deref().is_some_and(|value| value.starts_with(&data)))
        .count()
}

fn cancel(server: &TestServer, id: &str) -> serde_json::Value {
    let answer = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn number_of_ends(server: &TestServer, id: &str) -> usize {
    let events = server.service.store.events(Some(id.parse().unwrap()), 0, 1000).unwrap();
    events.iter().filter(|event| event.kind == "end").count()
}

#[test]
fn a_running_job_is_canceled_once_its_process_has_gone_and_keeps_its_rows() {
    let server = TestServer::fresh(|_| ());
    let id = server.queue(json!({ "frames": 1000, "frame_seconds": 0.05 }));
    wait_until("it has rows", || server.job(&id)["progress"]["done"].as_u64() > Some(2));
    assert_eq!(cancel(&server, &id)["state"], "canceling");
    let job = server.wait_for(&id, "canceled");
    assert_eq!(processes(&server), 0);
    assert!(job["files"].as_array().unwrap().iter().any(|file| file["name"] == "people.csv"), "{job:#}");
    assert_eq!(cancel(&server, &id)["state"], "canceled", "canceling again changes nothing");
    assert_eq!(number_of_ends(&server, &id), 1);
}

#[test]
fn a_process_that_ignores_signals_is_killed_with_its_grandchild_before_the_job_is_canceled() {
    let server = TestServer::fresh(|options| options.interrupt_grace = Duration::from_millis(700));
    let id = server
        .queue(json!({ "frames": 1000, "frame_seconds": 0.05, "ignore_term": true, "grandchild": true }));
    wait_until("it has rows", || server.job(&id)["progress"]["done"].as_u64() > Some(2));
    assert!(processes(&server) >= 2, "the process and its grandchild");
    let began = Instant::now();
    cancel(&server, &id);
    loop {
        // the state first: once it is canceled, no process may be left
        let state = server.job(&id)["state"].clone();
        let left = processes(&server);
        if state == "canceled" {
            assert_eq!(left, 0);
            break;
        }
        assert_eq!(state, "canceling");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert!(began.elapsed() >= Duration::from_millis(700), "it had time to end by itself");
    assert_eq!(number_of_ends(&server, &id), 1);
}

#[test]
fn a_grandchild_that_is_left_by_a_good_job_is_ended_with_it() {
    let server = TestServer::fresh(|_| ());
    let id = server.queue(json!({ "frames": 2, "grandchild": true }));
    server.wait_for(&id, "succeeded");
    assert_eq!(processes(&server), 0);
}

#[test]
fn a_queued_job_is_canceled_at_once_and_a_finished_one_stays_as_it_is() {
    let server = TestServer::fresh(|_| ());
    let first = server.queue(json!({ "frames": 1000, "frame_seconds": 0.05 }));
    let second = server.queue(json!({}));
    assert_eq!(cancel(&server, &second)["state"], "canceled");
    cancel(&server, &first);
    server.wait_for(&first, "canceled");
    let third = server.queue(json!({}));
    server.wait_for(&third, "succeeded");
    assert_eq!(cancel(&server, &third)["state"], "succeeded");
    for id in [&first, &second, &third] {
        assert_eq!(number_of_ends(&server, id), 1);
    }
}

#[test]
fn cancellations_at_any_moment_give_one_end_each() {
    let server = TestServer::fresh(|options| options.devices = vec!["cpu".into(), "cuda:0".into()]);
    let mut ids = Vec::new();
    for number in 0..30_u64 {
        let id = server.queue(json!({ "frames": 2, "frame_seconds": 0.005 }));
        // from before the start to after the end
        std::thread::sleep(Duration::from_millis(number * 3));
        cancel(&server, &id);
        ids.push(id);
    }
    let state = |id: &String| server.job(id)["state"].as_str().unwrap().to_owned();
    let is_final = |id: &String| matches!(state(id).as_str(), "canceled" | "succeeded");
    wait_until("all have ended", || ids.iter().all(is_final));
    assert!(ids.iter().all(|id| number_of_ends(&server, id) == 1));
    let canceled = ids.iter().filter(|id| state(id) == "canceled").count();
    assert!(canceled > 0, "none was canceled");
    assert_eq!(processes(&server), 0);
}
