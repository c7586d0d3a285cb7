//! tus 1.0: uploads that can be resumed (<https://tus.io/protocols/resumable-upload>). In: `POST` with the size, `PATCH` with
//! bytes at an offset, `HEAD`, `DELETE`, `OPTIONS`. Out: an upload that is complete once its offset is its size.
//!
//! A request without `Tus-Resumable` is taken for version 1.0.0, so that `curl` can ask and delete; another version gets 412.

use super::protocol::{
    DEFER, EXTENSION, EXTENSIONS, LENGTH, MAX_SIZE, METADATA, OFFSET, OVERRIDE, TUS_VERSION, VERSION,
    check_protocol, check_type, problem_tus, refuse_tus, with_upload,
};
use super::put::{ending_problem, run, writer};
use super::receive::{Ending, Pace};
use super::slots::{Claim, Uploads};
use super::{
    BodyLength, body_length, check_size, check_space, created, find, metadata, number, refuse, storage,
    too_large, upload_json,
};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Upload;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long a request waits for another one that it has asked to stop.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server can do.
pub(super) async fn options(State(service): State<Arc<Service>>) -> Response {
    let headers = [
        (TUS_VERSION, HeaderValue::from_static(VERSION)),
        (EXTENSION, HeaderValue::from_static(EXTENSIONS)),
        (MAX_SIZE, HeaderValue::from(service.options.upload_max_bytes)),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `POST` with `X-HTTP-Method-Override`, for clients that cannot send `PATCH` or `DELETE`.
pub(super) async fn overridden(
    state: State<Arc<Service>>,
    uploads: Extension<Uploads>,
    id: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match headers.get(OVERRIDE).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => patch(state, uploads, id, headers, body).await,
        Some(b"DELETE") => delete(state, uploads, id, headers).await,
        Some(b"HEAD") => head(state, uploads, id, headers).await,
        _ => {
            let detail = "POST needs the header x-http-method-override: PATCH, DELETE or HEAD";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
            let mut response = refuse(problem, &headers, body);
            let allowed = HeaderValue::from_static("GET, HEAD, PATCH, DELETE, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
    }
}

/// Begins an upload, with its first bytes if there is a body.
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Extension(uploads): Extension<Uploads>,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    let (upload, file, slot) = match begin(&service, &uploads, &headers).await {
        Ok(begun) => begun,
        Err(problem) => return refuse_tus(problem, &headers, body),
    };
    let id = upload.id.clone();
    // an empty file is complete at once
    let result = match slot {
        Some(slot) => receive(&service, &uploads, upload, file, slot, &mut body).await,
        None => Ok((upload, Ending::Complete)),
    };
    match result {
        // what came is kept; the client goes on from the offset in the answer
        Ok((upload, ending)) if ending != Ending::TooLarge => with_upload(created(&upload), &upload),
        failed => {
            let _ = service.blocking(move |service| storage::remove(service, &id)).await;
            let problem = match failed {
                Ok((upload, ending)) => {
                    ending_problem(ending, upload.size.unwrap_or(0), Pace::of(&service, &uploads.limits))
                }
                Err(problem) => problem,
            };
            refuse_tus(problem, &headers, body)
        }
    }
}

/// Checks a request for a new upload and makes its record. The place is there if there are bytes to receive.
async fn begin(
    service: &Arc<Service>,
    uploads: &Uploads,
    headers: &HeaderMap,
) -> Result<(Upload, std::fs::File, Option<OwnedSemaphorePermit>), Problem> {
    check_protocol(headers)?;
    let size = match (number(headers, &LENGTH)?, headers.get(DEFER)) {
        (Some(size), None) => Some(size),
        (None, Some(defer)) if defer == "1" => None,
        _ => {
            let detail =
                "header upload-length, or upload-defer-length: 1, is needed; for a plain upload use PUT";
            return Err(Problem::malformed(detail));
        }
    };
    check_size(service, size.unwrap_or(0))?;
    let length = body_length(headers)?;
    let has_body = !matches!(length, BodyLength::None | BodyLength::Known(0));
    if has_body {
        check_type(headers)?;
    }
    let most = size.unwrap_or(service.options.upload_max_bytes);
    if let BodyLength::Known(bytes) = length
        && bytes > most
    {
        return Err(too_large(most));
    }
    let given = headers.get(METADATA).map(|value| value.to_str().map(str::to_owned)).transpose();
    let given = given.map_err(|_| Problem::malformed("header upload-metadata: it must be ASCII"))?;
    let name = given.as_deref().map(metadata::name).transpose()?.flatten();
    let slot = if has_body || size == Some(0) { Some(uploads.slot()?) } else { None };
    let (upload, file) = service
        .blocking(move |service| {
            check_space(service, size.unwrap_or(0))?;
            storage::begin(service, name.unwrap_or_else(|| "upload".into()), given, size)
        })
        .await?;
    Ok((upload, file, slot))
}

/// Writes a body to an upload at its offset.
async fn receive(
    service: &Arc<Service>,
    uploads: &Uploads,
    upload: Upload,
    file: std::fs::File,
    slot: OwnedSemaphorePermit,
    body: &mut Body,
) -> Result<(Upload, Ending), Problem> {
    let most = upload.size.unwrap_or(service.options.upload_max_bytes).saturating_sub(upload.offset);
    let writer = writer(service, uploads, upload, file, slot, false)?;
    run(writer, most, Pace::of(service, &uploads.limits), body).await
}

/// Appends a body at the offset.
pub(super) async fn patch(
    State(service): State<Arc<Service>>,
    Extension(uploads): Extension<Uploads>,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    let pace = Pace::of(&service, &uploads.limits);
    let result = match go_on(&service, &uploads, &id, &headers).await {
        Ok(GoOn::Complete(upload)) => Ok((upload, Ending::Complete)),
        Ok(GoOn::Write(writer, most)) => run(*writer, most, pace, &mut body).await,
        Err(refusal) => {
            let mut response = refuse_tus(refusal.problem, &headers, body);
            if let Some(offset) = refusal.offset {
                response.headers_mut().insert(OFFSET, HeaderValue::from(offset));
            }
            return response;
        }
    };
    match result {
        Ok((upload, Ending::Complete)) => with_upload(StatusCode::NO_CONTENT.into_response(), &upload),
        Ok((upload, ending)) => {
            let most = upload.size.unwrap_or(service.options.upload_max_bytes).saturating_sub(upload.offset);
            let response = refuse_tus(ending_problem(ending, most, pace), &headers, body);
            with_upload(response, &upload)
        }
        Err(problem) => refuse_tus(problem, &headers, body),
    }
}

/// What a `PATCH` has to do.
enum GoOn {
    /// Nothing: the upload is complete, and the body is empty.
    Complete(Upload),
    /// Write at most so many bytes.
    Write(Box<super::writer::Writer>, u64),
}

/// Why a `PATCH` is refused; with the right offset where that is why.
struct Refusal {
    problem: Problem,
    offset: Option<u64>,
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Refusal {
        Refusal { problem: problem.into(), offset: None }
    }
}

/// Checks a `PATCH` and opens the upload's file at its offset.
async fn go_on(
    service: &Arc<Service>,
    uploads: &Uploads,
    id: &str,
    headers: &HeaderMap,
) -> Result<GoOn, Refusal> {
    check_protocol(headers)?;
    let (claim, mut upload) = claim(service, uploads, id).await?;
    check_type(headers)?;
    let offset = number(headers, &OFFSET)?;
    let offset = offset.ok_or_else(|| Problem::malformed("header upload-offset is needed"))?;
    if offset != upload.offset {
        let detail = format!("the upload has {} bytes, the request goes on at {offset}", upload.offset);
        let problem = Problem::new(StatusCode::CONFLICT, "offset-mismatch", detail);
        return Err(Refusal { problem, offset: Some(upload.offset) });
    }
    if let Some(size) = number(headers, &LENGTH)? {
        if upload.size.is_some_and(|known| known != size) || size < upload.offset {
            let detail =
                "header upload-length: the size of this upload is known, or it has more bytes already";
            return Err(Problem::malformed(detail).into());
        }
        check_size(service, size)?;
        upload.size = Some(size);
    }
    let most = upload.size.unwrap_or(service.options.upload_max_bytes).saturating_sub(upload.offset);
    let length = body_length(headers)?;
    let bytes = match length {
        BodyLength::Known(bytes) => bytes,
        BodyLength::Unknown => 0,
        BodyLength::None => {
            let detail = "header content-length or a chunked body is needed";
            return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "length-required", detail).into());
        }
    };
    if bytes > most {
        return Err(too_large(most).into());
    }
    if upload.sha256.is_some() {
        return match length {
            BodyLength::Known(0) => Ok(GoOn::Complete(upload)),
            _ => Err(too_large(0).into()),
        };
    }
    let slot = uploads.slot()?;
    let opened = service
        .blocking(move |service| {
            check_space(service, bytes)?;
            let file = storage::resume(service, &upload)?;
            if file.is_none() {
                storage::remove(service, &upload.id)?;
            }
            Ok::<_, Problem>((upload, file))
        })
        .await?;
    let (upload, Some(file)) = opened else {
        let detail = format!("the bytes of upload {id} are lost; begin a new one");
        return Err(Problem::new(StatusCode::GONE, "expired", detail).into());
    };
    let service = Arc::clone(service);
    let uploads = uploads.clone();
    let writer = super::writer::Writer { service, uploads, upload, file, claim, slot, is_whole_file: false };
    Ok(GoOn::Write(Box::new(writer), most))
}

