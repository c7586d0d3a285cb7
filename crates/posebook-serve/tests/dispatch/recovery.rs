//! The table of what a server does with what an ended one left.

use crate::support::{FakeBackend, TestServer, wait_until};
use posebook_serve::job::{Job, JobId, JobRequest, JobState};
use posebook_serve::store::{Added, NewJob, Store, Upload};
use posebook_serve::{Options, Server};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A data folder as an ended server leaves it.
struct Left {
    folder: TempDir,
    options: Options,
    store: Store,
}

impl Left {
    fn new() -> Left {
        let folder = tempfile::tempdir().unwrap();
        let options = TestServer::options(&folder);
        for name in ["uploads", "work", "done"] {
            fs::create_dir_all(options.data.join(name)).unwrap();
        }
        let store = Store::open(&options.data).unwrap();
        Left { folder, options, store }
    }

    /// Queues a job.
    fn add(&self) -> JobId {
        let request = json!({ "kind": "experiment", "experiment": "simulated", "settings": { "frames": 2 } });
        let request: JobRequest = serde_json::from_value(request).unwrap();
        let new = NewJob {
            id: JobId::random(),
            request,
            name: "simulated".into(),
            resolved: None,
            retry_of: None,
            idempotency_key: None,
        };
        assert!(matches!(self.store.add(&new, 100).unwrap(), Added::New(_)));
        new.id
    }

    /// Queues and starts a job; its work folder.
    fn start(&self) -> (JobId, PathBuf) {
        let id = self.add();
        let job = self.store.claim("cpu").unwrap().unwrap();
        assert_eq!(job.id, id);
        assert!(self.store.set_running(id).unwrap());
        let work = self.options.data.join("work").join(format!("{id}-1"));
        fs::create_dir_all(work.join("files")).unwrap();
        fs::write(work.join("files/people.csv"), "half").unwrap();
        fs::write(work.join("log.txt"), "of the first attempt\n").unwrap();
        (id, work)
    }

    fn finish(&self, id: JobId, outcome: serde_json::Value) {
        let done = self.options.data.join("done").join(id.to_string());
        fs::create_dir_all(done.join("files")).unwrap();
        fs::write(done.join("files/people.csv"), "whole").unwrap();
        fs::write(done.join("outcome.json"), outcome.to_string()).unwrap();
    }

    /// Starts the next server.
    fn recover(self) -> (TestServer, TempDir) {
        drop(self.store);
        (TestServer::start(self.options), self.folder)
    }
}

fn job(server: &TestServer, id: JobId) -> Job {
    server.service.store.job(id).unwrap().unwrap()
}

fn wait_for_end(server: &TestServer, id: JobId) -> Job {
    wait_until("it has ended", || job(server, id).state.is_final());
    let ends = server.service.store.events(Some(id), 0, 1000).unwrap();
    assert_eq!(ends.iter().filter(|event| event.kind == "end").count(), 1);
    job(server, id)
}

#[test]
fn a_queued_job_runs() {
    let left = Left::new();
    let id = left.add();
    let (server, _folder) = left.recover();
    let job = wait_for_end(&server, id);
    assert_eq!((job.state, job.attempt, job.server_crashes), (JobState::Succeeded, 1, 0));
}

#[test]
fn a_running_job_runs_again_and_its_log_is_continued() {
    let left = Left::new();
    let (id, work) = left.start();
    let (server, _folder) = left.recover();
    let job = wait_for_end(&server, id);
    assert_eq!((job.state, job.attempt, job.server_crashes), (JobState::Succeeded, 2, 1));
    assert!(!work.exists(), "the folder of the first attempt is removed");
    let log = fs::read_to_string(server.service.done_folder(id).join("log.txt")).unwrap();
    assert!(
        log.starts_with(
            "of the first attempt\n--- the server ended during attempt 1; the job is queued again ---\n"
        ),
        "{log}"
    );
}

#[test]
fn a_job_during_which_the_server_crashed_twice_has_failed() {
    let left = Left::new();
    let (id, _) = left.start();
    assert!(left.store.requeue(id, true).unwrap());
    let again = left.store.claim("cpu").unwrap().unwrap();
    assert_eq!((again.id, again.server_crashes), (id, 1));
    let (server, _folder) = left.recover();
    let job = wait_for_end(&server, id);
    let failure = job.failure.unwrap();
    assert_eq!((job.state, failure.kind), (JobState::Failed, posebook_serve::job::FailureKind::Crashed));
    assert!(failure.message.contains("2 times"), "{}", failure.message);
}

#[test]
fn a_finished_folder_decides() {
    for (outcome, state) in [
        (json!({ "failure": null, "interrupted": false, "summary": null }), JobState::Succeeded),
        (json!({ "failure": null, "interrupted": true, "summary": null }), JobState::Canceled),
        (
            json!({ "failure": { "kind": "timed_out", "message": "m" }, "interrupted": false, "summary": null }),
            JobState::Failed,
        ),
    ] {
        let left = Left::new();
        let (id, _) = left.start();
        left.finish(id, outcome);
        let (server, _folder) = left.recover();
        let job = wait_for_end(&server, id);
        assert_eq!((job.state, job.attempt), (state, 1));
        assert_eq!(job.files.len(), 1);
        let whole = posebook_core::provenance::sha256_of_bytes(b"whole");
        assert_eq!((job.files[0].bytes, job.files[0].sha256.as_str()), (5, whole.as_str()));
    }
}

