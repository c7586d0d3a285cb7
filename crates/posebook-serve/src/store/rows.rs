//! Rows of the database to [`Job`]s, and numbers and JSON to what SQLite stores.

use super::StoreError;
use crate::job::{Failure, Job, JobId, JobState, Progress};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// Columns of [`job_of`], in its order.
const COLUMNS: &str = "jobs.id, job_bodies.request, jobs.name, jobs.resolved, jobs.state, jobs.attempt, jobs.server_crashes, \
     jobs.device, jobs.progress, jobs.failure, job_bodies.files, jobs.retry_of, jobs.created, jobs.started, jobs.ended, \
     jobs.expires, jobs.expired, jobs.revision, jobs.seq";

/// A job and its place in the order of acceptance.
pub(super) struct StoredJob {
    pub seq: i64,
    pub job: Job,
}

/// Jobs of `SELECT ... FROM jobs` with this rest of the statement, such as `WHERE jobs.seq = ?1`.
pub(super) fn jobs_where(
    connection: &Connection,
    rest: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<StoredJob>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM jobs JOIN job_bodies ON job_bodies.job = jobs.seq {rest}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(parameters)?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(job_of(row)?);
    }
    Ok(jobs)
}

/// The job `id`.
pub(super) fn job_by_id(connection: &Connection, id: JobId) -> Result<Option<StoredJob>, StoreError> {
    Ok(jobs_where(connection, "WHERE jobs.id = ?1", [id.to_string()])?.pop())
}

/// The job at `seq`, which exists.
pub(super) fn job_at(connection: &Connection, seq: i64) -> Result<StoredJob, StoreError> {
    let found = jobs_where(connection, "WHERE jobs.seq = ?1", [seq])?.pop();
    found.ok_or_else(|| StoreError::damaged("jobs", format!("row {seq} is missing")))
}

/// Place and state of the job `id`.
pub(super) fn state_of(connection: &Connection, id: JobId) -> Result<Option<(i64, JobState)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT seq, state FROM jobs WHERE id = ?1")?;
    let found = statement.query_row([id.to_string()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
    match found.optional()? {
        Some((seq, state)) => Ok(Some((seq, parsed("jobs.state", &state)?))),
        None => Ok(None),
    }
}

fn job_of(row: &Row) -> Result<StoredJob, StoreError> {
    let retry_of: Option<String> = row.get(11)?;
    let progress: Option<String> = row.get(8)?;
    let failure: Option<String> = row.get(9)?;
    let files: Option<String> = row.get(10)?;
    let job = Job {
        id: parsed("jobs.id", row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?,
        request: from_json("job_bodies.request", row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        name: row.get(2)?,
        resolved: row.get(3)?,
        state: parsed("jobs.state", row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?)?,
        attempt: row.get(5)?,
        server_crashes: row.get(6)?,
        device: row.get(7)?,
        progress: progress.map(|text| from_json::<Progress>("jobs.progress", &text)).transpose()?,
        failure: failure.map(|text| from_json::<Failure>("jobs.failure", &text)).transpose()?,
        files: files.map(|text| from_json("job_bodies.files", &text)).transpose()?.unwrap_or_default(),
        retry_of: retry_of.map(|text| parsed("jobs.retry_of", &text)).transpose()?,
        created: row.get(12)?,
        started: row.get(13)?,
        ended: row.get(14)?,
        expires: row.get(15)?,
        expired: row.get(16)?,
        revision: row.get(17)?,
    };
    Ok(StoredJob { seq: row.get(18)?, job })
}

/// A value that was written as text.
pub(super) fn parsed<T: FromStr>(what: &str, text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| StoreError::damaged(what, error))
}

/// A value that was written as JSON.
pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::damaged(what, error))
}

/// A value as JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::damaged("a value to store", error))
}

/// A number of bytes or of things as SQLite stores it. Numbers above 2^63 - 1 do not occur.
pub(super) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number that [`to_i64`] stored.
pub(super) fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
