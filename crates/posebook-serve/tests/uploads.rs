//! Uploads by `PUT`: limits, errors, names, and what is left on the disk.

#[path = "../../../tests/common/skip.rs"]
mod skip;
mod support;

use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Answer, TestServer, request, wait_until};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Folders of uploads on the disk.
fn folders(server: &TestServer) -> Vec<PathBuf> {
    let uploads = server.service.options.data.join("uploads");
    std::fs::read_dir(uploads).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Opens a connection and sends the head of a request.
fn begin(server: &TestServer, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{head}\r\nHost: {}\r\n\r\n", server.address).as_bytes()).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // the connection may be reset after the answer
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes).unwrap()
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["type"], format!("https://posebook.invalid/problems/{name}"));
    assert_eq!(answer.json()["status"], status);
}

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[test]
fn a_file_is_stored_with_its_hash_whether_its_length_is_known_or_not() {
    let server = TestServer::fresh(|_| {});
    let bytes = noise(3_000_000);
    let pieces: Vec<&[u8]> = bytes.chunks(100_000).collect();
    let known = server.request("PUT", "/v1/uploads?name=a.mp4", &[], &bytes);
    let unknown = server.request(
        "PUT",
        "/v1/uploads?name=a.mp4",
        &[("Transfer-Encoding", "chunked")],
        &chunked(&pieces),
    );
    for answer in [known, unknown] {
        assert_eq!(answer.status, 201, "{}", answer.text());
        let upload = answer.json();
        let id = upload["id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(&*format!("/v1/uploads/{id}")));
        assert_eq!(
            (&upload["name"], &upload["size"], &upload["offset"]),
            (&"a.mp4".into(), &3_000_000.into(), &3_000_000.into())
        );
        assert_eq!(upload["sha256"], sha256(&bytes));
        assert_eq!(upload["complete"], true);
        assert!(std::fs::read(server.service.upload_folder(id).join("source.mp4")).unwrap() == bytes);
        assert_eq!(server.get(&format!("/v1/uploads/{id}")).json(), upload);
        let stored = server.service.store.upload(id).unwrap().unwrap();
        assert_eq!(
            (stored.size, stored.offset, stored.sha256),
            (Some(3_000_000), 3_000_000, Some(sha256(&bytes)))
        );
    }
    let empty = server.request("PUT", "/v1/uploads", &[], b"").json();
    assert_eq!(
        (&empty["name"], &empty["size"], &empty["sha256"]),
        (&"upload".into(), &0.into(), &sha256(b"").into())
    );
}

#[test]
fn curl_uploads_a_file() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        return skip::skip("uploads by curl: curl is not installed", true);
    }
    let server = TestServer::fresh(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.mp4");
    std::fs::write(&file, noise(2_000_000)).unwrap();
    let address = format!("http://{}/v1/uploads?name=x.mp4", server.address);
    let curl = |arguments: &[&str], input: &str| {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "--noproxy", "*", "-w", "\n%{http_code}"]).args(arguments).arg(&address);
        let output = command.stdin(std::fs::File::open(input).unwrap()).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let path = file.to_str().unwrap();
    for answer in [curl(&["-T", path], path), curl(&["-T", "-"], path)] {
        assert!(answer.ends_with("\n201") && answer.contains(&sha256(&noise(2_000_000))), "{answer}");
    }
}

#[test]
fn a_body_without_a_length_is_411() {
    let server = TestServer::fresh(|_| {});
    let stream = begin(&server, "PUT /v1/uploads HTTP/1.1\r\nConnection: close");
    assert_problem(&answer(stream), 411, "length-required");
    assert!(folders(&server).is_empty());
}

