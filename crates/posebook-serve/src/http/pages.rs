//! The pages for people, their stylesheet, script and icon.
//!
//! In: requests of browsers, and the [`Service`]. Out: HTML. What a page shows is read here; `page` only renders it.

use super::job_json::{place, sources};
use super::job_log::log_tail;
use super::parse_id;
use super::system::Estimate;
use crate::dispatch::DeviceState;
use crate::job::{Job, JobId, JobState, RESULTS, Source};
use crate::page::{self, JobRow, JobView, QueueView};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::JobQuery;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use posebook_core::fetch::format_size;
use posebook_core::provenance::sha256_of_bytes;
use serde::Deserialize;
use std::io;
use std::sync::{Arc, LazyLock};

/// Only files of this server, no inline scripts or styles, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Ended jobs on a page.
const ENDED: usize = 50;

/// Unfinished jobs in each state on a page.
const UNFINISHED: usize = 500;

/// Lines of the log on the page of a job.
const LOG_LINES: usize = 100;

/// The routes of the pages.
pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(queue))
        .route("/jobs/{id}", get(job))
        .route("/style.css", get(async |headers: HeaderMap| STYLE.answer(&headers)))
        .route("/script.js", get(async |headers: HeaderMap| SCRIPT.answer(&headers)))
        .route("/icon.svg", get(async |headers: HeaderMap| ICON.answer(&headers)))
        .route("/favicon.ico", get(async |headers: HeaderMap| ICON.answer(&headers)))
}

/// The page that asks for the token. It shows why a sent token was refused.
pub(crate) fn sign_in(problem: &Problem) -> Response {
    let has_sent_one = problem.instance.as_deref() == Some("/sign-in");
    html(StatusCode::UNAUTHORIZED, page::sign_in(has_sent_one.then_some(problem.detail.as_str())))
}

/// The page of an error.
pub(crate) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    html(status, page::problem(problem))
}

/// A page with the headers that all pages have.
pub(crate) fn html(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // with `no-referrer` browsers would send forms of these pages with the origin `null`
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // the page of a job is another one after each event, and it may be private
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
    ];
    (status, headers, text).into_response()
}

/// A file that is part of the program.
struct Asset {
    text: &'static str,
    media_type: &'static str,
    etag: String,
}

impl Asset {
    fn new(text: &'static str, media_type: &'static str) -> Asset {
        Asset { text, media_type, etag: format!("\"{}\"", sha256_of_bytes(text.as_bytes())) }
    }

    /// The file, or 304 for a client that has it.
    fn answer(&self, request: &HeaderMap) -> Response {
        let known = request.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let is_known = known.is_some_and(|tags| tags.contains(&self.etag));
        let mut response =
            if is_known { StatusCode::NOT_MODIFIED.into_response() } else { self.text.into_response() };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // an SVG that is opened by itself is a document
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| Asset::new(page::STYLE, "text/css; charset=utf-8"));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| Asset::new(page::SCRIPT, "text/javascript; charset=utf-8"));
static ICON: LazyLock<Asset> = LazyLock::new(|| Asset::new(page::ICON, "image/svg+xml"));

/// Which ended jobs the page of the queue shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    /// Those older than this job.
    after: Option<String>,
}

async fn queue(
    State(service): State<Arc<Service>>,
    query: Result<Query<Pages>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if wants_json(&headers) {
        return Ok(discovery(&service));
    }
    let Query(query) = query.map_err(|error| Problem::malformed(error.body_text()))?;
    let after = query.after.as_deref().map(parse_id).transpose()?;
    let view = service.blocking(move |service| queue_view(service, after)).await?;
    Ok(html(StatusCode::OK, page::queue(&view)))
}

/// Whether a client asks for JSON and not for a page.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted = accepted.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    accepted.contains("application/json") && !accepted.contains("text/html")
}

/// What there is, for programs.
fn discovery(service: &Service) -> Response {
    ([(header::VARY, "Accept")], Json(super::system::discovery(service))).into_response()
}

fn queue_view(service: &Service, after: Option<JobId>) -> Result<QueueView, Problem> {
    // first, so that no event is missed: what is read after it is at least as new
    let newest_event = service.store.newest_event()?;
    if let Some(after) = after
        && service.store.job(after)?.is_none()
    {
        return Err(Problem::no_such_job(after));
    }
    let read = |state, limit, after| service.store.jobs(&JobQuery { state: Some(state), limit, after });
    let mut ended = Vec::new();
    for state in JobState::ALL.into_iter().filter(|state| state.is_final()) {
        // one more says whether there is a next page
        ended.extend(read(state, ENDED + 1, after)?);
    }
    ended.sort_by_key(|job| std::cmp::Reverse(job.created));
    let has_more = ended.len() > ENDED;
    ended.truncate(ENDED);
    let next_page_after = ended.last().map(|job| job.id).filter(|_| has_more);
    let mut jobs = Vec::new();
    if after.is_none() {
        for state in JobState::ALL.into_iter().filter(|state| !state.is_final()) {
            jobs.extend(read(state, UNFINISHED, None)?);
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.created));
    }
    jobs.extend(ended);
    let estimate = Estimate::new(service)?;
    let counts = service.store.counts()?;
    let queued = counts.iter().find(|(state, _)| *state == JobState::Queued).map_or(0, |(_, count)| *count);
    let rows = jobs.into_iter().map(|job| row(service, job, &estimate)).collect::<Result<_, Problem>>()?;
    Ok(QueueView {
        version: service.backend.version(),
        newest_event,
        devices: devices(service),
        device_infos: service.devices.clone(),
        jobs: rows,
        queued,
        free_bytes: service.disk_space().ok().map(|space| space.free),
        estimated_wait: estimate.wait(queued),
        experiments: service.backend.experiments(),
        needs_token: service.auth.is_required(),
        allows_paths: !service.options.allow.is_empty(),
        allows_urls: service.options.allow_url,
        is_draining: service.is_draining(),
        is_older: after.is_some(),
        next_page_after,
    })
}

