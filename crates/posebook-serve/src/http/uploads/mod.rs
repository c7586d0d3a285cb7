//! Uploads. In: `PUT /v1/uploads` with a file as the body, and tus 1.0 (core, `creation`, `creation-with-upload`,
//! `creation-defer-length`, `expiration`, `termination`) at `/v1/uploads`. Out: one file per upload below the data folder, and
//! its record in the store.
//!
//! | module | in | out |
//! |---|---|---|
//! | `put` | `PUT /v1/uploads` | a complete upload, or none |
//! | `tus` | `POST`, `OPTIONS /v1/uploads`; `HEAD`, `GET`, `PATCH`, `DELETE`, `OPTIONS /v1/uploads/{id}` | an upload that can be resumed |
//! | `protocol` | headers of tus | version and extensions checked; headers that describe an upload |
//! | `metadata` | `Upload-Metadata` | the file's name |
//! | `slots` | uploads in progress | who may write to which upload; at most [`AT_ONCE`](slots::AT_ONCE) bodies at a time |
//! | `receive` | a body | its pieces, if they come fast enough |
//! | `writer` | pieces | bytes on disk; the offset in the store is that of synced bytes |
//! | `storage` | an upload's id and name | its folder and file |

mod metadata;
mod protocol;
mod put;
mod receive;
mod slots;
mod storage;
mod tus;
mod writer;

use crate::job::rfc3339;
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Upload;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put as put_method};
use axum::{Json, Router};
use serde_json::{Value, json};
use slots::{Limits, Uploads};
use std::sync::Arc;
use std::time::Duration;

/// How long an upload that is not complete is kept after its last bytes.
const KEEP_INCOMPLETE: Duration = Duration::from_secs(24 * 3600);
/// How long a complete upload is kept where results are kept forever.
const KEEP_COMPLETE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The routes of uploads.
pub fn routes() -> Router<Arc<Service>> {
    routes_with(Limits::default())
}

fn routes_with(limits: Limits) -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/uploads", put_method(put::put).post(tus::create).options(tus::options))
        .route(
            "/v1/uploads/{id}",
            get(tus::get)
                .head(tus::head)
                .patch(tus::patch)
                .delete(tus::delete)
                .post(tus::overridden)
                .options(tus::options),
        )
        .layer(map_response(with_version))
        .layer(Extension(Uploads::new(limits)))
}

/// Every answer has `Tus-Resumable`, errors too.
async fn with_version(mut response: Response) -> Response {
    response.headers_mut().insert(protocol::RESUMABLE, HeaderValue::from_static(protocol::VERSION));
    response
}

/// Milliseconds since 1970 at which something that is kept for `keep` from now expires.
fn expiry(service: &Service, keep: Duration) -> i64 {
    service.store.now().saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
}

/// When an upload that is complete now expires.
fn complete_expiry(service: &Service) -> i64 {
    expiry(service, service.options.keep.unwrap_or(KEEP_COMPLETE).max(KEEP_INCOMPLETE))
}

/// An upload as JSON.
fn upload_json(upload: &Upload) -> Value {
    json!({
        "id": upload.id,
        "name": upload.name,
        "size": upload.size,
        "offset": upload.offset,
        "complete": upload.sha256.is_some(),
        "sha256": upload.sha256,
        "created": rfc3339(upload.created),
        "expires": rfc3339(upload.expires),
        "href": format!("/v1/uploads/{}", upload.id),
    })
}

/// The upload with this id.
///
/// # Errors
/// 404 `no-such-upload`; 410 `expired` if there was one.
fn find(service: &Service, id: &str) -> Result<Upload, Problem> {
    let gone = || {
        let detail = format!("upload `{id}` was deleted or has expired; begin a new one");
        Problem::new(StatusCode::GONE, "expired", detail)
    };
    // an id is also the name of a folder
    let is_id =
        id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    if is_id {
        match service.store.upload(id)? {
            Some(upload) if upload.expires > service.store.now() => return Ok(upload),
            Some(_) => return Err(gone()),
            None if service.store.upload_was_removed(id)? => return Err(gone()),
            None => {}
        }
    }
    let detail = format!("there is no upload `{}`", id.escape_debug());
    Err(Problem::new(StatusCode::NOT_FOUND, "no-such-upload", detail))
}

/// Refuses an upload of more than the server's limit.
fn check_size(service: &Service, bytes: u64) -> Result<(), Problem> {
    if bytes > service.options.upload_max_bytes {
        return Err(too_large(service.options.upload_max_bytes));
    }
    Ok(())
}

fn too_large(most: u64) -> Problem {
    let detail = format!("the upload is larger than the {most} bytes that are left for it");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}

/// Refuses bytes for which the disk has no space.
fn check_space(service: &Service, bytes: u64) -> Result<(), Problem> {
    let space = service.disk_space().map_err(Problem::internal)?;
    if space.fits(bytes) {
        return Ok(());
    }
    Err(Problem::disk_full(Some(bytes), Some(space.free.saturating_sub(space.floor))))
}

/// A whole number in a header.
///
/// # Errors
/// 400 if it is not one, or the header is there twice.
fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number && second.is_none() => Ok(Some(number)),
        _ => Err(Problem::malformed(format!("header {name}: one whole number from 0 to 2^64 - 1 is needed"))),
    }
}

/// Length of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyLength {
    /// `Content-Length`.
    Known(u64),
    /// Chunked.
    Unknown,
    /// There is no body.
    None,
}

fn body_length(headers: &HeaderMap) -> Result<BodyLength, Problem> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(BodyLength::Unknown);
    }
    Ok(number(headers, &header::CONTENT_LENGTH)?.map_or(BodyLength::None, BodyLength::Known))
}

/// Answers a request whose body is not read to its end. The rest is read and discarded for a limited time: if the connection
/// were closed while the client still sends, it would be reset and the answer lost.
fn refuse(problem: Problem, request: &HeaderMap, body: Body) -> Response {
    // a client that waits for `100 Continue` sends nothing before the answer
    if !request.contains_key(header::EXPECT) {
        receive::drain(body);
    }
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// 201 with the upload and its address.
fn created(upload: &Upload) -> Response {
    let location = format!("/v1/uploads/{}", upload.id);
    let mut response = (StatusCode::CREATED, Json(upload_json(upload))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
