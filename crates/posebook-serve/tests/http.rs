//! The routes of jobs: what they answer, and that every error is a problem.

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{TestServer, assert_problem, wait_until};
use uuid::Uuid;

/// A request for a job of the simulated experiment.
fn experiment(settings: Value) -> Value {
    json!({ "kind": "experiment", "experiment": "simulated", "settings": settings })
}

fn is_final(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("succeeded" | "failed" | "canceled"))
}

#[test]
fn a_job_is_accepted_shown_and_ends_with_results() {
    let server = TestServer::fresh(|_| {});
    let answer = server.post("/v1/jobs", &experiment(json!({ "frames": 3 })));
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.json();
    let id = job["id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(&*format!("/v1/jobs/{id}")));
    assert!(
        answer
            .header("retry-after")
            .is_some_and(|seconds| (1..=60).contains(&seconds.parse::<u64>().unwrap()))
    );
    let ended = server.wait_for(id, "succeeded");
    for key in [
        "id",
        "kind",
        "name",
        "state",
        "attempt",
        "device",
        "priority",
        "queue_position",
        "estimated_wait_seconds",
        "progress",
        "failure",
        "source",
        "boxes",
        "experiment",
        "settings",
        "created",
        "started",
        "ended",
        "expires",
        "expired",
        "retry_of",
        "files",
        "links",
    ] {
        assert!(ended.get(key).is_some(), "{key} is missing in {ended:#}");
    }
    assert_eq!((&ended["kind"], &ended["name"]), (&json!("experiment"), &json!("simulated")));
    assert_eq!(ended["settings"], json!({ "frames": 3 }));
    assert_eq!(ended["attempt"], 1);
    for key in ["created", "started", "ended", "expires"] {
        assert!(
            ended[key].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')),
            "{ended:#}"
        );
    }
    for (name, link) in ended["links"].as_object().expect("links") {
        if !matches!(name.as_str(), "cancel" | "retry") {
            let answer = server.get(link.as_str().expect("a link"));
            assert!(matches!(answer.status, 200 | 204), "{name} {link}: {}", answer.text());
        }
    }
}

#[test]
fn requests_for_jobs_that_cannot_be_done_are_refused_with_a_pointer() {
    let server = TestServer::fresh(|options| options.allow_url = false);
    let upload = server.upload("text.mp4", b"not a video at all");
    for (body, status, name, pointer) in [
        (experiment(json!({ "frmes": 1 })), 422, "unknown-setting", "/settings/frmes"),
        (experiment(json!({ "frames": "many" })), 422, "bad-setting", "/settings/frames"),
        (json!({ "kind": "track" }), 422, "malformed", "/source"),
        (json!({ "kind": "trak", "source": { "path": "/a" } }), 422, "malformed", "/kind"),
        (json!({ "kind": "track", "source": { "upload": upload } }), 422, "not-a-video", "/source"),
        (
            json!({ "kind": "track", "source": { "upload": "0".repeat(32) } }),
            422,
            "no-such-upload",
            "/source",
        ),
        (json!({ "kind": "track", "source": { "path": "/etc/passwd" } }), 403, "path-not-allowed", "/source"),
        (
            json!({ "kind": "track", "source": { "url": "https://example.com/a.mp4" } }),
            403,
            "address-not-allowed",
            "/source",
        ),
        (
            json!({ "kind": "experiment", "experiment": "simulated", "webhook": "http://127.0.0.1/" }),
            403,
            "address-not-allowed",
            "/webhook",
        ),
    ] {
        let problem = assert_problem(&server.post("/v1/jobs", &body), status, name);
        assert_eq!(problem["pointer"], pointer, "{problem:#}");
        assert_eq!(problem["instance"], "/v1/jobs");
    }
    let nothing = server.get("/v1/jobs").json();
    assert_eq!(nothing["jobs"], json!([]));
}

#[test]
fn an_upload_that_is_a_video_is_queued_under_its_name() {
    let server = TestServer::fresh(|_| {});
    let upload = server.upload("a%20clip.mp4", b"frames");
    let job = server.post("/v1/jobs", &json!({ "kind": "track", "source": { "upload": upload } })).json();
    assert_eq!(job["name"], "a clip.mp4");
    assert_eq!(job["source"], json!([{ "type": "upload", "given": upload, "resolved": null }]));
    server.wait_for(job["id"].as_str().expect("an id"), "succeeded");
}

#[test]
fn a_path_is_shown_as_given_and_as_resolved() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("a path").join("a.mp4");
    std::fs::write(&path, b"frames").expect("written");
    let allowed = path.parent().expect("a folder").to_path_buf();
    let server = TestServer::fresh(|options| {
        options.maps = vec![(r"C:\clips".into(), allowed.to_string_lossy().into_owned())];
        options.allow = vec![allowed];
    });
    let job =
        server.post("/v1/jobs", &json!({ "kind": "track", "source": { "path": r"C:\clips\a.mp4" } })).json();
    assert_eq!(
        job["source"],
        json!([{ "type": "path", "given": r"C:\clips\a.mp4", "resolved": path }]),
        "{job:#}"
    );
    assert_eq!(job["name"], "a.mp4");
    server.wait_for(job["id"].as_str().expect("an id"), "succeeded");
}

