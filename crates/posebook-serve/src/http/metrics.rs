//! `GET /metrics`: numbers as Prometheus text.
//!
//! In: the service, requests as they are answered, jobs as they end. Out: the text format, version 0.0.4. Counters count from the
//! start of the server.

use super::{Http, log, system};
use crate::job::{JobState, RESULTS};
use crate::problem::Problem;
use crate::service::Service;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::error::RecvError;

/// Limits of the histogram of requests' times, seconds.
const BUCKETS: [f64; 8] = [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0];

/// Combinations of method, route and status that are counted; more are counted together.
const MAX_SERIES: usize = 500;

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, String, u16), u64>>,
    times: Mutex<Times>,
    ended: Mutex<BTreeMap<&'static str, u64>>,
    job_times: Mutex<(f64, u64)>,
    stages: Mutex<BTreeMap<String, (f64, f64)>>,
    connections: Arc<AtomicU64>,
    refused: AtomicU64,
}

/// Times of requests.
#[derive(Debug, Default)]
struct Times {
    counts: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

/// Counts an open connection until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Arc<AtomicU64>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A request was answered. `route` is a template: a client must not make new series by sending other paths or methods.
    pub(crate) fn request(&self, method: &Method, route: &str, status: u16, time: Duration) {
        let known = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ];
        let method = if known.contains(method) { method.as_str() } else { "(other)" };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (method.to_owned(), route.to_owned(), status);
        if requests.len() >= MAX_SERIES && !requests.contains_key(&key) {
            key = ("(other)".into(), "(other)".into(), status);
        }
        *requests.entry(key).or_default() += 1;
        drop(requests);
        let seconds = time.as_secs_f64();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sum += seconds;
        times.count += 1;
        for (count, limit) in times.counts.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= limit);
        }
    }

    /// A connection was accepted.
    pub(crate) fn connection(&self) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(Arc::clone(&self.connections))
    }

    /// A connection was refused because all are in use.
    pub(crate) fn connection_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts the ends of jobs and the times of their stages, until the server ends.
pub(crate) async fn watch_ends(http: &Arc<Http>) {
    let mut events = match http.hub.subscribe(&http.service).await {
        Ok(events) => events,
        Err(problem) => {
            let cause = problem.cause.as_ref().unwrap_or(&problem.detail);
            log::error(http.service.options.log, &format!("events: {cause}"));
            return;
        }
    };
    let http = Arc::downgrade(http);
    tokio::spawn(async move {
        loop {
            let id = match events.recv().await {
                Ok(event) if event.kind == "end" => event.job,
                Ok(_) | Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            let Some(http) = http.upgrade() else { return };
            let read = http.service.blocking(move |service| {
                let job = service.store.job(id).ok().flatten()?;
                let results = service.done_folder(id).join(RESULTS);
                let stages = match job.state {
                    JobState::Succeeded => service.backend.stages(&results).unwrap_or_default(),
                    _ => Vec::new(),
                };
                Some((job, stages))
            });
            let Some((job, stages)) = read.await else { continue };
            let metrics = &http.metrics;
            *metrics
                .ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(job.state.as_str())
                .or_default() += 1;
            if let (JobState::Succeeded, Some(started), Some(ended)) = (job.state, job.started, job.ended) {
                let mut times = metrics.job_times.lock().unwrap_or_else(PoisonError::into_inner);
                times.0 += (ended - started).max(0) as f64 / 1000.0;
                times.1 += 1;
            }
            let mut sums = metrics.stages.lock().unwrap_or_else(PoisonError::into_inner);
            for stage in stages {
                let sum = sums.entry(stage.stage).or_default();
                sum.0 += stage.busy_seconds;
                sum.1 += stage.waiting_seconds.unwrap_or(0.0);
            }
        }
    });
}

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/metrics", get(show))
}

