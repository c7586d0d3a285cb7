//! Uploads, paths and addresses as sources of jobs.

use crate::support::{TestServer, wait_until};
use posebook_serve::Options;
use posebook_serve::job::{FailureKind, JobId};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn track(server: &TestServer, source: serde_json::Value, settings: serde_json::Value) -> String {
    let answer = server.post("/v1/jobs", &json!({ "kind": "track", "source": source, "settings": settings }));
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// What the job's process read as its source.
fn source(server: &TestServer, id: &str) -> Vec<u8> {
    fs::read(server.service.done_folder(id.parse().unwrap()).join("files/source.bin")).unwrap()
}

fn allowing(folder: &Path) -> TestServer {
    TestServer::fresh(|options: &mut Options| options.allow = vec![folder.to_path_buf()])
}

#[test]
fn an_upload_is_read_and_may_be_removed_meanwhile() {
    let server = TestServer::fresh(|_| ());
    let upload = server.upload("a.mp4", b"the film");
    let id = track(&server, json!({ "upload": upload }), json!({ "pause_seconds": 0.5 }));
    server.wait_for(&id, "running");
    fs::remove_dir_all(server.service.upload_folder(&upload)).unwrap();
    server.wait_for(&id, "succeeded");
    assert_eq!(source(&server, &id), b"the film");
}

#[test]
fn a_path_is_read_and_its_folder_has_no_copy_in_the_results() {
    let videos = tempfile::tempdir().unwrap();
    fs::write(videos.path().join("-a b.MP4"), "the film").unwrap();
    let server = allowing(videos.path());
    let path = videos.path().join("-a b.MP4");
    let id = track(&server, json!({ "path": path }), json!({}));
    server.wait_for(&id, "succeeded");
    assert_eq!(source(&server, &id), b"the film");
    let done = server.service.done_folder(id.parse().unwrap());
    assert!(!done.join("sources").exists());
    let job: serde_json::Value = serde_json::from_slice(&fs::read(done.join("job.json")).unwrap()).unwrap();
    assert!(job["sources"][0].as_str().unwrap().ends_with("/sources/0.mp4"), "{job}");
}

/// A film in an allowed folder, and a secret outside it.
fn film_and_secret() -> (tempfile::TempDir, std::path::PathBuf, tempfile::TempDir, std::path::PathBuf) {
    let (videos, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (film, secret) = (videos.path().join("a.mp4"), secrets.path().join("secret.mp4"));
    fs::write(&film, "the film").unwrap();
    fs::write(&secret, "the secret").unwrap();
    (videos, film, secrets, secret)
}

#[test]
fn a_file_that_is_swapped_for_a_link_after_the_job_has_started_is_read_as_it_was() {
    let (videos, film, _secrets, secret) = film_and_secret();
    let server = allowing(videos.path());
    let id = track(&server, json!({ "path": film }), json!({ "pause_seconds": 0.5 }));
    server.wait_for(&id, "running");
    let other = videos.path().join("other");
    std::os::unix::fs::symlink(secret, &other).unwrap();
    fs::rename(&other, &film).unwrap();
    assert_eq!(fs::read(&film).unwrap(), b"the secret");
    server.wait_for(&id, "succeeded");
    assert_eq!(source(&server, &id), b"the film");
}

#[test]
fn a_file_that_is_swapped_for_a_link_all_the_time_never_gives_what_the_link_names() {
    let (videos, film, _secrets, secret) = film_and_secret();
    let server = allowing(videos.path());
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let other = videos.path().join("other");
            while !stop.load(Ordering::Relaxed) {
                std::os::unix::fs::symlink(&secret, &other).unwrap();
                fs::rename(&other, &film).unwrap();
                fs::write(&other, "the film").unwrap();
                fs::rename(&other, &film).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        for _ in 0..20 {
            let answer = server.post("/v1/jobs", &json!({ "kind": "track", "source": { "path": film } }));
            if answer.status != 202 {
                assert_eq!(answer.status, 403, "{}", answer.text());
                continue;
            }
            let id: JobId = answer.json()["id"].as_str().unwrap().parse().unwrap();
            let job = || server.service.store.job(id).unwrap().unwrap();
            wait_until("it has ended", || job().state.is_final());
            match job().failure {
                Some(failure) => assert_eq!(failure.kind, FailureKind::BadSource),
                None => assert_eq!(source(&server, &id.to_string()), b"the film"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_folder_of_images_is_copied() {
    let videos = tempfile::tempdir().unwrap();
    let folder = videos.path().join("images");
    fs::create_dir(&folder).unwrap();
    for name in ["1.jpg", "2.JPG", "notes.txt"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let server = allowing(videos.path());
    let answer = server.post(
        "/v1/jobs",
        &json!({ "kind": "reconstruct", "source": { "path": folder }, "settings": { "pause_seconds": 5 } }),
    );
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    server.wait_for(&id, "running");
    let copies = server.service.work_folder(id.parse().unwrap(), 1).join("sources/0");
    let mut names: Vec<String> = fs::read_dir(copies)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["1.jpg", "2.JPG"]);
    server.post(&format!("/v1/jobs/{id}/cancel"), &json!({}));
    server.wait_for(&id, "canceled");
}

#[test]
fn a_source_that_has_gone_since_the_job_was_queued_is_a_bad_source() {
    let videos = tempfile::tempdir().unwrap();
    let path = videos.path().join("a.mp4");
    fs::write(&path, "the film").unwrap();
    let server = allowing(videos.path());
    let first = server.queue(json!({ "frames": 10, "frame_seconds": 0.05 }));
    server.wait_for(&first, "running");
    let id = track(&server, json!({ "path": path }), json!({}));
    fs::remove_file(&path).unwrap();
    let job = server.wait_for(&id, "failed");
    assert_eq!(job["failure"]["kind"], "bad_source");
    assert!(job["failure"]["message"].as_str().unwrap().contains("no such file"), "{job:#}");
}

#[test]
fn a_fetch_is_canceled_while_it_waits_for_a_slow_server() {
    use posebook_serve::addresses::Network;
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // sends a byte now and then, for ever
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                while stream.write_all(b"x").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let network =
        Network { ports: vec![port], trusted: vec!["127.0.0.1".parse().unwrap()], ..Network::default() };
    let server = TestServer::start(Options { allow_url: true, network, ..TestServer::options(&folder) });
    let id = track(&server, json!({ "url": format!("http://127.0.0.1:{port}/a.mp4") }), json!({}));
    wait_until("it is fetched", || server.job(&id)["progress"]["stage"] == "fetch");
    assert_eq!(server.job(&id)["state"], "starting");
    let began = std::time::Instant::now();
    server.post(&format!("/v1/jobs/{id}/cancel"), &json!({}));
    server.wait_for(&id, "canceled");
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}
