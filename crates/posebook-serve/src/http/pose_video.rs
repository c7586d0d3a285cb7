//! The routes of the older wrapper around `track.py`, for clients that move over by changing an address: `POST /pose/video`,
//! `GET /pose/video/status/{id}` and `GET /health`.
//!
//! In: `{"video_path": ...}`. Out: its members: `job_id`, `status` (`queued`, `processing`, `completed`, `error`),
//! `queue_position`, and people by frame as `result`. The wrapper never answered `error` for a job, but its clients handle it.
//! A video is always queued, never processed within the request.

use super::answer::AboutJob;
use super::files::{ended_job, results_folder};
use super::parse_id;
use super::submit::{Submission, submit};
use super::{Http, body, system};
use crate::job::{Failure, FailureKind, Job, JobKind, JobRequest, JobState, Source};
use crate::problem::Problem;
use crate::service::Service;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/pose/video", post(add))
        .route("/pose/video/status/{id}", get(status))
        .route("/health", get(health))
}

async fn add(
    Extension(http): Extension<Arc<Http>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let read = async {
        let bytes = body::json(&headers, body, &http.limits).await?;
        let given: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::malformed(format!("the body is not JSON: {error}")))?;
        let Some(path) = given.get("video_path").and_then(Value::as_str) else {
            return Err(Problem::malformed("the body has no text `video_path`").at("/video_path"));
        };
        let source = vec![Source::Path(path.to_owned())];
        let request = JobRequest { source, ..JobRequest::of_kind(JobKind::Track) };
        let (job, _) = submit(&http, Submission::new(request)).await?;
        let id = job.id;
        let position = http.service.blocking(move |service| service.store.queue_position(id)).await?;
        Ok((job, position))
    };
    let (job, position) = read.await.map_err(Problem::with_error)?;
    let answer = json!({
        "status": if position.is_some() { "queued" } else { status_of(job.state) },
        "job_id": job.id,
        "message": format!("the video is queued; ask /pose/video/status/{} for its state", job.id),
        "queue_position": position.map_or(0, |position| position + 1),
    });
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    response.extensions_mut().insert(AboutJob(job.id));
    Ok(response)
}

fn status_of(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Starting | JobState::Running | JobState::Canceling => "processing",
        JobState::Succeeded => "completed",
        JobState::Failed | JobState::Canceled => "error",
    }
}

/// Results that are read at a time: one takes up to 300 MB of memory.
static RESULTS_AT_ONCE: Semaphore = Semaphore::const_new(2);

async fn status(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let read = async {
        let job = parse_id(&id)?;
        let job = service.blocking(move |service| service.store.job(job)).await?;
        let has_result = job.is_some_and(|job| job.state == JobState::Succeeded);
        // closed never
        let _permit = if has_result { RESULTS_AT_ONCE.acquire().await.ok() } else { None };
        service.blocking(move |service| Ok(Json(status_json(service, &id)?).into_response())).await
    };
    read.await.map_err(Problem::with_error)
}

fn status_json(service: &Service, id: &str) -> Result<Value, Problem> {
    let id = parse_id(id)?;
    let job = service.store.job(id)?.filter(|job| job.request.kind == JobKind::Track);
    let job = job.ok_or_else(|| Problem::no_such_job(id))?;
    let position = service.store.queue_position(id)?;
    let result = if job.state == JobState::Succeeded { result(service, &job)? } else { Value::Null };
    let path = match job.request.source.first() {
        Some(Source::Path(path)) => path.as_str(),
        _ => job.name.as_str(),
    };
    let mut answer = json!({
        "job_id": job.id,
        "status": status_of(job.state),
        "video_path": path,
        "queue_position": position.map(|position| position + 1),
        "queued_at": seconds(job.created),
        "started_at": job.started.map(seconds),
        "completed_at": job.ended.map(seconds),
        "progress": job.progress,
        "result": result,
    });
    match (&job.failure, job.state) {
        (Some(failure), _) => {
            answer["error"] = failure.message.as_str().into();
            answer["error_details"] =
                json!({ "error_type": error_type(failure, &job), "advice": failure.advice });
        }
        (None, JobState::Canceled) => answer["error"] = "the job was canceled".into(),
        _ => {}
    }
    Ok(answer)
}

/// Seconds since 1970 of milliseconds.
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// The kinds of errors of the older wrapper.
fn error_type(failure: &Failure, job: &Job) -> &'static str {
    match failure.kind {
        FailureKind::OutOfMemory
            if job.device.as_deref().is_some_and(|device| device.starts_with("cuda")) =>
        {
            "CUDA_OOM"
        }
        FailureKind::OutOfMemory => "OUT_OF_MEMORY",
        _ => "SUBPROCESS_ERROR",
    }
}

fn result(service: &Service, job: &Job) -> Result<Value, Problem> {
    ended_job(service, &job.id.to_string())?;
    let began = Instant::now();
    let read = service.backend.frames_json(&results_folder(service, job));
    let mut read = read.map_err(|error| Problem::internal(format!("people of job {}: {error}", job.id)))?;
    let frames = match read.get_mut("frames") {
        Some(frames) => frames.take(),
        None => read,
    };
    Ok(json!({
        "status": "success",
        "job_id": job.id,
        "total_frames": frames.as_array().map(Vec::len),
        "frames": frames,
        "processing_time_seconds": job.started.zip(job.ended).map(|(started, ended)| seconds(ended - started)),
        "parsing_time_seconds": began.elapsed().as_secs_f64(),
    }))
}

/// Always 200, as the older wrapper answered. Each job loads its models in a process of its own.
async fn health(State(service): State<Arc<Service>>) -> Json<Value> {
    service
        .blocking(|service| {
            let reasons = system::not_ready(service);
            let ready = reasons.is_empty();
            let has_gpu = service.devices.iter().any(|device| device.name.starts_with("cuda"));
            Json(json!({
                "status": if ready { "ready" } else { "warming_up" },
                "ready": ready,
                "models": { "hmr2": "per_job", "vitdet": "per_job", "phalp": "per_job" },
                "device": if has_gpu { "cuda" } else { "cpu" },
                "error": if ready { None } else { Some(reasons.join("; ")) },
            }))
        })
        .await
}
