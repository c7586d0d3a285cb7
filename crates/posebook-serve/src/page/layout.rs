//! What all pages share: the head, the bars at top and bottom, and small pieces.

use super::format;
use crate::job::{Job, JobState, Progress};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Map, Value};

/// What a page has around its content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frame<'a> {
    /// Name of the page for the script: `queue`, `job` or another word.
    pub kind: &'a str,
    /// Title.
    pub title: &'a str,
    /// Version of the program.
    pub version: &'a str,
    /// The last event that the page shows.
    pub after: i64,
    /// Whether the reader has signed in.
    pub can_sign_out: bool,
}

/// A whole page.
pub fn page(frame: &Frame, main: &Markup) -> String {
    let Frame { kind, title, version, after, can_sign_out } = *frame;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Posebook" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                script src="/script.js" defer {}
            }
            body data-page=(kind) {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href="/" { "Posebook" }
                    p #connection .connection hidden { "Connection lost. Trying again …" }
                    nav aria-label="Service" {
                        a href="/" aria-current=[(kind == "queue").then_some("page")] { "Jobs" }
                        a href="/openapi.json" { "API" }
                        a href="/metrics" { "Metrics" }
                    }
                }
                main #main tabindex="-1" data-after=(after) { (main) }
                p #announcement .hidden-text role="status" {}
                @if !version.is_empty() {
                    footer {
                        "Posebook " (version)
                        @if can_sign_out {
                            form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// A text of unknown origin: its direction does not affect what is around it.
pub fn given(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// A job's state as a word on a color.
pub fn state(state: JobState) -> Markup {
    let word = state.as_str();
    html! { span .state .(word) { (word) } }
}

/// A time. The script replaces the text by the reader's own time zone.
pub fn time(milliseconds: i64) -> Markup {
    html! { time datetime=(crate::job::rfc3339(milliseconds)) { (format::time(milliseconds)) } }
}

/// A bar and a line of numbers, which the script updates. A job that has not reported progress yet has no bar.
pub fn progress(job: &Job) -> Markup {
    let none = Progress::default();
    let now = job.progress.as_ref().unwrap_or(&none);
    let of = now.of.filter(|of| *of > 0);
    let is_hidden = job.progress.is_none();
    html! {
        div.progress {
            progress
                max=(of.unwrap_or(1))
                // a bar without a value moves
                value=[of.map(|of| now.done.min(of))]
                hidden[is_hidden || of.is_none()]
                aria-label={ "Progress of " (job.name) } {}
            span.numbers { @if !is_hidden { (format::progress(now)) } }
        }
    }
}

/// What the script does after a request succeeded.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// Shows the page as it is now.
    Stay,
    /// Opens the page of the job in the answer.
    Follow,
    /// Opens the queue.
    Leave,
}

impl Then {
    fn word(self) -> &'static str {
        match self {
            Then::Stay => "stay",
            Then::Follow => "follow",
            Then::Leave => "leave",
        }
    }
}

/// A button that posts to `href`, also without the script: then the browser shows the page of the job.
pub fn post(label: &str, described: &str, href: &str, then: Then) -> Markup {
    html! {
        form.request method="post" action=(href) data-then=(then.word()) {
            button type="submit" { (label) span.hidden-text { " " (described) } }
        }
    }
}

/// A button for a request that a form cannot send: another method than POST, or a JSON body.
pub fn request(
    label: &str,
    described: &str,
    method: &str,
    href: &str,
    body: Option<&str>,
    then: Then,
) -> Markup {
    html! {
        button.needs-script type="button" data-method=(method) data-href=(href) data-body=[body] data-then=(then.word()) {
            (label) span.hidden-text { " " (described) }
        }
    }
}

/// The buttons of a job in the list, as its state allows.
pub fn actions(job: &Job) -> Markup {
    html! {
        div.actions {
            @if can_be_canceled(job.state) {
                (post("Cancel", &job.name, &format!("/v1/jobs/{}/cancel", job.id), Then::Stay))
            }
            @if matches!(job.state, JobState::Failed | JobState::Canceled) {
                (post("Retry", &job.name, &format!("/v1/jobs/{}/retry", job.id), Then::Follow))
            }
        }
    }
}

/// Whether a cancellation changes anything.
pub fn can_be_canceled(state: JobState) -> bool {
    !state.is_final() && state != JobState::Canceling
}

/// Settings as on the command line: `video.every=2 hmr2.batch=4`.
pub fn settings_line(settings: &Map<String, Value>) -> String {
    let parts: Vec<String> =
        settings.iter().map(|(key, value)| format!("{key}={}", format::setting(value))).collect();
    parts.join(" ")
}
