//! Many clients at once: nothing that was acknowledged is lost, no job has two ends, no answer is an error of the server.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::{Answer, TestServer, request, wait_until};

/// What all clients saw.
#[derive(Debug, Default)]
struct Seen {
    accepted: Vec<String>,
    milliseconds: Vec<f64>,
    statuses: BTreeMap<u16, u64>,
}

/// Sends a request and records its status and time. A connection that is closed without an answer counts as status 0.
fn send(
    address: SocketAddr,
    seen: &Mutex<Seen>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<Answer> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let headers: &[(&str, &str)] = if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
    let began = Instant::now();
    let answer = request(address, method, path, headers, text.as_bytes()).ok();
    let mut seen = seen.lock().expect("not poisoned");
    seen.milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
    *seen.statuses.entry(answer.as_ref().map_or(0, |answer| answer.status)).or_default() += 1;
    answer
}

/// One client: posts jobs, and polls, streams or cancels them.
fn client(address: SocketAddr, seen: &Mutex<Seen>, number: usize, until: Instant) {
    let mut round = number;
    while Instant::now() < until {
        round += 1;
        let body = json!({ "kind": "experiment", "experiment": "simulated", "settings": { "frames": 1 + round % 3 } });
        let Some(answer) = send(address, seen, "POST", "/v1/jobs", Some(&body)) else { continue };
        if answer.status != 202 {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        seen.lock().expect("not poisoned").accepted.push(id.clone());
        let path = format!("/v1/jobs/{id}");
        match round % 4 {
            0 => {
                send(address, seen, "POST", &format!("{path}/cancel"), None);
            }
            1 => {
                for _ in 0..3 {
                    send(address, seen, "GET", &path, None);
                    std::thread::sleep(Duration::from_millis(20));
                }
                send(address, seen, "POST", &format!("{path}/cancel"), None);
                // the stream of a job that ends says so
                if let Some(answer) = send(address, seen, "GET", &format!("{path}/events"), None) {
                    assert!(
                        answer.status == 204 || answer.text().contains("event: end"),
                        "{}",
                        answer.text()
                    );
                }
            }
            2 => {
                send(address, seen, "GET", "/v1/jobs?limit=10", None);
                send(address, seen, "GET", "/v1/system", None);
            }
            _ => {
                send(address, seen, "GET", "/healthz", None);
                send(address, seen, "GET", &format!("{path}/log?tail=5"), None);
            }
        }
    }
}

fn run(clients: usize, time: Duration, queue_max: usize) {
    let server = TestServer::fresh(|options| options.queue_max = queue_max);
    let seen = Mutex::new(Seen::default());
    let until = Instant::now() + time;
    std::thread::scope(|threads| {
        for number in 0..clients {
            let (address, seen) = (server.address, &seen);
            threads.spawn(move || client(address, seen, number, until));
        }
    });
    let mut seen = seen.into_inner().expect("not poisoned");
    for id in &seen.accepted {
        server.request("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"");
    }
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for id in &seen.accepted {
        let id = id.parse().expect("an id");
        let store = &server.service.store;
        let state = || store.job(id).expect("the store answers").expect("an acknowledged job is there").state;
        wait_until("the job has ended", || state().is_final());
        let events = store.events(Some(id), 0, 10_000).expect("the store answers");
        let of_end: Vec<_> = events.iter().filter(|event| event.kind == "end").collect();
        assert_eq!(of_end.len(), 1, "{events:#?}");
        assert_eq!(events.last().map(|event| event.number), of_end.first().map(|event| event.number));
        assert_eq!(of_end[0].data["state"], state().as_str());
        *ends.entry(state().as_str().to_owned()).or_default() += 1;
    }
    seen.milliseconds.sort_by(f64::total_cmp);
    let at = |part: f64| seen.milliseconds[((seen.milliseconds.len() - 1) as f64 * part) as usize];
    println!(
        "{clients} clients for {time:?}: {} answers, {:.0} a second, p50 {:.1} ms, p99 {:.1} ms; {} jobs accepted; ends {ends:?}; \
         statuses {:?}",
        seen.milliseconds.len(),
        seen.milliseconds.len() as f64 / time.as_secs_f64(),
        at(0.5),
        at(0.99),
        seen.accepted.len(),
        seen.statuses
    );
    assert!(!seen.accepted.is_empty());
    let wrong: Vec<_> =
        seen.statuses.keys().filter(|status| !matches!(**status, 200..=299 | 429 | 503)).collect();
    assert!(wrong.is_empty(), "{:?}", seen.statuses);
    assert!(!ends.contains_key("failed"), "{ends:?}");
}

#[test]
fn a_hundred_clients_for_three_seconds() {
    run(100, Duration::from_secs(3), 50);
}

#[test]
#[ignore = "takes 20 s: the full load of `cargo test -p posebook-serve --test load -- --ignored --nocapture`"]
fn a_hundred_clients_for_twenty_seconds() {
    run(100, Duration::from_secs(20), 500);
}
