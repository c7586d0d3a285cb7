//! `PUT /v1/uploads?name=x.mp4` with the file as the body, as `curl -T` sends it. In: the body. Out: a complete upload; one that
//! breaks off leaves nothing.

use super::receive::{Ending, Pace, receive};
use super::slots::Uploads;
use super::writer::{PIECES_AHEAD, Writer};
use super::{
    BodyLength, body_length, check_size, check_space, created, metadata, refuse, storage, too_large,
};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Upload;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Extension(uploads): Extension<Uploads>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    let begun = begin(&service, &uploads, query.as_deref().unwrap_or_default(), &headers).await;
    let (writer, most) = match begun {
        Ok(begun) => begun,
        Err(problem) => return refuse(problem, &headers, body),
    };
    let pace = Pace::of(&service, &uploads.limits);
    match run(writer, most, pace, &mut body).await {
        Ok((upload, Ending::Complete)) => created(&upload),
        Ok((_, ending)) => refuse(ending_problem(ending, most, pace), &headers, body),
        Err(problem) => refuse(problem, &headers, body),
    }
}

/// Checks the request and begins its upload. Nothing of the body is read before.
async fn begin(
    service: &Arc<Service>,
    uploads: &Uploads,
    query: &str,
    headers: &HeaderMap,
) -> Result<(Writer, u64), Problem> {
    let name = name_of(query)?;
    let size = match body_length(headers)? {
        BodyLength::Known(bytes) => Some(bytes),
        BodyLength::Unknown => None,
        BodyLength::None => {
            let detail = "header content-length or a chunked body is needed; `curl -T FILE` sends one";
            return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "length-required", detail));
        }
    };
    check_size(service, size.unwrap_or(0))?;
    let slot = uploads.slot()?;
    let (upload, file) = service
        .blocking(move |service| {
            check_space(service, size.unwrap_or(0))?;
            storage::begin(service, name, None, size)
        })
        .await?;
    let most = size.unwrap_or(service.options.upload_max_bytes);
    Ok((writer(service, uploads, upload, file, slot, true)?, most))
}

/// A writer for an upload that nobody else writes to.
///
/// # Errors
/// 423 if somebody does.
pub(super) fn writer(
    service: &Arc<Service>,
    uploads: &Uploads,
    upload: Upload,
    file: std::fs::File,
    slot: OwnedSemaphorePermit,
    is_whole_file: bool,
) -> Result<Writer, Problem> {
    let claim = uploads.claim(&upload.id)?;
    Ok(Writer {
        service: Arc::clone(service),
        uploads: uploads.clone(),
        upload,
        file,
        claim,
        slot,
        is_whole_file,
    })
}

/// Receives a body and writes it. Returns the upload after that, and how the body ended. If the request is dropped, the
/// writing thread still ends as it does for a body that is not whole.
///
/// # Errors
/// Those of [`Writer::run`].
pub(super) async fn run(
    writer: Writer,
    most: u64,
    pace: Pace,
    body: &mut Body,
) -> Result<(Upload, Ending), Problem> {
    let activity = Arc::clone(&writer.claim.activity);
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let writing = tokio::task::spawn_blocking(move || writer.run(pieces));
    let ending = receive(body, sender, most, pace, &activity).await;
    let upload = writing.await.map_err(Problem::internal)??;
    Ok((upload, ending))
}

/// Why a body was not taken to its end.
pub(super) fn ending_problem(ending: Ending, most: u64, pace: Pace) -> Problem {
    match ending {
        Ending::TooLarge => too_large(most),
        Ending::TooSlow => {
            let detail = format!(
                "the body brought fewer than {} bytes in {:?}; send it again, or by tus, which can go on",
                pace.bytes, pace.interval
            );
            Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
        }
        Ending::Stopped => {
            let detail = "another request went on with this upload, or deleted it";
            Problem::new(StatusCode::CONFLICT, "upload-interrupted", detail)
        }
        Ending::Disconnected => Problem::malformed("the body broke off before its end"),
        Ending::Complete | Ending::Refused => Problem::internal("the upload's thread ended without a reason"),
    }
}

/// The name in the query.
fn name_of(query: &str) -> Result<String, Problem> {
    let mut name = None;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if key != "name" || name.is_some() {
            return Err(Problem::malformed(format!(
                "query: `{}`: only `name` is known here, and given once; example: /v1/uploads?name=x.mp4",
                key.escape_debug()
            )));
        }
        name = Some(metadata::display_name(&value)?);
    }
    Ok(name.unwrap_or_else(|| "upload".into()))
}
