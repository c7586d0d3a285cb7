//! The events of jobs: what clients follow. Numbers increase over all jobs and restarts.

use super::connections::{Writing, newest_event};
use super::rows::{from_json, parsed, to_json};
use super::{Event, Store, StoreError};
use crate::job::{Job, JobId};
use rusqlite::{Connection, params, params_from_iter};
use serde_json::{Value, json};

/// Maximum number of events that [`Store::events`] returns at once.
const MAXIMUM: usize = 10_000;

impl Writing<'_> {
    /// Adds an event of the job at `seq`.
    pub fn add_event(&self, seq: i64, kind: &str, data: &Value) -> Result<i64, StoreError> {
        let sql = "INSERT INTO events (job, kind, data, time) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![seq, kind, to_json(data)?, self.now])?;
        let number = self.connection.last_insert_rowid();
        self.newest_event.set(number);
        Ok(number)
    }

    /// Adds the event `state` of a job as it is now.
    pub fn add_state_event(&self, seq: i64, job: &Job) -> Result<i64, StoreError> {
        let data = json!({
            "job": job.id,
            "state": job.state,
            "attempt": job.attempt,
            "device": job.device,
            "queue_position": position_at(self.connection, seq)?,
        });
        self.add_event(seq, "state", &data)
    }
}

/// Number of queued jobs that start before the one at `seq`; `None` if that one is not queued.
pub(super) fn position_at(connection: &Connection, seq: i64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT priority FROM jobs WHERE seq = ?1 AND state = 'queued'";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let priority: i64 = row.get(0)?;
    // the jobs behind are counted, because there are few of them when a job is added
    let sql = "SELECT (SELECT jobs FROM state_counts WHERE state = 'queued') - 1 \
               - (SELECT count(*) FROM jobs INDEXED BY jobs_queue WHERE state = 'queued' AND priority < ?1) \
               - (SELECT count(*) FROM jobs INDEXED BY jobs_queue WHERE state = 'queued' AND priority = ?1 AND seq > ?2)";
    let count: i64 = connection.prepare_cached(sql)?.query_row([priority, seq], |row| row.get(0))?;
    Ok(Some(super::rows::to_u64(count)))
}

impl Store {
    /// Events after number `after`, of one job or of all, in order; at most `limit`, and at most 10,000.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn events(&self, job: Option<JobId>, after: i64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let limit = limit.min(MAXIMUM) as i64;
        let one = "SELECT events.number, jobs.id, events.kind, events.data, events.time FROM jobs \
                   JOIN events ON events.job = jobs.seq \
                   WHERE jobs.id = ?3 AND events.number > ?1 ORDER BY events.number LIMIT ?2";
        let all = "SELECT events.number, jobs.id, events.kind, events.data, events.time FROM events \
                   JOIN jobs ON jobs.seq = events.job \
                   WHERE events.number > ?1 ORDER BY events.number LIMIT ?2";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(if job.is_some() { one } else { all })?;
            let mut parameters = vec![rusqlite::types::Value::from(after), limit.into()];
            parameters.extend(job.map(|id| id.to_string().into()));
            let mut rows = statement.query(params_from_iter(parameters))?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(Event {
                    number: row.get(0)?,
                    job: parsed("jobs.id", &row.get::<_, String>(1)?)?,
                    kind: row.get(2)?,
                    data: from_json("events.data", &row.get::<_, String>(3)?)?,
                    time: row.get(4)?,
                });
            }
            Ok(events)
        })
    }

    /// Number of the newest event that was ever added; 0 without any.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn newest_event(&self) -> Result<i64, StoreError> {
        self.read(newest_event)
    }

    /// Changes whenever an event was added: to wait for. The value is the number of the newest event.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<i64> {
        self.connections.changes()
    }
}
