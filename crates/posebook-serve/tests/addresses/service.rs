//! Addresses, webhooks and paths of jobs of a running server.

use crate::has_curl;
use crate::loopback::{PUBLIC, Received, Server, answer, names, network};
use crate::support::{TestServer, wait_until};
use posebook_serve::addresses::WebhookSecret;
use posebook_serve::options::LogFormat;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A server that may fetch from `internet` and send webhooks to it.
fn server(internet: &Server, inside: u16) -> TestServer {
    let network = network(&[internet.port, inside], names);
    TestServer::fresh(|options| {
        options.allow_url = true;
        options.network = network;
        options.log = LogFormat::Off;
    })
}

fn queue(server: &TestServer, job: Value) -> String {
    let answer = server.post("/v1/jobs", &job);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn hooks(internet: &Server, path: &str) -> Vec<Received> {
    internet.received().into_iter().filter(|received| received.target.starts_with(path)).collect()
}

#[test]
fn a_job_fetches_its_source_and_calls_its_webhook() {
    if !has_curl() {
        return;
    }
    let internet = Server::start(PUBLIC, |request, stream| match request.method.as_str() {
        "GET" => stream.write_all(&answer(200, "", b"a video")),
        _ => stream.write_all(&answer(200, "", b"")),
    });
    let server = server(&internet, 1);
    let base = format!("http://public.test:{}", internet.port);
    let job = json!({
        "kind": "track", "source": { "url": format!("{base}/a%20clip.mp4?token=sesame") }, "webhook": format!("{base}/hook"),
        "settings": { "pause_seconds": 0.3 },
    });
    let id = queue(&server, job);
    let work = server.service.work_folder(id.parse().unwrap(), 1);
    let job = server.wait_for(&id, "running");
    assert_eq!(job["name"], "a clip.mp4", "without the query");
    assert_eq!(fs::read(work.join("sources/0.mp4")).unwrap(), b"a video");
    server.wait_for(&id, "succeeded");
    let has_end = || {
        hooks(&internet, "/hook")
            .iter()
            .any(|hook| hook.body.windows(11).any(|text| text == b"\"completed\""))
    };
    wait_until("the webhook has the end", has_end);
    let secret = WebhookSecret::load_or_create(&server.service.options.data).unwrap();
    let hooks = hooks(&internet, "/hook");
    let mut events = Vec::new();
    for hook in &hooks {
        let (message, time) = (hook.header("webhook-id"), hook.header("webhook-timestamp").parse().unwrap());
        assert_eq!(hook.header("webhook-signature"), secret.sign(message, time, &hook.body));
        let body: Value = serde_json::from_slice(&hook.body).unwrap();
        assert_eq!(body["id"], id);
        events.push(body["event"].as_str().unwrap().to_owned());
    }
    // progress of the fetch comes before the start
    events.retain(|event| event != "output" && event != "logs");
    assert_eq!(events, ["start", "completed"]);
}

#[test]
fn a_source_that_leads_inside_or_is_not_there_fails_the_job_with_the_reason() {
    if !has_curl() {
        return;
    }
    let canary = Server::always(Ipv4Addr::LOCALHOST, answer(200, "", b"inside"));
    let inside = canary.port;
    let internet = Server::start(PUBLIC, move |request, stream| match request.target.starts_with("/in") {
        true => stream.write_all(&answer(302, &format!("Location: http://127.0.0.1:{inside}/\r\n"), b"")),
        false => stream.write_all(&answer(404, "", b"")),
    });
    let server = server(&internet, inside);
    for (address, reason) in [
        (
            format!("http://public.test:{}/in?token=sesame", internet.port),
            "public.test redirects: 127.0.0.1: it is not a public",
        ),
        (format!("http://private.test:{inside}/?token=sesame"), "private.test: it is not a public address"),
        (format!("http://public.test:{}/?token=sesame", internet.port), "public.test answers 404"),
    ] {
        let id = queue(&server, json!({ "kind": "track", "source": { "url": address } }));
        let failure = server.wait_for(&id, "failed")["failure"].clone();
        assert_eq!(failure["kind"], "bad_source");
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(reason) && !message.contains("sesame"), "{message}");
        let log = server.get(&format!("/v1/jobs/{id}/log")).text();
        assert!(!log.contains("sesame"), "{log}");
    }
    for (pointer, job) in [
        ("/source", json!({ "kind": "track", "source": { "url": format!("http://127.0.0.1:{inside}/") } })),
        (
            "/webhook",
            json!({ "kind": "experiment", "experiment": "simulated", "webhook": format!("http://localhost:{inside}/") }),
        ),
    ] {
        let answer = server.post("/v1/jobs", &job);
        assert_eq!((answer.status, &answer.json()["pointer"]), (403, &pointer.into()), "{}", answer.text());
        assert!(answer.json()["type"].as_str().unwrap().ends_with("/address-not-allowed"));
    }
    assert_eq!(canary.received().len(), 0);
}