#[test]
fn a_body_that_is_too_large_by_its_length_is_refused_before_it_is_read() {
    let server = TestServer::fresh(|options| options.upload_max_bytes = 1000);
    // a server that reads would first say `100 Continue`
    let head = "PUT /v1/uploads HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue";
    let refused = answer(begin(&server, head));
    assert_problem(&refused, 413, "too-large");
    // a client that does not wait gets the answer too
    assert_problem(&server.request("PUT", "/v1/uploads", &[], &noise(2_000_000)), 413, "too-large");
    assert!(folders(&server).is_empty());
    assert_eq!(server.request("PUT", "/v1/uploads", &[], &noise(1000)).status, 201);
}

#[test]
fn a_chunked_body_beyond_the_limit_is_cut_off_and_its_file_is_gone() {
    let server = TestServer::fresh(|options| options.upload_max_bytes = 100_000);
    let bytes = noise(3_000_000);
    let pieces: Vec<&[u8]> = bytes.chunks(10_000).collect();
    let chunked_body = chunked(&pieces);
    let refused = server.request("PUT", "/v1/uploads", &[("Transfer-Encoding", "chunked")], &chunked_body);
    assert_problem(&refused, 413, "too-large");
    assert!(folders(&server).is_empty());
}

#[test]
fn an_upload_for_which_the_disk_has_no_space_is_507() {
    let server = TestServer::fresh(|options| options.disk_floor_bytes = Some(u64::MAX / 2));
    let refused = server.request("PUT", "/v1/uploads", &[], &noise(5000));
    assert_problem(&refused, 507, "disk-full");
    assert_eq!(refused.json()["needed_bytes"], 5000);
    assert_eq!(refused.json()["free_bytes"], 0);
    assert!(folders(&server).is_empty());
}

