//! Results as files, as one archive, and as people.

mod support;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;
use support::{Answer, PEOPLE_HEADER, TestServer, wait_until};

const BYTES: usize = 300_000;

/// A server with one job that succeeded; the job's id.
fn finished() -> (TestServer, String) {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 3, "bytes": BYTES }));
    server.wait_for(&id, "succeeded");
    (server, id)
}

fn folder(server: &TestServer, id: &str) -> PathBuf {
    server.service.options.data.join("done").join(id).join("files")
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["type"], format!("https://posebook.invalid/problems/{name}"));
}

#[test]
fn results_are_listed_and_served_with_their_hashes() {
    let (server, id) = finished();
    let list = server.get(&format!("/v1/jobs/{id}/files")).json();
    assert_eq!(list["job"], id);
    let files = list["files"].as_array().unwrap();
    assert_eq!(list["files"], server.job(&id)["files"]);
    let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"people.csv") && names.contains(&"overlay.mp4"), "{names:?}");
    for file in files {
        let answer = server.get(file["href"].as_str().unwrap());
        let name = file["name"].as_str().unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body == std::fs::read(folder(&server, &id).join(name)).unwrap());
        let hash: String = Sha256::digest(&answer.body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(file["sha256"], hash);
        assert_eq!(answer.header("etag"), Some(&*format!("\"{hash}\"")));
        assert_eq!(answer.header("content-length"), Some(&*file["bytes"].to_string()));
        assert_eq!(answer.header("content-type"), file["media_type"].as_str());
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert!(answer.header("last-modified").unwrap().ends_with(" GMT"));
        let kind = if name == "overlay.mp4" { "inline" } else { "attachment" };
        assert_eq!(answer.header("content-disposition"), Some(&*format!("{kind}; filename=\"{name}\"")));
        let head = server.request("HEAD", file["href"].as_str().unwrap(), &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["etag", "content-length", "content-type", "content-disposition", "last-modified"] {
            assert_eq!(head.header(name), answer.header(name), "{name}");
        }
    }
}

#[test]
fn ranges_and_conditions_are_answered() {
    let (server, id) = finished();
    let path = format!("/v1/jobs/{id}/files/people.csv");
    let whole = server.get(&path);
    let size = whole.body.len();
    let tag = whole.header("etag").unwrap().to_owned();
    let date = whole.header("last-modified").unwrap().to_owned();
    let get = |headers: &[(&str, &str)]| server.request("GET", &path, headers, b"");
    for (range, start, end) in [
        ("bytes=0-4", 0, 5),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        ("bytes=3-999999", 3, size),
    ] {
        let part = get(&[("Range", range)]);
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {start}-{}/{size}", end - 1)));
        assert_eq!(part.header("content-length"), Some(&*(end - start).to_string()));
        assert_eq!(part.header("etag"), Some(&*tag));
        assert!(part.body == whole.body[start..end], "{range}");
    }
    let beyond = get(&[("Range", &format!("bytes={size}-"))]);
    assert_problem(&beyond, 416, "bad-range");
    assert_eq!(beyond.header("content-range"), Some(&*format!("bytes */{size}")));
    let many = format!("bytes={}0-", "0-,".repeat(1000));
    for range in [&*many, "bytes=0-1,5-6", "bytes=2-1", "lines=1-2", "bytes=x"] {
        let answer = get(&[("Range", range)]);
        assert_eq!((answer.status, answer.body.len()), (200, size), "{range:.40}");
    }
    for condition in [("If-None-Match", &*tag), ("If-None-Match", "*"), ("If-Modified-Since", &*date)] {
        let unchanged = get(&[condition, ("Range", "bytes=0-1")]);
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{condition:?}");
        assert_eq!(unchanged.header("etag"), Some(&*tag));
        assert_eq!(server.request("HEAD", &path, &[condition], b"").status, 304);
    }
    assert_eq!(get(&[("If-Range", &tag), ("Range", "bytes=0-1")]).status, 206);
    assert_eq!(get(&[("If-Range", &date), ("Range", "bytes=0-1")]).status, 206);
    assert_eq!(get(&[("If-Range", "\"other\""), ("Range", "bytes=0-1")]).status, 200);
    assert_problem(&get(&[("If-Match", "\"other\"")]), 412, "precondition-failed");
    assert_eq!(server.request("HEAD", &path, &[("Range", "bytes=0-1")], b"").status, 200);
}

