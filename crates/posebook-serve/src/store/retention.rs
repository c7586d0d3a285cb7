//! What is removed: jobs that a client deletes, results after their time or beyond their maximum size, and events that nobody
//! needs any more.
//!
//! A clock that was ahead or behind never removes results early ([`Store::end`]). Results of a job that ended while the clock
//! was ahead are kept for longer; the maximum size of all results holds for them too.

use super::rows::{parsed, state_of, to_i64};
use super::{Store, StoreError};
use crate::job::JobId;

/// How long progress events, and log events of ended jobs, are kept, milliseconds.
const DETAILS_KEPT: i64 = 24 * 3600 * 1000;

impl Store {
    /// Removes a job in a final state with its events. False if it is not in one.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn delete(&self, id: JobId) -> Result<bool, StoreError> {
        self.write(|writing| match state_of(writing.connection, id)? {
            Some((seq, state)) if state.is_final() => {
                writing.connection.prepare_cached("DELETE FROM jobs WHERE seq = ?1")?.execute([seq])?;
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    /// Jobs whose results are to be removed at `now`, or because all results take more than `keep_bytes`: those that ended
    /// first, first. Jobs that have not ended and pinned ones (`keep` is `forever`) are never among them; the results of pinned
    /// ones count.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn due_for_removal(&self, now: i64, keep_bytes: Option<u64>) -> Result<Vec<JobId>, StoreError> {
        // the order of ends is that of their events, which a clock does not change
        let sql = "SELECT id, pinned, result_bytes, expires IS NOT NULL AND expires <= ?1 FROM jobs \
                   WHERE ended IS NOT NULL AND expired = 0 ORDER BY end_event";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([now])?;
            let (mut due, mut kept, mut total) = (Vec::new(), Vec::new(), 0_i64);
            while let Some(row) = rows.next()? {
                let id: JobId = parsed("jobs.id", &row.get::<_, String>(0)?)?;
                let (pinned, bytes, is_over): (bool, i64, bool) = (row.get(1)?, row.get(2)?, row.get(3)?);
                if is_over && !pinned {
                    due.push(id);
                    continue;
                }
                total = total.saturating_add(bytes);
                if !pinned && bytes > 0 {
                    kept.push((id, bytes));
                }
            }
            let maximum = keep_bytes.map_or(i64::MAX, to_i64);
            for (id, bytes) in kept {
                if total <= maximum {
                    break;
                }
                total -= bytes;
                due.push(id);
            }
            Ok(due)
        })
    }

    /// Records that a job's results have been removed.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_expired(&self, id: JobId) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET expired = 1, revision = revision + 1 \
                   WHERE id = ?1 AND expired = 0 AND ended IS NOT NULL";
        self.write(|writing| {
            writing.connection.prepare_cached(sql)?.execute([id.to_string()])?;
            Ok(())
        })
    }

    /// Removes what is not needed any more at `now`: progress events after a day, log events of jobs that ended a day ago (the
    /// log's file has them), and idempotency keys after a day. Events `state` and `end` stay. Returns the number of removed
    /// events.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn prune(&self, now: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM events WHERE number IN (\
                   SELECT events.number FROM events JOIN jobs ON jobs.seq = events.job \
                   WHERE events.kind IN ('progress', 'log') AND events.time < ?1 \
                   AND (events.kind = 'progress' OR jobs.ended < ?1) LIMIT 10000)";
        self.write(|writing| {
            writing.forget_old_keys()?;
            let mut statement = writing.connection.prepare_cached(sql)?;
            Ok(statement.execute([now.saturating_sub(DETAILS_KEPT)])?)
        })
    }
}
