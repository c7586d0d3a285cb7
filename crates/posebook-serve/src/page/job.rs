//! The page of one job.
//!
//! The blocks with `data-live` are always there, empty where a job has nothing to show, so that the script can
//! replace each one by its newer version.

use super::layout::{Then, can_be_canceled, given, post, progress, request, settings_line, state, time};
use super::{JobView, curl, format, layout, memory, player, stages};
use crate::job::{Job, JobKind, JobState, ResultFile};
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use posebook_core::fetch::format_size;

/// Characters of a file's name that an address cannot have; `/` separates folders.
const SEGMENTS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The page.
pub fn page(view: &JobView) -> String {
    let job = &view.job;
    let main = html! {
        div #head data-live data-job=(job.id) data-state=(job.state.as_str()) { (head(view)) }
        div #failure data-live { (failure(job)) }
        div #now data-live { (now(view)) }
        div #player data-live { (results(view)) }
        div #files data-live { (files(job)) }
        div #stages data-live {
            @if !view.stages.is_empty() {
                section aria-labelledby="stages-title" {
                    h2 #stages-title { "Stages" }
                    (stages::strip(&view.stages))
                }
            }
        }
        div #memory data-live {
            @if let Some(chart) = memory::chart(&view.memory) {
                section aria-labelledby="memory-title" { h2 #memory-title { "Memory" } (chart) }
            }
        }
        (source_and_settings(view))
        div #log data-live { (log(view)) }
    };
    let frame = layout::Frame {
        kind: "job",
        title: &job.name,
        version: &view.version,
        after: view.newest_event,
        can_sign_out: view.needs_token,
    };
    layout::page(&frame, &main)
}

fn head(view: &JobView) -> Markup {
    let job = &view.job;
    let took = job.started.zip(job.ended).map(|(started, ended)| (ended - started) as f64 / 1000.0);
    html! {
        div.title {
            h1 { (given(&job.name)) }
            (state(job.state))
            (buttons(job))
        }
        dl.facts {
            div { dt { "kind" } " " dd { (job.request.kind.as_str()) } }
            @if let Some(experiment) = &job.request.experiment { div { dt { "experiment" } " " dd { (given(experiment)) } } }
            @if let Some(device) = &job.device { div { dt { "device" } " " dd { (device) } } }
            @if job.attempt > 1 { div { dt { "attempt" } " " dd { (job.attempt) } } }
            @if job.request.priority != 0 { div { dt { "priority" } " " dd { (job.request.priority) } } }
            div { dt { "added" } " " dd { (time(job.created)) } }
            @if let Some(started) = job.started { div { dt { "started" } " " dd { (time(started)) } } }
            @if let Some(ended) = job.ended { div { dt { "ended" } " " dd { (time(ended)) } } }
            @if let Some(took) = took { div { dt { "took" } " " dd { (format::seconds(took)) } } }
            @if let Some(expires) = job.expires.filter(|_| !job.expired) {
                div { dt { "results are kept until" } " " dd { (time(expires)) } }
            }
            @if let Some(old) = job.retry_of { div { dt { "retry of" } " " dd { a href={ "/jobs/" (old) } { (short(&old)) } } } }
            div { dt { "id" } " " dd { code { (job.id) } } }
        }
    }
}

fn buttons(job: &Job) -> Markup {
    html! {
        div.actions {
            @if can_be_canceled(job.state) { (post("Cancel", &job.name, &address(job, "/cancel"), Then::Stay)) }
            @if job.state == JobState::Canceled { (post("Retry", &job.name, &address(job, "/retry"), Then::Follow)) }
            @if job.state.is_final() { (request("Delete", &job.name, "DELETE", &address(job, ""), None, Then::Leave)) }
        }
    }
}

fn failure(job: &Job) -> Markup {
    html! {
        @if let Some(failure) = &job.failure {
            section.card.failure aria-labelledby="failure-title" {
                h2 #failure-title { "Failed: " (format::failure(failure.kind)) }
                p.message { (given(&failure.message)) }
                @if let Some(advice) = &failure.advice { p { (given(advice)) } }
                div.actions {
                    @if !failure.changed_settings.is_empty() {
                        @let change = settings_line(&failure.changed_settings);
                        @let body = serde_json::json!({ "settings": failure.changed_settings }).to_string();
                        (request(&format!("Retry with {change}"), "", "POST", &address(job, "/retry"), Some(&body), Then::Follow))
                    }
                    (post("Retry unchanged", &job.name, &address(job, "/retry"), Then::Follow))
                }
            }
        }
    }
}

/// What an unfinished job does now.
fn now(view: &JobView) -> Markup {
    let job = &view.job;
    html! {
        @match job.state {
            JobState::Queued => {
                section.card aria-label="Waiting" {
                    p {
                        "Waits for a device"
                        @if let Some(position) = view.position { ", place " b { (position + 1) } }
                        @if let Some(wait) = view.estimated_wait { ", starts in " b { (format::estimate(wait)) } }
                        "."
                    }
                    p.hint { "This page need not stay open." }
                }
            }
            JobState::Starting | JobState::Running | JobState::Canceling => {
                section.card aria-label="Progress" {
                    @if job.progress.is_none() { p.hint.no-progress { "No progress has been reported yet." } }
                    (progress(job))
                    @if job.state == JobState::Canceling { p { "Canceling: the process is about to end." } }
                    p.hint { "This page need not stay open." }
                }
            }
            JobState::Succeeded | JobState::Failed | JobState::Canceled => {}
        }
    }
}

