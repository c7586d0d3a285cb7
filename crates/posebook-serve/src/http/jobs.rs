//! `/v1/jobs`: adds, lists, shows, cancels, repeats and deletes jobs.

use super::accept::{ConnectionPermit, listen};
use super::answer::AboutJob;
use super::body;
use super::job_json::{etag, job_json, jobs_json, place};
use super::prefer::Prefer;
use super::submit::{Submission, key_of, submit};
use super::{Http, log, parse_id};
use crate::job::{Job, JobId, JobRequest, JobState};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::JobQuery;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Jobs in a list unless the client says how many.
const LIST: usize = 50;

/// Most jobs in a list.
const MAX_LIST: usize = 500;

/// Seconds after which to ask for a job again, at most.
const MAX_POLL_SECONDS: f64 = 60.0;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/jobs", get(list).post(add))
        .route("/v1/jobs/{id}", get(show).put(add_with_id).delete(delete))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/v1/jobs/{id}/retry", post(retry))
}

async fn add(
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = key_of(&headers)?;
    let bytes = body::json(&headers, body, &http.limits).await?;
    let request = JobRequest::from_json(&bytes)?;
    let (job, _) = submit(&http, Submission { key, ..Submission::new(request) }).await?;
    accepted(&http, place.as_deref(), &headers, job).await
}

async fn add_with_id(
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = id.parse::<JobId>().map_err(|_| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "malformed",
            "the last part of the address is not a UUID; make a random one for each new job",
        )
    })?;
    let bytes = body::json(&headers, body, &http.limits).await?;
    let request = JobRequest::from_json(&bytes)?;
    let (job, _) = submit(&http, Submission { id: Some(id), ..Submission::new(request) }).await?;
    accepted(&http, place.as_deref(), &headers, job).await
}

/// What a retry changes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    /// Settings that replace those of the job, by dotted key; `null` removes one.
    #[serde(default)]
    settings: Map<String, Value>,
}

async fn retry(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let key = key_of(&headers)?;
    let bytes = body::optional_json(&headers, body, &http.limits).await?;
    let changes = if bytes.is_empty() {
        Changes::default()
    } else {
        serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", format!("the body: {error}"))
        })?
    };
    let old = service
        .blocking(move |service| service.store.job(id))
        .await?
        .ok_or_else(|| Problem::no_such_job(id))?;
    if !old.state.is_final() {
        return Err(Problem::still_running(id, old.state.as_str()));
    }
    let mut request = JobRequest { prediction: None, ..old.request };
    for (key, value) in changes.settings {
        if value.is_null() {
            request.settings.remove(&key);
        } else {
            request.settings.insert(key, value);
        }
    }
    let submission = Submission { key, retry_of: Some(id), ..Submission::new(request) };
    let (job, _) = submit(&http, submission).await?;
    accepted(&http, place.as_deref(), &headers, job).await
}

/// Whether the client is an HTML form: the browser then shows the page that it is redirected to.
fn is_for_people(headers: &HeaderMap) -> bool {
    body::is_form(headers)
        && headers.get(header::ACCEPT).is_some_and(|value| {
            value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("text/html"))
        })
}

/// Sends a browser to the page of a job.
fn to_page(id: JobId) -> Response {
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/jobs/{id}"))]).into_response();
    response.extensions_mut().insert(AboutJob(id));
    response
}

/// Answers with a job that was accepted: 202, or 200 if it has ended, perhaps while the client waited.
async fn accepted(
    http: &Arc<Http>,
    place: Option<&ConnectionPermit>,
    headers: &HeaderMap,
    job: Job,
) -> Result<Response, Problem> {
    let id = job.id;
    if is_for_people(headers) {
        return Ok(to_page(id));
    }
    let prefer = Prefer::of(headers);
    let mut waited = None;
    let mut job = job;
    let mut _permit = None;
    if let Some(limit) = prefer.wait.filter(|_| !prefer.respond_async && !job.state.is_final()) {
        _permit = Some(listen(http, place)?);
        job = http.hub.wait(&http.service, id, Some(limit), |job| job.state.is_final()).await?;
        waited = Some(limit);
    }
    let ended = job.state.is_final();
    let (body, wait) = http
        .service
        .blocking(move |service| {
            let wait = place_wait(service, &job)?;
            Ok::<_, Problem>((job_json(service, &job)?, wait))
        })
        .await?;
    let mut response =
        if ended { Json(body).into_response() } else { (StatusCode::ACCEPTED, Json(body)).into_response() };
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{id}")) {
        headers.insert(header::LOCATION, location);
    }
    if !ended {
        let seconds = wait.unwrap_or(1.0).ceil().clamp(1.0, MAX_POLL_SECONDS);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
    }
    if let Some(limit) = waited {
        applied(headers, &format!("wait={}", limit.as_secs()));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if prefer.respond_async {
        applied(headers, "respond-async");
    }
    response.extensions_mut().insert(AboutJob(id));
    Ok(response)
}

