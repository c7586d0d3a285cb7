//! The older interfaces: the wrapper around `track.py`, and Cog.

mod support;

use base64::Engine;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Answer, TestServer, wait_until};
use uuid::Uuid;

/// A server that may open one video; the video.
fn with_video() -> (TestServer, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("a path").join("a clip.mp4");
    std::fs::write(&path, b"frames").expect("written");
    let allowed = path.parent().expect("a folder").to_path_buf();
    let server = TestServer::fresh(|options| {
        options.allow = vec![allowed];
        options.devices = vec!["cpu".into()];
    });
    (server, path, folder)
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["type"], format!("https://posebook.invalid/problems/{name}"));
    assert_eq!(problem["error"], problem["detail"], "the older clients read `error`");
}

fn predict(server: &TestServer, method: &str, path: &str, prefer: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json; charset=utf-8"), ("Prefer", prefer)];
    server.request(method, path, &headers, body.to_string().as_bytes())
}

#[test]
fn the_client_of_the_older_wrapper_gets_its_frames() {
    let (server, path, _folder) = with_video();
    let answer = server.post("/pose/video", &json!({ "video_path": path }));
    assert_eq!(answer.status, 202, "{}", answer.text());
    let posted = answer.json();
    let id = posted["job_id"].as_str().expect("an id");
    assert!(matches!(posted["status"].as_str(), Some("queued" | "processing")), "{posted:#}");
    assert!(posted["queue_position"].is_u64() && posted["message"].is_string(), "{posted:#}");
    let mut status = Value::Null;
    wait_until("the video is processed", || {
        status = server.get(&format!("/pose/video/status/{id}")).json();
        status["status"] == "completed"
    });
    assert_eq!((&status["job_id"], &status["video_path"]), (&json!(id), &json!(path)));
    for time in ["queued_at", "started_at", "completed_at"] {
        assert!(status[time].as_f64().is_some_and(|seconds| seconds > 1.7e9), "{status:#}");
    }
    let result = &status["result"];
    assert_eq!((&result["status"], &result["total_frames"]), (&json!("success"), &json!(5)), "{result:#}");
    assert_eq!(result["frames"].as_array().map(Vec::len), Some(5));
    assert_eq!(result["frames"][3]["people"].as_array().map(Vec::len), Some(2), "{result:#}");
    // it is a job like others
    assert_eq!(server.job(id)["kind"], "track");
}

#[test]
fn queued_videos_have_a_place_and_run() {
    let (server, path, _folder) = with_video();
    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.wait_for(&running, "running");
    let post = || server.post("/pose/video", &json!({ "video_path": path })).json();
    let (first, second) = (post(), post());
    assert_eq!((&first["status"], &first["queue_position"]), (&json!("queued"), &json!(1)));
    assert_eq!((&second["status"], &second["queue_position"]), (&json!("queued"), &json!(2)));
    let status = |job: &Value| {
        server.get(&format!("/pose/video/status/{}", job["job_id"].as_str().expect("an id"))).json()
    };
    assert_eq!((&status(&first)["status"], &status(&first)["result"]), (&json!("queued"), &Value::Null));
    server.request("POST", &format!("/v1/jobs/{running}/cancel"), &[], b"");
    wait_until("both ran", || {
        status(&second)["status"] == "completed" && status(&first)["status"] == "completed"
    });
}

