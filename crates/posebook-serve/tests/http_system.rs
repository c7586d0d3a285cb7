//! Errors of the router, health, back-pressure, the description of the server, metrics.

mod support;

use serde_json::{Value, json};
use support::{TestServer, assert_problem, wait_until};
use uuid::Uuid;

/// A request for a job of the simulated experiment.
fn experiment(settings: Value) -> Value {
    json!({ "kind": "experiment", "experiment": "simulated", "settings": settings })
}

#[test]
fn unknown_routes_methods_and_jobs_are_problems() {
    let server = TestServer::fresh(|_| {});
    assert_problem(&server.get("/nothing"), 404, "no-such-route");
    assert_problem(&server.get("/v1/nothing/at/all"), 404, "no-such-route");
    for path in ["/v1/jobs/nothing", "/v1/jobs/nothing/log", "/v1/jobs/nothing/events"] {
        assert_problem(&server.get(path), 404, "no-such-job");
    }
    let unknown = Uuid::new_v4();
    for path in ["", "/log", "/events", "/files", "/people", "/memory", "/timeline"] {
        assert_problem(&server.get(&format!("/v1/jobs/{unknown}{path}")), 404, "no-such-job");
    }
    for path in ["cancel", "retry"] {
        assert_problem(
            &server.request("POST", &format!("/v1/jobs/{unknown}/{path}"), &[], b""),
            404,
            "no-such-job",
        );
    }
    assert_problem(&server.request("DELETE", &format!("/v1/jobs/{unknown}"), &[], b""), 404, "no-such-job");
    for (method, path, allowed) in [
        ("PATCH", "/v1/jobs", "GET,HEAD,POST"),
        ("DELETE", "/v1/system", "GET,HEAD"),
        ("GET", &*format!("/v1/jobs/{unknown}/cancel"), "POST"),
        ("BREW", "/v1/jobs", "GET,HEAD,POST"),
    ] {
        let answer = server.request(method, path, &[], b"");
        assert_problem(&answer, 405, "method-not-allowed");
        assert_eq!(
            answer.header("allow").map(|allow| allow.replace(' ', "")).as_deref(),
            Some(allowed),
            "{method} {path}"
        );
    }
    for path in [
        "/v1/jobs?limit=0",
        "/v1/jobs?limit=501",
        "/v1/jobs?limit=x",
        "/v1/jobs?stat=queued",
        "/v1/jobs?state=quued",
    ] {
        assert_problem(&server.get(path), 400, "malformed");
    }
}

#[test]
fn an_error_within_the_address_is_a_problem() {
    let server = TestServer::fresh(|_| {});
    for path in ["/v1/jobs/%ff", "/v1/jobs/%00", "/v1/jobs/%ff/log", "/jobs/%ff"] {
        let answer = server.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
}

#[test]
fn heads_have_the_headers_of_gets_and_no_body() {
    let server = TestServer::fresh(|_| {});
    for path in ["/healthz", "/v1/system", "/v1/jobs", "/metrics"] {
        let answer = server.request("HEAD", path, &[], b"");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn health_answers_and_readiness_says_why_not() {
    let server = TestServer::fresh(|options| options.disk_floor_bytes = Some(u64::MAX / 2));
    assert_eq!(server.get("/healthz").status, 200);
    let answer = server.get("/readyz");
    let problem = assert_problem(&answer, 503, "not-ready");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("disk")), "{problem:#}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let refused = server.post("/v1/jobs", &experiment(json!({ "predicted_bytes": 1000 })));
    let problem = assert_problem(&refused, 507, "disk-full");
    assert!(problem["needed_bytes"].as_u64().is_some_and(|bytes| bytes >= 1000), "{problem:#}");
    assert_eq!(problem["free_bytes"], 0);

    let server = TestServer::fresh(|_| {});
    assert_eq!(server.get("/readyz").status, 200, "{}", server.get("/readyz").text());
    let free = server.get("/v1/system").json()["disk"]["free_bytes"].as_u64().expect("bytes");
    let refused = server.post("/v1/jobs", &experiment(json!({ "predicted_bytes": free })));
    assert_problem(&refused, 507, "disk-full");
    server.service.draining.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = server.post("/v1/jobs", &experiment(json!({})));
    assert_problem(&refused, 503, "draining");
    assert!(refused.header("retry-after").is_some());
    let problem = assert_problem(&server.get("/readyz"), 503, "not-ready");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("ends")), "{problem:#}");
}

