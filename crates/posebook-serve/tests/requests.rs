//! Requests from elsewhere: hosts, origins, tokens, types of bodies.

mod support;

use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use support::{Answer, FakeBackend, TestServer, request};

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["type"], format!("https://posebook.invalid/problems/{name}"));
}

const JOB: &str = r#"{"kind": "experiment", "experiment": "simulated", "settings": {"frames": 1}}"#;

#[test]
fn only_names_of_this_server_are_answered() {
    let server = TestServer::fresh(|options| options.hosts = vec!["pose.example".into()]);
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "LocalHost", "[::1]", "127.0.0.2"] {
        let answer = server.request("GET", "/healthz", &[("Host", &format!("{host}:{port}"))], b"");
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in ["pose.example", "POSE.example:1"] {
        assert_eq!(server.request("GET", "/healthz", &[("Host", host)], b"").status, 200, "{host}");
    }
    for host in [
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("localhost.:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f.1:{port}"),
        format!("0177.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("169.254.169.254:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        "127.0.0.1".into(),
        "127.0.0.1:1".into(),
        "evil.pose.example".into(),
    ] {
        // also where no token is needed: the answer itself is what an attacker wants
        for path in ["/healthz", "/", "/v1/jobs"] {
            assert_problem(&server.request("GET", path, &[("Host", &host)], b""), 421, "wrong-host");
        }
    }
    for host in ["", "a b", "a@127.0.0.1", "127.0.0.1:port", "ä"] {
        let answer = server.request("GET", "/healthz", &[("Host", host)], b"");
        assert!(matches!(answer.status, 400 | 421), "{host}: {}", answer.text());
    }
    let two = server.request(
        "GET",
        "/healthz",
        &[("Host", &format!("localhost:{port}")), ("Host", "evil.example")],
        b"",
    );
    assert_problem(&two, 400, "malformed");
    // the address of the request line counts as well
    let absolute = server.request("GET", "http://evil.example/healthz", &[], b"");
    assert_problem(&absolute, 421, "wrong-host");
    let absolute = server.request("GET", &format!("http://127.0.0.1:{port}/healthz"), &[], b"");
    assert_eq!(absolute.status, 200);
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let server = TestServer::fresh(|_| {});
    let own = format!("http://{}", server.address);
    let id = server.queue(json!({ "frames": 1, "pause_seconds": 60 }));
    server.wait_for(&id, "running");
    let cancel = format!("/v1/jobs/{id}/cancel");
    let job = format!("/v1/jobs/{id}");
    let foreign =
        ["http://evil.example", "https://127.0.0.1:1", "null", "", "http://localhost", "file://", "http://"];
    for origin in foreign {
        let headers = [("Origin", origin), ("Content-Type", "application/json")];
        for (method, path, body) in [
            ("POST", "/v1/jobs", JOB),
            ("POST", cancel.as_str(), ""),
            ("DELETE", job.as_str(), ""),
            ("PUT", "/v1/uploads?name=a.mp4", "frames"),
            ("POST", "/v1/uploads", ""),
            ("POST", "/sign-in", "{}"),
            ("POST", "/sign-out", ""),
            ("POST", "/predictions", JOB),
            ("POST", "/pose/video", JOB),
        ] {
            assert_problem(&server.request(method, path, &headers, body.as_bytes()), 403, "foreign-origin");
        }
    }
    for site in ["cross-site", "same-site", "anything"] {
        let headers = [("Sec-Fetch-Site", site)];
        assert_problem(&server.request("POST", &cancel, &headers, b""), 403, "foreign-origin");
        let headers = [("Sec-Fetch-Site", site), ("Origin", own.as_str())];
        assert_problem(&server.request("POST", &cancel, &headers, b""), 403, "foreign-origin");
    }
    assert_eq!(server.job(&id)["state"], "running", "nothing was canceled");
    assert_eq!(server.get("/v1/jobs").json()["jobs"].as_array().map(Vec::len), Some(1));
    for headers in [
        vec![("Origin", own.as_str())],
        vec![("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")],
        vec![("Sec-Fetch-Site", "none")],
        vec![],
    ] {
        assert_eq!(server.request("POST", &cancel, &headers, b"").status, 200, "{headers:?}");
    }
    // links from elsewhere may lead here
    let answer = server.request("GET", "/v1/jobs", &[("Sec-Fetch-Site", "cross-site")], b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
}

#[test]
fn only_named_origins_may_read_answers() {
    let server = TestServer::fresh(|options| options.cors_origins = vec!["https://a.example".into()]);
    let preflight = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        server.request("OPTIONS", "/v1/jobs", &headers, b"")
    };
    let allowed = preflight("https://a.example");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://a.example"));
    assert!(
        allowed.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization"))
    );
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    for origin in ["https://b.example", "http://a.example", "null", "*", "https://a.example.evil"] {
        let refused = preflight(origin);
        assert_problem(&refused, 403, "foreign-origin");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        let read = server.request("GET", "/v1/jobs", &[("Origin", origin)], b"");
        assert_eq!(read.header("access-control-allow-origin"), None, "{origin}");
    }
    let headers = [
        ("Origin", "https://a.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Content-Type", "application/json"),
    ];
    let accepted = server.request("POST", "/v1/jobs", &headers, JOB.as_bytes());
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    assert_eq!(accepted.header("access-control-allow-origin"), Some("https://a.example"));
    assert!(accepted.headers.iter().any(|(name, value)| name == "vary" && value == "Origin"));
    assert!(accepted.header("access-control-expose-headers").is_some_and(|names| names.contains("location")));

    let star = TestServer::fresh(|options| options.cors_origins = vec!["*".into()]);
    let headers = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")];
    assert_problem(&star.request("OPTIONS", "/v1/jobs", &headers, b""), 403, "foreign-origin");
}

#[test]
fn jobs_are_sent_as_json_only() {
    let server = TestServer::fresh(|_| {});
    for media_type in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "application/jsonx",
        "",
    ] {
        for path in ["/v1/jobs", "/predictions", "/pose/video"] {
            let answer = server.request("POST", path, &[("Content-Type", media_type)], JOB.as_bytes());
            assert_problem(&answer, 415, "unsupported-media-type");
        }
    }
    assert_problem(&server.request("POST", "/v1/jobs", &[], JOB.as_bytes()), 415, "unsupported-media-type");
    for media_type in ["application/json", "Application/JSON; charset=utf-8"] {
        let answer = server.request("POST", "/v1/jobs", &[("Content-Type", media_type)], JOB.as_bytes());
        assert_eq!(answer.status, 202, "{media_type}: {}", answer.text());
    }
    for body in
        ["", "{", "[]", "null", "{\"kind\": \"track\", \"kind\": \"track\"}", "\u{feff}{}", "{\"a\": \u{0}}"]
    {
        let answer =
            server.request("POST", "/v1/jobs", &[("Content-Type", "application/json")], body.as_bytes());
        assert!(matches!(answer.status, 400 | 422), "{body}: {}", answer.text());
        assert_problem(&answer, answer.status, "malformed");
    }
}

