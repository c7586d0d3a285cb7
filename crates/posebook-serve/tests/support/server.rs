//! A server in threads of the test.

use super::backend::FakeBackend;
use super::client::{Answer, request};
use posebook_serve::http::Limits;
use posebook_serve::options::LogFormat;
use posebook_serve::{Backend, Options, ServeError, Server, Service};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Waits until `check` is true.
///
/// # Panics
/// If that takes more than 30 s.
#[track_caller]
pub fn wait_until(what: &str, check: impl FnMut() -> bool) {
    let mut check = check;
    let began = Instant::now();
    while !check() {
        assert!(began.elapsed() < Duration::from_secs(30), "after 30 s still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server on a free port of 127.0.0.1. It ends when it is dropped.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it serves.
    pub service: Arc<Service>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    /// The data folder, if it was made here.
    _folder: Option<TempDir>,
}

impl TestServer {
    /// Options for tests: a fresh data folder, a floor of 16 MiB of free disk, short times, no log.
    pub fn options(folder: &TempDir) -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            disk_floor_bytes: Some(16 << 20),
            drain: Duration::from_millis(100),
            interrupt_grace: Duration::from_secs(2),
            log: LogFormat::Off,
            ..Options::new(folder.path().join("data"))
        }
    }

    /// Starts a server with the simulated backend and these options; the port is always a free one.
    pub fn start(options: Options) -> TestServer {
        TestServer::start_with(options, Arc::new(FakeBackend::default())).expect("the server starts")
    }

    /// Starts a server with a fresh data folder, which is removed at the end. `change` may change the options.
    pub fn fresh(change: impl FnOnce(&mut Options)) -> TestServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = TestServer::options(&folder);
        change(&mut options);
        let mut server = TestServer::start(options);
        server._folder = Some(folder);
        server
    }

    /// Starts a server with this backend.
    pub fn start_with(options: Options, backend: Arc<dyn Backend>) -> Result<TestServer, ServeError> {
        let mut options = options;
        options.listen.set_port(0);
        Ok(TestServer::run(Server::bind(options, backend)?))
    }

    /// As [`TestServer::fresh`], with other limits of connections and requests too.
    pub fn limited(change: impl FnOnce(&mut Options, &mut Limits)) -> TestServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut options, mut limits) = (TestServer::options(&folder), Limits::default());
        change(&mut options, &mut limits);
        let server = Server::bind(options, Arc::new(FakeBackend::default())).expect("the server starts");
        let mut server = TestServer::run(server.with_limits(limits));
        server._folder = Some(folder);
        server
    }

    /// Runs a server that listens.
    pub fn run(server: Server) -> TestServer {
        let (address, service) = (server.address(), Arc::clone(server.service()));
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || server.run(&flag));
        TestServer { address, service, stop, thread: Some(thread), _folder: None }
    }

    /// Sends a request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(self.address, method, path, headers, body).expect("an answer")
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Sends JSON by `POST`.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Uploads a file; its id.
    pub fn upload(&self, name: &str, bytes: &[u8]) -> String {
        let answer = self.request("PUT", &format!("/v1/uploads?name={name}"), &[], bytes);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Queues a job of the simulated experiment with these settings, which needs no source; its id.
    pub fn queue(&self, settings: Value) -> String {
        let answer = self.post(
            "/v1/jobs",
            &json!({ "kind": "experiment", "experiment": "simulated", "settings": settings }),
        );
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// A job.
    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).json()
    }

    /// Waits until a job has this state; the job then.
    #[track_caller]
    pub fn wait_for(&self, id: &str, state: &str) -> Value {
        let id_of_job = id.parse().expect("an id");
        // not by requests, which are logged
        let check = || {
            let job = self.service.store.job(id_of_job).expect("the store").expect("the job");
            let is_there = json!(job.state) == state;
            assert!(is_there || !job.state.is_final(), "ended as {:?}: {:?}", job.state, job.failure);
            is_there
        };
        wait_until(&format!("job {id} is {state}"), check);
        self.job(id)
    }

    /// Ends the server as SIGTERM does; what `serve` returns.
    pub fn stop(mut self) -> Result<(), ServeError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ServeError> {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(Err(_) | Ok(Err(_))) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            panic!("the server ended with an error");
        }
    }
}