#[test]
fn lists_are_newest_first_in_pages() {
    let server = TestServer::fresh(|options| options.devices = vec!["cpu".into()]);
    let ids: Vec<String> = (0..5).map(|_| server.queue(json!({ "frames": 1 }))).collect();
    let mut next = "/v1/jobs?limit=2".to_owned();
    let mut listed = Vec::new();
    let mut pages = 0;
    loop {
        let page = server.get(&next).json();
        let jobs = page["jobs"].as_array().expect("jobs");
        listed.extend(jobs.iter().map(|job| job["id"].as_str().expect("an id").to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    listed.reverse();
    assert_eq!(listed, ids);
    for id in &ids {
        server.wait_for(id, "succeeded");
    }
    assert_eq!(server.get("/v1/jobs?state=succeeded").json()["jobs"].as_array().map(Vec::len), Some(5));
    assert_eq!(server.get("/v1/jobs?state=failed").json()["jobs"].as_array().map(Vec::len), Some(0));
    assert_problem(&server.get(&format!("/v1/jobs?after={}", Uuid::new_v4())), 404, "no-such-job");
}

#[test]
fn a_key_names_one_job() {
    let server = TestServer::fresh(|_| {});
    let send = |key: &str, settings: Value| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        server.request("POST", "/v1/jobs", &headers, experiment(settings).to_string().as_bytes())
    };
    let first = send("\"abc\"", json!({ "frames": 1 }));
    assert_eq!(first.status, 202);
    let id = first.json()["id"].clone();
    assert_eq!(send("abc", json!({ "frames": 1 })).json()["id"], id);
    assert_problem(&send("abc", json!({ "frames": 2 })), 422, "key-reused");
    assert_ne!(send("abd", json!({ "frames": 1 })).json()["id"], id);
    server.wait_for(id.as_str().expect("an id"), "succeeded");
    assert_eq!(send("abc", json!({ "frames": 1 })).status, 200, "the job has ended");
    assert_problem(&send("", json!({})), 400, "malformed");
    assert_problem(&send(&"a".repeat(256), json!({})), 400, "malformed");
}

#[test]
fn a_key_finds_its_job_also_when_its_source_is_gone_and_the_queue_is_full() {
    let server = TestServer::fresh(|options| options.queue_max = 1);
    let upload = server.upload("a.mp4", b"frames");
    let body = json!({ "kind": "track", "source": { "upload": upload } }).to_string();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    let first = server.request("POST", "/v1/jobs", &headers, body.as_bytes()).json();
    let id = first["id"].as_str().expect("an id").to_owned();
    server.wait_for(&id, "succeeded");
    assert_eq!(
        server.request("DELETE", &format!("/v1/uploads/{upload}"), &[("Tus-Resumable", "1.0.0")], b"").status,
        204
    );
    let again = server.request("POST", "/v1/jobs", &headers, body.as_bytes());
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(&*id)), "{}", again.text());
}

