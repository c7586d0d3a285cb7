//! Messages to the addresses that jobs name: kept here until they are delivered, apart from the jobs' states.
//!
//! Events: `start` when a job runs, `output` when it progresses, `logs` when it has a message, `completed` when it has ended.
//! `output` and `logs` are due at most every 500 ms and job; a newer one replaces one that was not attempted yet.

use super::connections::Writing;
use super::rows::{from_json, job_at, parsed, to_json};
use super::{DueWebhook, Store, StoreError};
use crate::job::{Job, JobState, rfc3339};
use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

/// Minimum time between two throttled messages of one job, milliseconds.
const INTERVAL: i64 = 500;

impl Writing<'_> {
    /// Adds a message, if the job wants it. `completed` replaces throttled ones that wait.
    pub fn add_webhook(&self, job: &Job, event: &str) -> Result<(), StoreError> {
        let Some(address) = wanted(job, event) else { return Ok(()) };
        if event == "completed" {
            let sql = "DELETE FROM webhooks WHERE job = ?1 AND event IN ('output', 'logs') AND attempts = 0";
            self.connection.prepare_cached(sql)?.execute([job.id.to_string()])?;
        }
        self.insert_webhook(job, address, event, None, self.now)
    }

    /// Adds a message of the job at `seq`, or replaces the one that waits.
    pub fn add_throttled_webhook(&self, seq: i64, event: &str, log: Option<&str>) -> Result<(), StoreError> {
        // `NULL` without a webhook: then the request, which may be large, is not read for each progress
        let mut statement = self.connection.prepare_cached("SELECT webhook_due FROM jobs WHERE seq = ?1")?;
        let Some(last) = statement.query_row([seq], |row| row.get::<_, Option<i64>>(0))? else {
            return Ok(());
        };
        let job = job_at(self.connection, seq)?.job;
        let Some(address) = wanted(&job, event) else { return Ok(()) };
        let sql = "DELETE FROM webhooks WHERE job = ?1 AND event = ?2 AND attempts = 0 RETURNING due, body";
        let mut statement = self.connection.prepare_cached(sql)?;
        let replaced: Option<(i64, String)> = statement
            .query_row([&job.id.to_string(), event], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // a last time far ahead means that the clock was set back since
        let last = if last > self.now + INTERVAL { self.now } else { last };
        let due = match &replaced {
            Some((due, _)) => (*due).min(self.now + INTERVAL),
            None => self.now.max(last + INTERVAL),
        };
        let mut statement =
            self.connection.prepare_cached("UPDATE jobs SET webhook_due = ?2 WHERE seq = ?1")?;
        statement.execute([seq, due])?;
        // messages that wait are joined, so that none is lost
        let log = match (log, replaced) {
            (Some(log), Some((_, body))) => {
                let body: Value = from_json("webhooks.body", &body)?;
                let before = body["logs"].as_str().unwrap_or_default();
                Some(format!("{before}\n{log}"))
            }
            (log, _) => log.map(str::to_string),
        };
        self.insert_webhook(&job, address, event, log, due)
    }

    fn insert_webhook(
        &self,
        job: &Job,
        address: &str,
        event: &str,
        log: Option<String>,
        due: i64,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO webhooks (job, address, event, body, created, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let body = to_json(&body_of(job, event, log))?;
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![job.id.to_string(), address, event, body, self.now, due])?;
        Ok(())
    }
}

/// The job's address, if it wants this event.
fn wanted<'j>(job: &'j Job, event: &str) -> Option<&'j str> {
    let events = &job.request.webhook_events;
    let is_wanted = events.is_empty() || events.iter().any(|wanted| wanted == event);
    job.request.webhook.as_deref().filter(|_| is_wanted)
}

/// The message: the job with the names of this service, and `status`, `error` and times with those of Cog, whose clients read
/// them (<https://github.com/replicate/cog/blob/main/docs/http.md>).
fn body_of(job: &Job, event: &str, log: Option<String>) -> Value {
    let status = match job.state {
        JobState::Queued | JobState::Starting => "starting",
        JobState::Running | JobState::Canceling => "processing",
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Canceled => "canceled",
    };
    let mut body = json!({
        "event": event,
        "id": job.request.prediction.as_ref().map_or_else(|| job.id.to_string(), Clone::clone),
        "job": job.id,
        "kind": job.request.kind,
        "name": job.name,
        "state": job.state,
        "attempt": job.attempt,
        "device": job.device,
        "progress": job.progress,
        "failure": job.failure,
        "retry_of": job.retry_of,
        "files": job.files,
        "links": {
            "self": format!("/v1/jobs/{}", job.id),
            "events": format!("/v1/jobs/{}/events", job.id),
            "files": format!("/v1/jobs/{}/files", job.id),
        },
        "status": status,
        "error": job.failure.as_ref().map(|failure| &failure.message),
        "created_at": rfc3339(job.created),
        "started_at": job.started.map(rfc3339),
        "completed_at": job.ended.map(rfc3339),
    });
    if let Some(log) = log {
        body["logs"] = log.into();
    }
    body
}

impl Store {
    /// Webhooks that are due at `now`: those that wait longest first. Of each job only the oldest, so that one that waits for its
    /// next attempt is not overtaken.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn due_webhooks(&self, now: i64, limit: usize) -> Result<Vec<DueWebhook>, StoreError> {
        // one from the future was added before the clock was set back: waiting for that time would be wrong
        let sql = "SELECT number, job, address, event, body, attempts FROM webhooks AS message \
                   WHERE (due <= ?1 OR created > ?1 + 1000) AND NOT EXISTS (SELECT 1 FROM webhooks AS older \
                   WHERE older.job = message.job AND older.number < message.number) ORDER BY due, number LIMIT ?2";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([now, limit.min(1000) as i64])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                due.push(DueWebhook {
                    number: row.get(0)?,
                    job: parsed("webhooks.job", &row.get::<_, String>(1)?)?,
                    address: row.get(2)?,
                    event: row.get(3)?,
                    body: from_json("webhooks.body", &row.get::<_, String>(4)?)?,
                    attempts: row.get(5)?,
                });
            }
            Ok(due)
        })
    }

    /// Records a delivery: done, or again at `next`; without `next` the message is removed.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_webhook(&self, number: i64, delivered: bool, next: Option<i64>) -> Result<(), StoreError> {
        self.write(|writing| {
            let connection = writing.connection;
            match next {
                Some(next) if !delivered => {
                    let sql =
                        "UPDATE webhooks SET attempts = attempts + 1, due = ?2, created = ?3 WHERE number = ?1";
                    connection.prepare_cached(sql)?.execute([number, next, writing.now])?;
                }
                _ => {
                    connection.prepare_cached("DELETE FROM webhooks WHERE number = ?1")?.execute([number])?;
                }
            }
            Ok(())
        })
    }
}