#[test]
fn a_body_that_drips_or_stops_is_cut_off() {
    let server = TestServer::fresh(|options| options.upload_stall = Duration::from_millis(400));
    let head = "PUT /v1/uploads HTTP/1.1\r\nContent-Length: 1000000";
    let silent = begin(&server, head);
    let mut dripping = begin(&server, head);
    let began = Instant::now();
    let mut drip = dripping.try_clone().unwrap();
    let dripper = std::thread::spawn(move || {
        while drip.write_all(b"x").is_ok() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_problem(&answer(silent), 408, "too-slow");
    // the first bytes of the answer are enough: the server reads on for a while, so that the answer arrives
    let mut bytes = [0; 2000];
    let length = dripping.read(&mut bytes).unwrap();
    assert_problem(&Answer::parse(&bytes[..length]).unwrap(), 408, "too-slow");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    dripping.shutdown(Shutdown::Both).unwrap();
    dripper.join().unwrap();
    wait_until("the folders are gone", || folders(&server).is_empty());

    // fast enough, although longer than the interval in all
    let mut steady = begin(&server, "PUT /v1/uploads HTTP/1.1\r\nConnection: close\r\nContent-Length: 40000");
    for _ in 0..20 {
        steady.write_all(&[7; 2000]).unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(answer(steady).status, 201);
}

#[test]
fn a_body_that_breaks_off_leaves_nothing() {
    let server = TestServer::fresh(|_| {});
    let mut stream = begin(&server, "PUT /v1/uploads HTTP/1.1\r\nContent-Length: 100000");
    stream.write_all(&noise(60_000)).unwrap();
    wait_until("the upload has begun", || folders(&server).len() == 1);
    let id = folders(&server)[0].file_name().unwrap().to_str().unwrap().to_owned();
    drop(stream);
    wait_until("the folder is gone", || folders(&server).is_empty());
    assert_eq!(server.service.store.upload(&id).unwrap(), None);
    assert_problem(&server.get(&format!("/v1/uploads/{id}")), 410, "expired");
}

#[test]
fn the_fifth_body_at_once_is_429() {
    let server = TestServer::fresh(|_| {});
    let head = "PUT /v1/uploads HTTP/1.1\r\nConnection: close\r\nContent-Length: 10";
    let mut four: Vec<TcpStream> = (0..4).map(|_| begin(&server, head)).collect();
    wait_until("four are received", || folders(&server).len() == 4);
    let refused = server.request("PUT", "/v1/uploads", &[], b"x");
    assert_problem(&refused, 429, "too-many-uploads");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    for mut stream in four.drain(..) {
        stream.write_all(b"0123456789").unwrap();
        assert_eq!(answer(stream).status, 201);
    }
    assert_eq!(server.request("PUT", "/v1/uploads", &[], b"x").status, 201);
}

#[test]
fn names_are_kept_for_display_and_never_used_as_paths() {
    let server = TestServer::fresh(|_| {});
    let emoji = "\u{1f600}".repeat(63);
    for (name, file) in [
        ("\"><img src=x onerror=alert(1)>.mp4", "source.mp4"),
        ("${7*7}", "source"),
        ("a\r\nSet-Cookie: x=1.mp4", "source.mp4"),
        ("../../x", "source"),
        ("../../../../etc/cron.d/x.mp4", "source.mp4"),
        ("/etc/passwd", "source"),
        ("a.mp4/../../b", "source"),
        ("a\u{202e}4pm.exe", "source"),
        (&emoji, "source"),
        ("-i.mp4", "source.mp4"),
        ("pipe:0", "source"),
        ("concat:a.mp4|b.mp4", "source.mp4"),
        ("subfile:,,start,0,end,0,,:/etc/passwd", "source"),
        ("a:b.mp4", "source.mp4"),
        ("%d.PNG", "source.png"),
        ("x.m3u8", "source"),
        ("x.mp4\0.sh", "source"),
        ("x.mp4 ", "source.mp4"),
        ("CON", "source"),
        ("x.", "source"),
        (".mp4", "source.mp4"),
        ("", "source"),
    ] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = server.request("PUT", &format!("/v1/uploads?name={encoded}"), &[], b"bytes");
        assert_eq!(answer.status, 201, "{name}: {}", answer.text());
        let trimmed = if name.trim().is_empty() { "upload" } else { name.trim() };
        assert_eq!(answer.json()["name"], trimmed);
        let folder = server.service.upload_folder(answer.json()["id"].as_str().unwrap());
        let files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, [file], "{name}");
    }
    let long = "x".repeat(1025);
    assert_problem(&server.request("PUT", &format!("/v1/uploads?name={long}"), &[], b"x"), 400, "malformed");
    assert_problem(&server.request("PUT", "/v1/uploads?nam=x", &[], b"x"), 400, "malformed");
    assert_problem(&server.request("PUT", "/v1/uploads?name=x&name=y", &[], b"x"), 400, "malformed");
}

#[test]
fn ids_are_no_paths() {
    let server = TestServer::fresh(|_| {});
    let upper = "A".repeat(32);
    for id in [
        "..",
        "%2e%2e",
        "..%2f..",
        "..%5c",
        "%2fetc",
        "%00",
        "....",
        ".",
        "x",
        &upper,
        &"a".repeat(31),
        &"a".repeat(33),
        &"\u{e9}".repeat(16).bytes().map(|byte| format!("%{byte:02x}")).collect::<String>(),
        "%ff",
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = server.request(method, &format!("/v1/uploads/{id}"), &[], b"");
            assert!(matches!(answer.status, 400 | 404), "{method} {id}: {}", answer.status);
        }
        let headers = [("Content-Type", "application/offset+octet-stream"), ("Upload-Offset", "0")];
        let answer = server.request("PATCH", &format!("/v1/uploads/{id}"), &headers, b"x");
        assert!(matches!(answer.status, 400 | 404), "PATCH {id}: {}", answer.status);
    }
    assert!(folders(&server).is_empty());
    let unknown =
        request(server.address, "GET", &format!("/v1/uploads/{}", "a".repeat(32)), &[], b"").unwrap();
    assert_problem(&unknown, 404, "no-such-upload");
}
