//! Delivery of webhooks: signed, in order, at least once, and no host delays the messages to others.

mod loopback;
#[path = "../../../tests/common/skip.rs"]
mod test_skip;

use loopback::{PUBLIC, Received, Server, answer, in_own_process, names, network};
use posebook_serve::addresses::{Fetcher, Network, Retries, WebhookSecret, deliver_webhooks_of};
use posebook_serve::job::{JobId, JobKind, JobRequest, Source};
use posebook_serve::store::{Added, End, NewJob, Store};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

fn has_curl() -> bool {
    loopback::has_curl(test_skip::skip)
}

/// Short times.
const RETRIES: Retries = Retries {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(60),
    give_up: Duration::from_secs(60),
    interval: Duration::from_millis(10),
};

/// Adds a job with a webhook.
fn add(store: &Store, address: &str) -> JobId {
    let request = JobRequest {
        kind: JobKind::Track,
        source: vec![Source::Path("/a.mp4".into())],
        boxes: None,
        experiment: None,
        settings: serde_json::Map::new(),
        priority: 0,
        webhook: Some(address.into()),
        webhook_events: Vec::new(),
        keep: None,
        prediction: None,
    };
    let id = JobId::random();
    let job =
        NewJob { id, request, name: "a.mp4".into(), resolved: None, retry_of: None, idempotency_key: None };
    assert!(matches!(store.add(&job, 1000).unwrap(), Added::New(_)));
    id
}

/// Adds an ended job whose webhook is due.
fn add_ended(store: &Store, address: &str) -> JobId {
    let id = add(store, address);
    store.cancel(id).unwrap();
    id
}

/// Messages that are in the outbox, whenever they are due.
fn waiting(store: &Store) -> usize {
    store.due_webhooks(i64::MAX / 4, 1000).unwrap().len()
}

/// Delivers with these intervals until `done`; the reports. Fails after 20 s.
#[track_caller]
fn deliver_until(
    folder: &Path,
    fetcher: &Fetcher,
    retries: Retries,
    done: impl Fn(&Store) -> bool,
) -> Vec<String> {
    let store = Store::open(folder).unwrap();
    let stop = AtomicBool::new(false);
    let reports = Mutex::new(Vec::new());
    let report = |text: &str| reports.lock().unwrap().push(text.to_string());
    let began = Instant::now();
    let in_time = std::thread::scope(|scope| {
        scope.spawn(|| deliver_webhooks_of(&store, fetcher, folder, retries, &report, &stop));
        while !done(&store) && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::SeqCst);
        began.elapsed() < Duration::from_secs(20)
    });
    let reports = reports.into_inner().unwrap();
    assert!(in_time, "not done after 20 s: {reports:#?}");
    for text in &reports {
        assert!(!text.contains("sesame"), "{text}");
    }
    reports
}

fn fetcher(ports: &[u16]) -> Fetcher {
    Fetcher::with_network(network(ports, names))
}

fn hook(server: &Server) -> String {
    format!("http://public.test:{}/hook?token=sesame", server.port)
}

fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

#[test]
fn a_message_is_signed_with_the_secret_of_the_data_folder() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::always(PUBLIC, answer(204, "", b""));
    let job = add_ended(&Store::open(folder.path()).unwrap(), &hook(&server));
    let reports =
        deliver_until(folder.path(), &fetcher(&[server.port]), RETRIES, |store| waiting(store) == 0);
    assert_eq!(reports, [] as [&str; 0]);
    let received = server.received();
    assert_eq!(received.len(), 1);
    let message = &received[0];
    assert_eq!((message.method.as_str(), message.target.as_str()), ("POST", "/hook?token=sesame"));
    assert_eq!(message.header("content-type"), "application/json");
    assert_eq!(message.header("expect"), "");
    assert_eq!(body(message)["id"], job.to_string());
    assert_eq!(body(message)["status"], "canceled");
    let (id, time) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    let seconds: i64 = time.parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((now - 30..=now).contains(&seconds) && !id.is_empty() && !id.contains('.'));
    let secret = WebhookSecret::load_or_create(folder.path()).unwrap();
    let signature = message.header("webhook-signature");
    assert_eq!(signature, secret.sign(id, seconds, &message.body));
    assert_ne!(signature, secret.sign(id, seconds + 1, &message.body));
    let mut changed = message.body.clone();
    changed[10] ^= 1;
    assert_ne!(signature, secret.sign(id, seconds, &changed));
}