#[test]
fn put_with_a_uuid_is_idempotent() {
    let server = TestServer::fresh(|_| {});
    let id = Uuid::new_v4();
    let put = |id: &str, settings: Value| {
        let body = experiment(settings).to_string();
        server.request(
            "PUT",
            &format!("/v1/jobs/{id}"),
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        )
    };
    for _ in 0..3 {
        let answer = put(&id.to_string(), json!({ "frames": 1 }));
        assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
        assert_eq!(answer.json()["id"], id.to_string());
    }
    assert_problem(&put(&id.to_string(), json!({ "frames": 2 })), 422, "key-reused");
    assert_problem(&put("abc", json!({})), 422, "malformed");
    assert_eq!(server.get("/v1/jobs").json()["jobs"].as_array().map(Vec::len), Some(1));
}

#[test]
fn prefer_wait_answers_at_the_end_or_after_its_time() {
    let server = TestServer::fresh(|_| {});
    let send = |prefer: &str, settings: Value| {
        let headers = [("Content-Type", "application/json"), ("Prefer", prefer)];
        server.request("POST", "/v1/jobs", &headers, experiment(settings).to_string().as_bytes())
    };
    let ended = send("wait=30", json!({ "frames": 2 }));
    assert_eq!((ended.status, ended.json()["state"].as_str()), (200, Some("succeeded")), "{}", ended.text());
    assert_eq!(ended.header("preference-applied"), Some("wait=30"));
    let began = Instant::now();
    let running = send("wait=1", json!({ "frames": 1, "pause_seconds": 60 }));
    assert_eq!(running.status, 202);
    assert!((900..10_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(send("respond-async, wait=30", json!({ "frames": 1 })).status, 202);

    // a wait for the end of a job that is canceled meanwhile
    let id = running.json()["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/jobs/{id}");
    let canceled = std::thread::scope(|threads| {
        let wait = threads.spawn(|| server.request("GET", &path, &[("Prefer", "wait=30")], b""));
        std::thread::sleep(Duration::from_millis(100));
        server.request("POST", &format!("{path}/cancel"), &[], b"");
        wait.join().expect("an answer")
    });
    assert_eq!(canceled.json()["state"], "canceled", "{}", canceled.text());
}

#[test]
fn an_etag_saves_the_body_until_the_job_changes() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
    let path = format!("/v1/jobs/{id}");
    let etag = server.get(&path).header("etag").expect("an ETag").to_owned();
    for known in
        [etag.clone(), format!("\"x\", {etag}"), "*".into(), etag.trim_start_matches("W/").to_owned()]
    {
        let answer = server.request("GET", &path, &[("If-None-Match", &known)], b"");
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(&*etag));
    }
    assert_eq!(server.request("GET", &path, &[("If-None-Match", "W/\"x\"")], b"").status, 200);

    // with a validator, a wait ends at the next change
    let id = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    let path = format!("/v1/jobs/{id}");
    server.wait_for(&id, "running");
    let etag = server.get(&path).header("etag").expect("an ETag").to_owned();
    let headers = [("Prefer", "wait=30"), ("If-None-Match", &*etag)];
    let changed = std::thread::scope(|threads| {
        let wait = threads.spawn(|| server.request("GET", &path, &headers, b""));
        std::thread::sleep(Duration::from_millis(100));
        server.request("POST", &format!("{path}/cancel"), &[], b"");
        wait.join().expect("an answer")
    });
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert!(matches!(changed.json()["state"].as_str(), Some("canceling" | "canceled")), "{}", changed.text());
}

