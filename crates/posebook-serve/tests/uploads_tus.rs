//! Uploads by tus 1.0, after the text of the protocol: <https://tus.io/protocols/resumable-upload>.

mod support;

use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::{Answer, TestServer, wait_until};

const BYTES: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Begins an upload of this size; its address.
fn create(server: &TestServer, size: usize) -> String {
    let size = size.to_string();
    let answer = server.request("POST", "/v1/uploads", &[TUS, ("Upload-Length", &size)], b"");
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("location").unwrap().to_owned()
}

fn patch(server: &TestServer, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    server.request("PATCH", path, &[TUS, BYTES, ("Upload-Offset", &offset.to_string())], bytes)
}

fn head(server: &TestServer, path: &str) -> Answer {
    server.request("HEAD", path, &[TUS], b"")
}

fn id(path: &str) -> &str {
    path.strip_prefix("/v1/uploads/").unwrap()
}

/// Begins a `PATCH` at the offset 0 whose body has `length` bytes.
fn begin_patch(server: &TestServer, path: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Sends bytes of an upload without an extension, and waits until they are in its file: its request has the right to write.
fn send(server: &TestServer, path: &str, stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let file = server.service.upload_folder(id(path)).join("source");
    wait_until("the bytes are written", || {
        file.metadata().is_ok_and(|about| about.len() == bytes.len() as u64)
    });
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes).unwrap()
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["type"], format!("https://posebook.invalid/problems/{name}"));
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "every answer has it");
}

#[test]
fn options_lists_the_extensions_of_the_server() {
    let server = TestServer::fresh(|options| options.upload_max_bytes = 12_345);
    for path in ["/v1/uploads", "/v1/uploads/00000000000000000000000000000000"] {
        // the version of the request must be ignored
        let answer = server.request("OPTIONS", path, &[("Tus-Resumable", "0.2.2")], b"");
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
        assert_eq!(answer.header("tus-version"), Some("1.0.0"));
        assert_eq!(answer.header("tus-max-size"), Some("12345"));
        let extensions = "creation,creation-with-upload,creation-defer-length,expiration,termination";
        assert_eq!(answer.header("tus-extension"), Some(extensions));
    }
}

#[test]
fn an_upload_is_made_asked_for_and_continued() {
    let server = TestServer::fresh(|_| {});
    let metadata = "filename YS5tcDQ=,filetype dmlkZW8vbXA0,is_confidential";
    let made = server.request(
        "POST",
        "/v1/uploads",
        &[TUS, ("Upload-Length", "11"), ("Upload-Metadata", metadata)],
        b"",
    );
    assert_eq!(made.status, 201);
    assert_eq!(made.header("upload-offset"), Some("0"));
    assert!(made.header("upload-expires").unwrap().ends_with(" GMT"));
    let path = made.header("location").unwrap().to_owned();
    let asked = head(&server, &path);
    assert_eq!(
        (asked.status, asked.header("upload-offset"), asked.header("upload-length")),
        (200, Some("0"), Some("11"))
    );
    assert_eq!(asked.header("cache-control"), Some("no-store"));
    assert_eq!(asked.header("upload-metadata"), Some(metadata));
    assert_eq!(asked.header("tus-resumable"), Some("1.0.0"));
    assert!(asked.body.is_empty());

    let first = patch(&server, &path, 0, b"hello");
    assert_eq!((first.status, first.header("upload-offset")), (204, Some("5")), "{}", first.text());
    assert!(first.header("upload-expires").is_some());
    assert_eq!(head(&server, &path).header("upload-offset"), Some("5"));
    assert_eq!(server.get(&path).json()["complete"], false);
    let last = patch(&server, &path, 5, b" world");
    assert_eq!((last.status, last.header("upload-offset")), (204, Some("11")));
    let upload = server.get(&path).json();
    assert_eq!(upload["sha256"], sha256(b"hello world"), "hashed again, because two requests brought it");
    assert_eq!((&upload["complete"], &upload["name"]), (&true.into(), &"a.mp4".into()));
    let file = server.service.upload_folder(id(&path)).join("source.mp4");
    assert_eq!(std::fs::read(file).unwrap(), b"hello world");
    // a complete upload still has its offset
    assert_eq!(head(&server, &path).header("upload-offset"), Some("11"));
    assert_eq!(patch(&server, &path, 11, b"").status, 204);
    assert_problem(&patch(&server, &path, 11, b"x"), 413, "too-large");
}

