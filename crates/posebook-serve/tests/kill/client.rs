//! A client that records what the server acknowledged.

use crate::support::{Answer, request};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pseudo-random numbers (splitmix64): the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What the server has acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Jobs by id, with the final state that was seen.
    pub jobs: HashMap<String, Option<String>>,
    /// Jobs whose cancellation was acknowledged while they were queued or running.
    pub canceled: Vec<String>,
    /// Complete uploads: id and SHA-256.
    pub uploads: HashMap<String, String>,
    /// Unfinished tus uploads: id, and bytes that are stored.
    pub parts: HashMap<String, u64>,
    /// Idempotency keys and the job that they gave.
    pub keys: HashMap<String, String>,
    /// Answers by status.
    pub statuses: HashMap<u16, u64>,
}

impl Acknowledged {
    pub fn merge(&mut self, other: Acknowledged) {
        for (id, state) in other.jobs {
            self.see(&id, state);
        }
        self.canceled.extend(other.canceled);
        self.uploads.extend(other.uploads);
        for (id, bytes) in other.parts {
            let known = self.parts.entry(id).or_default();
            *known = bytes.max(*known);
        }
        self.keys.extend(other.keys);
        for (status, number) in other.statuses {
            *self.statuses.entry(status).or_default() += number;
        }
    }

    /// Records a job, and a final state that it must keep.
    pub fn see(&mut self, id: &str, state: Option<String>) {
        let known = self.jobs.entry(id.to_owned()).or_default();
        if let (Some(known), Some(state)) = (&known, &state) {
            assert_eq!(known, state, "job {id} has two ends");
        }
        if state.is_some() {
            *known = state;
        }
    }
}

/// Whether a job in this state never changes it.
pub fn is_final(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "canceled")
}

/// Sends requests until the server is gone or `stop` is set.
pub fn run(address: SocketAddr, seed: u64, stop: &AtomicBool) -> Acknowledged {
    let mut client = Client { address, random: Random(seed), seen: Acknowledged::default() };
    while !stop.load(Ordering::Relaxed) && client.act().is_some() {}
    client.seen
}

struct Client {
    address: SocketAddr,
    random: Random,
    seen: Acknowledged,
}

impl Client {
    /// Sends a request. `None` if the connection broke or the answer is not whole: nothing is acknowledged then.
    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let answer = request(self.address, method, path, headers, body).ok()?;
        let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if method != "HEAD" && length.is_some_and(|length| length != answer.body.len()) {
            return None;
        }
        *self.seen.statuses.entry(answer.status).or_default() += 1;
        assert!(
            answer.status < 500 || answer.status == 503,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        Some(answer)
    }

    fn act(&mut self) -> Option<()> {
        match self.random.below(10) {
            0 => self.upload(),
            1 => self.upload_in_parts(),
            2..=5 => self.queue(),
            6 => self.cancel(),
            7 => self.repeat_key(),
            _ => self.look(),
        }
    }

    fn some_job(&mut self) -> Option<String> {
        let number = self.seen.jobs.len() as u64;
        if number == 0 {
            return None;
        }
        let index = self.random.below(number) as usize;
        self.seen.jobs.keys().nth(index).cloned()
    }