fn place_wait(service: &Service, job: &Job) -> Result<Option<f64>, Problem> {
    Ok(place(service, job)?.1)
}

fn applied(headers: &mut HeaderMap, preference: &str) {
    if let Ok(value) = HeaderValue::from_str(preference) {
        headers.insert("preference-applied", value);
    }
}

/// Which jobs to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    state: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed(error.body_text()))?;
    let state = query
        .state
        .as_deref()
        .map(|state| state.parse::<JobState>().map_err(Problem::malformed))
        .transpose()?;
    let limit = query.limit.unwrap_or(LIST);
    if !(1..=MAX_LIST).contains(&limit) {
        return Err(Problem::malformed(format!("limit={limit}: it must be from 1 to {MAX_LIST}")));
    }
    let after = query.after.as_deref().map(parse_id).transpose()?;
    service
        .blocking(move |service| {
            if let Some(after) = after
                && service.store.job(after)?.is_none()
            {
                return Err(Problem::no_such_job(after));
            }
            // one more says whether there is a next page
            let mut jobs = service.store.jobs(&JobQuery { state, limit: limit + 1, after })?;
            let more = jobs.len() > limit || (limit == MAX_LIST && jobs.len() == limit);
            jobs.truncate(limit);
            let last = jobs.last().map(|job| job.id);
            let next = last.filter(|_| more).map(|last| {
                let state = state.map(|state| format!("&state={}", state.as_str())).unwrap_or_default();
                format!("/v1/jobs?limit={limit}&after={last}{state}")
            });
            Ok(Json(json!({ "jobs": jobs_json(service, &jobs)?, "next": next })))
        })
        .await
}

async fn show(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
    connection: Option<Extension<ConnectionPermit>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let known: Vec<String> = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").to_owned())
        .collect();
    let is_known = move |tag: &HeaderValue| {
        let tag = tag.to_str().unwrap_or_default().trim_start_matches("W/");
        known.iter().any(|known| known == tag || known == "*")
    };
    let read = async || {
        service
            .blocking(move |service| {
                let job = service.store.job(id)?.ok_or_else(|| Problem::no_such_job(id))?;
                let (position, _) = place(service, &job)?;
                Ok::<_, Problem>((etag(&job, position), job_json(service, &job)?, job))
            })
            .await
    };
    let (mut tag, mut body, job) = read().await?;
    let mut waited = None;
    let mut _permit = None;
    let has_validator = headers.contains_key(header::IF_NONE_MATCH);
    if let Some(limit) =
        Prefer::of(&headers).wait.filter(|_| !job.state.is_final() && (!has_validator || is_known(&tag)))
    {
        _permit = Some(listen(&http, connection.as_deref())?);
        // with a validator until the job changes, else until it ends
        let revision = job.revision;
        let until = |job: &Job| job.state.is_final() || (has_validator && job.revision != revision);
        http.hub.wait(&service, id, Some(limit), until).await?;
        waited = Some(limit);
        (tag, body, _) = read().await?;
    }
    let mut response = if has_validator && is_known(&tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(limit) = waited {
        applied(headers, &format!("wait={}", limit.as_secs()));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Asks for the cancellation of a job. Out: the job after that.
///
/// # Errors
/// `no-such-job`; if the database fails.
pub(crate) async fn cancel_job(service: &Arc<Service>, id: JobId) -> Result<Job, Problem> {
    let (before, job) = service
        .blocking(move |service| {
            let before = service.store.job(id)?.map(|job| job.state);
            Ok::<_, Problem>((before, service.store.cancel(id)?.ok_or_else(|| Problem::no_such_job(id))?))
        })
        .await?;
    if before != Some(job.state) {
        log::job_state(service.options.log, &job);
    }
    if job.state == JobState::Canceling
        && let Some(dispatcher) = service.dispatcher.get()
    {
        dispatcher.cancel(id);
    }
    Ok(job)
}

async fn cancel(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let job = cancel_job(&service, id).await?;
    if is_for_people(&headers) {
        return Ok(to_page(id));
    }
    let body = service.blocking(move |service| job_json(service, &job)).await?;
    Ok(Json(body).into_response())
}

async fn delete(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = parse_id(&id)?;
    service
        .blocking(move |service| {
            let job = service.store.job(id)?.ok_or_else(|| Problem::no_such_job(id))?;
            if !service.store.delete(id)? {
                return match service.store.job(id)? {
                    Some(job) => Err(Problem::still_running(id, job.state.as_str())),
                    None => Err(Problem::no_such_job(id)),
                };
            }
            log::message(service.options.log, &format!("job {id} deleted"));
            // the record goes first: files without a record are removed by the next sweep, a record without files would be wrong
            for folder in [service.done_folder(id), service.work_folder(id, job.attempt)] {
                match std::fs::remove_dir_all(&folder) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        log::error(
                            service.options.log,
                            &format!("cannot remove {}: {error}", folder.display()),
                        );
                    }
                    _ => {}
                }
            }
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}