#[test]
fn a_full_queue_says_when_to_try_again() {
    let server = TestServer::fresh(|options| {
        options.devices = vec!["cpu".into()];
        options.queue_max = 2;
    });
    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.wait_for(&running, "running");
    let first = server.queue(json!({ "frames": 1 }));
    let second = server.queue(json!({ "frames": 1 }));
    assert_eq!(server.job(&first)["queue_position"], 0);
    assert_eq!(server.job(&second)["queue_position"], 1);
    let refused = server.post("/v1/jobs", &experiment(json!({})));
    assert_problem(&refused, 429, "queue-full");
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|n| n > 0)));
    server.request("POST", &format!("/v1/jobs/{running}/cancel"), &[], b"");
    server.wait_for(&second, "succeeded");
    server.queue(json!({ "frames": 1 }));
}

#[test]
fn the_system_is_described() {
    let server = TestServer::fresh(|options| options.devices = vec!["cpu".into(), "cuda:0".into()]);
    let id = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.wait_for(&id, "running");
    let system = server.get("/v1/system").json();
    assert_eq!(system["jobs"]["running"], 1, "{system:#}");
    assert_eq!(system["ready"], true);
    let devices = system["devices"].as_array().expect("devices");
    assert_eq!(devices.len(), 2);
    assert_eq!(devices.iter().filter(|device| device["job"] == id).count(), 1, "{system:#}");
    assert_eq!(system["queue"]["estimated_wait_seconds"], 0.0, "one device is idle");
    let discovery = server.request("GET", "/", &[("Accept", "application/json")], b"").json();
    for (name, url) in
        discovery.as_object().expect("an object").iter().filter(|(name, _)| name.ends_with("_url"))
    {
        let url = url.as_str().expect("an address");
        if !url.contains('{') && !matches!(url, "/predictions" | "/v1/uploads" | "/v1/events") {
            assert_eq!(server.get(url).status, 200, "{name}");
        }
    }
}

#[test]
fn metrics_are_valid_prometheus_text() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 2 }));
    server.wait_for(&id, "succeeded");
    server.get("/nothing/at/all");
    let ended = || server.get("/metrics").text().contains("posebook_jobs_ended_total{state=\"succeeded\"} 1");
    wait_until("the end is counted", ended);
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let mut typed: Option<(String, String)> = None;
    let mut families = std::collections::BTreeSet::new();
    let mut samples = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            typed = Some((name.to_owned(), kind.to_owned()));
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().expect("a name");
            let (family, kind) = typed.as_ref().expect("a type before samples");
            let suffixes: &[&str] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "summary" => &["_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.iter().any(|suffix| name == format!("{family}{suffix}")), "{line}");
            if kind == "counter" {
                assert!(name.ends_with("_total"), "{line}");
            }
            assert!(samples.insert(series.to_owned()), "{line} comes twice");
        }
    }
    for line in [
        "posebook_jobs{state=\"succeeded\"} 1",
        "posebook_queue_length 0",
        "posebook_http_requests_total{method=\"GET\",route=\"(none)\",status=\"404\"} 1",
        "posebook_stage_waiting_seconds_total{stage=\"run\"} 0.5",
        "posebook_job_seconds_count 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn the_same_numbers_hold_for_the_page_and_the_api() {
    let server = TestServer::fresh(|_| {});
    let html = server.request("GET", "/nothing", &[("Accept", "text/html")], b"");
    assert_eq!(html.status, 404);
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        html.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    let api = server.request("GET", "/v1/nothing", &[("Accept", "text/html")], b"");
    assert_problem(&api, 404, "no-such-route");
}

#[test]
fn a_panic_is_an_internal_error_of_one_request() {
    let server = TestServer::fresh(|_| {});
    let answer = server.post("/v1/jobs", &json!({ "kind": "experiment", "experiment": "panics" }));
    let problem = assert_problem(&answer, 500, "internal");
    assert!(!answer.text().contains("simulated panic"), "{problem:#}");
    assert_eq!(server.get("/healthz").status, 200);
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
}
