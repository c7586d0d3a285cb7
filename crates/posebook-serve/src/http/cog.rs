//! The routes of Replicate's Cog, for clients that move over by changing an address: `POST` and `PUT /predictions`,
//! `POST /predictions/{id}/cancel`, `GET /health-check` (<https://github.com/replicate/cog/blob/main/docs/http.md>), and
//! `GET /predictions/{id}`, which Cog lacks.
//!
//! In: `{"input": {"video": ..., SETTING: VALUE}}`. Out: a prediction: `status`, `output` (addresses of the results), `logs`,
//! `metrics`. Where Cog refuses a second prediction, this one is queued.

use super::accept::{ConnectionPermit, listen};
use super::answer::AboutJob;
use super::cog_input::{self, Prediction, PredictionId};
use super::job_log::log_tail;
use super::jobs::cancel_job;
use super::prefer::Prefer;
use super::submit::{Submission, submit};
use super::{Http, body, system};
use crate::job::{Job, JobRequest, JobState, Source, rfc3339};
use crate::problem::Problem;
use crate::service::Service;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Lines of the log in a prediction.
const LOG_LINES: usize = 200;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/predictions", post(add))
        .route("/predictions/{id}", get(show).put(add_with_id))
        .route("/predictions/{id}/cancel", post(cancel))
        .route("/health-check", get(health))
}

async fn add(
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    predict(&http, place.as_deref(), None, &headers, body).await.map_err(Problem::with_error)
}

async fn add_with_id(
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    predict(&http, place.as_deref(), Some(id), &headers, body).await.map_err(Problem::with_error)
}

async fn predict(
    http: &Arc<Http>,
    place: Option<&ConnectionPermit>,
    id: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.to_ascii_lowercase().contains("text/event-stream") {
        return Err(Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "predictions are not streamed; send `Prefer: respond-async`, then GET /v1/jobs/{id}/events",
        ));
    }
    let bytes = body::json(headers, body, &http.limits).await?;
    let Prediction { id: own_id, request, file } = cog_input::parse(&bytes)?;
    let id = match (id, own_id) {
        (Some(id), Some(own)) if id != own => {
            return Err(cog_input::invalid("/id", "the id in the body is not the one in the address"));
        }
        (id, own) => id.or(own).map(PredictionId::parse).transpose()?,
    };
    let request = match file {
        Some(file) => {
            http.service.blocking(move |service| cog_input::with_file(service, request, &file)).await?
        }
        None => request,
    };
    let own_name = id.as_ref().filter(|id| id.name != id.job.to_string()).map(|id| id.name.clone());
    let request = JobRequest { prediction: own_name, ..request };
    let submission = Submission { id: id.as_ref().map(|id| id.job), ..Submission::new(request) };
    let (mut job, _) = submit(http, submission).await?;
    let prefer = Prefer::of(headers);
    let mut _permit = None;
    let waits = !job.state.is_final() && !prefer.respond_async;
    if waits {
        _permit = Some(listen(http, place)?);
        job = http.hub.wait(&http.service, job.id, prefer.wait, |job| job.state.is_final()).await?;
    }
    let status = if job.state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let base = base_of(headers);
    let (about, name) = (AboutJob(job.id), id.map_or_else(|| job.id.to_string(), |id| id.name));
    let body = http.service.blocking(move |service| prediction(service, &job, &name, &base)).await;
    let mut response = (status, Json(body)).into_response();
    if waits {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(about);
    Ok(response)
}

/// Beginning of this server's addresses as the client sees them.
fn base_of(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // set by a proxy that terminates TLS
    let is_secure = headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    let scheme = if is_secure { "https" } else { "http" };
    host.map(|host| format!("{scheme}://{host}")).unwrap_or_default()
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = PredictionId::find(id).map_err(Problem::with_error)?;
    let about = AboutJob(id.job);
    let body = service
        .blocking(move |service| {
            let job = service.store.job(id.job)?.ok_or_else(|| Problem::no_such_job(&id.name))?;
            Ok(prediction(service, &job, &id.name, &base_of(&headers)))
        })
        .await
        .map_err(Problem::with_error)?;
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}

