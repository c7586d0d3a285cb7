//! Reads JSON bodies: of one type, of at most 1 MiB, within 10 s in all.

use super::Limits;
use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};

/// Reads a JSON body.
///
/// # Errors
/// 415 if it is not `application/json`, and as [`read`].
pub(crate) async fn json(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let media_type =
        given.as_deref().map(|given| given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media_type {
        Some(media_type) if media_type == "application/json" => read(headers, body, limits).await,
        Some(media_type) => Err(unsupported(&format!("the body is `{media_type}`"))),
        None => Err(unsupported("the body has no type")),
    }
}

/// As [`json`], where a body may be absent: then it is empty, and no type is needed.
pub(crate) async fn optional_json(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Bytes, Problem> {
    if headers.contains_key(header::CONTENT_TYPE) && !is_form(headers) {
        return json(headers, body, limits).await;
    }
    let bytes = read(headers, body, limits).await?;
    if bytes.is_empty() { Ok(bytes) } else { Err(unsupported("the body is not JSON")) }
}

/// Whether a body is what an HTML form sends.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"))
}

/// Reads a body.
///
/// # Errors
/// 413 if it is, or says that it is, too large; 408 if it takes too long; 400 if the connection ends within it.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!(
                "the body is larger than {} bytes; files are sent to /v1/uploads, and named by id here",
                limits.body_bytes
            ),
        )
    };
    let claimed =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|bytes| bytes > limits.body_bytes as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(limits.body_time, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::malformed("the body ended early, or its chunks are malformed")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timed-out",
            format!("the body took longer than {} s", limits.body_time.as_secs_f64()),
        )),
    }
}

fn unsupported(what: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        format!("{what}; send JSON with `Content-Type: application/json`"),
    )
}
