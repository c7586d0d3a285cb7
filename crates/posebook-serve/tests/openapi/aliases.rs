//! Answers of the routes of older services.

use crate::contract::Contract;
use crate::support::{TestServer, wait_until};
use crate::{Headers, JSON, NO_JOB};
use serde_json::{Value, json};

/// Routes of older services, with a server that allows a folder with a video and another file.
pub fn aliases(contract: &mut Contract) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.mp4", "a video"), ("b.mp4", "not a video")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = TestServer::fresh(|options| {
        options.allow = vec![folder.path().to_owned()];
        options.queue_max = 1;
    });
    contract.check_as("poseHealth", 200, &server.get("/health"));
    contract.check_as("cogHealth", 200, &server.get("/health-check"));

    let pose = |body: &Value| server.post("/pose/video", body);
    let video = json!({ "video_path": path("a.mp4") });
    let queued =
        contract.check_as("poseVideo", 202, &pose(&video)).json()["job_id"].as_str().unwrap().to_owned();
    contract.check_as("poseStatus", 200, &server.get(&format!("/pose/video/status/{queued}")));
    server.wait_for(&queued, "succeeded");
    let status = contract.check_as("poseStatus", 200, &server.get(&format!("/pose/video/status/{queued}")));
    assert_eq!(status.json()["result"]["total_frames"], 5);
    contract.check_as("poseVideo", 400, &pose(&json!({})));
    contract.check_as("poseVideo", 403, &pose(&json!({ "video_path": "/etc/passwd" })));
    contract.check_as("poseVideo", 415, &server.request("POST", "/pose/video", &[], b"{}"));
    contract.check_as("poseVideo", 422, &pose(&json!({ "video_path": path("b.mp4") })));
    contract.check_as("poseStatus", 404, &server.get(&format!("/pose/video/status/{NO_JOB}")));
    server.service.store.set_expired(queued.parse().unwrap()).unwrap();
    contract.check_as("poseStatus", 410, &server.get(&format!("/pose/video/status/{queued}")));

    let of = |settings: Value, video: &str| {
        let mut input = settings;
        input["video"] = video.into();
        json!({ "input": input }).to_string()
    };
    let good = of(json!({}), &path("a.mp4"));
    let slow = of(json!({ "pause_seconds": 60 }), &path("a.mp4"));
    let cases: [(u16, Headers, String); 8] = [
        (200, &[JSON], good.clone()),
        (400, &[JSON], "{".into()),
        (403, &[JSON], of(json!({}), "/etc/passwd")),
        (406, &[JSON, ("Accept", "text/event-stream")], good.clone()),
        (413, &[JSON], "x".repeat(2_000_000)),
        (415, &[], good.clone()),
        (422, &[JSON], of(json!({ "frame": 1 }), &path("a.mp4"))),
        (507, &[JSON], of(json!({ "predicted_bytes": 1_u64 << 60 }), &path("a.mp4"))),
    ];
    for (method, base, id) in
        [("POST", "/predictions", "predict"), ("PUT", "/predictions/mine", "predictWithId")]
    {
        let send = |address: &str, headers: &[(&str, &str)], body: &str| {
            server.request(method, address, headers, body.as_bytes())
        };
        for (number, (status, headers, body)) in cases.iter().enumerate() {
            let address = if method == "PUT" { format!("{base}-{number}") } else { base.to_owned() };
            contract.check_as(id, *status, &send(&address, headers, body));
        }
        let later = [JSON, ("Prefer", "respond-async")];
        let address = |name: &str| if method == "PUT" { format!("{base}-{name}") } else { base.to_owned() };
        // one that runs, one that is queued, and then the queue is full
        let running = contract.check_as(id, 202, &send(&address("running"), &later, &slow)).json();
        wait_until("it runs", || server.get("/v1/system").json()["jobs"]["running"] == 1);
        let waiting = contract.check_as(id, 202, &send(&address("waiting"), &later, &slow)).json();
        contract.check_as(id, 429, &send(&address("refused"), &later, &slow));
        if method == "PUT" {
            contract.check_as("poseVideo", 429, &pose(&video));
        }
        for prediction in [waiting, running] {
            let itself = format!("/predictions/{}", prediction["id"].as_str().unwrap());
            contract.check_as("getPrediction", 200, &server.get(&itself));
            contract.check_as(
                "cancelPrediction",
                200,
                &server.request("POST", &format!("{itself}/cancel"), &[], b""),
            );
        }
        wait_until("both are canceled", || {
            let jobs = &server.get("/v1/system").json()["jobs"];
            jobs["running"] == 0 && jobs["queued"] == 0 && jobs["canceling"] == 0
        });
        server.service.draining.store(true, std::sync::atomic::Ordering::SeqCst);
        contract.check_as(id, 503, &send(&address("late"), &later, &good));
        contract.check_as("poseVideo", 503, &pose(&video));
        server.service.draining.store(false, std::sync::atomic::Ordering::SeqCst);
    }
    contract.check_as("getPrediction", 404, &server.get(&format!("/predictions/{NO_JOB}")));
    contract.check_as(
        "cancelPrediction",
        404,
        &server.request("POST", &format!("/predictions/{NO_JOB}/cancel"), &[], b""),
    );
}