/// The right to write to an upload, and its record as nobody changes it any more.
async fn claim(service: &Arc<Service>, uploads: &Uploads, id: &str) -> Result<(Claim, Upload), Problem> {
    let owned = id.to_owned();
    service.blocking(move |service| find(service, &owned)).await?;
    let claim = uploads.claim(id)?;
    let owned = id.to_owned();
    let upload = service.blocking(move |service| find(service, &owned)).await?;
    Ok((claim, upload))
}

/// The offset, from which a client goes on. A request that brings no more bytes gives way first: it is most likely the lost
/// connection of the same client.
pub(super) async fn head(
    State(service): State<Arc<Service>>,
    Extension(uploads): Extension<Uploads>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let upload = async {
        check_protocol(&headers)?;
        uploads.interrupt(&id, uploads.limits.idle, INTERRUPT_TIMEOUT).await;
        service.blocking(move |service| find(service, &id)).await
    };
    match upload.await {
        Ok(upload) => with_upload(StatusCode::OK.into_response(), &upload),
        Err(problem) => problem_tus(problem),
    }
}

/// The upload as JSON.
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let upload = service.blocking(move |service| find(service, &id)).await?;
    Ok(Json(upload_json(&upload)))
}

/// Ends an upload and removes its bytes.
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Extension(uploads): Extension<Uploads>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let deleted = async {
        check_protocol(&headers)?;
        uploads.interrupt(&id, Duration::ZERO, INTERRUPT_TIMEOUT).await;
        let (claim, upload) = claim(&service, &uploads, &id).await?;
        service
            .blocking(move |service| {
                let _held = claim;
                storage::remove(service, &upload.id)
            })
            .await
    };
    match deleted.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem_tus(problem),
    }
}