#[test]
fn errors_of_the_older_routes_have_a_sentence_under_error() {
    let (server, path, folder) = with_video();
    assert_problem(&server.post("/pose/video", &json!({})), 400, "malformed");
    assert_problem(&server.post("/pose/video", &json!({ "video_path": 3 })), 400, "malformed");
    assert_problem(
        &server.post("/pose/video", &json!({ "video_path": "/etc/passwd" })),
        403,
        "path-not-allowed",
    );
    // what the wrapper passed to a shell
    for hostile in ["x; touch /tmp/owned", "$(touch owned)", "a.mp4 && reboot"] {
        let path = folder.path().canonicalize().expect("a path").join(hostile.replace('/', "_"));
        let answer = server.post("/pose/video", &json!({ "video_path": path }));
        assert!(matches!(answer.status, 403 | 422), "{}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
    assert_problem(&server.get(&format!("/pose/video/status/{}", Uuid::new_v4())), 404, "no-such-job");
    assert_problem(&server.get("/pose/video/status/x"), 404, "no-such-job");
    let other = server.queue(json!({ "frames": 1 }));
    assert_problem(&server.get(&format!("/pose/video/status/{other}")), 404, "no-such-job");
    server.wait_for(&other, "succeeded");

    let answer = server.post(
        "/v1/jobs",
        &json!({ "kind": "track", "source": { "path": path }, "settings": { "fail": "out_of_memory" } }),
    );
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    server.wait_for(&id, "failed");
    let status = server.get(&format!("/pose/video/status/{id}")).json();
    assert_eq!((&status["status"], &status["error"]), (&json!("error"), &json!("the simulated failure")));
    assert_eq!(status["error_details"]["error_type"], "OUT_OF_MEMORY");
}

#[test]
fn the_older_health_is_always_answered() {
    let (server, _, _folder) = with_video();
    let health = server.get("/health");
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(
        (&health["status"], &health["ready"], &health["device"]),
        (&json!("ready"), &json!(true), &json!("cpu"))
    );
    server.service.draining.store(true, std::sync::atomic::Ordering::SeqCst);
    let health = server.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("warming_up")));
    assert!(health.json()["error"].is_string());
}

