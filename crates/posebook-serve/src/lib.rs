//! The HTTP service of Posebook.
//!
//! In: requests over HTTP, and a [`Backend`] that checks jobs, starts their processes and reads their results. Out: a durable
//! queue in SQLite, one process per job, results as files, progress as server-sent events, and a page for people.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`job`] | JSON | what a job is: request, state, progress, failure, and the files that server and job process exchange |
//! | [`problem`] | an error | its `application/problem+json` (RFC 9457) |
//! | [`store`] | jobs, events, uploads, webhooks | rows of SQLite; what a restart finds |
//! | [`paths`] | a path as a client writes it | a regular file below an allowed folder, opened by descriptor |
//! | [`addresses`] | an http(s) address | a fetched file, if every address on the way is public; delivered webhooks |
//! | [`dispatch`] | queued jobs | job processes, one per device; their events and ends; retention |
//! | [`http`] | a connection | routes, checks of host, origin and token, logging |
//! | `openapi` | — | the interface as OpenAPI 3.1 |
//! | [`page`] | jobs | HTML, one stylesheet, one script |

pub mod addresses;
pub mod backend;
pub mod dispatch;
pub mod http;
pub mod job;
mod log;
mod once;
mod openapi;
pub mod options;
pub mod page;
pub mod paths;
pub mod problem;
mod service;
pub mod store;

pub use backend::Backend;
pub use once::{OnceError, once};
pub use options::Options;
pub use service::{DiskSpace, ServeError, Server, Service, serve};
