//! A clock that is set back.

use crate::support::{FakeBackend, TestServer, wait_until};
use posebook_serve::store::JobQuery;
use posebook_serve::{Server, Service};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const DAY: i64 = 24 * 3600 * 1000;

#[test]
fn a_clock_that_is_set_back_loses_no_job_and_removes_no_result_early() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = TestServer::options(&folder);
    options.keep = Some(Duration::from_secs(24 * 3600));
    let start = 1_800_000_000_000;
    let time = Arc::new(AtomicI64::new(start));
    let clock = Arc::clone(&time);
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let service = Service::with_clock(options, Arc::new(FakeBackend::default()), clock).unwrap();
    let server = TestServer::run(Server::of(service).unwrap());
    let job = |id: &str| server.service.store.job(id.parse().unwrap()).unwrap().unwrap();
    let before = server.queue(json!({ "frames": 1 }));
    server.wait_for(&before, "succeeded");
    let running = server.queue(json!({ "frames": 20, "frame_seconds": 0.05 }));
    server.wait_for(&running, "running");
    // a year back, while a job runs
    time.store(start - 365 * DAY, Ordering::SeqCst);
    server.wait_for(&running, "succeeded");
    let after = server.queue(json!({ "frames": 1 }));
    server.wait_for(&after, "succeeded");
    for id in [&before, &running, &after] {
        let job = job(id);
        let (started, ended) = (job.started.unwrap(), job.ended.unwrap());
        assert!(job.created <= started && started <= ended, "{job:?}");
        assert!(
            job.expires.unwrap() >= start,
            "its results would be removed as soon as the clock is right: {job:?}"
        );
    }
    let query = JobQuery { state: None, limit: 10, after: None };
    let listed: Vec<String> =
        server.service.store.jobs(&query).unwrap().iter().map(|job| job.id.to_string()).collect();
    assert_eq!(listed, [after.clone(), running, before], "newest first, by the order of acceptance");
    // the clock is right again: nothing has expired
    time.store(start + 1000, Ordering::SeqCst);
    assert_eq!(server.service.store.due_for_removal(start + 1000, None).unwrap(), []);
    let last = server.queue(json!({ "frames": 1 }));
    server.wait_for(&last, "succeeded");
    wait_until("all results are there", || server.service.done_folder(after.parse().unwrap()).exists());
}