#[test]
fn only_names_of_the_record_are_opened() {
    let (server, id) = finished();
    std::fs::write(folder(&server, &id).join("later.csv"), "not in the record").unwrap();
    let long = "a".repeat(5000);
    for name in [
        "..",
        "%2e%2e",
        "../job.json",
        "%2e%2e/job.json",
        "..%2fjob.json",
        "%2e%2e%2fjob.json",
        "..%5cjob.json",
        "....//job.json",
        "./people.csv",
        "/people.csv",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "//etc/passwd",
        "people.csv%00",
        "%00",
        "people.csv/",
        "people.csv/..",
        "x/../people.csv",
        "%2e/people.csv",
        "people.csv%2f",
        "PEOPLE.CSV",
        "people%252ecsv",
        "later.csv",
        "%ff",
        "%c0%ae",
        "..;/job.json",
        "~",
        "%7e",
        "*",
        "?",
        "people.csv%20",
        &long,
        "\u{ff0e}\u{ff0e}/job.json",
    ] {
        let encoded: String = name
            .bytes()
            .map(|byte| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02x}") })
            .collect();
        for method in ["GET", "HEAD"] {
            let answer = server.request(method, &format!("/v1/jobs/{id}/files/{encoded}"), &[], b"");
            assert_eq!(answer.status, 404, "{method} {name:.50}: {}", answer.text());
        }
        let answer = server.get(&format!("/v1/jobs/{id}/files/{encoded}"));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{name:.50}");
    }
    // encoded letters of a right name are that name
    assert_eq!(server.get(&format!("/v1/jobs/{id}/files/%70eople.csv")).status, 200);
}

#[test]
fn links_in_the_folder_of_results_are_not_followed() {
    let (server, id) = finished();
    let path = format!("/v1/jobs/{id}/files/people.csv");
    let files = folder(&server, &id);
    let real = files.join("people.csv");
    let bytes = std::fs::read(&real).unwrap();
    // a file of the same size elsewhere, so that only the link can be the reason
    let other = files.parent().unwrap().join("secret");
    std::fs::write(&other, vec![b's'; bytes.len()]).unwrap();
    std::fs::remove_file(&real).unwrap();
    symlink(&other, &real).unwrap();
    assert_problem(&server.get(&path), 500, "internal");
    assert_problem(&server.get(&format!("/v1/jobs/{id}/archive.zip")), 500, "internal");

    // swapped in a loop: whatever is answered, it is never the other file
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (as_link, as_file) = (files.join("link"), files.join("file"));
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                symlink(&other, &as_link).unwrap();
                std::fs::rename(&as_link, &real).unwrap();
                std::fs::write(&as_file, &bytes).unwrap();
                std::fs::rename(&as_file, &real).unwrap();
            }
        });
        let mut served = 0;
        for _ in 0..200 {
            let answer = server.get(&path);
            assert!(matches!(answer.status, 200 | 500), "{}", answer.text());
            if answer.status == 200 {
                assert!(answer.body == bytes, "the other file was served");
                served += 1;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(served > 0);
    });

    // the folder itself as a link
    std::fs::rename(&files, files.with_file_name("moved")).unwrap();
    symlink(files.with_file_name("moved"), &files).unwrap();
    assert_problem(&server.get(&path), 500, "internal");
}

#[test]
fn results_that_are_not_there_have_a_status_that_says_why() {
    let server = TestServer::fresh(|_| {});
    let running = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    let paths = ["files", "files/people.csv", "archive.zip", "people"];
    for id in ["00000000-0000-4000-8000-000000000000", "x", "..", "%2e%2e", "1", "%00"] {
        for path in paths {
            let answer = server.get(&format!("/v1/jobs/{id}/{path}"));
            assert_eq!(answer.status, 404, "{id} {path}: {}", answer.text());
        }
    }
    for path in paths {
        assert_problem(&server.get(&format!("/v1/jobs/{running}/{path}")), 409, "still-running");
    }
    server.post(&format!("/v1/jobs/{running}/cancel"), &json!({}));
    server.wait_for(&running, "canceled");
    assert_eq!(server.get(&format!("/v1/jobs/{running}/files")).status, 200);

    let done = server.queue(json!({ "frames": 1 }));
    server.wait_for(&done, "succeeded");
    assert_problem(&server.get(&format!("/v1/jobs/{done}/files/none.csv")), 404, "no-such-file");
    // removed, and not recorded yet
    std::fs::remove_dir_all(server.service.options.data.join("done").join(&done)).unwrap();
    for path in &paths[1..] {
        assert_problem(&server.get(&format!("/v1/jobs/{done}/{path}")), 410, "expired");
    }
    server.service.store.set_expired(done.parse().unwrap()).unwrap();
    for path in paths {
        assert_problem(&server.get(&format!("/v1/jobs/{done}/{path}")), 410, "expired");
    }
}

