//! Random requests: no path, `Range`, tus header, `Last-Event-ID` or source makes the server fail, or give what it should not.

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use posebook_serve::Service;
use posebook_serve::http::router;
use posebook_serve::job::{JobId, JobKind, JobRequest, ResultFile};
use posebook_serve::options::LogFormat;
use posebook_serve::store::{Added, End, NewJob};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value, json};
use std::fs;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use support::{FakeBackend, TestServer};
use tower::ServiceExt;

/// Content of files that no answer may have.
const SECRET: &str = "canary-7f3a";
/// Content of the one result.
const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A service without devices' threads, with one job that has ended.
struct Fuzzed {
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    service: Arc<Service>,
    router: Router,
    job: JobId,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

static FUZZED: LazyLock<Fuzzed> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut options = TestServer::options(&folder);
    let (allowed, data) = (folder.path().join("allowed"), options.data.clone());
    fs::create_dir_all(&allowed).unwrap();
    fs::write(allowed.join("a.mp4"), "a video").unwrap();
    options.allow = vec![allowed];
    options.listen.set_port(7878);
    options.allow_url = true;
    options.log = LogFormat::Off;
    options.queue_max = 1_000_000;
    let service = Service::new(options, Arc::new(FakeBackend::default())).unwrap();
    for secret in [
        folder.path().join("secret"),
        data.join("secret"),
        data.join("done/secret"),
        data.join("uploads/secret"),
    ] {
        fs::write(secret, SECRET).unwrap();
    }
    let request: JobRequest =
        serde_json::from_value(json!({ "kind": "experiment", "experiment": "simulated" })).unwrap();
    assert_eq!(request.kind, JobKind::Experiment);
    let job = JobId::random();
    let new =
        NewJob { id: job, request, name: "x".into(), resolved: None, retry_of: None, idempotency_key: None };
    assert!(matches!(service.store.add(&new, 1).unwrap(), Added::New(_)));
    service.store.claim("cpu").unwrap().unwrap();
    service.store.set_running(job).unwrap();
    let results = service.done_folder(job).join("files");
    fs::create_dir_all(&results).unwrap();
    fs::write(results.join("x.txt"), CONTENT).unwrap();
    fs::write(service.done_folder(job).join("secret"), SECRET).unwrap();
    let file = ResultFile {
        name: "x.txt".into(),
        bytes: CONTENT.len() as u64,
        sha256: "74e7e5bb9d22d6db26bf76946d40fff3ea9f0346b884fd0694920fccfad15e33".into(),
        media_type: "text/plain".into(),
    };
    service.store.end(job, &End::Succeeded, &[file], None).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let router = router(Arc::clone(&service));
    Fuzzed { _folder: folder, runtime, service, router, job }
});