fn row(service: &Service, job: Job, estimate: &Estimate) -> Result<JobRow, Problem> {
    let position = if job.state == JobState::Queued { service.store.queue_position(job.id)? } else { None };
    let source_bytes = match job.request.source.as_slice() {
        [Source::Upload(id)] => service.store.upload(id)?.and_then(|upload| upload.size),
        _ => None,
    };
    let estimated_wait = position.and_then(|position| estimate.wait(position));
    Ok(JobRow { job, position, estimated_wait, source_bytes })
}

fn devices(service: &Service) -> Vec<DeviceState> {
    match service.dispatcher.get() {
        Some(dispatcher) => dispatcher.devices(),
        None => Vec::new(),
    }
}

async fn job(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = host.unwrap_or_else(|| service.options.listen.to_string());
    let view = service.blocking(move |service| job_view(service, id, &host)).await?;
    Ok(html(StatusCode::OK, page::job(&view)))
}

fn job_view(service: &Service, id: JobId, host: &str) -> Result<JobView, Problem> {
    let newest_event = service.store.newest_event()?;
    let job = service.store.job(id)?.ok_or_else(|| Problem::no_such_job(id))?;
    let (position, estimated_wait) = place(service, &job)?;
    let mut unreadable = Vec::new();
    let mut log_lines = String::new();
    let (mut timeline, mut memory, mut stages) = (None, Vec::new(), Vec::new());
    if !job.expired {
        log_lines = readable(log_tail(service, &job, Some(LOG_LINES)), "the log", &mut unreadable)
            .unwrap_or_default();
    }
    if job.state.is_final() && !job.expired {
        let (backend, results) = (&service.backend, service.done_folder(id).join(RESULTS));
        timeline = readable(backend.timeline(&results), "the tracks", &mut unreadable);
        memory =
            readable(backend.memory(&results), "the memory over time", &mut unreadable).unwrap_or_default();
        stages = readable(backend.stages(&results), "the times of the stages", &mut unreadable)
            .unwrap_or_default();
    }
    Ok(JobView {
        version: service.backend.version(),
        newest_event,
        position,
        estimated_wait,
        sources: named_sources(service, &job)?,
        // settings that an older version accepted may be unknown now; those that were given are shown in any case
        settings_toml: service.backend.settings_toml(&job.request).unwrap_or_default(),
        origin: format!("http://{host}"),
        needs_token: service.auth.is_required(),
        timeline,
        memory,
        stages,
        log_tail: log_lines,
        unreadable,
        job,
    })
}

/// A part of the results. A missing one is `None`; one that cannot be read is also said.
fn readable<T>(read: io::Result<T>, what: &str, unreadable: &mut Vec<String>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            unreadable.push(format!("{what} cannot be read: {error}"));
            None
        }
    }
}

/// Sources as the client wrote them, uploads by their names, and as the server opened them.
fn named_sources(service: &Service, job: &Job) -> Result<Vec<(String, Option<String>)>, Problem> {
    let mut named = Vec::new();
    for source in sources(service, job) {
        let upload = if source.kind == "upload" { service.store.upload(&source.given)? } else { None };
        let given = match upload {
            Some(upload) => {
                let size = upload.size.map(|bytes| format!(", {}", format_size(bytes))).unwrap_or_default();
                format!("{} (upload{size})", upload.name)
            }
            None if source.kind == "upload" => format!("upload {}, which has been removed", source.given),
            None => source.given,
        };
        named.push((given, source.resolved));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_nothing_inline_and_nothing_from_elsewhere() {
        assert!(POLICY.starts_with("default-src 'none'; "));
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("data:") && !POLICY.contains('*'), "{POLICY}");
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = SCRIPT.answer(&HeaderMap::new());
        let etag = first.headers().get(header::ETAG).cloned().expect("an ETag");
        let again = SCRIPT.answer(&HeaderMap::from_iter([(header::IF_NONE_MATCH, etag.clone())]));
        let other = STYLE.answer(&HeaderMap::from_iter([(header::IF_NONE_MATCH, etag)]));
        let statuses = [first, again, other].map(|answer| answer.status().as_u16());
        assert_eq!(statuses, [200, 304, 200]);
    }

    #[test]
    fn browsers_get_the_page_and_programs_that_ask_for_json_the_discovery() {
        let asks = |accept: &'static str| {
            wants_json(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(asks("application/json") && asks("APPLICATION/JSON;q=0.9, */*;q=0.1"));
        assert!(!asks("text/html,application/xhtml+xml,application/json;q=0.9"));
        assert!(!asks("*/*") && !wants_json(&HeaderMap::new()));
    }
}