#[test]
fn the_archive_has_all_files() {
    let (server, id) = finished();
    let answer = server.get(&format!("/v1/jobs/{id}/archive.zip"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    let name = format!("attachment; filename=\"simulated-{}.zip\"", &id[..8]);
    assert_eq!(answer.header("content-disposition"), Some(&*name));
    let mut archive = zip::ZipArchive::new(Cursor::new(answer.body)).unwrap();
    let files = server.job(&id)["files"].as_array().unwrap().clone();
    assert_eq!(archive.len(), files.len());
    for file in files {
        let name = file["name"].as_str().unwrap();
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == std::fs::read(folder(&server, &id).join(name)).unwrap());
    }
    let head = server.request("HEAD", &format!("/v1/jobs/{id}/archive.zip"), &[], b"");
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/zip")));
}

#[test]
fn people_are_served_in_the_format_that_is_accepted() {
    let (server, id) = finished();
    let path = format!("/v1/jobs/{id}/people");
    let get = |query: &str, accept: &str| {
        server.request("GET", &format!("{path}{query}"), &[("Accept", accept)], b"")
    };
    let everyone = get("", "application/json");
    assert_eq!(everyone.header("content-type"), Some("application/json"));
    assert_eq!(everyone.header("vary").map(str::to_ascii_lowercase).as_deref(), Some("accept"));
    let everyone = everyone.json();
    assert_eq!(everyone.as_array().unwrap().len(), 6);
    assert_eq!(get("", "*/*").json(), everyone);
    assert_eq!(server.get(&path).json(), everyone);

    let lines = get("", "application/x-ndjson");
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Value::from(lines), everyone);
    let csv = get("", "text/html, text/csv;q=0.9, */*;q=0.1");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"simulated-people.csv\""));
    assert!(csv.text().starts_with(PEOPLE_HEADER) && csv.text().lines().count() == 7);
    let parquet = get("", "application/vnd.apache.parquet");
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
    // a query takes precedence over `Accept`, so that a link in a page can ask for a format
    assert_eq!(get("?format=ndjson", "text/csv").header("content-type"), Some("application/x-ndjson"));
    assert_problem(&get("", "text/html"), 406, "not-acceptable");
    assert_problem(&get("?format=xml", "*/*"), 406, "not-acceptable");

    let count = |query: &str| get(query, "application/json").json().as_array().unwrap().len();
    assert_eq!(count("?frame=1"), 2);
    assert_eq!(count("?track=2"), 3);
    assert_eq!(count("?frame=1&track=2"), 1);
    assert_eq!(count("?from=1&to=3"), 4);
    assert_eq!(count("?from=1&to=1"), 0);
    assert_eq!(count("?frame=99"), 0);
    for query in [
        "?frame=-1",
        "?frame=x",
        "?fram=1",
        "?frame=1&frame=2",
        "?from=2&to=1",
        "?frame=99999999999999999999",
    ] {
        assert_problem(&get(query, "*/*"), 400, "malformed");
    }
    assert_eq!(server.request("HEAD", &path, &[], b"").status, 200);

    std::fs::write(folder(&server, &id).join("people.csv"), "frame\nx,1,2,3,4,5,6\n").unwrap();
    assert_problem(&get("", "*/*"), 500, "internal");
    std::fs::remove_file(folder(&server, &id).join("people.csv")).unwrap();
    assert_problem(&get("", "*/*"), 404, "no-such-file");
}

#[test]
fn a_client_that_disconnects_frees_its_slot() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 1, "bytes": 200_000_000 }));
    server.wait_for(&id, "succeeded");
    let begin = |path: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!("GET /v1/jobs/{id}/{path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        (stream, String::from_utf8_lossy(&first).into_owned())
    };
    // each archive is larger than what the sockets hold, so that its thread waits
    let streams: Vec<TcpStream> = (0..8)
        .map(|_| begin("archive.zip"))
        .inspect(|(_, first)| assert_eq!(first, "HTTP/1.1 200"))
        .map(|(stream, _)| stream)
        .collect();
    assert_eq!(begin("archive.zip").1, "HTTP/1.1 429");
    // files have no such limit
    assert_eq!(begin("files/overlay.mp4").1, "HTTP/1.1 200");
    drop(streams);
    wait_until("a place is free", || begin("archive.zip").1 == "HTTP/1.1 200");
}
