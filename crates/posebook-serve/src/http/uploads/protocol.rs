//! Headers of tus. In: headers of a request; an upload. Out: whether the request is one of this version and of extensions that
//! the server has; the headers that describe an upload.

use super::refuse;
use crate::problem::Problem;
use crate::store::Upload;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::{Duration, SystemTime};

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0.0";
/// `Tus-Resumable`.
pub(super) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// `Tus-Version`.
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
/// `Tus-Extension`.
pub(super) const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
/// `Tus-Max-Size`.
pub(super) const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
/// `Upload-Length`.
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// `Upload-Defer-Length`.
pub(super) const DEFER: HeaderName = HeaderName::from_static("upload-defer-length");
/// `Upload-Offset`.
pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// `Upload-Metadata`.
pub(super) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// `Upload-Expires`.
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// `X-HTTP-Method-Override`.
pub(super) const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
/// Headers of extensions that are not offered: to ignore them would do something else than the client asks for.
const NOT_OFFERED: [&str; 2] = ["upload-concat", "upload-checksum"];

/// The extensions that this server has.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,termination";
/// The type of bodies with bytes of an upload.
const BYTES: &str = "application/offset+octet-stream";

/// Adds the headers that describe an upload.
pub(super) fn with_upload(mut response: Response, upload: &Upload) -> Response {
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(upload.offset));
    match upload.size {
        Some(size) => headers.insert(LENGTH, HeaderValue::from(size)),
        None => headers.insert(DEFER, HeaderValue::from_static("1")),
    };
    let expires =
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(upload.expires).unwrap_or_default());
    if let Ok(expires) = HeaderValue::from_str(&httpdate::fmt_http_date(expires)) {
        headers.insert(EXPIRES, expires);
    }
    if let Some(Ok(metadata)) = upload.metadata.as_deref().map(HeaderValue::from_str) {
        headers.insert(METADATA, metadata);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Refuses other versions and extensions that are not offered.
pub(super) fn check_protocol(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(version) = headers.get(RESUMABLE)
        && version != VERSION
    {
        let detail = format!("header tus-resumable: this server has version {VERSION} only");
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "unsupported-version", detail));
    }
    match NOT_OFFERED.iter().find(|name| headers.contains_key(**name)) {
        Some(name) => {
            Err(Problem::malformed(format!("header {name}: this server does not have that extension of tus")))
        }
        None => Ok(()),
    }
}

pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(BYTES) {
        return Ok(());
    }
    let detail = format!("header content-type: the bytes of an upload have the type {BYTES}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

pub(super) fn refuse_tus(problem: Problem, request: &HeaderMap, body: Body) -> Response {
    let is_version = problem.name() == "unsupported-version";
    add_version(refuse(problem, request, body), is_version)
}

pub(super) fn problem_tus(problem: Problem) -> Response {
    let is_version = problem.name() == "unsupported-version";
    add_version(problem.into_response(), is_version)
}

/// Adds the supported versions to a 412.
fn add_version(mut response: Response, is_version: bool) -> Response {
    if is_version {
        response.headers_mut().insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    }
    response
}
