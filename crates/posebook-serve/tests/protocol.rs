//! Raw sockets: malformed, slow, large and many requests.

mod support;

use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use support::{Answer, TestServer, send_raw, wait_until};

/// A connection whose reads fail after 20 s.
fn connect(server: &TestServer) -> TcpStream {
    let socket = TcpStream::connect(server.address).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    socket.set_nodelay(true).expect("set");
    socket
}

/// What the server sends until it closes the connection; panics if it does not.
#[track_caller]
fn read_to_close(mut socket: &TcpStream) -> String {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends bytes on a connection of its own; what comes back until the server closes it.
#[track_caller]
fn exchange(server: &TestServer, bytes: &str) -> String {
    let socket = connect(server);
    // a server that refuses may close before it has read everything
    let _ = (&socket).write_all(bytes.as_bytes());
    read_to_close(&socket)
}

fn statuses(text: &str) -> Vec<u16> {
    text.match_indices("HTTP/1.").filter_map(|(at, _)| text[at..].split(' ').nth(1)?.parse().ok()).collect()
}

/// The server's host, for the heads of requests.
fn host(server: &TestServer) -> String {
    format!("Host: {}", server.address)
}

#[test]
fn a_body_has_one_length() {
    let server = TestServer::limited(|_, limits| limits.head_time = Duration::from_millis(500));
    let host = host(&server);
    let smuggled = format!("GET /v1/system HTTP/1.1\r\n{host}\r\n\r\n");
    let both = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: CHUNKED\r\nContent-Length: 5",
    ];
    for lengths in both {
        let text = exchange(
            &server,
            &format!(
                "POST /v1/jobs HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        );
        let statuses = statuses(&text);
        assert!(statuses.len() <= 1 && statuses.iter().all(|status| *status == 400), "{lengths}: {text}");
    }
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
    ] {
        let text = exchange(
            &server,
            &format!(
                "POST /v1/jobs HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\n{lengths}\r\n\r\nhello{smuggled}"
            ),
        );
        assert_eq!(statuses(&text), [400], "{lengths}: {text}");
    }
}

#[test]
fn malformed_heads_are_refused_and_the_connection_closed() {
    let server = TestServer::limited(|_, limits| limits.head_time = Duration::from_millis(500));
    let host = host(&server);
    for head in [
        format!("GET /healthz HTTP/1.1\r\n{host}\r\nX-A: b\r\n folded\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}\r\nX-A : b\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}\r\n: b\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}\r\nX-A: b\0c\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}\r\nno colon\r\n\r\n"),
        format!("GET /health z HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET  HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET /healthz HTTP/9.9\r\n{host}\r\n\r\n"),
        format!("G@T /healthz HTTP/1.1\r\n{host}\r\n\r\n"),
        "GET /healthz HTTP/1.1\r\n\r\n".into(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        "\r\n\r\n\r\n\r\n".into(),
        "GET".into(),
    ] {
        let text = exchange(&server, &head);
        let statuses = statuses(&text);
        assert!(statuses.is_empty() || statuses == [400] || statuses == [505], "{head:?}: {text}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn large_heads_are_refused() {
    let server = TestServer::fresh(|_| {});
    let host = host(&server);
    let long = "a".repeat(70 << 10);
    for head in [
        format!("GET /healthz HTTP/1.1\r\n{host}\r\nX-A: {long}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}\r\nCookie: {long}\r\n\r\n"),
        format!("GET /healthz?{long} HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{host}\r\n{}\r\n", "X-A: b\r\n".repeat(2000)),
        format!(
            "GET /healthz HTTP/1.1\r\n{host}\r\n{}\r\n",
            (0..2000).map(|n| format!("X-{n}: b\r\n")).collect::<String>()
        ),
    ] {
        let text = exchange(&server, &head);
        let statuses = statuses(&text);
        assert!(statuses.is_empty() || statuses == [431] || statuses == [414], "{}: {text}", &head[..40]);
    }
    let fits = "a".repeat(30 << 10);
    let text = exchange(
        &server,
        &format!("GET /healthz HTTP/1.1\r\n{host}\r\nConnection: close\r\nX-A: {fits}\r\n\r\n"),
    );
    assert_eq!(statuses(&text), [200]);
}

#[test]
fn old_and_pipelining_clients_are_answered() {
    let server = TestServer::limited(|_, limits| limits.head_time = Duration::from_secs(10));
    let host = host(&server);
    let old = exchange(&server, "GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(statuses(&old), [200], "{old}");
    let old = exchange(&server, &format!("GET /healthz HTTP/1.0\r\n{host}\r\n\r\n"));
    assert_eq!(statuses(&old), [200], "{old}");

    let paths = ["/healthz", "/nothing", "/v1/system", "/v1/jobs/x", "/healthz"];
    let mut requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\n{host}\r\n\r\n")).collect();
    requests += &format!("GET /healthz HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
    let text = exchange(&server, &requests);
    assert_eq!(statuses(&text), [200, 404, 200, 404, 200, 200], "{text}");

    let mut socket = connect(&server);
    for _ in 0..3 {
        write!(socket, "GET /healthz HTTP/1.1\r\n{host}\r\n\r\n").expect("sent");
        let mut answer = [0; 4096];
        let bytes = socket.read(&mut answer).expect("an answer on the same connection");
        assert!(answer[..bytes].starts_with(b"HTTP/1.1 200"));
    }
}

#[test]
fn a_client_that_has_sent_everything_may_close_its_side() {
    let server = TestServer::fresh(|_| {});
    let host = host(&server);
    let socket = connect(&server);
    write!(&socket, "GET /v1/system HTTP/1.1\r\n{host}\r\n\r\n").expect("sent");
    socket.shutdown(Shutdown::Write).expect("closed");
    let text = read_to_close(&socket);
    assert_eq!(statuses(&text), [200], "{text}");

    for (part, allowed) in [
        (format!("GET /healthz HTTP/1.1\r\n{host}\r\n"), &[400][..]),
        (
            format!(
                "POST /v1/jobs HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"kind\""
            ),
            &[400],
        ),
        (
            format!(
                "POST /v1/jobs HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
            ),
            &[400],
        ),
    ] {
        let socket = connect(&server);
        (&socket).write_all(part.as_bytes()).expect("sent");
        socket.shutdown(Shutdown::Write).expect("closed");
        let text = read_to_close(&socket);
        assert!(statuses(&text).iter().all(|status| allowed.contains(status)), "{part}: {text}");
    }
    // a client that leaves in the middle of its answer
    for _ in 0..20 {
        let socket = connect(&server);
        write!(&socket, "GET /v1/system HTTP/1.1\r\n{host}\r\n\r\n").expect("sent");
        drop(socket);
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn dripped_and_silent_heads_are_cut_off() {
    let server = TestServer::limited(|_, limits| limits.head_time = Duration::from_millis(400));
    let host = host(&server);
    let head = format!("GET /healthz HTTP/1.1\r\n{host}\r\nX-A: {}", "a".repeat(1000));
    let began = Instant::now();
    let mut socket = connect(&server);
    let mut sent = 0;
    for byte in head.bytes() {
        if socket.write_all(&[byte]).is_err() {
            break;
        }
        sent += 1;
        std::thread::sleep(Duration::from_millis(20));
        if began.elapsed() > Duration::from_secs(10) {
            break;
        }
    }
    assert!(
        sent < head.len() && began.elapsed() < Duration::from_secs(5),
        "{sent} bytes in {:?}",
        began.elapsed()
    );

    let began = Instant::now();
    let silent = connect(&server);
    assert_eq!(read_to_close(&silent), "");
    // a connection that was used and is idle
    let idle = connect(&server);
    write!(&idle, "GET /healthz HTTP/1.1\r\n{host}\r\n\r\n").expect("sent");
    assert_eq!(statuses(&read_to_close(&idle)), [200]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn dripped_and_silent_bodies_have_a_time_in_all() {
    let server = TestServer::limited(|_, limits| limits.body_time = Duration::from_millis(200));
    let host = host(&server);
    for path in ["/v1/jobs", "/predictions", "/pose/video"] {
        for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
            for drips in [true, false] {
                let socket = connect(&server);
                write!(
                    &socket,
                    "POST {path} HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n"
                )
                .expect("sent");
                let began = Instant::now();
                let reader = socket.try_clone().expect("a second handle");
                let answer = std::thread::spawn(move || read_to_close(&reader));
                while drips && !answer.is_finished() && began.elapsed() < Duration::from_secs(10) {
                    let piece: &[u8] = if framing.starts_with('C') { b" " } else { b"1\r\n \r\n" };
                    if (&socket).write_all(piece).is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                let text = answer.join().expect("an answer");
                assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
                let answer = Answer::parse(text.as_bytes()).expect("an answer");
                assert_eq!(answer.status, 408, "{path} {framing} {drips}: {text}");
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            }
        }
    }
}

#[test]
fn large_bodies_are_refused_before_they_are_read() {
    let server = TestServer::fresh(|_| {});
    let host = host(&server);
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    );
    for expect in ["", "Expect: 100-continue\r\n"] {
        for length in [(1 << 20) + 1, 1_u64 << 40] {
            // no byte of the body is sent
            let text = exchange(&server, &format!("{head}{expect}Content-Length: {length}\r\n\r\n"));
            assert_eq!(statuses(&text), [413], "{text}");
            assert!(text.contains("problems/too-large"), "{text}");
        }
    }
    let body = r#"{"kind": "experiment", "experiment": "simulated", "settings": {"frames": 1}}"#;
    let text = {
        let socket = connect(&server);
        write!(&socket, "{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len())
            .expect("sent");
        let mut go_on = [0; 25];
        (&socket).read_exact(&mut go_on).expect("the server wants the body");
        assert!(go_on.starts_with(b"HTTP/1.1 100"), "{go_on:?}");
        (&socket).write_all(body.as_bytes()).expect("sent");
        read_to_close(&socket)
    };
    assert_eq!(statuses(&text), [202], "{text}");

    // chunks say nothing of the size in all
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(20));
    let answer =
        Answer::parse(&send_raw(server.address, chunks.as_bytes()).expect("an answer")).expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text());

    // as large as is allowed
    let mut padded = body.to_owned();
    padded.push_str(&" ".repeat((1 << 20) - body.len()));
    let answer =
        server.request("POST", "/v1/jobs", &[("Content-Type", "application/json")], padded.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn json_that_is_large_in_other_ways_is_refused() {
    let server = TestServer::fresh(|_| {});
    let send = |body: &str| {
        server.request("POST", "/v1/jobs", &[("Content-Type", "application/json")], body.as_bytes())
    };
    let settings: Vec<String> = (0..10_000).map(|n| format!("\"video.every{n}\": 1")).collect();
    let began = Instant::now();
    let many = send(&format!(
        r#"{{"kind": "experiment", "experiment": "simulated", "settings": {{{}}}}}"#,
        settings.join(",")
    ));
    assert_eq!(many.status, 422, "{}", many.text());
    for open in ["[", "{\"a\":"] {
        let close = if open == "[" { "]" } else { "}" };
        let deep = format!("{}1{}", open.repeat(1000), close.repeat(1000));
        for body in [
            deep.clone(),
            open.repeat(100_000),
            format!(
                r#"{{"kind": "experiment", "experiment": "simulated", "settings": {{"frames": {deep}}}}}"#
            ),
        ] {
            let answer = send(&body);
            assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
            assert!(answer.body.len() < 2000, "{}", answer.text());
        }
    }
    let name = "x".repeat(500_000);
    for body in [
        json!({ "kind": name }),
        json!({ "kind": "track", "source": { "path": name } }),
        json!({ "kind": "track", "source": { "upload": name } }),
        json!({ "kind": "experiment", "experiment": name }),
        json!({ "kind": "experiment", "experiment": "simulated", "settings": { name.clone(): 1 } }),
        json!({ "kind": "experiment", "experiment": "simulated", "priority": 1e300 }),
        json!({ name: 1 }),
    ] {
        let answer = send(&body.to_string());
        assert!(matches!(answer.status, 400 | 403 | 422), "{}", answer.text());
        assert!(answer.body.len() < 4000, "{} bytes", answer.body.len());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn paths_with_parent_components_find_nothing() {
    let server = TestServer::fresh(|_| {});
    let id = server.queue(json!({ "frames": 1 }));
    server.wait_for(&id, "succeeded");
    for path in [
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e%2fetc%2fpasswd",
        "/..%5c..%5cetc",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/%00",
        "/....//....//etc/passwd",
        "/v1/../healthz",
        "/v1/jobs/../../etc/passwd",
        "/style.css/../../etc/passwd",
    ] {
        for prefix in [String::new(), format!("/v1/jobs/{id}/files")] {
            let answer = server.get(&format!("{prefix}{path}"));
            assert!(matches!(answer.status, 400 | 404), "{prefix}{path}: {}", answer.text());
            assert!(!answer.text().contains("root:"), "{prefix}{path}");
        }
    }
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = TestServer::limited(|_, limits| limits.stall_time = Duration::from_millis(500));
    let id = server.queue(json!({ "frames": 1, "bytes": 64 << 20 }));
    server.wait_for(&id, "succeeded");
    let connections = || {
        let metrics = server.get("/metrics").text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("posebook_http_connections "))
            .expect("a line")
            .to_owned();
        line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    // the one that asks is counted too
    wait_until("no other connection is open", || connections() == 1);
    let socket = connect(&server);
    write!(&socket, "GET /v1/jobs/{id}/files/overlay.mp4 HTTP/1.1\r\n{}\r\n\r\n", host(&server))
        .expect("sent");
    wait_until("the connection is open", || connections() == 2);
    wait_until("the connection is cut off", || connections() == 1);
    drop(socket);
}

/// Lets this process open many sockets.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let wanted = 4096.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).expect("a higher limit");
    }
}

#[test]
fn of_300_connections_200_are_served_and_100_are_refused() {
    raise_file_limit();
    let server = TestServer::limited(|_, limits| limits.head_time = Duration::from_secs(60));
    let host = host(&server);
    let open: Vec<TcpStream> = (0..300).map(|_| connect(&server)).collect();
    for socket in &open {
        let _ = write!(&*socket, "GET /healthz HTTP/1.1\r\n{host}\r\n\r\n");
    }
    let (mut served, mut refused) = (0, 0);
    for mut socket in &open {
        let mut answer = [0; 4096];
        match socket.read(&mut answer) {
            Ok(bytes) if answer[..bytes].starts_with(b"HTTP/1.1 200") => served += 1,
            Ok(bytes) if answer[..bytes].starts_with(b"HTTP/1.1 503") => {
                let answer = Answer::parse(&answer[..bytes]).expect("a whole answer");
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
                assert_eq!(answer.json()["type"], "https://posebook.invalid/problems/too-many-connections");
                refused += 1;
            }
            // further connections are closed without an answer
            Ok(0) | Err(_) => {}
            Ok(bytes) => panic!("{}", String::from_utf8_lossy(&answer[..bytes])),
        }
    }
    assert_eq!(served, 200);
    assert!((1..=100).contains(&refused), "{refused}");
    drop(open);
    wait_until("places are free again", || {
        send_raw(
            server.address,
            format!("GET /healthz HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
    });
}

#[test]
fn listeners_are_counted_apart_from_other_connections() {
    raise_file_limit();
    let server = TestServer::limited(|_, limits| {
        limits.listeners = 500;
        // a client that left is noticed at the second comment after that
        limits.comment_time = Duration::from_millis(500);
    });
    let host = host(&server);
    let id = server.queue(json!({ "frames": 3, "frame_seconds": 0.1, "pause_seconds": 60 }));
    server.wait_for(&id, "running");
    let listeners: Vec<TcpStream> = (0..500)
        .map(|index| {
            let socket = connect(&server);
            let path = if index % 2 == 0 { "/v1/events".to_owned() } else { format!("/v1/jobs/{id}/events") };
            write!(&socket, "GET {path} HTTP/1.1\r\n{host}\r\n\r\n").expect("sent");
            let mut head = [0; 12];
            (&socket).read_exact(&mut head).expect("an answer");
            assert_eq!(&head, b"HTTP/1.1 200", "listener {index}");
            socket
        })
        .collect();
    let refused = server.get("/v1/events");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["type"], "https://posebook.invalid/problems/too-many-listeners");
    let began = Instant::now();
    assert_eq!(server.get("/healthz").status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());

    assert_eq!(server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").status, 200);
    let began = Instant::now();
    for (index, mut socket) in listeners.iter().enumerate() {
        let mut text = String::new();
        let mut piece = [0; 4096];
        while !text.contains("event: end\n") {
            let bytes = socket.read(&mut piece).expect("events");
            assert!(bytes > 0, "listener {index} was cut off: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..bytes]));
        }
    }
    println!("500 listeners had the end of a job after {:?}", began.elapsed());
    drop(listeners);
    let free = || server.get("/metrics").text().contains("posebook_http_listeners 0\n");
    wait_until("places of listeners are free again", free);
}