fn results(view: &JobView) -> Markup {
    let job = &view.job;
    let video = player::overlay(job).filter(|_| !job.expired).map(|file| file_address(job, file));
    let has_timeline = view.timeline.as_ref().is_some_and(|timeline| timeline.frames > 0);
    html! {
        @for what in &view.unreadable { p.card.failure { (given(what)) } }
        @if video.is_some() || has_timeline {
            section aria-labelledby="player-title" {
                h2 #player-title { @if video.is_some() { "Overlay" } @else { "Tracks" } }
                (player::player(video.as_deref(), view.timeline.as_ref()))
            }
        }
        @if !job.expired && job.request.kind == JobKind::Reconstruct { (images(job)) }
    }
}

/// The images of a reconstruction: those with all people, or else all.
fn images(job: &Job) -> Markup {
    let images: Vec<&ResultFile> =
        job.files.iter().filter(|file| file.media_type.starts_with("image/")).collect();
    let with_all: Vec<&ResultFile> =
        images.iter().copied().filter(|file| file.name.contains("_all.")).collect();
    let shown = if with_all.is_empty() { images } else { with_all };
    html! {
        @if !shown.is_empty() {
            section aria-labelledby="images-title" {
                h2 #images-title { "Images" }
                ul.images {
                    @for file in shown {
                        li { a href=(file_address(job, file)) { img src=(file_address(job, file)) alt=(file.name) loading="lazy"; } }
                    }
                }
            }
        }
    }
}

fn files(job: &Job) -> Markup {
    html! {
        @if job.expired {
            section { h2 { "Downloads" } p.card.empty { "The results of this job have been removed." } }
        } @else if !job.files.is_empty() {
            section aria-labelledby="files-title" {
                h2 #files-title { "Downloads" }
                table.files {
                    thead { tr { th scope="col" { "file" } th scope="col" { "size" } th scope="col" { "SHA-256" } } }
                    tbody {
                        @for file in &job.files {
                            tr {
                                td { a href=(file_address(job, file)) download { (given(&file.name)) } }
                                td { (format_size(file.bytes)) }
                                td { code.hash { (file.sha256) } }
                            }
                        }
                    }
                }
                p {
                    a href=(address(job, "/archive.zip")) download { "All files as zip" }
                    " (" (format_size(job.files.iter().map(|file| file.bytes).sum())) ")"
                }
            }
        }
    }
}

fn source_and_settings(view: &JobView) -> Markup {
    let job = &view.job;
    let is_experiment = job.request.kind == JobKind::Experiment;
    html! {
        section #request aria-labelledby="request-title" {
            h2 #request-title { @if is_experiment { "Experiment and settings" } @else { "Source and settings" } }
            @if !view.sources.is_empty() {
                dl.sources {
                    @for (as_given, resolved) in &view.sources {
                        div {
                            dt { "given" } " " dd { (given(as_given)) }
                            @if let Some(resolved) = resolved { dt { "opened as" } " " dd { (given(resolved)) } }
                        }
                    }
                }
            }
            @if !job.request.settings.is_empty() {
                p { "Changed settings: " code { (settings_line(&job.request.settings)) } }
            }
            @if !view.settings_toml.is_empty() {
                (copied("toml", "Settings, TOML", &view.settings_toml, true))
            }
            (copied("curl", "Repeat with curl", &curl::line(&view.origin, view.needs_token, &job.request), false))
        }
    }
}

/// A text to copy, long ones closed at first.
fn copied(id: &str, title: &str, text: &str, is_long: bool) -> Markup {
    let body = html! {
        pre id=(id) tabindex="0" aria-label=(title) { (text) }
        button.needs-script type="button" data-copy=(id) { "Copy" }
    };
    html! {
        @if is_long { details.copied { summary { (title) } (body) } }
        @else { div.copied { h3 { (title) } (body) } }
    }
}

fn log(view: &JobView) -> Markup {
    html! {
        section aria-labelledby="log-title" {
            h2 #log-title { "Log" }
            @if view.log_tail.is_empty() { p #log-empty .hint { "No messages." } }
            pre #log-lines .log tabindex="0" aria-label="Last lines of the log" { (view.log_tail) }
            p { a href=(address(&view.job, "/log")) { "Whole log" } }
        }
    }
}

/// Address of a job in the interface.
fn address(job: &Job, rest: &str) -> String {
    format!("/v1/jobs/{}{rest}", job.id)
}

fn file_address(job: &Job, file: &ResultFile) -> String {
    address(job, &format!("/files/{}", utf8_percent_encode(&file.name, SEGMENTS)))
}

/// The first eight digits of an id.
fn short(id: &crate::job::JobId) -> String {
    id.to_string().chars().take(8).collect()
}
