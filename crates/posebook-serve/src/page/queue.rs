//! The page of the queue: devices, a form for a new job, and the jobs by what they do: running, waiting, ended.

use super::layout::{actions, given, progress, state, time};
use super::{JobRow, QueueView, format, layout};
use crate::job::JobState;
use maud::{Markup, html};
use posebook_core::fetch::format_size;

/// The page.
pub fn page(view: &QueueView) -> String {
    let main = html! {
        div.columns {
            div {
                h1 { @if view.is_older { "Older jobs" } @else { "Jobs" } }
                (summary(view))
                (devices(view))
                (jobs(view))
            }
            aside { (new_job(view)) }
        }
        div #drop .drop hidden aria-hidden="true" { p { "Drop videos or images to add them" } }
    };
    let frame = layout::Frame {
        kind: "queue",
        title: "Jobs",
        version: &view.version,
        after: view.newest_event,
        can_sign_out: view.needs_token,
    };
    layout::page(&frame, &main)
}

fn summary(view: &QueueView) -> Markup {
    html! {
        div #summary data-live {
            @if view.is_draining {
                p.card.failure { "The server is about to stop and takes no new jobs. Waiting jobs start after its next start." }
            }
            p.facts {
                span { b { (view.queued) } " waiting" }
                @if let Some(wait) = view.estimated_wait { span { "a new job starts in " b { (format::estimate(wait)) } } }
                @if let Some(free) = view.free_bytes { span { b { (format_size(free)) } " of disk free" } }
            }
        }
    }
}

fn devices(view: &QueueView) -> Markup {
    html! {
        section #devices data-live aria-labelledby="devices-title" {
            h2 #devices-title { "Devices" }
            @if view.devices.is_empty() { p.hint { "No device takes jobs." } }
            ul.devices {
                @for device in &view.devices {
                    @let info = view.device_infos.iter().find(|info| info.name == device.device);
                    li.card {
                        p { b { (device.device) } " " span.hint {
                            @if let Some(info) = info {
                                (info.model)
                                @if let Some(memory) = info.memory_bytes {
                                    @if !info.model.is_empty() { " · " } (format_size(memory))
                                }
                            }
                        } }
                        p {
                            @if let Some(reason) = &device.blocked { span.state.failed { "blocked" } " " (given(reason)) }
                            @else if let Some(id) = device.job {
                                span.state.running { "busy" } " "
                                a href={ "/jobs/" (id) } {
                                    @match view.jobs.iter().find(|row| row.job.id == id) {
                                        Some(row) => (given(&row.job.name)),
                                        None => (id),
                                    }
                                }
                            }
                            @else { span.state.queued { "idle" } }
                        }
                    }
                }
            }
        }
    }
}

fn jobs(view: &QueueView) -> Markup {
    let is_running = |state| matches!(state, JobState::Starting | JobState::Running | JobState::Canceling);
    let mut waiting: Vec<&JobRow> =
        view.jobs.iter().filter(|row| row.job.state == JobState::Queued).collect();
    // a job whose position is not known (it left the queue while the page was made) comes last
    waiting.sort_by_key(|row| row.position.unwrap_or(u64::MAX));
    let running: Vec<&JobRow> = view.jobs.iter().filter(|row| is_running(row.job.state)).collect();
    let ended: Vec<&JobRow> = view.jobs.iter().filter(|row| row.job.state.is_final()).collect();
    html! {
        div #jobs data-live {
            @if view.jobs.is_empty() {
                p.card.empty { "No jobs " @if view.is_older { "before these." } @else { "yet." } }
            }
            (list("running", "Running", &running))
            (list("waiting", "Waiting", &waiting))
            (list("ended", "Ended", &ended))
            @if view.is_older || view.next_page_after.is_some() {
                nav.pages aria-label="Pages" {
                    @if view.is_older { a href="/" { "Newest jobs" } }
                    @if let Some(after) = view.next_page_after { a href={ "/?after=" (after) } { "Older jobs" } }
                }
            }
        }
    }
}

fn list(name: &str, title: &str, rows: &[&JobRow]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section aria-labelledby={ (name) "-title" } {
                h2 #{ (name) "-title" } { (title) " " span.count { (rows.len()) } }
                ol.jobs { @for row in rows { (item(row)) } }
            }
        }
    }
}

fn item(row: &JobRow) -> Markup {
    let job = &row.job;
    html! {
        li.job data-job=(job.id) data-state=(job.state.as_str()) {
            div.what {
                div.first { (state(job.state)) a.name href={ "/jobs/" (job.id) } { (given(&job.name)) } }
                p.hint {
                    span { (job.request.kind.as_str()) }
                    @if let Some(bytes) = row.source_bytes { span { (format_size(bytes)) } }
                    @if let Some(length) = length(row) { span { (length) } }
                    @if let Some(device) = &job.device { span { (device) } }
                    @if job.attempt > 1 { span { "attempt " (job.attempt) } }
                    @if !job.request.settings.is_empty() { span { (layout::settings_line(&job.request.settings)) } }
                }
            }
            div.how { (how(row)) }
            (actions(job))
        }
    }
}

