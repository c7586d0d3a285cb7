//! The pages as a browser gets them from a server.

mod support;

use serde_json::json;
use support::{Answer, TestServer};

/// What browsers send.
const BROWSER: [(&str, &str); 1] = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

fn page(server: &TestServer, path: &str) -> Answer {
    server.request("GET", path, &BROWSER, b"")
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.header(name).unwrap_or_else(|| panic!("no header {name}"))
}

#[test]
fn pages_forbid_inline_scripts_frames_and_other_sites() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
    for path in ["/".to_string(), format!("/jobs/{id}"), "/nowhere".to_string(), "/jobs/no-id".to_string()] {
        let answer = page(&server, &path);
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{path}");
        let policy = header(&answer, "content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        // with `no-referrer` a form of the page would be sent with the origin `null`
        assert_eq!(header(&answer, "referrer-policy"), "same-origin", "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store", "{path}");
    }
    assert_eq!(page(&server, "/nowhere").status, 404);
}

#[test]
fn the_page_of_a_job_has_its_results() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 3 }));
    server.wait_for(&id, "succeeded");
    let text = page(&server, &format!("/jobs/{id}")).text();
    for part in [
        "succeeded",
        "overlay.mp4",
        &format!("/v1/jobs/{id}/files/people.csv"),
        &format!("/v1/jobs/{id}/archive.zip"),
        "job of 3 frames",
        "curl ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_failed_job_offers_what_to_change() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 2, "fail": "out_of_memory" }));
    server.wait_for(&id, "failed");
    let text = page(&server, &format!("/jobs/{id}")).text();
    assert!(text.contains("the simulated failure") && text.contains("Retry with frames=1"), "{text}");
    // the button's request
    let retried = server.post(&format!("/v1/jobs/{id}/retry"), &json!({ "settings": { "frames": 1 } }));
    assert_eq!(retried.status, 202, "{}", retried.text());
    assert_eq!(retried.json()["settings"]["frames"], 1);
}

#[test]
fn forms_of_pages_without_script_cancel_and_retry() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 1000, "frame_seconds": 0.05 }));
    let origin = format!("http://{}", server.address);
    let form =
        [BROWSER[0], ("Content-Type", "application/x-www-form-urlencoded"), ("Origin", origin.as_str())];
    let answer = server.request("POST", &format!("/v1/jobs/{id}/cancel"), &form, b"");
    assert_eq!((answer.status, header(&answer, "location")), (303, format!("/jobs/{id}").as_str()));
    server.wait_for(&id, "canceled");
    let answer = server.request("POST", &format!("/v1/jobs/{id}/retry"), &form, b"");
    let page_of_retry = header(&answer, "location").to_string();
    assert!(answer.status == 303 && page_of_retry.starts_with("/jobs/") && !page_of_retry.ends_with(&id));
    let again = page_of_retry.trim_start_matches("/jobs/");
    server.request("POST", &format!("/v1/jobs/{again}/cancel"), &form, b"");
    server.wait_for(again, "canceled");
}

#[test]
fn older_jobs_are_on_further_pages_and_each_is_on_one() {
    let server = TestServer::fresh(|options| options.queue_max = 200);
    let ids: Vec<String> =
        (0..120).map(|_| server.queue(json!({ "frames": 1000, "frame_seconds": 1 }))).collect();
    for id in ids.iter().rev() {
        server.post(&format!("/v1/jobs/{id}/cancel"), &json!({}));
    }
    for id in &ids {
        server.wait_for(id, "canceled");
    }
    let mut seen = Vec::new();
    let mut path = "/".to_string();
    loop {
        let text = page(&server, &path).text();
        seen.extend(text.split("data-job=\"").skip(1).map(|rest| rest[..36].to_string()));
        let Some((_, rest)) = text.split_once("href=\"/?after=") else { break };
        path = format!("/?after={}", &rest[..36]);
        assert!(seen.len() <= ids.len(), "{seen:?}");
    }
    seen.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn programs_get_the_discovery_and_unchanged_files_are_not_sent_again() {
    let server = TestServer::fresh(|_| {});
    let discovery = server.request("GET", "/", &[("Accept", "application/json")], b"").json();
    assert_eq!(
        (&discovery["name"], &discovery["openapi_url"]),
        (&json!("posebook"), &json!("/openapi.json"))
    );
    for path in ["/style.css", "/script.js", "/icon.svg", "/favicon.ico"] {
        let answer = server.get(path);
        let etag = header(&answer, "etag").to_string();
        let again = server.request("GET", path, &[("If-None-Match", &etag)], b"");
        assert_eq!((answer.status, again.status, again.body.len()), (200, 304, 0), "{path}");
    }
}

#[test]
fn the_token_is_asked_for_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let server = TestServer::fresh(|options| options.token_file = Some(file.clone()));
    let asked = page(&server, "/");
    assert_eq!(asked.status, 401);
    assert!(asked.text().contains("Sign in") && !asked.text().contains("role=\"alert\""), "{}", asked.text());
    let origin = format!("http://{}", server.address);
    let form =
        [BROWSER[0], ("Content-Type", "application/x-www-form-urlencoded"), ("Origin", origin.as_str())];
    let wrong = server.request("POST", "/sign-in", &form, b"token=wrong");
    assert!(wrong.status == 401 && wrong.text().contains("role=\"alert\""), "{}", wrong.text());
    let token = std::fs::read_to_string(&file).expect("the token");
    let right = server.request("POST", "/sign-in", &form, format!("token={}", token.trim()).as_bytes());
    assert_eq!((right.status, header(&right, "location")), (303, "/"));
    let cookie = header(&right, "set-cookie").split(';').next().expect("a cookie").to_string();
    let signed_in = server.request("GET", "/", &[BROWSER[0], ("Cookie", cookie.as_str())], b"");
    assert_eq!(signed_in.status, 200);
}