#[test]
fn the_first_bytes_may_come_with_the_creation() {
    let server = TestServer::fresh(|_| {});
    let made = server.request("POST", "/v1/uploads", &[TUS, BYTES, ("Upload-Length", "100")], b"hello");
    assert_eq!((made.status, made.header("upload-offset")), (201, Some("5")), "{}", made.text());
    let path = made.header("location").unwrap();
    assert_eq!(patch(&server, path, 5, &[7; 95]).header("upload-offset"), Some("100"));
    let whole = server.request("POST", "/v1/uploads", &[TUS, BYTES, ("Upload-Length", "5")], b"hello");
    assert_eq!(whole.json()["sha256"], sha256(b"hello"));
    let other_type = [TUS, ("Upload-Length", "5"), ("Content-Type", "text/plain")];
    assert_problem(
        &server.request("POST", "/v1/uploads", &other_type, b"hello"),
        415,
        "unsupported-media-type",
    );
    let more = server.request("POST", "/v1/uploads", &[TUS, BYTES, ("Upload-Length", "4")], b"hello");
    assert_problem(&more, 413, "too-large");
    let empty = server.request("POST", "/v1/uploads", &[TUS, ("Upload-Length", "0")], b"");
    assert_eq!((empty.status, &empty.json()["sha256"]), (201, &sha256(b"").into()));
}

#[test]
fn a_length_that_is_not_known_may_come_later_and_once() {
    let server = TestServer::fresh(|options| options.upload_max_bytes = 1000);
    let made = server.request("POST", "/v1/uploads", &[TUS, ("Upload-Defer-Length", "1")], b"");
    assert_eq!(made.status, 201);
    let path = made.header("location").unwrap();
    assert_eq!(patch(&server, path, 0, b"hello").status, 204);
    let asked = head(&server, path);
    assert_eq!((asked.header("upload-defer-length"), asked.header("upload-length")), (Some("1"), None));
    let with_length = |length: &str, offset: &str, bytes: &[u8]| {
        server.request(
            "PATCH",
            path,
            &[TUS, BYTES, ("Upload-Offset", offset), ("Upload-Length", length)],
            bytes,
        )
    };
    assert_problem(&with_length("4", "5", b""), 400, "malformed");
    assert_problem(&with_length("1001", "5", b""), 413, "too-large");
    assert_eq!(with_length("11", "5", b" w").status, 204);
    assert_problem(&with_length("12", "7", b"orld"), 400, "malformed");
    assert_eq!(with_length("11", "7", b"orld").status, 204);
    assert_eq!(server.get(path).json()["sha256"], sha256(b"hello world"));
    let other = server.request("POST", "/v1/uploads", &[TUS, ("Upload-Defer-Length", "2")], b"");
    assert_problem(&other, 400, "malformed");
}