#[test]
fn a_message_is_repeated_until_it_is_taken() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let canary = Server::always(Ipv4Addr::LOCALHOST, answer(200, "", b""));
    let (count, inside) = (AtomicUsize::new(0), canary.port);
    let server = Server::start(PUBLIC, move |_, stream| {
        let redirect = format!("Location: http://127.0.0.1:{inside}/\r\n");
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => stream.write_all(&answer(500, "", b"sesame")),
            1 => Ok(()),
            2 => stream.write_all(&answer(302, &redirect, b"")),
            3 => stream.write_all(&answer(404, "", b"")),
            4 => stream.write_all(b"garbage\r\n\r\n"),
            // a long answer is not read to its end
            _ => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                while stream.write_all(b"8\r\n12345678\r\n").is_ok() {}
                Ok(())
            }
        }
    });
    let store = Store::open(folder.path()).unwrap();
    add_ended(&store, &hook(&server));
    drop(store);
    let reports =
        deliver_until(folder.path(), &fetcher(&[server.port, inside]), RETRIES, |store| waiting(store) == 0);
    let received = server.received();
    assert_eq!(received.len(), 6);
    let ids: std::collections::BTreeSet<_> =
        received.iter().map(|message| message.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1, "a receiver recognizes repetitions");
    assert!(received.iter().all(|message| message.body == received[0].body));
    for (report, reason) in reports.iter().zip([
        "answers 500",
        "without an answer",
        "answers 302",
        "answers 404",
        "without an answer",
    ]) {
        assert!(report.contains(reason) && report.contains("again in"), "{report}");
    }
    assert_eq!((reports.len(), canary.received().len()), (5, 0));
}

#[test]
fn the_messages_of_a_job_come_in_order_even_if_some_fail() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (record, count) = (Arc::clone(&taken), AtomicUsize::new(0));
    let server = Server::start(PUBLIC, move |request, stream| {
        let is_taken = count.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        if is_taken {
            record.lock().unwrap().push((body(request)["id"].clone(), body(request)["event"].clone()));
        }
        stream.write_all(&answer(if is_taken { 200 } else { 503 }, "", b""))
    });
    let store = Store::open(folder.path()).unwrap();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = add(&store, &hook(&server));
        store.claim("cpu").unwrap().unwrap();
        store.set_running(job).unwrap();
        store.end(job, &End::Succeeded, &[], None).unwrap();
        jobs.push(job);
    }
    drop(store);
    deliver_until(folder.path(), &fetcher(&[server.port]), RETRIES, |store| waiting(store) == 0);
    let taken = taken.lock().unwrap();
    assert_eq!(taken.len(), 6);
    for job in jobs {
        let events: Vec<_> =
            taken.iter().filter(|(id, _)| *id == job.to_string()).map(|(_, event)| event).collect();
        assert_eq!(events, ["start", "completed"]);
    }
}

/// Reads until the client has gone.
fn never_answer(_: &Received, stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 1]).map(drop)
}

#[test]
fn a_host_that_does_not_answer_delays_no_other_and_stopping_does_not_wait_for_it() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (dead, alive) = (Server::start(PUBLIC, never_answer), Server::always(PUBLIC, answer(200, "", b"")));
    let store = Store::open(folder.path()).unwrap();
    for _ in 0..40 {
        add_ended(&store, &format!("http://dead.test:{}/", dead.port));
    }
    for _ in 0..5 {
        add_ended(&store, &hook(&alive));
    }
    drop(store);
    let began = Instant::now();
    let patient =
        Network { stall_limit: Duration::from_secs(60), ..network(&[dead.port, alive.port], names) };
    let fetcher = Fetcher::with_network(patient);
    deliver_until(folder.path(), &fetcher, RETRIES, |store| waiting(store) == 40);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let left = Store::open(folder.path()).unwrap().due_webhooks(i64::MAX / 4, 1000).unwrap();
    assert_eq!((left.len(), alive.received().len()), (40, 5), "those that were under way stay due");
    assert!(left.iter().all(|message| message.attempts == 0), "what was stopped has not failed");
    assert!(dead.received().len() <= 4);
}