    fn upload(&mut self) -> Option<()> {
        let mut bytes = vec![0; 1 + self.random.below(200_000) as usize];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next().to_le_bytes()[..chunk.len()]);
        }
        let answer = self.send("PUT", "/v1/uploads?name=a.mp4", &[], &bytes)?;
        if answer.status == 201 {
            let id = answer.json()["id"].as_str()?.to_owned();
            self.seen.uploads.insert(id, posebook_core::provenance::sha256_of_bytes(&bytes));
        }
        Some(())
    }

    fn upload_in_parts(&mut self) -> Option<()> {
        let tus = ("Tus-Resumable", "1.0.0");
        let answer = self.send("POST", "/v1/uploads", &[tus, ("Upload-Length", "1000000")], b"")?;
        if answer.status != 201 {
            return Some(());
        }
        let location = answer.header("location")?.to_owned();
        let id = location.rsplit('/').next()?.to_owned();
        let path = format!("/v1/uploads/{id}");
        self.seen.parts.insert(id.clone(), 0);
        let mut offset = 0;
        for _ in 0..3 {
            let part = vec![7; 1 + self.random.below(100_000) as usize];
            let at = offset.to_string();
            let headers =
                [tus, ("Upload-Offset", at.as_str()), ("Content-Type", "application/offset+octet-stream")];
            let answer = self.send("PATCH", &path, &headers, &part)?;
            if answer.status == 204 {
                offset = answer.header("upload-offset")?.parse().ok()?;
                self.seen.parts.insert(id.clone(), offset);
            }
        }
        Some(())
    }

    fn queue(&mut self) -> Option<()> {
        let settings = match self.random.below(8) {
            0 => json!({ "crash": true }),
            1 => json!({ "frames": 2, "fail": "error" }),
            2 => json!({ "frames": 20, "frame_seconds": 0.02, "ignore_term": true, "grandchild": true }),
            3 => json!({ "frames": 20, "frame_seconds": 0.01 }),
            _ => json!({ "frames": 3, "bytes": self.random.below(100_000) }),
        };
        let upload = self.seen.uploads.keys().next().cloned();
        let body = match upload {
            Some(id) if self.random.below(2) == 0 => {
                json!({ "kind": "track", "source": { "upload": id }, "settings": settings })
            }
            _ => json!({ "kind": "experiment", "experiment": "simulated", "settings": settings }),
        };
        self.post(&body).map(|_| ())
    }

    fn post(&mut self, body: &Value) -> Option<()> {
        let key = format!("key-{:x}", self.random.next());
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        let answer = self.send("POST", "/v1/jobs", &headers, body.to_string().as_bytes())?;
        match answer.status {
            202 => {
                let id = answer.json()["id"].as_str()?.to_owned();
                self.seen.see(&id, None);
                if body["kind"] == "experiment" && self.random.below(4) == 0 {
                    self.seen.keys.insert(format!("{key} {body}"), id);
                }
            }
            // the queue is full, or the server ends
            429 | 503 => std::thread::sleep(std::time::Duration::from_millis(5)),
            status => panic!("{status}: {}", answer.text()),
        }
        Some(())
    }

    /// Sends a request again with its key: the same job.
    fn repeat_key(&mut self) -> Option<()> {
        let Some((key, id)) = self.seen.keys.iter().next().map(|(key, id)| (key.clone(), id.clone())) else {
            return Some(());
        };
        let (key, body) = key.split_once(' ')?;
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let answer = self.send("POST", "/v1/jobs", &headers, body.as_bytes())?;
        if matches!(answer.status, 200 | 202) {
            assert_eq!(answer.json()["id"].as_str()?, id, "the same key gave another job");
        }
        Some(())
    }

    fn cancel(&mut self) -> Option<()> {
        let Some(id) = self.some_job() else { return Some(()) };
        let headers = [("Content-Type", "application/json")];
        let answer = self.send("POST", &format!("/v1/jobs/{id}/cancel"), &headers, b"{}")?;
        assert_eq!(answer.status, 200, "an acknowledged job: {}", answer.text());
        let state = answer.json()["state"].as_str()?.to_owned();
        if matches!(state.as_str(), "canceling" | "canceled") {
            self.seen.canceled.push(id.clone());
        }
        if is_final(&state) {
            self.seen.see(&id, Some(state));
        }
        Some(())
    }

    fn look(&mut self) -> Option<()> {
        let Some(id) = self.some_job() else { return Some(()) };
        let answer = self.send("GET", &format!("/v1/jobs/{id}"), &[], b"")?;
        assert_eq!(answer.status, 200, "an acknowledged job: {}", answer.text());
        let state = answer.json()["state"].as_str()?.to_owned();
        if is_final(&state) {
            self.seen.see(&id, Some(state));
        }
        Some(())
    }
}