async fn show(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
) -> Result<Response, Problem> {
    let text = service.blocking(move |service| text(service, &http)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The text format.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // writing to a string cannot fail
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", label_value(value))).collect();
            let _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn text(service: &Service, http: &Http) -> Result<String, Problem> {
    let mut text = Text::default();
    let counts = service.store.counts()?;
    let count =
        |state| counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, number)| *number) as f64;
    text.family("posebook_info", "gauge", "Version of the server.");
    text.sample("posebook_info", &[("version", &service.backend.version())], 1.0);
    let uptime = SystemTime::now().duration_since(service.started).unwrap_or_default();
    text.one(
        "posebook_uptime_seconds",
        "gauge",
        "Seconds since the start of the server.",
        uptime.as_secs_f64(),
    );
    let draining = f64::from(u8::from(service.is_draining()));
    text.one("posebook_draining", "gauge", "1 while the server takes no new jobs because it ends.", draining);

    text.family("posebook_jobs", "gauge", "Jobs of the record by state.");
    for state in JobState::ALL {
        text.sample("posebook_jobs", &[("state", state.as_str())], count(state));
    }
    text.one("posebook_queue_length", "gauge", "Queued jobs.", count(JobState::Queued));
    text.one("posebook_queue_limit", "gauge", "Most queued jobs.", service.options.queue_max as f64);
    if let Some(wait) = system::Estimate::new(service)?.wait(count(JobState::Queued) as u64) {
        text.one(
            "posebook_estimated_wait_seconds",
            "gauge",
            "Estimated seconds until a new job starts.",
            wait,
        );
    }

    if let Ok(space) = service.disk_space() {
        text.one(
            "posebook_disk_free_bytes",
            "gauge",
            "Free bytes of the data folder's disk.",
            space.free as f64,
        );
        text.one(
            "posebook_disk_total_bytes",
            "gauge",
            "Bytes of the data folder's disk.",
            space.total as f64,
        );
        let help = "Jobs and uploads are refused while less is free.";
        text.one("posebook_disk_floor_bytes", "gauge", help, space.floor as f64);
    }

    let states = system::devices(service);
    text.family("posebook_device_busy", "gauge", "1 while the device executes a job.");
    for state in &states {
        let busy = f64::from(u8::from(state.job.is_some()));
        text.sample("posebook_device_busy", &[("device", &state.device)], busy);
    }
    text.family("posebook_device_blocked", "gauge", "1 while the device takes no jobs.");
    for state in &states {
        let blocked = f64::from(u8::from(state.blocked.is_some()));
        text.sample("posebook_device_blocked", &[("device", &state.device)], blocked);
    }
    text.family("posebook_device_memory_bytes", "gauge", "Memory of the device.");
    for device in &service.devices {
        if let Some(bytes) = device.memory_bytes {
            let labels = [("device", device.name.as_str()), ("model", device.model.as_str())];
            text.sample("posebook_device_memory_bytes", &labels, bytes as f64);
        }
    }
    ends(&http.metrics, &mut text);
    requests(http, &mut text);
    Ok(text.0)
}

fn ends(metrics: &Metrics, text: &mut Text) {
    text.family("posebook_jobs_ended_total", "counter", "Jobs that ended, by their final state.");
    let ended = metrics.ended.lock().unwrap_or_else(PoisonError::into_inner);
    for state in JobState::ALL.into_iter().filter(|state| state.is_final()) {
        let number = ended.get(state.as_str()).copied().unwrap_or(0);
        text.sample("posebook_jobs_ended_total", &[("state", state.as_str())], number as f64);
    }
    let (sum, count) = *metrics.job_times.lock().unwrap_or_else(PoisonError::into_inner);
    text.family("posebook_job_seconds", "summary", "Seconds from start to end of jobs that succeeded.");
    text.sample("posebook_job_seconds_sum", &[], sum);
    text.sample("posebook_job_seconds_count", &[], count as f64);
    let stages = metrics.stages.lock().unwrap_or_else(PoisonError::into_inner);
    text.family(
        "posebook_stage_busy_seconds_total",
        "counter",
        "Seconds of work of jobs that succeeded, by stage.",
    );
    for (stage, (busy, _)) in stages.iter() {
        text.sample("posebook_stage_busy_seconds_total", &[("stage", stage)], *busy);
    }
    text.family(
        "posebook_stage_waiting_seconds_total",
        "counter",
        "Seconds in which a stage waited for another one.",
    );
    for (stage, (_, waiting)) in stages.iter() {
        text.sample("posebook_stage_waiting_seconds_total", &[("stage", stage)], *waiting);
    }
}

fn requests(http: &Http, text: &mut Text) {
    let metrics = &http.metrics;
    text.family("posebook_http_requests_total", "counter", "Answered requests.");
    let requests = metrics.requests.lock().unwrap_or_else(PoisonError::into_inner);
    for ((method, route, status), number) in requests.iter() {
        let status = status.to_string();
        let labels = [("method", method.as_str()), ("route", route.as_str()), ("status", status.as_str())];
        text.sample("posebook_http_requests_total", &labels, *number as f64);
    }
    drop(requests);
    let times = metrics.times.lock().unwrap_or_else(PoisonError::into_inner);
    let help = "Seconds from the head of a request to the head of its answer.";
    text.family("posebook_http_request_seconds", "histogram", help);
    for (count, limit) in times.counts.iter().zip(BUCKETS) {
        text.sample("posebook_http_request_seconds_bucket", &[("le", &limit.to_string())], *count as f64);
    }
    text.sample("posebook_http_request_seconds_bucket", &[("le", "+Inf")], times.count as f64);
    text.sample("posebook_http_request_seconds_sum", &[], times.sum);
    text.sample("posebook_http_request_seconds_count", &[], times.count as f64);
    drop(times);
    let connections = metrics.connections.load(Ordering::Relaxed) as f64;
    text.one("posebook_http_connections", "gauge", "Open connections.", connections);
    let refused = metrics.refused.load(Ordering::Relaxed) as f64;
    let help = "Connections refused because all were in use.";
    text.one("posebook_http_connections_refused_total", "counter", help, refused);
    let listeners =
        (http.limits.listeners - http.listeners.available_permits().min(http.limits.listeners)) as f64;
    text.one("posebook_http_listeners", "gauge", "Connections that wait for events.", listeners);
}
