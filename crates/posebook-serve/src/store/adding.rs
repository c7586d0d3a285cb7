//! Adds jobs, once each: by id and by idempotency key.
//!
//! In: a job to add. Out: the new job, or the one that was accepted before under the same id or key.
//!
//! Two requests are the same if their canonical JSON is: absent members with their defaults, objects ordered by key. Numbers are
//! compared as JSON values, so that `2` and `2.0` differ. The id of the job that a job repeats belongs to it too. Keys are kept
//! for 24 hours; the key of a job that is deleted goes with it.

use super::connections::Writing;
use super::rows::{job_at, job_by_id, to_json};
use super::{Added, NewJob, Store, StoreError};
use crate::job::parse_keep;
use crate::job::{JobRequest, Source};
use rusqlite::{OptionalExtension, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// How long an idempotency key is kept, milliseconds.
const KEY_KEPT: i64 = 24 * 3600 * 1000;

impl Store {
    /// Adds a job in one transaction with its key and its first event.
    ///
    /// # Errors
    /// If the database cannot be written; nothing was added then.
    pub fn add(&self, job: &NewJob, queue_max: usize) -> Result<Added, StoreError> {
        let digest = digest(job)?;
        let request = to_json(&job.request)?;
        self.write(|writing| writing.add(job, &request, &digest, queue_max))
    }
}

impl Writing<'_> {
    fn add(&self, new: &NewJob, request: &str, digest: &[u8], queue_max: usize) -> Result<Added, StoreError> {
        if let Some(key) = &new.idempotency_key
            && let Some(known) = self.known_key(key, digest)?
        {
            return Ok(known);
        }
        if let Some(known) = self.known_id(new, digest)? {
            return Ok(known);
        }
        let connection = self.connection;
        let sql = "SELECT jobs FROM state_counts WHERE state = 'queued'";
        let queued: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if super::rows::to_u64(queued) >= queue_max as u64 {
            return Ok(Added::QueueFull);
        }
        let sql = "INSERT INTO jobs (id, kind, name, resolved, state, priority, retry_of, created, pinned, webhook_due) \
                   VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6, ?7, ?8, ?9)";
        connection.prepare_cached(sql)?.execute(params![
            new.id.to_string(),
            new.request.kind.as_str(),
            new.name,
            new.resolved,
            new.request.priority,
            new.retry_of.map(|id| id.to_string()),
            self.now,
            new.request.keep.as_deref().is_some_and(|keep| parse_keep(keep) == Ok(None)),
            new.request.webhook.as_ref().map(|_| 0),
        ])?;
        let seq = connection.last_insert_rowid();
        let sql = "INSERT INTO job_bodies (job, request, digest) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute(params![seq, request, digest])?;
        for upload in uploads(&new.request) {
            let sql = "INSERT OR IGNORE INTO job_uploads (job, upload) VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute(params![seq, upload])?;
        }
        if let Some(key) = &new.idempotency_key {
            self.remember_key(key, digest, seq)?;
        }
        let job = job_at(connection, seq)?.job;
        self.add_state_event(seq, &job)?;
        Ok(Added::New(job))
    }

    /// What was accepted under this key before. Removes the key first if it is older than 24 hours.
    fn known_key(&self, key: &str, digest: &[u8]) -> Result<Option<Added>, StoreError> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached("DELETE FROM keys WHERE key = ?1 AND created < ?2")?;
        statement.execute(params![key, self.now.saturating_sub(KEY_KEPT)])?;
        let mut statement = connection.prepare_cached("SELECT digest, job FROM keys WHERE key = ?1")?;
        let found =
            statement.query_row([key], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))).optional()?;
        match found {
            Some((known, seq)) if known == digest => Ok(Some(Added::Same(job_at(connection, seq)?.job))),
            Some(_) => Ok(Some(Added::KeyReused)),
            None => Ok(None),
        }
    }

    /// What was accepted under this id before.
    fn known_id(&self, new: &NewJob, digest: &[u8]) -> Result<Option<Added>, StoreError> {
        let Some(known) = job_by_id(self.connection, new.id)? else { return Ok(None) };
        let mut statement = self.connection.prepare_cached("SELECT digest FROM job_bodies WHERE job = ?1")?;
        let of_known: Vec<u8> = statement.query_row([known.seq], |row| row.get(0))?;
        if of_known != digest {
            return Ok(Some(Added::KeyReused));
        }
        if let Some(key) = &new.idempotency_key {
            self.remember_key(key, digest, known.seq)?;
        }
        Ok(Some(Added::Same(known.job)))
    }

    fn remember_key(&self, key: &str, digest: &[u8], seq: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO keys (key, digest, job, created) VALUES (?1, ?2, ?3, ?4)";
        self.connection.prepare_cached(sql)?.execute(params![key, digest, seq, self.now])?;
        Ok(())
    }

    /// Removes keys that are older than 24 hours. Their number.
    pub fn forget_old_keys(&self) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached("DELETE FROM keys WHERE created < ?1")?;
        Ok(statement.execute([self.now.saturating_sub(KEY_KEPT)])?)
    }
}

/// Uploads that a request names.
fn uploads(request: &JobRequest) -> impl Iterator<Item = &str> {
    request.source.iter().chain(&request.boxes).filter_map(|source| match source {
        Source::Upload(id) => Some(id.as_str()),
        Source::Path(_) | Source::Url(_) => None,
    })
}

/// SHA-256 of the canonical JSON of what a client asks for.
fn digest(job: &NewJob) -> Result<Vec<u8>, StoreError> {
    let request = serde_json::to_value(&job.request)
        .map_err(|error| StoreError::damaged("a request to store", error))?;
    let mut text = String::new();
    write_canonical(&request, &mut text);
    if let Some(retried) = job.retry_of {
        text.push_str(&retried.to_string());
    }
    Ok(Sha256::digest(text.as_bytes()).to_vec())
}

/// JSON without spaces, the members of objects ordered by key.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut ordered: Vec<_> = members.iter().collect();
            ordered.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, value)) in ordered.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_the_order_of_items_does() {
        let canonical = |text: &str| {
            let mut out = String::new();
            write_canonical(&serde_json::from_str(text).unwrap(), &mut out);
            out
        };
        let first = canonical(r#"{"b": [1, {"y": null, "x": "é\n"}], "a": 2.0}"#);
        assert_eq!(first, r#"{"a":2.0,"b":[1,{"x":"é\n","y":null}]}"#);
        assert_eq!(first, canonical(r#"{"a":2.0,"b":[1,{"x":"\u00e9\n","y":null}]}"#));
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_ne!(canonical(r#"["1,2"]"#), canonical(r#"["1","2"]"#));
        assert_ne!(canonical("2"), canonical("2.0"));
    }
}
