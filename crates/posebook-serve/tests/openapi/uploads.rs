//! Answers about uploads, and limits.

use crate::contract::Contract;
use crate::jobs::finished;
use crate::support::{TestServer, request, wait_until};
use crate::{Headers, NO_UPLOAD, answer, begin};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const BYTES: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const OTHER_TUS: (&str, &str) = ("Tus-Resumable", "0.2.2");

pub fn uploads(contract: &mut Contract, server: &TestServer) {
    let put = |path: &str, body: &[u8]| server.request("PUT", path, &[], body);
    let put_upload = contract.check_as("putUpload", 201, &put("/v1/uploads?name=a.mp4", b"a video"));
    contract.check_as("putUpload", 400, &put("/v1/uploads?x=y", b"a video"));
    contract.check_as(
        "putUpload",
        411,
        &answer(begin(server, "PUT /v1/uploads HTTP/1.1\r\nConnection: close")),
    );
    contract.check_as("tusOptions", 204, &server.request("OPTIONS", "/v1/uploads", &[], b""));

    let create = |headers: &[(&str, &str)], body: &[u8]| server.request("POST", "/v1/uploads", headers, body);
    contract.check_as("createUpload", 201, &create(&[("Upload-Length", "7")], b""));
    let metadata = [("Upload-Length", "7"), ("Upload-Metadata", "filename YS5tcDQ="), BYTES];
    let created = contract.check_as("createUpload", 201, &create(&metadata, b"abc"));
    contract.check_as("createUpload", 400, &create(&[], b""));
    contract.check_as("createUpload", 412, &create(&[OTHER_TUS, ("Upload-Length", "7")], b""));
    contract.check_as("createUpload", 415, &create(&[("Upload-Length", "7")], b"abc"));

    let path = created.header("location").unwrap().to_owned();
    let send =
        |method: &str, headers: &[(&str, &str)], body: &[u8]| server.request(method, &path, headers, body);
    contract.check_as("tusOptionsOfUpload", 204, &send("OPTIONS", &[], b""));
    contract.check_as("headUpload", 200, &send("HEAD", &[], b""));
    contract.check_as("headUpload", 412, &send("HEAD", &[OTHER_TUS], b""));
    contract.check_as("getUpload", 200, &send("GET", &[], b""));
    contract.check_as("getUpload", 200, &server.get(put_upload.header("location").unwrap()));
    let at = |offset: &'static str| [BYTES, ("Upload-Offset", offset)];
    contract.check_as("patchUpload", 400, &send("PATCH", &at("x"), b"d"));
    contract.check_as("patchUpload", 409, &send("PATCH", &at("2"), b"d"));
    contract.check_as("patchUpload", 412, &send("PATCH", &[OTHER_TUS, BYTES], b"d"));
    contract.check_as("patchUpload", 413, &send("PATCH", &at("3"), b"12345"));
    contract.check_as("patchUpload", 415, &send("PATCH", &[("Upload-Offset", "3")], b"d"));
    let patch = format!(
        "PATCH {path} HTTP/1.1\r\nConnection: close\r\nUpload-Offset: 3\r\nContent-Type: application/offset+octet-stream"
    );
    contract.check_as("patchUpload", 411, &answer(begin(server, &patch)));
    let mut open = begin(server, &format!("{patch}\r\nContent-Length: 4"));
    open.write_all(b"d").unwrap();
    let id = path.strip_prefix("/v1/uploads/").unwrap();
    let file = server.service.upload_folder(id).join("source.mp4");
    wait_until("the byte is written", || file.metadata().is_ok_and(|about| about.len() == 4));
    contract.check_as("patchUpload", 423, &send("PATCH", &at("4"), b"e"));
    drop(open);
    wait_until("the byte is kept", || send("HEAD", &[], b"").header("upload-offset") == Some("4"));
    contract.check_as("patchUpload", 204, &send("PATCH", &at("4"), b"e"));

    let by_header =
        |method: &'static str| [BYTES, ("Upload-Offset", "5"), ("X-HTTP-Method-Override", method)];
    contract.check_as("overrideUpload", 204, &send("POST", &by_header("PATCH"), b"fg"));
    contract.check_as("overrideUpload", 200, &send("POST", &by_header("HEAD"), b""));
    contract.check_as("overrideUpload", 405, &send("POST", &[], b""));
    let settings = json!({ "frames": 1, "pause_seconds": 60 });
    let job = server
        .post("/v1/jobs", &json!({ "kind": "track", "source": { "upload": id }, "settings": settings }));
    contract.check("addJob", &job);
    contract.check_as("deleteUpload", 409, &send("DELETE", &[], b""));
    let job = job.json()["id"].as_str().unwrap().to_owned();
    server.request("POST", &format!("/v1/jobs/{job}/cancel"), &[], b"");
    server.wait_for(&job, "canceled");
    contract.check_as("deleteUpload", 412, &send("DELETE", &[OTHER_TUS], b""));
    contract.check_as("deleteUpload", 204, &send("DELETE", &[], b""));

    let none = format!("/v1/uploads/{NO_UPLOAD}");
    let operations: [(&str, &str, Headers); 5] = [
        ("headUpload", "HEAD", &[]),
        ("getUpload", "GET", &[]),
        ("patchUpload", "PATCH", &at("0")),
        ("deleteUpload", "DELETE", &[]),
        ("overrideUpload", "POST", &by_header("PATCH")),
    ];
    for (id, method, headers) in operations {
        contract.check_as(id, 410, &send(method, headers, b""));
        contract.check_as(id, 404, &server.request(method, &none, headers, b""));
    }
}