/// A server with a token file; the token.
fn with_token() -> (TestServer, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let server = TestServer::fresh(|options| options.token_file = Some(path.clone()));
    let token = std::fs::read_to_string(&path).expect("the token was made").trim().to_owned();
    assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    assert_eq!(token.len(), 64, "256 bits");
    (server, token, folder)
}

#[test]
fn without_the_token_nothing_but_health_is_answered() {
    let (server, token, _folder) = with_token();
    assert_eq!(server.get("/healthz").status, 200);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/system"),
        ("GET", "/v1/events"),
        ("GET", "/metrics"),
        ("GET", "/readyz"),
        ("GET", "/openapi.json"),
        ("PUT", "/v1/uploads?name=a"),
        ("POST", "/v1/uploads"),
        ("GET", "/health"),
        ("GET", "/health-check"),
        ("POST", "/predictions"),
        ("POST", "/pose/video"),
        ("POST", "/sign-out"),
        ("GET", "/nothing"),
    ] {
        let answer = server.request(method, path, &[], b"");
        assert_problem(&answer, 401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"posebook\""));
        // a stream with the token would not end
        if path == "/v1/events" {
            continue;
        }
        let with = server.request(method, path, &[("Authorization", &format!("Bearer {token}"))], b"");
        assert_ne!(with.status, 401, "{method} {path}");
    }
    // the token is a header, never a part of an address
    assert_problem(&server.get(&format!("/v1/jobs?token={token}")), 401, "unauthenticated");
    assert_problem(&server.get(&format!("/v1/jobs?access_token={token}")), 401, "unauthenticated");
}