#[test]
fn a_message_is_given_up_after_its_time_or_when_the_receiver_has_gone() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(PUBLIC, |request, stream| {
        let status = if request.target.starts_with("/gone") { 410 } else { 500 };
        stream.write_all(&answer(status, "", b""))
    });
    let store = Store::open(folder.path()).unwrap();
    add_ended(&store, &format!("http://public.test:{}/gone", server.port));
    let retries = Retries { give_up: Duration::from_millis(100), ..RETRIES };
    let reports =
        deliver_until(folder.path(), &fetcher(&[server.port]), retries, |store| waiting(store) == 0);
    assert!(reports.len() == 1 && reports[0].contains("410; given up"), "{reports:?}");
    add_ended(&store, &hook(&server));
    let reports =
        deliver_until(folder.path(), &fetcher(&[server.port]), retries, |store| waiting(store) == 0);
    // after 20, 60 and 120 ms
    assert!(reports.len() == 4 && reports[3].contains("answers 500; given up"), "{reports:?}");
}

#[test]
fn a_private_address_is_never_contacted() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let canary = Server::always(Ipv4Addr::LOCALHOST, answer(200, "", b""));
    let store = Store::open(folder.path()).unwrap();
    for host in ["127.0.0.1", "localhost", "private.test", "mixed.test", "a:b@public.test", "[::1]"] {
        add_ended(&store, &format!("http://{host}:{}/?token=sesame", canary.port));
    }
    drop(store);
    let retries = Retries { give_up: Duration::from_millis(50), ..RETRIES };
    let reports =
        deliver_until(folder.path(), &fetcher(&[canary.port]), retries, |store| waiting(store) == 0);
    assert!(reports.iter().all(|report| report.contains("not")), "{reports:?}");
    assert_eq!(canary.received().len(), 0);
}

/// Run by the next test in a process of its own, which it kills.
#[test]
#[ignore = "run by another test"]
fn deliver_until_killed() {
    let variable = |name| std::env::var(name).ok();
    let (Some(port), Some(folder)) = (variable("POSEBOOK_TEST_PORT"), variable("POSEBOOK_TEST_FOLDER"))
    else {
        return;
    };
    deliver_until(Path::new(&folder), &fetcher(&[port.parse().unwrap()]), RETRIES, |_| false);
}

#[test]
fn a_message_is_sent_again_after_the_server_was_killed_and_curl_ends_with_the_server() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (first, closed) = (AtomicBool::new(true), Arc::new(AtomicBool::new(false)));
    let note = Arc::clone(&closed);
    let server = Server::start(PUBLIC, move |request, stream| {
        if first.swap(false, Ordering::SeqCst) {
            let _ = never_answer(request, stream);
            note.store(true, Ordering::SeqCst);
            return Ok(());
        }
        stream.write_all(&answer(200, "", b""))
    });
    add_ended(&Store::open(folder.path()).unwrap(), &hook(&server));
    let variables = [
        ("POSEBOOK_TEST_FOLDER", folder.path().to_str().unwrap()),
        ("POSEBOOK_TEST_PORT", &server.port.to_string()),
    ];
    let mut command = in_own_process("deliver_until_killed", &variables);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let wait_for = |what: &str, check: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !check() {
            assert!(began.elapsed() < Duration::from_secs(15), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for("no message", &|| server.received().len() == 1);
    process.kill().unwrap();
    process.wait().unwrap();
    wait_for("curl goes on without the server", &|| closed.load(Ordering::SeqCst));
    deliver_until(folder.path(), &fetcher(&[server.port]), RETRIES, |store| waiting(store) == 0);
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
}
