//! Errors as `application/problem+json` (RFC 9457).

pub use axum::http::StatusCode;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut};

/// Beginning of the types' addresses. The host never resolves (RFC 6761).
const TYPES: &str = "https://posebook.invalid/problems/";

/// An error for a client. It is a pointer, so that results with it stay small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem(Box<Members>);

impl Deref for Problem {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Members {
        &mut self.0
    }
}

/// The members of a [`Problem`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// Address of the type: `TYPES` and a name such as `unknown-setting`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The type as words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, where, and what to do next.
    pub detail: String,
    /// Path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// JSON pointer to the invalid part of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Id of the request in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Seconds after which to try again; also the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Bytes that are needed, where disk space is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_bytes: Option<u64>,
    /// Bytes that are free, where disk space is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// `Problem::detail` again, under the name that clients of the older interfaces (`/pose/video`, `/predictions`) read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What failed inside: written to the log, never sent.
    #[serde(skip)]
    pub cause: Option<String>,
}

impl Problem {
    /// A problem of the type `name`, such as `not-a-video`.
    #[must_use]
    pub fn new(status: StatusCode, name: &str, detail: impl Into<String>) -> Problem {
        Problem(Box::new(Members {
            kind: format!("{TYPES}{name}"),
            title: name.replace('-', " "),
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            pointer: None,
            request: None,
            retry_after: None,
            needed_bytes: None,
            free_bytes: None,
            error: None,
            cause: None,
        }))
    }

    /// 500 `internal`: `cause` is written to the log; the client gets the request's id only.
    #[must_use]
    pub fn internal(cause: impl std::fmt::Display) -> Problem {
        let mut problem = Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log says why under the id of this request",
        );
        problem.cause = Some(cause.to_string());
        problem
    }

    /// 507 `disk-full` with the bytes that are needed and the bytes that are free.
    #[must_use]
    pub fn disk_full(needed_bytes: Option<u64>, free_bytes: Option<u64>) -> Problem {
        let numbers = match (needed_bytes, free_bytes) {
            (Some(needed), Some(free)) => format!(": {needed} bytes are needed, {free} can be used"),
            (Some(needed), None) => format!(": {needed} bytes are needed"),
            (None, Some(free)) => format!(": {free} bytes can be used"),
            (None, None) => String::new(),
        };
        let detail =
            format!("the server's disk is too full{numbers}; delete jobs or uploads, or ask for less");
        let mut problem = Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", detail);
        problem.needed_bytes = needed_bytes;
        problem.free_bytes = free_bytes;
        problem
    }

    /// 404 `no-such-job`.
    #[must_use]
    pub fn no_such_job(id: impl std::fmt::Display) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-job",
            format!("{id}: no such job; GET /v1/jobs lists the jobs"),
        )
    }

    /// 410 `expired`: the results of a job have been removed.
    #[must_use]
    pub fn expired(id: impl std::fmt::Display) -> Problem {
        Problem::new(
            StatusCode::GONE,
            "expired",
            format!(
                "{id}: its results have been removed after their time; POST /v1/jobs/{id}/retry runs it again"
            ),
        )
    }

    /// 409 `still-running`: the job has no end yet.
    #[must_use]
    pub fn still_running(id: impl std::fmt::Display, state: &str) -> Problem {
        Problem::new(
            StatusCode::CONFLICT,
            "still-running",
            format!("{id} is {state}; wait for its end, or cancel it by POST /v1/jobs/{id}/cancel"),
        )
    }

    /// 400 `malformed`.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// The same with a JSON pointer into the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Problem {
        self.pointer = Some(pointer.into());
        self
    }

    /// The same with `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// The same with its detail under the name `error` too, which clients of the older interfaces read.
    #[must_use]
    pub fn with_error(mut self) -> Problem {
        self.error = Some(self.detail.clone());
        self
    }

    /// Name of the type, such as `unknown-setting`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.kind.strip_prefix(TYPES).unwrap_or(&self.kind)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let body = serde_json::to_vec(&self).unwrap_or_default();
        // the middleware of `http` adds `instance` and `request` from this extension
        let mut response = (status, headers, body).into_response();
        response.extensions_mut().insert(self);
        response
    }
}