#[test]
fn a_prediction_waits_for_its_output() {
    let (server, path, _folder) = with_video();
    let body = json!({ "input": { "video": path, "frames": 2 } });
    let headers = [("Content-Type", "application/json")];
    let answer = server.request("POST", "/predictions", &headers, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let prediction = answer.json();
    assert_eq!(prediction["status"], "succeeded");
    assert_eq!(prediction["input"], body["input"]);
    assert_eq!(prediction["error"], Value::Null);
    assert!(
        prediction["metrics"]["predict_time"].as_f64().is_some_and(|seconds| seconds > 0.0),
        "{prediction:#}"
    );
    assert!(
        prediction["logs"].as_str().is_some_and(|logs| logs.contains("job of 2 frames")),
        "{prediction:#}"
    );
    for time in ["created_at", "started_at", "completed_at"] {
        assert!(prediction[time].as_str().is_some_and(|time| time.ends_with('Z')), "{prediction:#}");
    }
    let base = format!("http://{}", server.address);
    let files = prediction["output"]["files"].as_object().expect("files");
    for address in files.values().chain([&prediction["output"]["people"], &prediction["urls"]["get"]]) {
        let path = address
            .as_str()
            .and_then(|address| address.strip_prefix(&base))
            .expect("an address of this server");
        assert_eq!(server.get(path).status, 200, "{address}");
    }
    let id = prediction["id"].as_str().expect("an id");
    assert_eq!(server.get(&format!("/predictions/{id}")).json(), prediction);
}

#[test]
fn a_failed_prediction_is_data_and_not_an_error_of_http() {
    let (server, path, _folder) = with_video();
    let body = json!({ "input": { "video": path, "fail": "error" } });
    let answer = server.post("/predictions", &body);
    let prediction = answer.json();
    assert_eq!(
        (answer.status, &prediction["status"], &prediction["output"]),
        (200, &json!("failed"), &Value::Null)
    );
    assert!(
        prediction["error"].as_str().is_some_and(|error| error.contains("simulated failure")),
        "{prediction:#}"
    );
    for (body, status, name) in [
        (json!({ "input": { "video": path, "frmes": 1 } }), 422, "unknown-setting"),
        (json!({ "input": {} }), 422, "malformed"),
        (json!({ "input": { "video": "/etc/passwd" } }), 403, "path-not-allowed"),
        (json!({ "input": { "video": path }, "webhook_events_filter": ["done"] }), 422, "malformed"),
        (json!({ "input": { "video": path }, "output_file_prefix": "http://a/" }), 422, "malformed"),
    ] {
        assert_problem(&server.post("/predictions", &body), status, name);
    }
    let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
    let stream = server.request("POST", "/predictions", &headers, body.to_string().as_bytes());
    assert_problem(&stream, 406, "not-acceptable");
}

#[test]
fn asynchronous_predictions_are_polled_and_canceled() {
    let (server, path, _folder) = with_video();
    let body = json!({ "id": "abcd1234", "input": { "video": path, "pause_seconds": 60 } });
    let began = Instant::now();
    let answer = predict(&server, "POST", "/predictions", "respond-async", &body);
    assert_eq!((answer.status, &answer.json()["id"]), (202, &json!("abcd1234")), "{}", answer.text());
    let jobs = server.service.store.jobs(&posebook_serve::store::JobQuery { limit: 1, ..Default::default() });
    assert_eq!(jobs.expect("jobs")[0].request.prediction.as_deref(), Some("abcd1234"));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(matches!(answer.json()["status"].as_str(), Some("starting" | "processing")));
    wait_until("it runs", || server.get("/predictions/abcd1234").json()["status"] == "processing");
    assert_eq!(server.get("/health-check").json()["status"], "BUSY");
    // Cog answers 409 here; this server queues
    let second =
        predict(&server, "POST", "/predictions", "respond-async", &json!({ "input": { "video": path } }));
    assert_eq!((second.status, &second.json()["status"]), (202, &json!("starting")));
    assert_eq!(server.request("POST", "/predictions/abcd1234/cancel", &[], b"").status, 200);
    wait_until("it is canceled", || server.get("/predictions/abcd1234").json()["status"] == "canceled");
    assert_problem(&server.request("POST", "/predictions/unknown/cancel", &[], b""), 404, "no-such-job");
    assert_problem(&server.get("/predictions/unknown"), 404, "no-such-job");
    let id = second.json()["id"].as_str().expect("an id").to_owned();
    wait_until("the second ran", || {
        server.get(&format!("/predictions/{id}")).json()["status"] == "succeeded"
    });
    wait_until("ready again", || server.get("/health-check").json()["status"] == "READY");
}

#[test]
fn put_makes_one_prediction_of_an_id() {
    let (server, path, _folder) = with_video();
    let body = json!({ "input": { "video": path, "frames": 1 } });
    // a UUID in base32, as Cog's documentation proposes
    let id = "wjx3whax6rf4vphkegkhcvpv6a";
    let address = format!("/predictions/{id}");
    let first = predict(&server, "PUT", &address, "respond-async", &body);
    assert_eq!((first.status, &first.json()["id"]), (202, &json!(id)), "{}", first.text());
    let again = predict(&server, "PUT", &address, "wait=20", &body);
    assert_eq!((again.status, &again.json()["status"]), (200, &json!("succeeded")), "{}", again.text());
    assert_eq!(predict(&server, "PUT", &address, "", &body).json()["id"], id);
    assert_eq!(server.get("/v1/jobs").json()["jobs"].as_array().map(Vec::len), Some(1));
    let other = json!({ "id": "other", "input": { "video": path } });
    assert_problem(&predict(&server, "PUT", &address, "", &other), 422, "malformed");
    assert_problem(&predict(&server, "PUT", "/predictions/a%20b", "", &body), 422, "malformed");
}

#[test]
fn a_file_within_a_prediction_becomes_an_upload() {
    let (server, _, _folder) = with_video();
    let content = base64::engine::general_purpose::STANDARD.encode(b"frames of a video");
    let body = json!({ "input": { "video": format!("data:video/mp4;base64,{content}"), "frames": 1 } });
    let predicted = predict(&server, "PUT", "/predictions/with-file", "", &body);
    assert_eq!(
        (predicted.status, &predicted.json()["status"]),
        (200, &json!("succeeded")),
        "{}",
        predicted.text()
    );
    let again = predict(&server, "PUT", "/predictions/with-file", "", &body);
    assert_eq!((again.status, &again.json()["created_at"]), (200, &predicted.json()["created_at"]));
    let text = base64::engine::general_purpose::STANDARD.encode(b"not a video");
    let body = json!({ "input": { "video": format!("data:text/plain;base64,{text}") } });
    assert_problem(&server.post("/predictions", &body), 422, "not-a-video");
}

#[test]
fn the_health_of_cog_is_always_200() {
    let (server, _, _folder) = with_video();
    let health = server.get("/health-check");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("READY")));
    assert_eq!(health.json()["setup"]["status"], "succeeded");
    server.service.draining.store(true, std::sync::atomic::Ordering::SeqCst);
    let health = server.get("/health-check");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("UNHEALTHY")));
}
