//! The interface as OpenAPI 3.1. Out: `GET /openapi.json`, a document that is written by hand. `tests/openapi` compares it with
//! the routes of the program and with the answers of a running server.

use crate::service::Service;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use std::sync::Arc;

/// The document.
const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)))
}