#[test]
fn wrong_requests_change_nothing() {
    let server = TestServer::fresh(|options| options.upload_max_bytes = 1000);
    let path = create(&server, 10);
    assert_eq!(patch(&server, &path, 0, b"hello").status, 204);
    let send =
        |method: &str, headers: &[(&str, &str)], bytes: &[u8]| server.request(method, &path, headers, bytes);

    let mismatch = patch(&server, &path, 4, b"x");
    assert_problem(&mismatch, 409, "offset-mismatch");
    assert_eq!(mismatch.header("upload-offset"), Some("5"));
    assert_problem(&patch(&server, &path, 6, b"x"), 409, "offset-mismatch");
    assert_problem(&send("PATCH", &[TUS, ("Upload-Offset", "5")], b"x"), 415, "unsupported-media-type");
    assert_problem(&send("PATCH", &[TUS, BYTES], b"x"), 400, "malformed");
    for offset in
        ["", "-1", "+5", "5.0", "0x5", "5 5", "\u{b2}", "18446744073709551616", "99999999999999999999999999"]
    {
        assert_problem(&send("PATCH", &[TUS, BYTES, ("Upload-Offset", offset)], b"x"), 400, "malformed");
    }
    let twice = [TUS, BYTES, ("Upload-Offset", "5"), ("Upload-Offset", "5")];
    assert_problem(&send("PATCH", &twice, b"x"), 400, "malformed");
    assert_problem(&patch(&server, &path, 5, b"123456"), 413, "too-large");
    let chunked = [TUS, BYTES, ("Upload-Offset", "5"), ("Transfer-Encoding", "chunked")];
    assert_problem(&send("PATCH", &chunked, b"6\r\n123456\r\n0\r\n\r\n"), 413, "too-large");
    let checksum =
        [TUS, BYTES, ("Upload-Offset", "5"), ("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")];
    assert_problem(&send("PATCH", &checksum, b"x"), 400, "malformed");
    for method in ["HEAD", "PATCH", "DELETE"] {
        let other = send(method, &[("Tus-Resumable", "0.2.2"), BYTES, ("Upload-Offset", "5")], b"");
        assert_eq!((other.status, other.header("tus-version")), (412, Some("1.0.0")), "{method}");
    }
    assert_eq!(head(&server, &path).header("upload-offset"), Some("5"));
    let file = server.service.upload_folder(id(&path)).join("source");
    assert_eq!(std::fs::read(file).unwrap(), b"hello");

    let post = |headers: &[(&str, &str)]| server.request("POST", "/v1/uploads", headers, b"");
    let other = post(&[("Tus-Resumable", "2.0.0"), ("Upload-Length", "5")]);
    assert_problem(&other, 412, "unsupported-version");
    assert_problem(&post(&[TUS]), 400, "malformed");
    assert_problem(&post(&[TUS, ("Upload-Length", "-1")]), 400, "malformed");
    assert_problem(&post(&[TUS, ("Upload-Length", "5"), ("Upload-Defer-Length", "1")]), 400, "malformed");
    assert_problem(&post(&[TUS, ("Upload-Length", "1001")]), 413, "too-large");
    assert_problem(&post(&[TUS, ("Upload-Length", "18446744073709551615")]), 413, "too-large");
    assert_problem(&post(&[TUS, ("Upload-Length", "5"), ("Upload-Metadata", "a !")]), 400, "malformed");
    assert_problem(&post(&[TUS, ("Upload-Length", "5"), ("Upload-Concat", "partial")]), 400, "malformed");
}

#[test]
fn a_broken_connection_keeps_what_came() {
    let server = TestServer::fresh(|_| {});
    let bytes: Vec<u8> = (0..200_000_u32).map(|index| (index % 241) as u8).collect();
    let path = create(&server, bytes.len());
    let mut stream = begin_patch(&server, &path, bytes.len());
    stream.write_all(&bytes[..120_000]).unwrap();
    drop(stream);
    wait_until("the bytes are kept", || head(&server, &path).header("upload-offset") == Some("120000"));
    assert_eq!(patch(&server, &path, 120_000, &bytes[120_000..]).status, 204);
    assert_eq!(server.get(&path).json()["sha256"], sha256(&bytes));
}

#[test]
fn a_restarted_server_goes_on_at_the_synced_offset() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(TestServer::options(&folder));
    let path = create(&server, 11);
    assert_eq!(patch(&server, &path, 0, b"hello").status, 204);
    let file = server.service.upload_folder(id(&path)).join("source");
    server.stop().unwrap();
    // a crash may leave bytes in the file that were never acknowledged
    std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(b"garbage that is longer")
        .unwrap();

    let server = TestServer::start(TestServer::options(&folder));
    assert_eq!(head(&server, &path).header("upload-offset"), Some("5"));
    assert_eq!(patch(&server, &path, 5, b" world").status, 204);
    assert_eq!(server.get(&path).json()["sha256"], sha256(b"hello world"));
    assert_eq!(std::fs::read(&file).unwrap(), b"hello world");

    // bytes that are lost are not made up
    let lost = create(&server, 11);
    assert_eq!(patch(&server, &lost, 0, b"hello").status, 204);
    std::fs::write(server.service.upload_folder(id(&lost)).join("source"), "hel").unwrap();
    assert_problem(&patch(&server, &lost, 5, b" world"), 410, "expired");
    assert_problem(&server.get(&lost), 410, "expired");
}