#[test]
fn a_fetch_is_canceled_at_once() {
    if !has_curl() {
        return;
    }
    let gone = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&gone);
    let internet = Server::start(PUBLIC, move |_, stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin")?;
        let _ = stream.read(&mut [0; 1]);
        note.store(true, Ordering::SeqCst);
        Ok(())
    });
    let server = server(&internet, 1);
    let source = json!({ "url": format!("http://public.test:{}/a.mp4", internet.port) });
    let id = queue(&server, json!({ "kind": "track", "source": source }));
    wait_until("the fetch has begun", || !internet.received().is_empty());
    assert_eq!(server.job(&id)["state"], "starting");
    let began = Instant::now();
    server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"");
    server.wait_for(&id, "canceled");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    wait_until("curl has ended", || gone.load(Ordering::SeqCst));
}

#[test]
fn a_path_is_converted_shown_and_read_by_the_descriptor_that_was_checked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (clips, outside) = (root.join("clips"), root.join("outside.mp4"));
    fs::create_dir_all(clips.join("pictures")).unwrap();
    for (path, content) in [
        (clips.join("a.mp4"), "inside"),
        (clips.join("pictures/1.jpg"), "picture"),
        (outside.clone(), "outside"),
    ] {
        fs::write(path, content).unwrap();
    }
    let server = TestServer::fresh(|options| {
        options.allow = vec![clips.clone()];
        options.maps = vec![(r"\\nas\clips".into(), clips.to_str().unwrap().into())];
        options.log = LogFormat::Off;
    });
    let track = |path: &str| json!({ "kind": "track", "source": { "path": path }, "settings": { "pause_seconds": 0.4 } });
    let id = queue(&server, track(r"\\NAS\clips\a.mp4"));
    let job = server.wait_for(&id, "running");
    assert_eq!(job["source"][0]["given"], r"\\NAS\clips\a.mp4");
    assert_eq!(job["source"][0]["resolved"], clips.join("a.mp4").to_str().unwrap());
    assert_eq!(job["name"], "a.mp4");
    // exchanged while the job runs, and before the next one starts
    let waiting = queue(&server, track(&clips.join("a.mp4").to_string_lossy()));
    fs::remove_file(clips.join("a.mp4")).unwrap();
    symlink(&outside, clips.join("a.mp4")).unwrap();
    let seen =
        fs::read_to_string(server.service.work_folder(id.parse().unwrap(), 1).join("sources/0.mp4")).unwrap();
    assert_eq!(seen, "inside", "the job reads the file that was checked");
    server.wait_for(&id, "succeeded");
    let failure = server.wait_for(&waiting, "failed")["failure"].clone();
    assert_eq!(failure["kind"], "bad_source");
    assert!(failure["message"].as_str().unwrap().contains("leads out of the allowed folders"), "{failure}");
    let id = queue(&server, track(r"\\nas\clips\pictures"));
    server.wait_for(&id, "running");
    let copy = server.service.work_folder(id.parse().unwrap(), 1).join("sources/0/1.jpg");
    assert_eq!(fs::read_to_string(copy).unwrap(), "picture");
    server.wait_for(&id, "succeeded");
    for (path, status, name) in [
        (outside.to_str().unwrap(), 403, "path-not-allowed"),
        (clips.join("a.mp4").to_str().unwrap(), 403, "path-not-allowed"),
        (r"C:\a.mp4", 403, "path-not-allowed"),
        (r"\\nas\clips\CON", 422, "malformed"),
        (r"\\nas\clips\none.mp4", 422, "no-such-file"),
    ] {
        let answer = server.post("/v1/jobs", &track(path));
        let problem = answer.json();
        assert_eq!((answer.status, &problem["pointer"]), (status, &"/source".into()), "{path}: {problem}");
        assert!(problem["type"].as_str().unwrap().ends_with(name), "{path}: {problem}");
    }
}