pub fn limits(contract: &mut Contract) {
    let server = TestServer::fresh(|options| {
        options.upload_max_bytes = 100;
        options.upload_stall = Duration::from_millis(200);
    });
    let create = |length: &str| server.request("POST", "/v1/uploads", &[("Upload-Length", length)], b"");
    contract.check_as("putUpload", 413, &server.request("PUT", "/v1/uploads", &[], &[0; 101]));
    contract.check_as("createUpload", 413, &create("101"));
    contract.check_as(
        "putUpload",
        408,
        &answer(begin(&server, "PUT /v1/uploads HTTP/1.1\r\nContent-Length: 10")),
    );
    let path = create("10").header("location").unwrap().to_owned();
    let patch = format!(
        "PATCH {path} HTTP/1.1\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 10"
    );
    contract.check_as("patchUpload", 408, &answer(begin(&server, &patch)));

    let full = TestServer::fresh(|_| {});
    let path = full
        .request("POST", "/v1/uploads", &[("Upload-Length", "10")], b"")
        .header("location")
        .unwrap()
        .to_owned();
    let four: Vec<TcpStream> =
        (0..4).map(|_| begin(&full, "PUT /v1/uploads HTTP/1.1\r\nContent-Length: 10")).collect();
    wait_until("four are received", || {
        std::fs::read_dir(full.service.options.data.join("uploads")).unwrap().count() == 5
    });
    contract.check_as("putUpload", 429, &full.request("PUT", "/v1/uploads", &[], b"x"));
    contract.check_as(
        "createUpload",
        429,
        &full.request("POST", "/v1/uploads", &[("Upload-Length", "1"), BYTES], b"x"),
    );
    contract.check_as(
        "patchUpload",
        429,
        &full.request("PATCH", &path, &[BYTES, ("Upload-Offset", "0")], b"x"),
    );
    drop(four);

    let archive = finished(&full, json!({ "frames": 1, "bytes": 100_000_000 }));
    let head = format!("GET /v1/jobs/{archive}/archive.zip HTTP/1.1");
    let mut eight: Vec<TcpStream> = (0..8).map(|_| begin(&full, &head)).collect();
    for stream in &mut eight {
        stream.read_exact(&mut [0; 100]).unwrap();
    }
    contract.check_as("getArchive", 429, &full.get(&format!("/v1/jobs/{archive}/archive.zip")));
    drop(eight);

    let folder = tempfile::tempdir().unwrap();
    let options = TestServer::options(&folder);
    let small = TestServer::start(options.clone());
    let path = small
        .request("POST", "/v1/uploads", &[("Upload-Length", "10")], b"")
        .header("location")
        .unwrap()
        .to_owned();
    small.stop().unwrap();
    let small =
        TestServer::start(posebook_serve::Options { disk_floor_bytes: Some(u64::MAX / 2), ..options });
    let send = |method: &str, path: &str, headers: &[(&str, &str)]| {
        request(small.address, method, path, headers, b"x").unwrap()
    };
    contract.check_as("putUpload", 507, &send("PUT", "/v1/uploads", &[]));
    contract.check_as("createUpload", 507, &send("POST", "/v1/uploads", &[("Upload-Length", "1"), BYTES]));
    contract.check_as("patchUpload", 507, &send("PATCH", &path, &[BYTES, ("Upload-Offset", "0")]));
}
