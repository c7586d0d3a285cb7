//! Jobs from state to state.
//!
//! In: what happens to a job. Out: its new state. Each transition is one transaction with the events that clients follow and
//! the webhooks that are due. A transition that the current state does not allow changes nothing and says so.

use super::connections::Writing;
use super::rows::{StoredJob, job_at, job_by_id, jobs_where, state_of, to_i64, to_json};
use super::{End, Store, StoreError};
use crate::job::{Failure, Job, JobId, JobState, Progress, ResultFile};
use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

impl Store {
    /// Takes the next queued job for a device, by priority and then by order of acceptance: its state is `starting`, its
    /// attempt one more.
    ///
    /// # Errors
    /// If the database cannot be written; no job was taken then.
    pub fn claim(&self, device: &str) -> Result<Option<Job>, StoreError> {
        if self.read(|connection| Ok(next_queued(connection)?.is_none()))? {
            return Ok(None);
        }
        self.write(|writing| {
            let Some(seq) = next_queued(writing.connection)? else { return Ok(None) };
            let sql = "UPDATE jobs SET state = 'starting', attempt = attempt + 1, device = ?2, progress = NULL, \
                       started = max(?3, created), revision = revision + 1 WHERE seq = ?1";
            writing.connection.prepare_cached(sql)?.execute(params![seq, device, writing.now])?;
            let StoredJob { job, .. } = job_at(writing.connection, seq)?;
            writing.add_state_event(seq, &job)?;
            Ok(Some(job))
        })
    }

    /// `starting` to `running`. False if the job was canceled meanwhile.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_running(&self, id: JobId) -> Result<bool, StoreError> {
        self.write(|writing| {
            let Some((seq, JobState::Starting)) = state_of(writing.connection, id)? else { return Ok(false) };
            let job = writing.change_state(seq, JobState::Running)?;
            writing.add_webhook(&job, "start")?;
            Ok(true)
        })
    }

    /// Stores progress and its event (at most 4 a second and job; the caller limits the rate). Nothing if the job is queued or
    /// has ended.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_progress(&self, id: JobId, progress: &Progress) -> Result<(), StoreError> {
        let mut data = json!({ "job": id });
        if let (Value::Object(data), Ok(Value::Object(members))) = (&mut data, serde_json::to_value(progress))
        {
            data.extend(members);
        }
        let text = to_json(progress)?;
        self.write(|writing| {
            let seq = match state_of(writing.connection, id)? {
                Some((seq, state)) if is_started(state) => seq,
                _ => return Ok(()),
            };
            let sql = "UPDATE jobs SET progress = ?2, revision = revision + 1 WHERE seq = ?1";
            writing.connection.prepare_cached(sql)?.execute(params![seq, text])?;
            writing.add_event(seq, "progress", &data)?;
            writing.add_throttled_webhook(seq, "output", None)
        })
    }

    /// Adds a `log` event. Nothing if the job has ended: its `end` is the last event.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn add_note(&self, id: JobId, text: &str) -> Result<(), StoreError> {
        let data = json!({ "job": id, "text": text });
        self.write(|writing| {
            let seq = match state_of(writing.connection, id)? {
                Some((seq, state)) if !state.is_final() => seq,
                _ => return Ok(()),
            };
            writing.add_event(seq, "log", &data)?;
            writing.add_throttled_webhook(seq, "logs", Some(text))
        })
    }

    /// Asks for cancellation: a queued job is `canceled`, a starting or running one `canceling`, others stay. The job after that.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn cancel(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.write(|writing| {
            let Some(StoredJob { seq, job }) = job_by_id(writing.connection, id)? else { return Ok(None) };
            let job = match job.state {
                JobState::Queued => writing.end_job(seq, &End::Canceled, &[], None)?,
                JobState::Starting | JobState::Running => writing.change_state(seq, JobState::Canceling)?,
                _ => job,
            };
            Ok(Some(job))
        })
    }

    /// Ends the current attempt, in one transaction with the events `state` and `end` and due webhooks. Only from `starting`,
    /// `running` and `canceling`: a job has one end. Returns whether it was recorded.
    ///
    /// `expires` is when the results are removed. If the clock is behind the times of earlier jobs, because it was set back or
    /// not set yet, `expires` is later by the difference: results are kept for as long as was said.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn end(
        &self,
        id: JobId,
        end: &End,
        files: &[ResultFile],
        expires: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.write(|writing| match state_of(writing.connection, id)? {
            Some((seq, state)) if is_started(state) => {
                writing.end_job(seq, end, files, expires)?;
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    /// Puts a starting or running job back into the queue, at its old position, because the server drains, or because it crashed
    /// (`server_crashed`). False if the job is in another state, such as `canceling`.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn requeue(&self, id: JobId, server_crashed: bool) -> Result<bool, StoreError> {
        self.write(|writing| {
            let seq = match state_of(writing.connection, id)? {
                Some((seq, JobState::Starting | JobState::Running)) => seq,
                _ => return Ok(false),
            };
            let sql = "UPDATE jobs SET device = NULL, progress = NULL, server_crashes = server_crashes + ?2 WHERE seq = ?1";
            writing.connection.prepare_cached(sql)?.execute(params![seq, server_crashed])?;
            writing.change_state(seq, JobState::Queued)?;
            Ok(true)
        })
    }

    /// Jobs that were started and have no end, in the order of acceptance: what a restart must decide on.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn unfinished(&self) -> Result<Vec<Job>, StoreError> {
        let rest = "WHERE jobs.state IN ('starting', 'running', 'canceling') ORDER BY jobs.seq";
        self.read(|connection| {
            Ok(jobs_where(connection, rest, [])?.into_iter().map(|found| found.job).collect())
        })
    }
}