#[test]
fn of_two_requests_that_write_at_once_one_is_refused() {
    let server = TestServer::fresh(|_| {});
    let path = create(&server, 10);
    let mut first = begin_patch(&server, &path, 10);
    send(&server, &path, &mut first, b"abc");
    let second = patch(&server, &path, 0, b"0123456789");
    assert_problem(&second, 423, "upload-locked");
    assert!(second.header("retry-after").is_some());
    first.write_all(b"defghij").unwrap();
    let first = answer(first);
    assert_eq!((first.status, first.header("upload-offset")), (204, Some("10")));
    assert_eq!(server.get(&path).json()["sha256"], sha256(b"abcdefghij"));

    // many at once: the bytes of exactly one are there
    let path = create(&server, 1000);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let one = |byte: u8| {
            scope.spawn({
                let (server, path) = (&server, &path);
                move || patch(server, path, 0, &[byte; 1000]).status
            })
        };
        let threads: Vec<_> = (0..8).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 204 | 409 | 413 | 423 | 429)), "{statuses:?}");
    let stored = std::fs::read(server.service.upload_folder(id(&path)).join("source")).unwrap();
    assert!(stored.len() == 1000 && stored.iter().all(|byte| *byte == stored[0]));
}

#[test]
fn an_idle_request_is_stopped_when_a_client_asks_for_the_offset() {
    let server = TestServer::fresh(|_| {});
    let path = create(&server, 10);
    let mut lost = begin_patch(&server, &path, 10);
    send(&server, &path, &mut lost, b"hello");
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(head(&server, &path).header("upload-offset"), Some("5"));
    assert_eq!(patch(&server, &path, 5, b"world").status, 204);
    assert_problem(&answer(lost), 409, "upload-interrupted");
}

#[test]
fn slow_bytes_are_kept_and_the_request_is_cut_off() {
    let server = TestServer::fresh(|options| options.upload_stall = Duration::from_millis(300));
    let path = create(&server, 10);
    let mut slow = begin_patch(&server, &path, 10);
    slow.write_all(b"hello").unwrap();
    let cut = answer(slow);
    assert_problem(&cut, 408, "too-slow");
    assert_eq!(cut.header("upload-offset"), Some("5"));
    assert_eq!(head(&server, &path).header("upload-offset"), Some("5"));
}

#[test]
fn deleted_and_expired_uploads_are_410() {
    let server = TestServer::fresh(|_| {});
    let path = create(&server, 10);
    assert_eq!(patch(&server, &path, 0, b"hello").status, 204);
    let deleted = server.request("DELETE", &path, &[TUS], b"");
    assert_eq!((deleted.status, deleted.header("tus-resumable")), (204, Some("1.0.0")));
    assert!(!server.service.upload_folder(id(&path)).exists());
    let expired = create(&server, 10);
    server.service.store.renew_upload(id(&expired), server.service.store.now() - 1).unwrap();
    for path in [&path, &expired] {
        let asked = head(&server, path);
        assert_eq!((asked.status, asked.header("upload-offset")), (410, None));
        assert_problem(&patch(&server, path, 5, b"x"), 410, "expired");
        assert_problem(&server.request("DELETE", path, &[TUS], b""), 410, "expired");
        assert_problem(&server.get(path), 410, "expired");
    }
    // one that is removed while it is received
    let removed = create(&server, 10);
    let mut stream = begin_patch(&server, &removed, 10);
    send(&server, &removed, &mut stream, b"hello");
    assert_eq!(server.request("DELETE", &removed, &[TUS], b"").status, 204);
    assert_problem(&answer(stream), 409, "upload-interrupted");
    assert!(!server.service.upload_folder(id(&removed)).exists());
    assert_eq!(head(&server, &removed).status, 410);
}

#[test]
fn the_source_of_a_job_that_has_not_ended_is_not_deleted() {
    let server = TestServer::fresh(|_| {});
    let upload = server.upload("a.mp4", b"a video");
    let path = format!("/v1/uploads/{upload}");
    let settings = json!({ "frames": 1, "pause_seconds": 60 });
    let job = server
        .post("/v1/jobs", &json!({ "kind": "track", "source": { "upload": upload }, "settings": settings }));
    assert_eq!(job.status, 202, "{}", job.text());
    assert_problem(&server.request("DELETE", &path, &[TUS], b""), 409, "upload-in-use");
    assert!(server.service.upload_folder(&upload).join("source.mp4").exists());
    let job = job.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(server.post(&format!("/v1/jobs/{job}/cancel"), &json!({})).status, 200);
    server.wait_for(&job, "canceled");
    assert_eq!(server.request("DELETE", &path, &[TUS], b"").status, 204);
}

