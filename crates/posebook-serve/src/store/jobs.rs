//! Jobs by id, lists of jobs, positions in the queue, counts and mean times.

use super::events::position_at;
use super::rows::{job_by_id, jobs_where, parsed, state_of, to_u64};
use super::{JobQuery, StateCounts, Store, StoreError};
use crate::job::{Job, JobId};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

/// Maximum number of jobs that [`Store::jobs`] returns at once.
const MAXIMUM: usize = 500;
/// Number of ended jobs from which times are estimated.
const LAST: i64 = 20;

impl Store {
    /// A job.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.read(|connection| Ok(job_by_id(connection, id)?.map(|found| found.job)))
    }

    /// Jobs, newest first. None if the job that `after` names does not exist.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn jobs(&self, query: &JobQuery) -> Result<Vec<Job>, StoreError> {
        let mut conditions = Vec::new();
        let mut parameters = vec![Value::from(query.limit.min(MAXIMUM) as i64)];
        if let Some(state) = query.state {
            parameters.push(state.as_str().to_string().into());
            conditions.push(format!("jobs.state = ?{}", parameters.len()));
        }
        if let Some(after) = query.after {
            parameters.push(after.to_string().into());
            conditions.push(format!("jobs.seq < (SELECT seq FROM jobs WHERE id = ?{})", parameters.len()));
        }
        let condition = if conditions.is_empty() { "1".to_string() } else { conditions.join(" AND ") };
        let rest = format!("WHERE {condition} ORDER BY jobs.seq DESC LIMIT ?1");
        self.read(|connection| {
            let found = jobs_where(connection, &rest, params_from_iter(parameters))?;
            Ok(found.into_iter().map(|found| found.job).collect())
        })
    }

    /// Queued jobs that start before this one; `None` if it is not queued.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn queue_position(&self, id: JobId) -> Result<Option<u64>, StoreError> {
        self.read(|connection| match state_of(connection, id)? {
            Some((seq, _)) => position_at(connection, seq),
            None => Ok(None),
        })
    }

    /// Numbers of jobs by state, for the states that jobs have.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn counts(&self) -> Result<StateCounts, StoreError> {
        self.read(|connection| {
            let sql = "SELECT state, jobs FROM state_counts WHERE jobs > 0";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push((parsed("jobs.state", &row.get::<_, String>(0)?)?, to_u64(row.get(1)?)));
            }
            Ok(counts)
        })
    }

    /// Mean seconds of the last 20 jobs that succeeded; `None` without any.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn mean_job_seconds(&self) -> Result<Option<f64>, StoreError> {
        // a clock that was set back during a job leaves no time, which says nothing
        let sql = "SELECT avg(milliseconds) / 1000.0 FROM (\
                   SELECT ended - started AS milliseconds FROM jobs \
                   WHERE state = 'succeeded' AND ended > started ORDER BY seq DESC LIMIT ?1)";
        self.read(|connection| Ok(connection.prepare_cached(sql)?.query_row([LAST], |row| row.get(0))?))
    }
}