/// Number of frames of a tracked video, once its process has reported it.
fn length(row: &JobRow) -> Option<String> {
    let progress = row.job.progress.as_ref().filter(|now| now.stage == "run")?;
    let noun = match row.job.request.kind {
        crate::job::JobKind::Track => "frames",
        crate::job::JobKind::Reconstruct => "images",
        crate::job::JobKind::Experiment => "runs",
    };
    progress.of.map(|of| format!("{of} {noun}"))
}

/// What a job does now, or how it ended.
fn how(row: &JobRow) -> Markup {
    let job = &row.job;
    html! {
        @match job.state {
            JobState::Queued => {
                p {
                    @if let Some(position) = row.position { "place " b { (position + 1) } }
                    @if let Some(wait) = row.estimated_wait { " · starts in " (format::estimate(wait)) }
                }
                p.hint { "added " (time(job.created)) @if job.request.priority != 0 { " · priority " (job.request.priority) } }
            }
            JobState::Starting | JobState::Running | JobState::Canceling => (progress(job)),
            JobState::Failed => {
                @if let Some(failure) = &job.failure {
                    p.clamp { (given(&failure.message)) }
                }
                (ended(row))
            }
            JobState::Succeeded | JobState::Canceled => (ended(row)),
        }
    }
}

fn ended(row: &JobRow) -> Markup {
    let job = &row.job;
    let took = job.started.zip(job.ended).map(|(started, ended)| (ended - started) as f64 / 1000.0);
    html! {
        p.hint {
            @if let Some(ended) = job.ended { (time(ended)) }
            @if let Some(took) = took { " · took " (format::seconds(took)) }
            @if job.expired { " · results removed" }
            @else if !job.files.is_empty() {
                " · " (job.files.len()) " file" @if job.files.len() != 1 { "s" } ", "
                (format_size(job.files.iter().map(|file| file.bytes).sum()))
            }
        }
    }
}

fn new_job(view: &QueueView) -> Markup {
    html! {
        noscript {
            p.card { "Without scripts this page shows jobs. Add a job by "
                code { "curl -T clip.mp4 '…/v1/uploads?name=clip.mp4'" } " and "
                code { "curl --json '{\"kind\": \"track\", \"source\": {\"upload\": \"ID\"}}' …/v1/jobs" } "." }
        }
        details #new .card.needs-script {
            summary { h2 { "New job" } }
            form #new-form autocomplete="off" {
                fieldset.kinds {
                    legend { "Kind" }
                    label { input type="radio" name="kind" value="track" checked; " Track a video" }
                    label { input type="radio" name="kind" value="reconstruct"; " Reconstruct images" }
                    @if !view.experiments.is_empty() {
                        label { input type="radio" name="kind" value="experiment"; " Run an experiment" }
                    }
                }
                div data-kinds="track reconstruct" {
                    label for="files" { "Files" }
                    input #files type="file" name="files" multiple accept="video/*,image/*,.mkv,.avi,.mov,.ts,.zip";
                    p.hint { "Or drop files anywhere on this page. An interrupted upload goes on when the same file is chosen again." }
                    ul #chosen .chosen {}
                    @if view.allows_paths || view.allows_urls {
                        label for="place" {
                            "Or "
                            @match (view.allows_paths, view.allows_urls) {
                                (true, true) => "a path on the server, or an address",
                                (true, false) => "a path on the server",
                                _ => "an address",
                            }
                        }
                        input #place type="text" name="place" spellcheck="false" dir="auto"
                            data-paths[view.allows_paths] data-urls[view.allows_urls];
                    }
                }
                div data-kinds="track" {
                    label for="boxes" { "Boxes of the people " span.hint { "optional" } }
                    input #boxes type="file" name="boxes" accept=".txt,.json";
                    p.hint { "MOTChallenge text or COCO results. Without them a detector finds the people." }
                }
                @if !view.experiments.is_empty() {
                    div data-kinds="experiment" hidden {
                        label for="experiment" { "Experiment" }
                        select #experiment name="experiment" {
                            @for experiment in &view.experiments {
                                option value=(experiment.name) title=(experiment.question) { (experiment.name) }
                            }
                        }
                    }
                }
                label for="settings" { "Settings " span.hint { "key=value, one a line" } }
                textarea #settings name="settings" rows="3" spellcheck="false" placeholder="video.every=2" {}
                p #form-error .error role="alert" hidden {}
                button.primary type="submit" { "Start" }
            }
            ul #uploads .uploads aria-label="Uploads" {}
        }
    }
}