/// The next job to start.
fn next_queued(connection: &rusqlite::Connection) -> Result<Option<i64>, StoreError> {
    // named, because SQLite would otherwise sort the queue at each claim
    let sql = "SELECT seq FROM jobs INDEXED BY jobs_queue WHERE state = 'queued' ORDER BY priority DESC, seq LIMIT 1";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
}

/// Whether a job in this state has a device.
fn is_started(state: JobState) -> bool {
    matches!(state, JobState::Starting | JobState::Running | JobState::Canceling)
}

impl Writing<'_> {
    /// Changes the state of the job at `seq` to one that is not final, with its event.
    fn change_state(&self, seq: i64, state: JobState) -> Result<Job, StoreError> {
        let sql = "UPDATE jobs SET state = ?2, revision = revision + 1 WHERE seq = ?1";
        self.connection.prepare_cached(sql)?.execute(params![seq, state.as_str()])?;
        let job = job_at(self.connection, seq)?.job;
        self.add_state_event(seq, &job)?;
        Ok(job)
    }

    /// Ends the job at `seq`, which has not ended.
    fn end_job(
        &self,
        seq: i64,
        end: &End,
        files: &[ResultFile],
        expires: Option<i64>,
    ) -> Result<Job, StoreError> {
        let (state, failure): (JobState, Option<&Failure>) = match end {
            End::Succeeded => (JobState::Succeeded, None),
            End::Failed(failure) => (JobState::Failed, Some(failure)),
            End::Canceled => (JobState::Canceled, None),
        };
        let connection = self.connection;
        let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        let behind = self.milliseconds_behind()?;
        let sql = "UPDATE jobs SET state = ?2, failure = ?3, ended = max(?4, created, coalesce(started, created)), \
                   expires = ?5, result_bytes = ?6, revision = revision + 1 WHERE seq = ?1";
        connection.prepare_cached(sql)?.execute(params![
            seq,
            state.as_str(),
            failure.map(to_json).transpose()?,
            self.now,
            expires.map(|expires| expires.saturating_add(behind)),
            to_i64(bytes),
        ])?;
        let sql = "UPDATE job_bodies SET files = ?2 WHERE job = ?1";
        let files = if files.is_empty() { None } else { Some(to_json(&files)?) };
        connection.prepare_cached(sql)?.execute(params![seq, files])?;
        let job = job_at(connection, seq)?.job;
        self.add_state_event(seq, &job)?;
        let data = json!({ "job": job.id, "state": job.state, "failure": job.failure });
        let number = self.add_event(seq, "end", &data)?;
        let mut statement = connection.prepare_cached("UPDATE jobs SET end_event = ?2 WHERE seq = ?1")?;
        statement.execute([seq, number])?;
        self.add_webhook(&job, "completed")?;
        Ok(job)
    }

    /// By how much the clock is behind the newest time that the last jobs recorded.
    fn milliseconds_behind(&self) -> Result<i64, StoreError> {
        let sql =
            "SELECT coalesce(max(time), 0) FROM (SELECT time FROM events ORDER BY number DESC LIMIT 1000)";
        let newest: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(newest.saturating_sub(self.now).max(0))
    }
}
