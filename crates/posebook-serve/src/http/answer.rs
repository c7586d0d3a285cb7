//! The last step of every answer.
//!
//! In: what was asked, and the answer of the route. Out: the answer with its error as problem+json or as a page, with the
//! headers that all answers have; a line of the log once it was sent or given up.

use super::{Http, log, pages};
use crate::job::JobId;
use crate::problem::Problem;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use uuid::Uuid;

/// The job that an answer is about, where the path does not name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AboutJob(pub(crate) JobId);

/// What was asked, as the answer and the log need it.
pub(crate) struct Asked {
    pub(crate) id: String,
    method: Method,
    path: String,
    /// Template of the route; the path where there is no route.
    route: String,
    has_route: bool,
    /// Whether the answer is shown by a browser.
    for_people: bool,
    /// The request's origin if pages of it may read answers.
    allowed_origin: Option<HeaderValue>,
    started: Instant,
}

impl Asked {
    /// Takes it from a request.
    pub(crate) fn new(http: &Http, request: &Request, started: Instant) -> Asked {
        let headers = request.headers();
        let path = request.uri().path();
        let is_api = path.starts_with("/v1") || path.starts_with("/predictions") || path.starts_with("/pose");
        let accepts_html = headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("text/html")));
        let origin = headers.get(header::ORIGIN);
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        Asked {
            id: request_id(headers),
            method: request.method().clone(),
            path: path.to_owned(),
            route: route.map_or_else(|| path.to_owned(), str::to_owned),
            has_route: route.is_some(),
            for_people: accepts_html && (!is_api || request.method() == Method::POST),
            allowed_origin: origin
                .filter(|origin| is_allowed_origin(origin, &http.service.options.cors_origins))
                .cloned(),
            started,
        }
    }

    /// The job that the path names.
    fn job(&self) -> Option<JobId> {
        self.path.split('/').find(|part| part.len() == 36).and_then(|part| part.parse().ok())
    }
}

/// Completes an answer.
pub(crate) fn finished(http: &Arc<Http>, asked: Asked, response: Response) -> Response {
    let response = with_problem(&asked, response);
    let (mut parts, body) = response.into_parts();
    add_headers(&asked, &mut parts.headers);
    let counted = if asked.has_route { asked.route.as_str() } else { "(none)" };
    http.metrics.request(&asked.method, counted, parts.status.as_u16(), asked.started.elapsed());
    let about = parts.extensions.get::<AboutJob>().map(|about| about.0);
    let entry = log::Request {
        job: about.or_else(|| asked.job()),
        cause: parts.extensions.get::<Problem>().and_then(|problem| problem.cause.clone()),
        id: asked.id,
        method: asked.method.to_string(),
        route: asked.route,
        status: parts.status.as_u16(),
        time: asked.started.elapsed(),
        bytes: 0,
    };
    let body = Logged { body, entry, started: asked.started, http: Arc::clone(http) };
    Response::from_parts(parts, Body::new(body))
}

/// Completes the problem of an answer, or makes one of an error that is none.
fn with_problem(asked: &Asked, response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let mut problem = parts.extensions.remove::<Problem>().unwrap_or_else(|| of_status(status, asked));
    problem.instance = Some(asked.path.clone());
    problem.request = Some(asked.id.clone());
    let mut rendered = if asked.for_people {
        if status == StatusCode::UNAUTHORIZED { pages::sign_in(&problem) } else { pages::problem(&problem) }
    } else {
        problem.clone().into_response()
    };
    for (name, value) in &parts.headers {
        let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        if !of_body.contains(name) && !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    *rendered.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        rendered
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"posebook\""));
    }
    rendered.extensions_mut().insert(problem);
    rendered
}

/// The problem of an error that the router or an extractor made.
fn of_status(status: StatusCode, asked: &Asked) -> Problem {
    let (name, detail) = match status {
        StatusCode::NOT_FOUND => ("no-such-route", "no such address; /openapi.json lists all".to_owned()),
        StatusCode::METHOD_NOT_ALLOWED => (
            "method-not-allowed",
            format!("{} is not a method of this address; the header Allow lists them", asked.method),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the body is too large".to_owned()),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("unsupported-media-type", "the body's type is not one that this address takes".to_owned())
        }
        status if status.is_server_error() => ("internal", "the server failed".to_owned()),
        _ => ("malformed", "the path or the query of the address is malformed".to_owned()),
    };
    Problem::new(status, name, detail)
}

fn add_headers(asked: &Asked, headers: &mut HeaderMap) {
    if let Ok(id) = HeaderValue::from_str(&asked.id) {
        headers.insert("x-request-id", id);
    }
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::CACHE_CONTROL, "no-store");
    default(header::REFERRER_POLICY, "no-referrer");
    match &asked.allowed_origin {
        // pages of other sites cannot embed results either
        None => default(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        Some(origin) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(
                    "accept-ranges, content-disposition, content-range, etag, location, retry-after, tus-resumable, \
                     upload-expires, upload-length, upload-offset, x-request-id",
                ),
            );
        }
    }
}

/// A body that is logged when it was sent, or when its client left.
struct Logged {
    body: Body,
    entry: log::Request,
    started: Instant,
    http: Arc<Http>,
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.entry.time = self.started.elapsed();
        log::request(self.http.service.options.log, &self.entry);
    }
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.entry.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(crate) fn is_allowed_origin(origin: &HeaderValue, allowed: &[String]) -> bool {
    // `*` and `null` stand for any page
    allowed.iter().any(|allowed| {
        !matches!(allowed.as_str(), "*" | "null")
            && allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes())
    })
}

/// The id that the client sent, if it is `[A-Za-z0-9-]{1,64}`, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    let valid = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    sent.filter(valid).map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned)
}