#[test]
fn cancel_is_idempotent_and_answers_with_the_new_state() {
    let server = TestServer::fresh(|options| options.devices = vec!["cpu".into()]);
    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.wait_for(&running, "running");
    let queued = server.queue(json!({ "frames": 1 }));
    let cancel = |id: &str| server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"");
    assert_eq!(cancel(&queued).json()["state"], "canceled");
    let answer = cancel(&running);
    assert_eq!(answer.status, 200);
    assert!(matches!(answer.json()["state"].as_str(), Some("canceling" | "canceled")), "{}", answer.text());
    server.wait_for(&running, "canceled");
    for id in [&running, &queued] {
        let answer = cancel(id);
        assert_eq!((answer.status, answer.json()["state"].as_str()), (200, Some("canceled")));
    }
}

#[test]
fn a_retry_is_a_new_job_with_changed_settings() {
    let server = TestServer::fresh(|_| {});
    let old = server.queue(json!({ "frames": 3, "fail": "out_of_memory" }));
    let failed = server.wait_for(&old, "failed");
    assert_eq!(failed["failure"]["kind"], "out_of_memory");
    assert_eq!(failed["failure"]["changed_settings"], json!({ "frames": 1 }));
    let path = format!("/v1/jobs/{old}/retry");
    let answer = server.post(&path, &json!({ "settings": { "frames": 1, "fail": null } }));
    assert_eq!(answer.status, 202, "{}", answer.text());
    let new = answer.json();
    assert_eq!((&new["retry_of"], &new["settings"]), (&json!(old), &json!({ "frames": 1 })));
    server.wait_for(new["id"].as_str().expect("an id"), "succeeded");
    assert_eq!(server.request("POST", &path, &[], b"").status, 202, "no body repeats it as it was");
    assert_problem(&server.post(&path, &json!({ "setings": {} })), 422, "malformed");
    assert_problem(&server.post(&path, &json!({ "settings": { "frmes": 1 } })), 422, "unknown-setting");

    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    let answer = server.request("POST", &format!("/v1/jobs/{running}/retry"), &[], b"");
    assert_problem(&answer, 409, "still-running");
}

#[test]
fn a_deleted_job_is_gone_with_its_files() {
    let server = TestServer::fresh(|options| options.devices = vec!["cpu".into(), "cuda:0".into()]);
    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    assert_problem(&server.request("DELETE", &format!("/v1/jobs/{running}"), &[], b""), 409, "still-running");
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
    let folder = server.service.options.data.join("done").join(&id);
    assert!(folder.is_dir());
    let answer = server.request("DELETE", &format!("/v1/jobs/{id}"), &[], b"");
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert!(!folder.exists());
    assert_problem(&server.get(&format!("/v1/jobs/{id}")), 404, "no-such-job");
    assert_problem(&server.request("DELETE", &format!("/v1/jobs/{id}"), &[], b""), 404, "no-such-job");
}

#[test]
fn the_log_is_text_and_its_tail_whole_lines() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 2, "exit": 3 }));
    server.wait_for(&id, "failed");
    let all = server.get(&format!("/v1/jobs/{id}/log"));
    assert_eq!(all.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = all.text();
    assert!(text.contains("job of 2 frames") && text.contains("ends with 3"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let tail = server.get(&format!("/v1/jobs/{id}/log?tail=1")).text();
    assert_eq!(tail.trim_end(), lines[lines.len() - 1]);
    for query in ["tail=-1", "tail=x", "tail=9999999999", "last=1"] {
        assert_problem(&server.get(&format!("/v1/jobs/{id}/log?{query}")), 400, "malformed");
    }
}

#[test]
fn a_form_is_sent_to_the_page_of_its_job() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.wait_for(&id, "running");
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
    let answer = server.request("POST", &format!("/v1/jobs/{id}/cancel"), &headers, b"");
    assert_eq!((answer.status, answer.header("location")), (303, Some(&*format!("/jobs/{id}"))));
    server.wait_for(&id, "canceled");
    let answer = server.request("POST", &format!("/v1/jobs/{id}/retry"), &headers, b"");
    assert_eq!(answer.status, 303, "{}", answer.text());
    let again = server.get("/v1/jobs?limit=1").json()["jobs"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), Some(&*format!("/jobs/{again}")));
    wait_until("the retry runs", || !is_final(&server.job(&again)));
}
