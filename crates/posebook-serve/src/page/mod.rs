//! The page: HTML made with maud, one stylesheet, one script.
//!
//! In: jobs, devices and results as plain values. Out: HTML that reads without the script. The script adds uploads, buttons,
//! live updates and the player's timeline; it reads what it needs from `data-` attributes and asks this same page again
//! when a job's state changes, so that there is one place that renders a job. Positions and colors of data are SVG attributes,
//! because the content security policy forbids inline styles.

mod curl;
mod format;
mod job;
mod layout;
mod memory;
mod player;
mod queue;
mod stages;
#[cfg(test)]
mod tests;

use crate::backend::{DeviceInfo, ExperimentInfo, MemorySample, StageTime, Timeline};
use crate::dispatch::DeviceState;
use crate::job::{Job, JobId};
use crate::problem::Problem;
use layout::Frame;
use maud::html;

/// The stylesheet.
pub const STYLE: &str = include_str!("style.css");
/// The script.
pub const SCRIPT: &str = include_str!("script.js");
/// The icon, SVG.
pub const ICON: &str = include_str!("icon.svg");

/// What the page of the queue shows.
#[derive(Debug, Default)]
pub struct QueueView {
    /// Version of the program.
    pub version: String,
    /// Number of the newest event when the view was made, before anything else was read.
    pub newest_event: i64,
    /// Devices and what they do.
    pub devices: Vec<DeviceState>,
    /// Models and memory of the devices, by name.
    pub device_infos: Vec<DeviceInfo>,
    /// Jobs: those without an end, and the newest of the others; newest first.
    pub jobs: Vec<JobRow>,
    /// Number of queued jobs.
    pub queued: u64,
    /// Free bytes of the data folder's disk.
    pub free_bytes: Option<u64>,
    /// Seconds until a new job would start.
    pub estimated_wait: Option<f64>,
    /// Experiments that can be run.
    pub experiments: Vec<ExperimentInfo>,
    /// Whether requests need a token.
    pub needs_token: bool,
    /// Whether clients may name paths.
    pub allows_paths: bool,
    /// Whether clients may name addresses.
    pub allows_urls: bool,
    /// Whether the server takes no new jobs because it ends.
    pub is_draining: bool,
    /// Whether this is a page of older jobs.
    pub is_older: bool,
    /// The next page begins after this job.
    pub next_page_after: Option<JobId>,
}

/// A job in the queue's list.
#[derive(Debug)]
pub struct JobRow {
    /// The job.
    pub job: Job,
    /// Number of queued jobs that start before it, if it is queued.
    pub position: Option<u64>,
    /// Seconds until it is expected to start, if it is queued.
    pub estimated_wait: Option<f64>,
    /// Size of the uploaded source in bytes.
    pub source_bytes: Option<u64>,
}

/// What the page of a job shows.
#[derive(Debug)]
pub struct JobView {
    /// Version of the program.
    pub version: String,
    /// Number of the newest event when the view was made, before anything else was read.
    pub newest_event: i64,
    /// The job.
    pub job: Job,
    /// Queue position.
    pub position: Option<u64>,
    /// Seconds until it is expected to start, if it is queued.
    pub estimated_wait: Option<f64>,
    /// Sources as the client wrote them, and as the server opened them.
    pub sources: Vec<(String, Option<String>)>,
    /// Settings in full, as TOML.
    pub settings_toml: String,
    /// Address of the server for the `curl` line, such as `http://127.0.0.1:7878`.
    pub origin: String,
    /// Whether requests need a token.
    pub needs_token: bool,
    /// Tracks over time, of a succeeded job.
    pub timeline: Option<Timeline>,
    /// Memory over time.
    pub memory: Vec<MemorySample>,
    /// Stages.
    pub stages: Vec<StageTime>,
    /// Last lines of the log.
    pub log_tail: String,
    /// Results that could not be read: what, and why.
    pub unreadable: Vec<String>,
}

/// The page of the queue.
#[must_use]
pub fn queue(view: &QueueView) -> String {
    queue::page(view)
}

/// The page of a job.
#[must_use]
pub fn job(view: &JobView) -> String {
    job::page(view)
}

/// The page that asks for the token. `error` says why the last one was refused.
#[must_use]
pub fn sign_in(error: Option<&str>) -> String {
    let main = html! {
        h1 { "Sign in" }
        form.card.narrow action="/sign-in" method="post" {
            label for="token" { "Access token" }
            input #token type="password" name="token" required autocomplete="current-password" autofocus
                aria-invalid=[error.map(|_| "true")];
            @if let Some(error) = error { p.error role="alert" { (error) } }
            p.hint { "The token is in the file that the server was started with: " code { "posebook serve --token-file FILE" } }
            button.primary type="submit" { "Sign in" }
        }
    };
    layout::page(&Frame { kind: "sign-in", title: "Sign in", ..Frame::default() }, &main)
}

/// A page for an error.
#[must_use]
pub fn problem(problem: &Problem) -> String {
    let main = html! {
        h1 { (problem.title) }
        section.card.failure {
            p { (layout::given(&problem.detail)) }
            @if let Some(seconds) = problem.retry_after { p { "Try again in " (format::seconds(seconds as f64)) "." } }
            p.hint {
                "Status " (problem.status)
                @if let Some(request) = &problem.request { ", request " code { (request) } }
                "."
            }
        }
        p { a href="/" { "All jobs" } }
    };
    layout::page(&Frame { kind: "problem", title: &problem.title, ..Frame::default() }, &main)
}
