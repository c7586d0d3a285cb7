//! Small tables of an ended job as JSON. In: `GET /v1/jobs/{id}/timeline`, `.../memory`, `.../stages`. Out: tracks over time,
//! memory over time, times of the stages.

use crate::backend::Backend;
use crate::http::files::{ended_job, results_folder, unreadable};
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route(
            "/v1/jobs/{id}/timeline",
            get(async |State(service), Path(id)| table(service, id, "tracks", Backend::timeline).await),
        )
        .route(
            "/v1/jobs/{id}/memory",
            get(async |State(service), Path(id)| table(service, id, "memory", Backend::memory).await),
        )
        .route(
            "/v1/jobs/{id}/stages",
            get(async |State(service), Path(id)| table(service, id, "stages", Backend::stages).await),
        )
}

/// Reads a table of a job and answers with its JSON.
async fn table<T: Serialize + 'static>(
    service: Arc<Service>,
    id: String,
    what: &'static str,
    read: fn(&dyn Backend, &FilePath) -> io::Result<T>,
) -> Result<Response, Problem> {
    service
        .blocking(move |service| {
            let job = ended_job(service, &id)?;
            let read = read(&*service.backend, &results_folder(service, &job));
            let table = read.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound if service.done_folder(job.id).exists() => {
                    let detail = format!("job {} has no table of {what}: {error}", job.id);
                    Problem::new(StatusCode::NOT_FOUND, "no-such-file", detail)
                }
                _ => unreadable(service, &job, what, &error),
            })?;
            let json = serde_json::to_vec(&table).map_err(Problem::internal)?;
            Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
        })
        .await
}
