//! The HTTP server: its routes, the checks that every request passes, and the loop that accepts connections.
//!
//! In: connections, and the [`Service`] behind them. Out: answers; every error is an `application/problem+json`.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`accept`] | a listening socket | connections with limits in number, time and size; a graceful end |
//! | `checks` | a request | its id; its host, origin and token, checked |
//! | `answer` | an answer | its error as problem+json or a page, the headers that all have, a line of the log |
//! | [`auth`] | token file, headers | who may use the server |
//! | `log` | a request, a change of a job | one line on standard error |
//! | `body` | a request's body | JSON of at most 1 MiB within 10 s |
//! | `prefer` | the header `Prefer` | how long to wait for a job |
//! | `session` | `/sign-in`, `/sign-out` | cookies for browsers |
//! | [`jobs`] | `/v1/jobs` | jobs: added, listed, canceled, repeated, deleted |
//! | `submit` | a request for a job | the queued job |
//! | `job_log` | `/v1/jobs/{id}/log` | messages of a job's process |
//! | [`job_json`] | a job | its JSON |
//! | `sources` | sources of a request | checked ones, and the disk space that the job needs |
//! | `hub`, `events` | events of the store | server-sent events |
//! | [`system`] | the service | health, readiness, devices, queue, disk |
//! | `metrics` | the same | Prometheus text |
//! | `pose_video`, `cog`, `cog_input` | requests of the older interfaces | jobs |

use crate::job::JobId;
use crate::log;
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

pub mod accept;
mod answer;
pub mod auth;
mod body;
mod checks;
mod cog;
mod cog_input;
mod events;
mod files;
mod hub;
pub mod job_json;
mod job_log;
pub mod jobs;
mod metrics;
mod pages;
mod people;
mod pose_video;
mod prefer;
mod ranges;
mod session;
mod sources;
mod streams;
pub(crate) mod submit;
pub mod system;
mod uploads;

/// Limits of connections and requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; more are answered 503 and closed.
    pub connections: usize,
    /// Connections at a time that listen to events or wait for a job: they are not counted in [`Limits::connections`].
    pub listeners: usize,
    /// Time for the head of a request, and how long an idle connection is kept.
    pub head_time: Duration,
    /// Size of the head of a request in bytes.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub head_lines: usize,
    /// Time for a JSON body.
    pub body_time: Duration,
    /// Size of a JSON body in bytes.
    pub body_bytes: usize,
    /// Time for the work of a request that neither transfers a file nor waits for a job.
    pub work_time: Duration,
    /// Time that a client may read nothing of an answer.
    pub stall_time: Duration,
    /// Interval of comments in event streams.
    pub comment_time: Duration,
    /// Time for answers in progress when the server ends.
    pub close_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 200,
            listeners: 1000,
            head_time: Duration::from_secs(5),
            head_bytes: 64 << 10,
            head_lines: 100,
            body_time: Duration::from_secs(10),
            body_bytes: 1 << 20,
            work_time: Duration::from_secs(120),
            stall_time: Duration::from_secs(60),
            comment_time: Duration::from_secs(15),
            close_time: Duration::from_secs(5),
        }
    }
}

/// What all requests of a server share beside the [`Service`].
pub(crate) struct Http {
    /// The service.
    pub(crate) service: Arc<Service>,
    /// Limits.
    pub(crate) limits: Limits,
    /// Distributes events to listeners.
    pub(crate) hub: hub::Hub,
    /// Counts requests.
    pub(crate) metrics: metrics::Metrics,
    /// Permits of listeners.
    pub(crate) listeners: Arc<tokio::sync::Semaphore>,
}

impl Http {
    fn new(service: Arc<Service>, limits: Limits) -> Arc<Http> {
        let listeners = Arc::new(tokio::sync::Semaphore::new(limits.listeners));
        Arc::new(Http {
            service,
            limits,
            hub: hub::Hub::default(),
            metrics: metrics::Metrics::default(),
            listeners,
        })
    }
}

/// All routes with their checks and the default limits.
pub fn router(service: Arc<Service>) -> Router {
    routes(&Http::new(service, Limits::default()))
}

fn routes(http: &Arc<Http>) -> Router {
    Router::new()
        .merge(jobs::routes())
        .merge(job_log::routes())
        .merge(events::routes())
        .merge(uploads::routes())
        .merge(files::routes())
        .merge(people::routes())
        .merge(crate::openapi::routes())
        .merge(session::routes())
        .merge(system::routes())
        .merge(metrics::routes())
        .merge(pages::routes())
        .merge(pose_video::routes())
        .merge(cog::routes())
        .fallback(no_such_route)
        .with_state(Arc::clone(&http.service))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(http), checks::all))
}

async fn no_such_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-route",
        "no such address; GET / with `Accept: application/json`, or /openapi.json, lists all",
    )
}

/// The id in a path.
///
/// # Errors
/// `no-such-job` if it is not one.
pub(crate) fn parse_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::no_such_job(log::escape(&text.chars().take(64).collect::<String>())))
}
