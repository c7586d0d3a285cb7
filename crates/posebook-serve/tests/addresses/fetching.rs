//! What servers answer, or do not.

use crate::loopback::{PUBLIC, Server, answer, in_own_process, names, network};
use crate::{has_curl, place, place_with};
use posebook_serve::addresses::{Fetcher, Network};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn chunked(parts: &[&str]) -> Vec<u8> {
    let chunks: String = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
    format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n{chunks}0\r\nX: trailer\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_file_is_fetched_with_its_progress() {
    if !has_curl() {
        return;
    }
    let place = place(|request, stream| match request.target.split('?').next().unwrap_or_default() {
        "/chunked" => stream.write_all(&chunked(&["one ", "two"])),
        "/interim" => stream
            .write_all(&[b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", &*answer(200, "", b"after")].concat()),
        "/until-close" => stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nold"),
        "/zeros" => stream.write_all(&answer(200, "", &[0; 1_000_000])),
        _ => stream.write_all(&answer(200, "", &[b'x'; 300_000])),
    });
    let mut seen = Vec::new();
    let address = format!("http://PUBLIC.test:{}/a?token=x#part", place.server.port);
    let stop = AtomicBool::new(false);
    place
        .fetcher
        .fetch(&address, &place.to(), 300_000, &stop, &mut |done, of| seen.push((done, of)))
        .unwrap();
    assert_eq!(fs::read(place.to()).unwrap(), [b'x'; 300_000]);
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1, "no other file");
    assert!(seen.is_sorted() && seen.last().unwrap().0 == 300_000, "{seen:?}");
    assert_eq!(seen.last().unwrap().1, Some(300_000), "the size in all is known by the end");
    let request = &place.server.received()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a?token=x"));
    assert_eq!(request.header("host"), format!("public.test:{}", place.server.port));
    assert!(
        request.header("user-agent").starts_with("posebook/") && request.header("authorization").is_empty()
    );
    fs::remove_file(place.to()).unwrap();
    assert_eq!(place.fetch("/chunked").unwrap(), b"one two", "without the trailer");
    assert_eq!(place.fetch("/interim").unwrap(), b"after");
    assert_eq!(place.fetch("/until-close").unwrap(), b"old");
    assert_eq!(place.fetch("/zeros").unwrap().len(), 1_000_000, "exactly the limit");
}

#[test]
fn an_answer_that_is_no_whole_file_is_an_error_that_names_the_host() {
    if !has_curl() {
        return;
    }
    let place = place(|request, stream| {
        let path = request.target.split('?').next().unwrap_or_default();
        match path {
            "/none" => Ok(()),
            "/garbage" => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "/early" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes."),
            "/early-chunked" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nten bytes.")
            }
            "/redirect-without-location" => stream.write_all(&answer(302, "", b"")),
            "/headers" => stream.write_all(
                format!(
                    "HTTP/1.1 200 OK\r\n{}Content-Length: 1\r\n\r\nx",
                    "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(50_000)
                )
                .as_bytes(),
            ),
            _ => {
                let status = path.trim_start_matches('/').parse().unwrap_or(404);
                stream.write_all(&answer(status, "Content-Type: text/html\r\n", b"<h1>sesame"))
            }
        }
    });
    for (path, reason) in [
        ("/none", "without an answer"),
        ("/garbage", "without an answer"),
        ("/early", "before the whole file"),
        ("/early-chunked", "before the whole file"),
        ("/redirect-without-location", "answers 302"),
        ("/headers", ""),
        ("/404", "answers 404"),
        ("/401", "answers 401"),
        ("/500", "answers 500"),
        ("/206", "answers 206"),
        ("/204", "answers 204"),
    ] {
        let (name, detail) = place.refused(path);
        assert_eq!(name, "bad-source", "{path}: {detail}");
        assert!(detail.starts_with("public.test ") && detail.contains(reason), "{path}: {detail}");
    }
    let empty = place_with(Server::always(PUBLIC, answer(200, "", b"")), |network| network);
    assert!(empty.refused("/").1.contains("empty file"));
}

#[test]
fn a_file_larger_than_the_limit_is_cut_off() {
    if !has_curl() {
        return;
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let place = place(move |request, stream| {
        let head: &[u8] = match request.target.starts_with("/announced") {
            true => b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n",
            false => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        };
        stream.write_all(head)?;
        count.store(0, Ordering::SeqCst);
        let chunk = [b"10000\r\n", &*vec![7; 65536], b"\r\n"].concat();
        // ends with an error, since the client closes the connection
        loop {
            stream.write_all(&chunk)?;
            count.fetch_add(65536, Ordering::SeqCst);
        }
    });
    for path in ["/announced", "/endless"] {
        let problem = place.fetch(path).unwrap_err();
        assert_eq!((problem.status, problem.name()), (413, "too-large"), "{}", problem.detail);
        assert!(
            problem.detail.contains("public.test") && problem.detail.contains("1000000 bytes"),
            "{}",
            problem.detail
        );
    }
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 30_000_000, "{sent} bytes were sent: more than buffers hold");
}

#[test]
fn a_slow_server_ends_the_fetch_and_so_does_the_stop_flag() {
    if !has_curl() {
        return;
    }
    let gone = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gone);
    let server = Server::start(PUBLIC, move |request, stream| {
        if request.target.starts_with("/drip") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        } else {
            // returns when the client has gone
            let _ = stream.read(&mut [0; 1]);
        }
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let limit = Duration::from_millis(1500);
    let place = place_with(server, |network| Network {
        stall_limit: Duration::from_secs(1),
        fetch_limit: limit,
        ..network
    });
    for path in ["/drip", "/silent"] {
        let began = Instant::now();
        let (name, detail) = place.refused(path);
        assert!(name == "bad-source" && detail.contains("public.test is too slow"), "{detail}");
        assert!(began.elapsed() < Duration::from_secs(15), "{path}: {:?}", began.elapsed());
    }
    let stop = AtomicBool::new(false);
    let address = format!("http://public.test:{}/silent", place.server.port);
    let patient = Fetcher::with_network(network(&[place.server.port], names));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::SeqCst);
        });
        let began = Instant::now();
        let problem = patient.fetch(&address, &place.to(), 100, &stop, &mut |_, _| {}).unwrap_err();
        assert!(
            problem.detail.contains("stopped") && began.elapsed() < Duration::from_secs(8),
            "{}",
            problem.detail
        );
    });
    let began = Instant::now();
    while gone.load(Ordering::SeqCst) < 3 {
        assert!(began.elapsed() < Duration::from_secs(15), "curl still holds a connection");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 0);
    // a resolver that does not answer
    let hanging: Network = network(&[80], |_| {
        std::thread::sleep(Duration::from_secs(30));
        vec![PUBLIC.into()]
    });
    let fetch = |limit: u64, stop: &AtomicBool| {
        let network = Network { connect_limit: Duration::from_millis(limit), ..hanging.clone() };
        let to = place.to();
        Fetcher::with_network(network)
            .fetch("http://x.test/", &to, 1, stop, &mut |_, _| {})
            .unwrap_err()
            .detail
            .clone()
    };
    let began = Instant::now();
    assert!(fetch(200, &AtomicBool::new(false)).contains("no answer within"));
    assert!(fetch(60_000, &AtomicBool::new(true)).contains("stopped"));
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_host_that_is_not_there_is_an_error() {
    if !has_curl() {
        return;
    }
    let free = TcpListener::bind((PUBLIC, 0)).unwrap().local_addr().unwrap().port();
    let place = place_with(Server::always(PUBLIC, ""), |network| Network { ports: vec![free], ..network });
    for (host, reason) in
        [("public.test", "cannot be reached"), ("nowhere.example", "the name cannot be resolved")]
    {
        let problem = place.fetch_from(&format!("http://{host}:{free}/a?token=sesame")).unwrap_err();
        assert!(problem.name() == "bad-source" && problem.detail.contains(reason), "{}", problem.detail);
        assert!(problem.detail.contains(host), "{}", problem.detail);
    }
    // the server speaks no TLS and has no certificate
    let plain = place_with(Server::always(PUBLIC, answer(200, "", b"x")), |network| network);
    let problem = plain.fetch_from(&format!("https://public.test:{}/", plain.server.port)).unwrap_err();
    assert!(problem.detail.contains("certificate"), "{}", problem.detail);
}

