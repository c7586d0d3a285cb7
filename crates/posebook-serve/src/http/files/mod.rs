//! Results as files. In: `GET /v1/jobs/{id}/files`, `GET` and `HEAD /v1/jobs/{id}/files/{name}`, `GET /v1/jobs/{id}/archive.zip`.
//! Out: the list, a file or a part of it with its validators, all files as one zip file.
//!
//! A name is looked up in the job's record: what the record does not have is not opened. The file is then opened component by
//! component without following links, so that a link in the results' folder is an error.

mod archive;
mod disposition;
mod open;

pub(super) use disposition::{Disposition, content_disposition, file_stem};

use super::log;
use super::ranges::{Decision, Validators, decide};
use super::streams::file_body;
use crate::job::{Job, JobId, RESULTS, ResultFile};
use crate::problem::Problem;
use crate::service::Service;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The routes of results as files.
pub fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/jobs/{id}/files", get(list))
        .route("/v1/jobs/{id}/files/{*name}", get(file))
        .merge(archive::routes())
}

/// A job that has ended and whose results are there.
///
/// # Errors
/// 404 `no-such-job`, 409 `still-running`, 410 `expired`.
pub(super) fn ended_job(service: &Service, id: &str) -> Result<Job, Problem> {
    let shown = || log::escape(&id.chars().take(64).collect::<String>());
    let id = id.parse::<JobId>().map_err(|_not_an_id| Problem::no_such_job(shown()))?;
    let job = service.store.job(id)?.ok_or_else(|| Problem::no_such_job(id))?;
    if job.expired {
        return Err(Problem::expired(id));
    }
    if !job.state.is_final() {
        return Err(Problem::still_running(id, job.state.as_str()).retry_after(5));
    }
    Ok(job)
}

/// The folder of an ended job's results.
pub(super) fn results_folder(service: &Service, job: &Job) -> PathBuf {
    service.done_folder(job.id).join(RESULTS)
}

/// The results cannot be read, although the record says that they are there.
pub(super) fn unreadable(service: &Service, job: &Job, what: &str, error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::NotFound && !service.done_folder(job.id).exists() {
        return Problem::expired(job.id);
    }
    Problem::internal(format!("{what}: {error}"))
}

async fn list(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let job = service.blocking(move |service| ended_job(service, &id)).await?;
    let files: Vec<Value> = job.files.iter().map(|file| file_json(job.id, file)).collect();
    Ok(Json(json!({ "job": job.id, "files": files, "archive": format!("/v1/jobs/{}/archive.zip", job.id) })))
}

/// A result as JSON, with its address.
pub(super) fn file_json(job: JobId, file: &ResultFile) -> Value {
    let name = disposition::encode_path(&file.name);
    json!({
        "name": file.name,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "media_type": file.media_type,
        "href": format!("/v1/jobs/{job}/files/{name}"),
    })
}

async fn file(
    State(service): State<Arc<Service>>,
    path: Result<Path<(String, String)>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // what is not UTF-8 after decoding names no file
    let Path((id, name)) = path.map_err(|rejection| {
        Problem::new(StatusCode::NOT_FOUND, "no-such-file", format!("not the name of a result: {rejection}"))
    })?;
    let (job, file, opened) = service.blocking(move |service| open_result(service, &id, &name)).await?;
    answer(&method, &headers, &job, &file, opened)
}

/// Finds a result in the job's record and opens it.
fn open_result(service: &Service, id: &str, name: &str) -> Result<(Job, ResultFile, File), Problem> {
    let job = ended_job(service, id)?;
    let Some(file) = job.files.iter().find(|file| file.name == name).cloned() else {
        let detail =
            format!("job {} has no result `{}`; see /v1/jobs/{}/files", job.id, name.escape_debug(), job.id);
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-file", detail));
    };
    let opened = open::open_result(&results_folder(service, &job), &file)
        .map_err(|error| unreadable(service, &job, &format!("result `{}`", file.name), &error))?;
    Ok((job, file, opened))
}

/// The answer for an opened result.
fn answer(
    method: &Method,
    request: &HeaderMap,
    job: &Job,
    file: &ResultFile,
    mut opened: File,
) -> Result<Response, Problem> {
    let ended = u64::try_from(job.ended.unwrap_or(job.created)).unwrap_or_default();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(ended);
    let validators = Validators { etag: format!("\"{}\"", file.sha256), modified };
    let decision = decide(method, request, &validators, file.bytes);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    insert(headers, header::ETAG, &validators.etag);
    insert(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    let (status, start, end) = match decision {
        Decision::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Decision::PreconditionFailed => {
            let detail = format!("`{}` is not in the state that the request names", file.name);
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail));
        }
        Decision::Unsatisfiable => return Ok(unsatisfiable(file)),
        Decision::Whole => (StatusCode::OK, 0, file.bytes),
        Decision::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
    };
    if status == StatusCode::PARTIAL_CONTENT {
        insert(headers, header::CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, file.bytes));
    }
    let media_type = safe_media_type(&file.media_type);
    insert(headers, header::CONTENT_TYPE, media_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    let disposition =
        if shown_by_browsers(media_type) { Disposition::Inline } else { Disposition::Attachment };
    headers.insert(header::CONTENT_DISPOSITION, content_disposition(disposition, &file.name));
    *response.status_mut() = status;
    if *method != Method::HEAD {
        opened
            .seek(SeekFrom::Start(start))
            .map_err(|error| Problem::internal(format!("result `{}`: {error}", file.name)))?;
        *response.body_mut() = file_body(opened, end - start);
    }
    Ok(response)
}

/// 416 with the size, as a problem.
fn unsatisfiable(file: &ResultFile) -> Response {
    use axum::response::IntoResponse;
    let detail = format!("`{}` has {} bytes: the range begins behind its end", file.name, file.bytes);
    let mut response = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad-range", detail).into_response();
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", file.bytes));
    response
}

/// Inserts a header whose value is ASCII; one that is not is left out.
pub(super) fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The media type of a record, or that of unknown bytes if it is not one.
fn safe_media_type(recorded: &str) -> &str {
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let essence = recorded.split(';').next().unwrap_or_default().trim();
    let valid = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if valid && HeaderValue::from_str(recorded).is_ok() { recorded } else { "application/octet-stream" }
}

/// Whether a browser shows files of this type without executing anything in them.
fn shown_by_browsers(media_type: &str) -> bool {
    matches!(
        media_type,
        "video/mp4" | "video/webm" | "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "audio/mpeg"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_media_types_that_execute_nothing_are_shown() {
        for media_type in ["text/html", "image/svg+xml", "application/xml", "text/plain", "application/pdf"] {
            assert!(!shown_by_browsers(media_type), "{media_type}");
        }
        assert!(shown_by_browsers("video/mp4"));
        for broken in ["", "video", "video/", "/mp4", "a b/c", "text/html\r\nX: y", "text/\u{e9}"] {
            assert_eq!(safe_media_type(broken), "application/octet-stream", "{broken}");
        }
        assert_eq!(safe_media_type("text/csv; charset=utf-8"), "text/csv; charset=utf-8");
    }
}
