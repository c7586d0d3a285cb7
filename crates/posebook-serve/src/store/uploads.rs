//! Uploads: what has arrived, and what may be removed.

use super::rows::{to_i64, to_u64};
use super::{Store, StoreError, Upload};
use rusqlite::{OptionalExtension, params};

/// Condition on an upload `?1`: a job that has not ended names it.
const IS_IN_USE: &str = "EXISTS (SELECT 1 FROM job_uploads JOIN jobs ON jobs.seq = job_uploads.job \
     WHERE job_uploads.upload = uploads.id AND jobs.state IN ('queued', 'starting', 'running', 'canceling'))";

/// How long the id of a removed upload is kept, milliseconds.
const GONE_KEPT: i64 = 30 * 24 * 3600 * 1000;

impl Store {
    /// Begins an upload.
    ///
    /// # Errors
    /// If the database cannot be written, or the id exists.
    pub fn add_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        let sql = "INSERT INTO uploads (id, name, metadata, size, received, sha256, created, expires) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.write(|writing| {
            writing.connection.prepare_cached(sql)?.execute(params![
                upload.id,
                upload.name,
                upload.metadata,
                upload.size.map(to_i64),
                to_i64(upload.offset),
                upload.sha256,
                upload.created,
                upload.expires,
            ])?;
            Ok(())
        })
    }

    /// An upload.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn upload(&self, id: &str) -> Result<Option<Upload>, StoreError> {
        let sql =
            "SELECT id, name, metadata, size, received, sha256, created, expires FROM uploads WHERE id = ?1";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let upload = statement.query_row([id], |row| {
                Ok(Upload {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    metadata: row.get(2)?,
                    size: row.get::<_, Option<i64>>(3)?.map(to_u64),
                    offset: to_u64(row.get(4)?),
                    sha256: row.get(5)?,
                    created: row.get(6)?,
                    expires: row.get(7)?,
                })
            });
            Ok(upload.optional()?)
        })
    }

    /// Records synced bytes, and the hash of a complete one. Nothing if there is no such upload.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_upload(
        &self,
        id: &str,
        size: Option<u64>,
        offset: u64,
        sha256: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE uploads SET size = ?2, received = ?3, sha256 = ?4 WHERE id = ?1";
        self.write(|writing| {
            let parameters = params![id, size.map(to_i64), to_i64(offset), sha256];
            writing.connection.prepare_cached(sql)?.execute(parameters)?;
            Ok(())
        })
    }

    /// Sets when an upload expires, milliseconds since 1970. Nothing if there is no such upload.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn renew_upload(&self, id: &str, expires: i64) -> Result<(), StoreError> {
        let sql = "UPDATE uploads SET expires = ?2 WHERE id = ?1";
        self.write(|writing| {
            writing.connection.prepare_cached(sql)?.execute(params![id, expires])?;
            Ok(())
        })
    }

    /// Removes an upload, unless a job that has not ended names it, and keeps its id for
    /// [`Store::upload_was_removed`]. Whether it was removed. Its files are removed after that: a job that is added meanwhile
    /// cannot lose them.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn delete_upload(&self, id: &str) -> Result<bool, StoreError> {
        let sql = format!("DELETE FROM uploads WHERE id = ?1 AND NOT {IS_IN_USE}");
        let now = self.now();
        self.write(|writing| {
            let removed = writing.connection.prepare_cached(&sql)?.execute([id])? > 0;
            if removed {
                let keep_id = "INSERT OR REPLACE INTO removed_uploads (id, removed) VALUES (?1, ?2)";
                writing.connection.prepare_cached(keep_id)?.execute(params![id, now])?;
                let remove_old = "DELETE FROM removed_uploads WHERE removed < ?1";
                writing.connection.prepare_cached(remove_old)?.execute([now.saturating_sub(GONE_KEPT)])?;
            }
            Ok(removed)
        })
    }

    /// Whether there was an upload that has been removed in the last 30 days.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn upload_was_removed(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM removed_uploads WHERE id = ?1";
        self.read(|connection| {
            Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get::<_, i64>(0))? > 0)
        })
    }

    /// Whether a job that has not ended names an upload.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn upload_is_in_use(&self, id: &str) -> Result<bool, StoreError> {
        let sql = format!("SELECT count(*) FROM uploads WHERE id = ?1 AND {IS_IN_USE}");
        self.read(|connection| {
            Ok(connection.prepare_cached(&sql)?.query_row([id], |row| row.get::<_, i64>(0))? > 0)
        })
    }

    /// Uploads that have expired and that no queued or started job uses.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn expired_uploads(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT id FROM uploads WHERE expires <= ?1 AND NOT {IS_IN_USE} ORDER BY expires");
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let ids = statement.query_map([now], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(ids)
        })
    }
}