/// Run by the next test in a process of its own, where the environment wants curl to do something else.
#[test]
#[ignore = "run by another test"]
fn fetch_in_a_hostile_environment() {
    let place = place(|_, stream| stream.write_all(&answer(200, "", b"direct")));
    match place.fetch("/") {
        Ok(content) => {
            assert!(place.server.received()[0].header("authorization").is_empty());
            println!("fetched {}", String::from_utf8_lossy(&content));
        }
        Err(problem) => println!("refused {} {}", problem.status, problem.detail),
    }
}

#[test]
fn proxies_and_configuration_files_of_curl_have_no_effect_and_a_missing_curl_is_said() {
    if !has_curl() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".curlrc"), "proxy = http://127.0.0.1:1\nuser = a:b\nlocation\n").unwrap();
    fs::write(home.path().join(".netrc"), "machine public.test login a password b\n").unwrap();
    let (home, proxy) = (home.path().to_str().unwrap(), "http://127.0.0.1:1");
    let run = |variables: &[(&str, &str)]| {
        let output = in_own_process("fetching::fetch_in_a_hostile_environment", variables).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let fetched = run(&[
        ("http_proxy", proxy),
        ("ALL_PROXY", proxy),
        ("HOME", home),
        ("CURL_HOME", home),
        ("XDG_CONFIG_HOME", home),
    ]);
    assert!(fetched.contains("fetched direct"), "{fetched}");
    let missing = run(&[("PATH", home)]);
    assert!(
        missing.contains("refused 500") && missing.contains("curl") && missing.contains("not installed"),
        "{missing}"
    );
}