#[test]
fn wrong_tokens_are_refused_without_repeating_them_and_slow_down() {
    let (server, token, _folder) = with_token();
    let send = |value: &str| server.request("GET", "/v1/jobs", &[("Authorization", value)], b"");
    let wrong = [
        format!("Bearer {}", &token[1..]),
        format!("Bearer {token}0"),
        format!("Bearer {}", token.to_uppercase()),
        "Bearer secret-guess".into(),
    ];
    for value in &wrong {
        let answer = send(value);
        assert_problem(&answer, 401, "unauthenticated");
        assert!(
            !answer.text().contains(&token[1..]) && !answer.text().contains("secret-guess"),
            "{}",
            answer.text()
        );
    }
    // another scheme and a missing token are not attempts
    for _ in 0..20 {
        assert_problem(&send("Bearer "), 401, "unauthenticated");
        assert_problem(&send("Basic dXNlcjpwYXNz"), 401, "unauthenticated");
        assert_problem(&server.get("/v1/jobs"), 401, "unauthenticated");
    }
    let session = server.request(
        "POST",
        "/sign-in",
        &[("Content-Type", "application/json")],
        json!({ "token": token }).to_string().as_bytes(),
    );
    let cookie = session
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .expect("a cookie")
        .to_owned();
    for _ in wrong.len()..10 {
        assert_problem(&send("Bearer wrong"), 401, "unauthenticated");
    }
    let limited = send("Bearer wrong");
    assert_problem(&limited, 429, "too-many-attempts");
    assert!(
        limited.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|n| n <= 61))
    );
    assert_problem(&send(&format!("Bearer {token}")), 429, "too-many-attempts");
    let body = json!({ "token": token }).to_string();
    let sign_in =
        server.request("POST", "/sign-in", &[("Content-Type", "application/json")], body.as_bytes());
    assert_problem(&sign_in, 429, "too-many-attempts");
    assert_eq!(server.request("GET", "/v1/jobs", &[("Cookie", &cookie)], b"").status, 200, "sessions go on");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn browsers_exchange_the_token_for_a_cookie() {
    let (server, token, _folder) = with_token();
    let page = server.request("GET", "/", &[("Accept", "text/html")], b"");
    assert_eq!(page.status, 401);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("action=\"/sign-in\""), "{}", page.text());
    for path in ["/style.css", "/script.js", "/sign-in"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
    let wrong = server.request("POST", "/sign-in", &form, b"token=wrong");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert_eq!(server.request("POST", "/sign-in", &form, b"tokn=a").status, 422);
    let answer = server.request("POST", "/sign-in", &form, format!("token={token}").as_bytes());
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("posebook_session="), "{cookie}");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|known| known == part), "{cookie}");
    }
    assert!(!cookie.contains(&token), "the session is not the token");
    let session = cookie.split(';').next().expect("a pair").to_owned();
    let get = |cookie: &str| server.request("GET", "/v1/jobs", &[("Cookie", cookie)], b"").status;
    assert_eq!(get(&session), 200);
    assert_eq!(get(&format!("x=y; {session}")), 200);
    assert_eq!(get(&format!("{session}0")), 401);
    assert_eq!(get(&format!("posebook_session={token}")), 401, "the token is no session");
    // a cookie alone does not let pages of other sites change things
    let headers = [("Cookie", session.as_str()), ("Origin", "http://evil.example")];
    assert_problem(&server.request("POST", "/v1/jobs", &headers, b""), 403, "foreign-origin");
    let out = server.request("POST", "/sign-out", &[("Cookie", &session)], b"");
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    assert_eq!(get(&session), 401);
}

#[test]
fn servers_that_others_can_reach_do_not_start_without_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = TestServer::options(&folder);
    options.listen = ([0, 0, 0, 0], 0).into();
    let refused = TestServer::start_with(options.clone(), Arc::new(FakeBackend::default()));
    let error = refused.err().expect("refused").to_string();
    assert!(error.contains("--token-file"), "{error}");

    let path = folder.path().join("token");
    std::fs::write(&path, "a-secret-of-the-user-0123\n").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("mode");
    options.token_file = Some(path.clone());
    let refused = TestServer::start_with(options.clone(), Arc::new(FakeBackend::default()));
    let error = refused.err().expect("refused").to_string();
    assert!(error.contains("chmod 600") && !error.contains("a-secret"), "{error}");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let server = TestServer::start_with(options, Arc::new(FakeBackend::default())).expect("it starts");
    let address = ([127, 0, 0, 1], server.address.port()).into();
    let get = |headers: &[(&str, &str)]| {
        request(address, "GET", "/v1/jobs", headers, b"").expect("an answer").status
    };
    assert_eq!(get(&[]), 401);
    assert_eq!(get(&[("Authorization", "Bearer a-secret-of-the-user-0123")]), 200);
}

#[test]
fn a_request_id_is_taken_if_it_is_plain_and_returned() {
    let server = TestServer::fresh(|_| {});
    let id = |sent: &str| {
        let answer = server.request("GET", "/nothing", &[("X-Request-Id", sent)], b"");
        let returned = answer.header("x-request-id").expect("an id").to_owned();
        assert_eq!(answer.json()["request"], returned);
        returned
    };
    assert_eq!(id("abc-123-DEF"), "abc-123-DEF");
    for sent in ["", "a b", "a;b", "../x", "<script>", &"a".repeat(65), "ä"] {
        let made = id(sent);
        assert!(made != sent && made.len() == 32, "{sent}: {made}");
    }
    assert_ne!(id(""), id(""));
}
