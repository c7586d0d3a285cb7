//! The rounds: start, work, kill; and what must be true at the end.

use super::client::{self, Acknowledged, Random, is_final};
use crate::support::{FakeBackend, TestServer, wait_until};
use posebook_core::children::marked_processes;
use posebook_core::provenance::sha256_of_file;
use posebook_serve::job::{Job, JobId, JobState};
use posebook_serve::store::JobQuery;
use posebook_serve::{Options, serve};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Names the data folder for the test program that is started as a server.
const SERVER: &str = "POSEBOOK_TEST_SERVER";
/// Clients at a time.
const CLIENTS: u64 = 4;

fn options(data: &Path) -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        devices: vec!["cpu".into(), "cuda:0".into()],
        disk_floor_bytes: Some(16 << 20),
        interrupt_grace: Duration::from_millis(200),
        queue_max: 40,
        ..Options::new(data)
    }
}

/// The server of the other tests here. It does nothing unless it was started by one.
#[test]
fn server_process() {
    static STOP: AtomicBool = AtomicBool::new(false);
    if let Some(data) = std::env::var_os(SERVER) {
        serve(options(Path::new(&data)), Arc::new(FakeBackend::default()), &STOP).unwrap();
    }
}

/// A server process, and its address once it listens.
fn start(data: &Path) -> (Child, SocketAddr) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::rounds::server_process", "--test-threads=1"]).env(SERVER, data);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("the server ended").unwrap();
        if let Some((_, address)) = line.split_once("http://") {
            break address.parse().unwrap();
        }
    };
    (child, address)
}

/// Kills a server `rounds` times, and checks what it has acknowledged.
fn kill_rounds(rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut all = Acknowledged::default();
    let mut random = Random(17);
    let began = Instant::now();
    for round in 0..rounds {
        let (mut server, address) = start(&data);
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    threads.spawn({
                        let stop = &stop;
                        move || client::run(address, round * 100 + client, stop)
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(20 + random.below(400)));
            server.kill().unwrap();
            server.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
            for client in clients {
                all.merge(client.join().unwrap());
            }
        });
    }
    let seconds = began.elapsed().as_secs_f64();
    let server = TestServer::start(options(&data));
    wait_until("every job has ended", || {
        let counts = server.service.store.counts().unwrap();
        counts.iter().all(|(state, number)| state.is_final() || *number == 0)
    });
    let states = check_jobs(&server, &all);
    check_uploads(&server, &all);
    let data = data.display().to_string();
    let of_server = |value: Option<&str>| value.is_some_and(|value| value.starts_with(&data));
    let orphans = marked_processes("POSEBOOK_JOB_FOLDER", None);
    let orphans: Vec<_> = orphans.iter().filter(|process| of_server(process.value.as_deref())).collect();
    assert!(orphans.is_empty(), "{orphans:?}");
    println!(
        "{rounds} kills in {seconds:.1} s: {} jobs acknowledged, 0 lost, {} cancellations, {} uploads, {} in parts; ends: {states:?}; \
         answers by status: {:?}",
        all.jobs.len(),
        all.canceled.len(),
        all.uploads.len(),
        all.parts.len(),
        all.statuses
    );
    assert!(all.jobs.len() as u64 > rounds, "too few jobs were acknowledged to mean anything");
}

/// Every acknowledged job is there, has one end, the end that was seen, and whole files.
fn check_jobs(server: &TestServer, all: &Acknowledged) -> HashMap<String, u64> {
    let store = &server.service.store;
    let mut states: HashMap<String, u64> = HashMap::new();
    for (id, seen) in &all.jobs {
        let id: JobId = id.parse().unwrap();
        let job = store.job(id).unwrap().unwrap_or_else(|| panic!("job {id} is lost"));
        let state = serde_json::to_value(job.state).unwrap().as_str().unwrap().to_owned();
        assert!(is_final(&state));
        if let Some(seen) = seen {
            assert_eq!(*seen, state, "job {id} has two ends");
        }
        *states.entry(state).or_default() += 1;
    }
    // those that were not acknowledged as well
    let mut after = None;
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let page = store.jobs(&JobQuery { state: None, limit: 100, after }).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        jobs.extend(page);
    }
    assert!(jobs.len() >= all.jobs.len());
    for job in &jobs {
        let events = store.events(Some(job.id), 0, 10_000).unwrap();
        let ends = events.iter().filter(|event| event.kind == "end").count();
        assert_eq!(ends, 1, "job {}", job.id);
        assert_eq!(events.last().unwrap().kind, "end", "job {}", job.id);
        let results = server.service.done_folder(job.id).join("files");
        for file in &job.files {
            assert_eq!(
                sha256_of_file(&results.join(&file.name)).unwrap(),
                file.sha256,
                "{} of {}",
                file.name,
                job.id
            );
        }
        assert!(job.state != JobState::Succeeded || job.files.iter().any(|file| file.name == "overlay.mp4"));
    }
    // a job whose cancellation was acknowledged never starts again
    for id in &all.canceled {
        let events = store.events(Some(id.parse().unwrap()), 0, 10_000).unwrap();
        let states = events.iter().filter(|event| event.kind == "state");
        let states: Vec<&str> = states.filter_map(|event| event.data["state"].as_str()).collect();
        let after = states.iter().skip_while(|state| !matches!(**state, "canceling" | "canceled")).skip(1);
        assert!(after.clone().all(|state| is_final(state)), "job {id}: {states:?}");
    }
    let work = fs::read_dir(server.service.options.data.join("work")).unwrap();
    let unknown: Vec<_> = work.map(|entry| entry.unwrap().file_name()).collect();
    wait_until("work folders are removed", || {
        unknown.iter().all(|name| !server.service.options.data.join("work").join(name).exists())
    });
    states
}

fn check_uploads(server: &TestServer, all: &Acknowledged) {
    for (id, sha256) in &all.uploads {
        let upload =
            server.service.store.upload(id).unwrap().unwrap_or_else(|| panic!("upload {id} is lost"));
        assert_eq!(upload.sha256.as_ref(), Some(sha256));
        let file = server.service.upload_folder(id).join("source.mp4");
        assert_eq!(sha256_of_file(&file).unwrap(), *sha256);
    }
    for (id, acknowledged) in &all.parts {
        let tus = [("Tus-Resumable", "1.0.0")];
        let answer = server.request("HEAD", &format!("/v1/uploads/{id}"), &tus, b"");
        let offset: u64 = answer.header("upload-offset").unwrap().parse().unwrap();
        assert!(offset >= *acknowledged, "upload {id}: {offset} of {acknowledged} acknowledged bytes");
        let folder = fs::read_dir(server.service.upload_folder(id)).unwrap();
        let bytes: Vec<u8> = folder.flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert_eq!(bytes.len() as u64, offset);
        assert!(bytes.iter().all(|&byte| byte == 7), "upload {id} is torn");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_20_times() {
    kill_rounds(20);
}

#[test]
#[ignore = "a minute; `cargo test --test kill -- --ignored`"]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_100_times() {
    kill_rounds(100);
}
