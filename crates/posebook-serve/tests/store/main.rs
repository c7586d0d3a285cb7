//! The store: jobs, events, uploads and webhooks in the database, alone and under load, after crashes and on full disks.

#[path = "../../../../tests/common/skip.rs"]
mod test_skip;

mod adding;
mod events;
mod full;
mod jobs;
mod kill;
mod model;
mod opening;
mod retention;
mod speed;
mod support;
mod together;
mod transitions;
mod uploads;
mod webhooks;