impl Fuzzed {
    /// Sends a request. The server must not fail, errors must be problem+json, and no answer may have a secret.
    fn send(
        &self,
        method: Method,
        uri: Uri,
        headers: &[(&'static str, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<Answer, TestCaseError> {
        let mut request = Request::builder().method(method.clone()).uri(uri).header("Host", "127.0.0.1:7878");
        if !matches!(method, Method::GET | Method::HEAD) {
            request = request.header("Content-Length", body.len());
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request =
            request.body(Body::from(body)).map_err(|error| TestCaseError::reject(error.to_string()))?;
        let router = self.router.clone();
        let answer = self.runtime.block_on(async {
            let work = async {
                let (head, body) =
                    router.oneshot(request).await.unwrap_or_else(|never| match never {}).into_parts();
                let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
                Answer { status: head.status, headers: head.headers, body }
            };
            tokio::time::timeout(Duration::from_secs(20), work).await
        });
        let answer = answer.map_err(|_| TestCaseError::fail("no answer within 20 s"))?;
        let text = String::from_utf8_lossy(&answer.body);
        prop_assert!(!text.contains(SECRET), "{text}");
        prop_assert!(!answer.status.is_server_error(), "{}: {text}", answer.status);
        if answer.status.is_client_error() && method != Method::HEAD {
            prop_assert_eq!(answer.header("content-type"), "application/problem+json");
            let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            prop_assert_eq!(&problem["status"], answer.status.as_u16(), "{}", text);
            prop_assert!(!problem["detail"].as_str().unwrap_or_default().is_empty(), "{text}");
        }
        Ok(answer)
    }

    fn get(&self, path: &str, headers: &[(&'static str, HeaderValue)]) -> Result<Answer, TestCaseError> {
        self.send(Method::GET, path.parse().unwrap(), headers, Vec::new())
    }
}

/// Any value that a header can have.
fn header_value() -> impl Strategy<Value = HeaderValue> {
    proptest::collection::vec(any::<u8>(), 0..40)
        .prop_filter_map("not a header", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

/// Text of these pieces, or any header.
fn header_of(pieces: &'static [&'static str]) -> impl Strategy<Value = HeaderValue> {
    let text = proptest::collection::vec(proptest::sample::select(pieces), 0..8)
        .prop_map(|pieces| HeaderValue::from_str(&pieces.concat()).unwrap());
    prop_oneof![6 => text, 1 => header_value()]
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "35",
    "36",
    "37",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "-",
    " ",
    "+",
    ".",
];

fn path() -> impl Strategy<Value = String> {
    let pieces = [
        "/",
        "//",
        "v1",
        "jobs",
        "uploads",
        "files",
        "people",
        "events",
        "log",
        "memory",
        "timeline",
        "cancel",
        "retry",
        "archive.zip",
        "pose/video",
        "status",
        "predictions",
        "x.txt",
        "..",
        ".",
        "%2e%2e",
        "%2f",
        "%5c",
        "%00",
        "%ff",
        "%25",
        "secret",
        "done",
        "?tail=",
        "?frame=",
        "?state=",
        "&limit=",
        "?after=",
        "-1",
        "a",
        "%F0%9F%8E%A5",
        ";",
        ":",
        "~",
        "*",
        "openapi.json",
        "00000000-0000-0000-0000-000000000000",
        "script.js",
        "JOB",
    ];
    let piece = proptest::sample::select(pieces.to_vec()).prop_map(|piece| match piece {
        "JOB" => FUZZED.job.to_string(),
        piece => piece.to_string(),
    });
    let any =
        proptest::collection::vec(piece.clone(), 0..10).prop_map(|pieces| format!("/{}", pieces.concat()));
    let below = proptest::collection::vec(piece, 0..6)
        .prop_map(|pieces| format!("/v1/jobs/{}/files/{}", FUZZED.job, pieces.join("/")));
    prop_oneof![2 => any, 1 => below]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_path_makes_the_server_fail_or_show_a_secret(path in path(), method in 0..6_usize, json: bool) {
        let method = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH, Method::OPTIONS][method].clone();
        // all other changes of the one job are harmless, and events of all jobs never end
        let is_endless = path.starts_with("/v1/events") && method != Method::OPTIONS;
        if let (Ok(uri), false) = (path.parse(), is_endless) {
            let headers = if json { vec![("Content-Type", HeaderValue::from_static("application/json"))] } else { Vec::new() };
            let body = if json { b"{}".to_vec() } else { Vec::new() };
            FUZZED.send(method, uri, &headers, body)?;
        }
    }

    #[test]
    fn a_range_gives_that_part_or_the_whole(
        unit in prop_oneof![8 => Just("bytes="), 1 => Just(""), 1 => Just("items="), 1 => Just("BYTES =")],
        rest in header_of(&["0", "1", "35", "36", "-", ",", "5-9", " ", "18446744073709551615", "18446744073709551616", "x"]),
    ) {
        let value = HeaderValue::from_bytes(&[unit.as_bytes(), rest.as_bytes()].concat()).unwrap();
        let path = format!("/v1/jobs/{}/files/x.txt", FUZZED.job);
        let answer = FUZZED.get(&path, &[("Range", value.clone())])?;
        let size = CONTENT.len();
        match answer.status.as_u16() {
            200 => prop_assert_eq!(&answer.body, CONTENT),
            206 => {
                let range = answer.header("content-range").strip_prefix("bytes ").unwrap_or_default();
                let (range, of) = range.split_once('/').unwrap_or_default();
                let (first, last) = range.split_once('-').unwrap_or_default();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                prop_assert!(first <= last && last < size && of == size.to_string(), "{value:?}: {range}/{of}");
                prop_assert_eq!(&answer.body, &CONTENT[first..=last]);
                let asked = value.to_str().unwrap_or_default().replace(' ', "");
                let (from, to) = asked.split_once('=').and_then(|(_, range)| range.split_once('-')).unwrap_or_default();
                if let Ok(from) = from.parse::<usize>() {
                    prop_assert_eq!(first, from);
                    prop_assert_eq!(last, to.parse().unwrap_or(u64::MAX).min(size as u64 - 1) as usize);
                }
            }
            416 => prop_assert_eq!(answer.header("content-range"), format!("bytes */{size}")),
            status => prop_assert!(false, "{status} for {value:?}"),
        }
    }

    #[test]
    fn a_last_event_id_gives_the_events_after_it_or_is_refused(
        value in prop_oneof![
            3 => (0..8_i64).prop_map(HeaderValue::from),
            3 => header_of(NUMBERS),
            1 => any::<i64>().prop_map(HeaderValue::from),
        ],
    ) {
        let path = format!("/v1/jobs/{}/events", FUZZED.job);
        let answer = FUZZED.get(&path, &[("Last-Event-ID", value.clone())])?;
        let number = value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).filter(|number| *number >= 0);
        match answer.status.as_u16() {
            200 => {
                let text = String::from_utf8(answer.body).unwrap();
                let ids: Vec<i64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
                let events = FUZZED.service.store.events(Some(FUZZED.job), number.unwrap_or(0), 100).unwrap();
                let expected: Vec<i64> = events.iter().map(|event| event.number).collect();
                prop_assert_eq!(ids, expected, "{:?}: {}", value, text);
                prop_assert!(text.contains("event: end"));
            }
            204 => {
                let events = FUZZED.service.store.events(Some(FUZZED.job), number.unwrap_or(i64::MAX), 100).unwrap();
                prop_assert!(events.is_empty(), "{value:?}");
            }
            status => prop_assert!(status == 422 || status == 400, "{status} for {value:?}"),
        }
    }

    #[test]
    fn no_source_makes_the_server_fail(kind in 0..3_usize, text in "\\PC{0,20}", piece in 0..12_usize) {
        let pieces = [
            "", "/", "../", r"C:\", r"\\nas\x", "file:///", "http://", "https://127.0.0.1/", "/proc/self/", "/etc/passwd", "-i", "concat:",
        ];
        let given = format!("{}{text}", pieces[piece]);
        let source = [json!({ "path": given }), json!({ "url": given }), json!({ "upload": given })][kind].clone();
        let body = json!({ "kind": "track", "source": source }).to_string().into_bytes();
        let headers = [("Content-Type", HeaderValue::from_static("application/json"))];
        let answer = FUZZED.send(Method::POST, Uri::from_static("/v1/jobs"), &headers, body)?;
        let is_public_address = kind == 1 && answer.status == 202;
        prop_assert!(is_public_address || matches!(answer.status.as_u16(), 403 | 404 | 422), "{}", answer.status);
    }
}

const TUS: (&str, HeaderValue) = ("Tus-Resumable", HeaderValue::from_static("1.0.0"));

fn check_upload(path: &str, expected: &[u8], size: usize) -> TestCaseResult {
    let answer = FUZZED.send(Method::HEAD, path.parse().unwrap(), &[TUS], Vec::new())?;
    prop_assert_eq!(answer.header("upload-offset"), expected.len().to_string());
    prop_assert_eq!(answer.header("upload-length"), size.to_string());
    let id = path.rsplit('/').next().unwrap();
    let mut stored = Vec::new();
    for entry in fs::read_dir(FUZZED.service.upload_folder(id)).into_iter().flatten().flatten() {
        stored.extend(fs::read(entry.path()).unwrap());
    }
    prop_assert_eq!(stored, expected, "what is stored is what was acknowledged");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_upload_in_any_pieces_has_the_bytes_that_were_acknowledged(
        size in 1..40_usize,
        steps in proptest::collection::vec((-2..3_i64, 0..24_usize, any::<bool>()), 1..7),
    ) {
        let length = ("Upload-Length", HeaderValue::from(size));
        let created = FUZZED.send(Method::POST, Uri::from_static("/v1/uploads"), &[TUS, length], Vec::new())?;
        prop_assert_eq!(created.status, 201);
        let path = created.header("location").to_string();
        let mut expected = Vec::new();
        for (index, (shift, count, is_exact)) in steps.into_iter().enumerate() {
            let shift = if is_exact { 0 } else { shift };
            let offset = expected.len() as i64 + shift;
            let bytes = vec![b'a' + index as u8; count];
            let headers = [
                TUS,
                ("Content-Type", HeaderValue::from_static("application/offset+octet-stream")),
                ("Upload-Offset", HeaderValue::from(offset)),
            ];
            let answer = FUZZED.send(Method::PATCH, path.parse().unwrap(), &headers, bytes.clone())?;
            if answer.status == 204 {
                prop_assert!(shift == 0 && expected.len() + count <= size, "{offset} of {}", expected.len());
                expected.extend(bytes);
            } else {
                prop_assert!(shift != 0 || expected.len() + count > size, "{} at {offset}", answer.status);
            }
            let refused_length = shift == 0 && answer.status != 204;
            if refused_length {
                break;
            }
            check_upload(&path, &expected, size)?;
        }
    }

    #[test]
    fn no_header_of_tus_makes_the_server_fail(
        method in 0..5_usize,
        version in prop_oneof![3 => Just(HeaderValue::from_static("1.0.0")), 1 => header_value()],
        length in header_of(NUMBERS),
        defer in header_of(NUMBERS),
        offset in header_of(NUMBERS),
        metadata in header_of(&["filename", "filetype", " ", ",", "aGFsbG8=", "a===", "/w==", "Li4vLi4veA==", "AA==", "x"]),
        extension in header_of(&["partial", "final;", "/v1/uploads/x", "sha1 ", "aGFsbG8=", " "]),
        which in 0..64_usize,
        body in proptest::collection::vec(any::<u8>(), 0..40),
        digit in "[0-9a-f]{32}|[^/?#\\x00-\\x20\\x7f-\\x{10ffff}\"<>\\\\^`{|}]{1,10}",
    ) {
        let method = [Method::POST, Method::PATCH, Method::HEAD, Method::DELETE, Method::OPTIONS][method].clone();
        let path = if method == Method::POST { "/v1/uploads".to_string() } else { format!("/v1/uploads/{digit}") };
        let all = [
            ("Upload-Length", length),
            ("Upload-Defer-Length", defer),
            ("Upload-Offset", offset),
            ("Upload-Metadata", metadata),
            ("Upload-Concat", extension.clone()),
            ("Upload-Checksum", extension),
        ];
        let mut headers: Vec<_> = all.into_iter().enumerate().filter(|(index, _)| which >> index & 1 == 1).map(|(_, one)| one).collect();
        headers.push(("Tus-Resumable", version));
        headers.push(("Content-Type", HeaderValue::from_static("application/offset+octet-stream")));
        if let Ok(uri) = path.parse() {
            FUZZED.send(method, uri, &headers, body)?;
        }
    }
}