#[test]
fn the_method_may_come_in_a_header() {
    let server = TestServer::fresh(|_| {});
    let path = create(&server, 5);
    let patch = [TUS, BYTES, ("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")];
    assert_eq!(server.request("POST", &path, &patch, b"hello").status, 204);
    assert_problem(&server.request("POST", &path, &[TUS], b""), 405, "method-not-allowed");
    assert_eq!(server.request("POST", &path, &[TUS, ("X-HTTP-Method-Override", "DELETE")], b"").status, 204);
    assert_eq!(head(&server, &path).status, 410);
}

/// Numbers from 0 to `end`, exclusive, always the same ones.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn whatever_a_client_sends_the_bytes_are_those_that_were_acknowledged() {
    let server = TestServer::fresh(|options| options.upload_max_bytes = 1000);
    let mut numbers = Numbers(17);
    let path = create(&server, 200);
    let mut stored: Vec<u8> = Vec::new();
    let offsets =
        ["0", "1", "199", "200", "201", "-1", "x", "", "1e3", " 3", "18446744073709551616", "\u{b9}"];
    let types = ["application/offset+octet-stream", "text/plain", "", "Application/Offset+Octet-Stream; x=y"];
    let methods = ["PATCH", "HEAD", "GET", "POST", "OPTIONS"];
    let others = [
        ("Tus-Resumable", "0.2.2"),
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Length", "200"),
        ("Upload-Length", "100"),
        ("Upload-Length", "x"),
        ("Upload-Checksum", "sha1 x"),
        ("Upload-Concat", "final;/a /b"),
        ("Upload-Defer-Length", "1"),
        ("Upload-Metadata", ",,,"),
        ("X-HTTP-Method-Override", "PATCH"),
        ("X-HTTP-Method-Override", "HEAD"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Encoding", "gzip"),
        ("Range", "bytes=0-1"),
    ];
    for round in 0..400 {
        let here = stored.len().to_string();
        let mut headers: Vec<(&str, &str)> = Vec::new();
        let offset =
            if numbers.below(2) == 0 { here.as_str() } else { offsets[numbers.below(offsets.len())] };
        if numbers.below(10) > 0 {
            headers.push(("Upload-Offset", offset));
        }
        headers.push(("Content-Type", types[numbers.below(8) % 5 % types.len()]));
        for _ in 0..numbers.below(3) {
            headers.push(others[numbers.below(others.len())]);
        }
        let byte = (round % 251) as u8;
        let bytes = vec![byte; numbers.below(8)];
        let is_chunked = headers.iter().any(|(name, _)| *name == "Transfer-Encoding");
        let mut body = bytes.clone();
        if is_chunked {
            body = format!("{:x}\r\n", bytes.len()).into_bytes();
            body.extend_from_slice(&bytes);
            body.extend_from_slice(if bytes.is_empty() { b"\r\n" } else { b"\r\n0\r\n\r\n" });
        }
        let method = methods[numbers.below(8).saturating_sub(3)];
        let answer = server.request(method, &path, &headers, &body);
        assert!(answer.status < 500, "{method} {headers:?}: {}", answer.text());
        let is_patch = method == "PATCH"
            || method == "POST"
                && headers
                    .iter()
                    .find(|(name, _)| *name == "X-HTTP-Method-Override")
                    .is_some_and(|(_, value)| *value == "PATCH");
        if is_patch && answer.status == 204 {
            stored.extend_from_slice(&bytes);
        }
        let asked = head(&server, &path);
        assert_eq!(
            asked.header("upload-offset"),
            Some(&*stored.len().to_string()),
            "{method} {headers:?} {bytes:?}: {}",
            answer.status
        );
    }
    assert!(stored.len() > 20, "{} bytes were stored", stored.len());
    assert_eq!(std::fs::read(server.service.upload_folder(id(&path)).join("source")).unwrap(), stored);
}
