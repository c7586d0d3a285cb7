//! The durable queue: jobs, events, uploads, idempotency keys and due webhooks in one SQLite database.
//!
//! In: jobs to add, and changes of their states. Out: rows that outlast the process, in the order of their acceptance. Each
//! change of a job is one transaction with its events and webhooks, and is on the disk when its method returns.
//!
//! | module | content |
//! |---|---|
//! | `schema` | tables, migrations |
//! | `connections` | one connection that writes, a few that read; writes that share a commit |
//! | [`local`] | checks that a folder is not on a network file system, where SQLite's locks are unreliable |
//! | `error` | errors of the store |
//! | `rows` | rows to [`Job`]s |
//! | `adding` | adds jobs; ids and idempotency keys |
//! | `jobs` | jobs by id, lists, positions in the queue, counts |
//! | `transitions` | from state to state, with events |
//! | `events` | the events of jobs |
//! | `uploads` | uploads |
//! | `webhooks` | messages that are due |
//! | `retention` | what is removed, and when |
//!
//! # States
//!
//! `queued` → `starting` → `running` → `succeeded` or `failed`; `canceling` → `canceled`. From `starting` and `running` a job can
//! go back to `queued`. An attempt begins when a job is claimed. A job whose process ends before it notices a cancellation
//! ends as it did: `succeeded` or `failed`. The database itself refuses a second end.

mod adding;
mod connections;
mod error;
mod events;
mod jobs;
pub mod local;
mod retention;
mod rows;
mod schema;
mod transitions;
mod uploads;
mod webhooks;

pub use error::StoreError;

use crate::job::{Failure, Job, JobId, JobRequest, JobState};
use connections::Connections;
use rusqlite::Connection;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// File of the data folder with the database.
const DATABASE: &str = "queue.sqlite3";

/// The current time: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The database. Methods block for a few milliseconds; from async code use [`crate::Service::blocking`].
pub struct Store {
    connections: Connections,
    clock: Clock,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates the database in `folder` and migrates it (`user_version`).
    ///
    /// # Errors
    /// If the folder is on a network file system or cannot be written, the file is not a database of this program, it was
    /// written by a newer version, the disk is full, or SQLite refuses.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        Store::open_with_clock(folder, Arc::new(system_time))
    }

    /// [`Store::open`] with another clock, for tests.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with_clock(folder: &Path, clock: Clock) -> Result<Store, StoreError> {
        local::check_local(folder)?;
        let unusable = |error: std::io::Error| StoreError::Open {
            path: folder.to_path_buf(),
            message: format!("the folder cannot be used: {error}"),
        };
        // absolute, because SQLite takes a name that begins with `file:` for an address
        let folder = folder.canonicalize().map_err(unusable)?;
        let connections = Connections::open(&folder.join(DATABASE))?;
        // a new file is only there after a loss of power once its folder is synced
        std::fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
        Ok(Store { connections, clock })
    }

    /// The time that the store records: milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.clock)()
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.connections.read(work)
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&connections::Writing) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.connections.write(self.now(), work)
    }
}

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn system_time() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// A job to add.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Id; [`JobId::random`] unless the client gave one (`PUT /v1/jobs/{uuid}`).
    pub id: JobId,
    /// The request.
    pub request: JobRequest,
    /// Name for display.
    pub name: String,
    /// The converted path.
    pub resolved: Option<String>,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// Result of [`Store::add`].
#[derive(Debug, Clone, PartialEq)]
pub enum Added {
    /// It is queued.
    New(Job),
    /// The same request under the same key or id was accepted before: that job.
    Same(Job),
    /// The key or id belongs to another request.
    KeyReused,
    /// The queue is full.
    QueueFull,
}

/// How an attempt of a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// With results.
    Succeeded,
    /// Without success.
    Failed(Failure),
    /// Because it was canceled.
    Canceled,
}

/// Which jobs to list: newest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobQuery {
    /// Only in this state.
    pub state: Option<JobState>,
    /// At most so many; at most 500.
    pub limit: usize,
    /// Only jobs older than this one.
    pub after: Option<JobId>,
}

/// An event. Numbers increase over all jobs and restarts.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Number.
    pub number: i64,
    /// The job.
    pub job: JobId,
    /// `state`, `progress`, `log` or `end`.
    pub kind: String,
    /// The data.
    pub data: Value,
    /// Milliseconds since 1970.
    pub time: i64,
}

/// An upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Id: 32 hexadecimal digits.
    pub id: String,
    /// Name that the client gave, for display.
    pub name: String,
    /// `Upload-Metadata` as the client sent it.
    pub metadata: Option<String>,
    /// Size in all; `None` if not known yet.
    pub size: Option<u64>,
    /// Bytes that are stored and synced.
    pub offset: u64,
    /// SHA-256 of the whole, once complete.
    pub sha256: Option<String>,
    /// When it began, milliseconds since 1970.
    pub created: i64,
    /// When it is removed unless a job uses it.
    pub expires: i64,
}

/// A webhook that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueWebhook {
    /// Number in the outbox.
    pub number: i64,
    /// The job.
    pub job: JobId,
    /// Address.
    pub address: String,
    /// Event: `start`, `output`, `logs`, `completed`.
    pub event: String,
    /// Body.
    pub body: Value,
    /// Attempts so far.
    pub attempts: u32,
}

/// Numbers of jobs by state.
pub type StateCounts = Vec<(JobState, u64)>;