async fn cancel(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = PredictionId::find(id).map_err(Problem::with_error)?;
    let about = AboutJob(id.job);
    let job = cancel_job(&service, id.job).await.map_err(Problem::with_error)?;
    let body = service.blocking(move |service| prediction(service, &job, &id.name, &base_of(&headers))).await;
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}

fn status_of(state: JobState) -> &'static str {
    match state {
        JobState::Queued | JobState::Starting => "starting",
        JobState::Running | JobState::Canceling => "processing",
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Canceled => "canceled",
    }
}

/// A job as a prediction. Blocks.
fn prediction(service: &Service, job: &Job, name: &str, base: &str) -> Value {
    let request = &job.request;
    let mut input = Map::new();
    let sources: Vec<Value> = request.source.iter().map(source_text).collect();
    match (request.kind, sources.as_slice()) {
        (_, []) => {}
        (crate::job::JobKind::Reconstruct, _) => {
            input.insert("images".into(), sources.into());
        }
        (_, [source, ..]) => {
            input.insert("video".into(), source.clone());
        }
    }
    if let Some(boxes) = &request.boxes {
        input.insert("boxes".into(), source_text(boxes));
    }
    if let Some(experiment) = &request.experiment {
        input.insert("experiment".into(), experiment.as_str().into());
    }
    input.extend(request.settings.clone());

    let output = (job.state == JobState::Succeeded && !job.expired).then(|| {
        let files: Map<String, Value> = job
            .files
            .iter()
            .map(|file| {
                let address = super::files::file_json(job.id, file)["href"]
                    .as_str()
                    .map(|href| format!("{base}{href}"));
                (file.name.clone(), address.into())
            })
            .collect();
        json!({ "people": format!("{base}/v1/jobs/{}/people", job.id), "files": files })
    });
    let error = match (&job.failure, job.state) {
        (Some(failure), _) => Some(match &failure.advice {
            Some(advice) => format!("{}; {advice}", failure.message),
            None => failure.message.clone(),
        }),
        _ => None,
    };
    let seconds = |from: Option<i64>| Some((job.ended? - from?).max(0) as f64 / 1000.0);
    let mut metrics = Map::new();
    if let Some(seconds) = seconds(job.started) {
        metrics.insert("predict_time".into(), seconds.into());
    }
    if let Some(seconds) = seconds(Some(job.created)) {
        metrics.insert("total_time".into(), seconds.into());
    }
    let itself = format!("{base}/predictions/{name}");
    json!({
        "id": name,
        "version": service.backend.version(),
        "status": status_of(job.state),
        "input": input,
        "output": output,
        "error": error,
        "logs": log_tail(service, job, Some(LOG_LINES)).unwrap_or_default(),
        "metrics": metrics,
        "created_at": rfc3339(job.created),
        "started_at": job.started.map(rfc3339),
        "completed_at": job.ended.map(rfc3339),
        "webhook": request.webhook,
        "webhook_events_filter": request.webhook_events,
        "urls": {
            "get": itself,
            "cancel": format!("{itself}/cancel"),
            "stream": format!("{base}/v1/jobs/{}/events", job.id),
            "web": format!("{base}/jobs/{}", job.id),
        },
    })
}

/// A source as an input names it.
fn source_text(source: &Source) -> Value {
    match source {
        Source::Upload(id) => format!("upload:{id}").into(),
        Source::Path(text) | Source::Url(text) => text.as_str().into(),
    }
}

/// Always 200: `status` says whether a prediction would start at once.
async fn health(State(service): State<Arc<Service>>) -> Json<Value> {
    service
        .blocking(|service| {
            let reasons = system::not_ready(service);
            let devices = system::devices(service);
            let busy = devices.iter().all(|device| device.job.is_some() || device.blocked.is_some());
            let status = match (reasons.is_empty(), busy) {
                (false, _) => "UNHEALTHY",
                (true, true) => "BUSY",
                (true, false) => "READY",
            };
            let started = service.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let started = rfc3339(i64::try_from(started).unwrap_or(i64::MAX));
            Json(json!({
                "status": status,
                "setup": { "started_at": started, "completed_at": started, "status": "succeeded", "logs": "" },
                "version": { "posebook": service.backend.version() },
                "user_healthcheck_error": if reasons.is_empty() { None } else { Some(reasons.join("; ")) },
            }))
        })
        .await
}