#[test]
fn a_finished_folder_without_an_outcome_does_not_decide() {
    let left = Left::new();
    let (id, _) = left.start();
    fs::create_dir_all(left.options.data.join("done").join(id.to_string()).join("files")).unwrap();
    let (server, _folder) = left.recover();
    let job = wait_for_end(&server, id);
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 2));
}

#[test]
fn a_canceling_job_is_canceled() {
    let left = Left::new();
    let (id, _) = left.start();
    left.store.cancel(id).unwrap();
    let (server, _folder) = left.recover();
    let job = wait_for_end(&server, id);
    assert_eq!((job.state, job.attempt), (JobState::Canceled, 1));
    assert_eq!(job.files.len(), 1, "partial results are kept");
}

#[test]
fn an_upload_is_cut_back_to_what_was_synced_and_a_shorter_one_is_asked_for_again() {
    let left = Left::new();
    let file = |id: &str, bytes: usize, offset: u64| {
        let folder = left.options.data.join("uploads").join(id);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("source.mp4"), vec![1; bytes]).unwrap();
        let upload = Upload {
            id: id.into(),
            name: "a.mp4".into(),
            metadata: None,
            size: Some(1000),
            offset,
            sha256: None,
            created: left.store.now(),
            expires: left.store.now() + 1_000_000,
        };
        left.store.add_upload(&upload).unwrap();
        folder.join("source.mp4")
    };
    let long = file(&"a".repeat(32), 700, 500);
    let short = file(&"b".repeat(32), 300, 500);
    let (server, _folder) = left.recover();
    // requests are answered once the start is complete
    server.get("/healthz");
    assert_eq!((fs::metadata(long).unwrap().len(), fs::metadata(short).unwrap().len()), (500, 300));
    let offset = |id: String| server.service.store.upload(&id).unwrap().unwrap().offset;
    assert_eq!((offset("a".repeat(32)), offset("b".repeat(32))), (500, 300));
}

#[test]
fn leftovers_of_known_jobs_are_removed_and_young_unknown_ones_stay() {
    let left = Left::new();
    let (id, work) = left.start();
    left.finish(id, json!({ "failure": null, "interrupted": false, "summary": null }));
    let unknown: Vec<PathBuf> = [
        format!("work/{}-1", JobId::random()),
        format!("done/{}", JobId::random()),
        format!("uploads/{}", "c".repeat(32)),
    ]
    .iter()
    .map(|name| left.options.data.join(name))
    .collect();
    let old: Vec<PathBuf> =
        unknown.iter().map(|path| path.with_file_name(format!("{}-1", JobId::random()))).collect();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    for path in unknown.iter().chain(&old) {
        fs::create_dir_all(path).unwrap();
    }
    for path in &old {
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let (server, _folder) = left.recover();
    wait_for_end(&server, id);
    wait_until("leftovers are removed", || !work.exists() && old.iter().all(|path| !path.exists()));
    assert!(unknown.iter().all(|path| path.exists()), "a record of them may be about to be written");
    assert!(server.service.done_folder(id).join("files/people.csv").exists());
}

#[test]
fn a_process_left_by_its_server_is_killed_before_its_job_runs_again() {
    let left = Left::new();
    let (id, work) = left.start();
    let mut command = std::process::Command::new("sleep");
    // as a server that was killed between the start of a process and its limits would leave it
    let mut orphan = command.arg("300").env("POSEBOOK_JOB_FOLDER", &work).spawn().unwrap();
    let waiting = std::thread::spawn(move || orphan.wait().unwrap());
    let (server, _folder) = left.recover();
    assert!(!waiting.join().unwrap().success());
    assert_eq!(wait_for_end(&server, id).attempt, 2);
}

#[test]
fn results_are_removed_after_their_time_and_the_record_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = TestServer::options(&folder);
    options.keep = Some(std::time::Duration::ZERO);
    let server = TestServer::start(options.clone());
    let id = server.queue(json!({}));
    server.wait_for(&id, "succeeded");
    server.stop().unwrap();
    // the removal runs at the start
    let server = TestServer::start(options);
    wait_until("it is expired", || server.service.store.job(id.parse().unwrap()).unwrap().unwrap().expired);
    wait_until("its folder is gone", || !server.service.done_folder(id.parse().unwrap()).exists());
    assert_eq!(server.service.store.job(id.parse().unwrap()).unwrap().unwrap().state, JobState::Succeeded);
}

#[test]
fn a_service_that_is_not_served_starts_nothing() {
    let left = Left::new();
    let id = left.add();
    drop(left.store);
    let server = Server::bind(left.options, Arc::new(FakeBackend::default())).unwrap();
    let service = server.service();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(service.store.job(id).unwrap().unwrap().state, JobState::Queued);
}
