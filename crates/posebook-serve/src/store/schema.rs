//! Tables of the database, and how an older database becomes the current one.
//!
//! In: a connection. Out: the same with the current schema, whose number is SQLite's `user_version`.

use super::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// Marks the database as one of this program (`PRAGMA application_id`): "pbkq".
const APPLICATION: i32 = 0x7062_6B71;

/// Statements that bring a database from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[VERSION_1];

/// Orders of jobs and events are row numbers that are never used twice (`AUTOINCREMENT`), not times: a clock that is set
/// back reorders nothing. Times are milliseconds since 1970.
const VERSION_1: &str = "
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    resolved TEXT,
    state TEXT NOT NULL CHECK (state IN
        ('queued', 'starting', 'running', 'canceling', 'succeeded', 'failed', 'canceled')),
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    server_crashes INTEGER NOT NULL DEFAULT 0,
    device TEXT,
    progress TEXT,
    failure TEXT,
    retry_of TEXT,
    created INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    end_event INTEGER,
    expires INTEGER,
    expired INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    webhook_due INTEGER,
    revision INTEGER NOT NULL DEFAULT 1,
    CHECK ((ended IS NOT NULL) = (state IN ('succeeded', 'failed', 'canceled'))),
    CHECK ((failure IS NOT NULL) = (state = 'failed'))
) STRICT;
CREATE INDEX jobs_queue ON jobs (priority DESC, seq) WHERE state = 'queued';
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_results ON jobs (end_event) WHERE expired = 0 AND ended IS NOT NULL;

-- numbers of jobs by state, so that neither a new job nor a page counts all rows
CREATE TABLE state_counts (
    state TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL CHECK (jobs >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO state_counts VALUES ('queued', 0), ('starting', 0), ('running', 0), ('canceling', 0),
    ('succeeded', 0), ('failed', 0), ('canceled', 0);
CREATE TRIGGER jobs_counted_in AFTER INSERT ON jobs
BEGIN UPDATE state_counts SET jobs = jobs + 1 WHERE state = NEW.state; END;
CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs
BEGIN UPDATE state_counts SET jobs = jobs - 1 WHERE state = OLD.state; END;
CREATE TRIGGER jobs_counted_over AFTER UPDATE OF state ON jobs
WHEN OLD.state <> NEW.state
BEGIN
    UPDATE state_counts SET jobs = jobs - 1 WHERE state = OLD.state;
    UPDATE state_counts SET jobs = jobs + 1 WHERE state = NEW.state;
END;

-- apart from `jobs`, because they are large and never change while progress does
CREATE TABLE job_bodies (
    job INTEGER PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE,
    request TEXT NOT NULL,
    digest BLOB NOT NULL,
    files TEXT
) STRICT;

CREATE TABLE job_uploads (
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    upload TEXT NOT NULL,
    PRIMARY KEY (upload, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_uploads_job ON job_uploads (job);

CREATE TRIGGER jobs_have_one_end BEFORE UPDATE OF state ON jobs
WHEN OLD.state IN ('succeeded', 'failed', 'canceled') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a job in a final state never changes its state'); END;
CREATE TRIGGER jobs_attempt_grows BEFORE UPDATE OF attempt ON jobs
WHEN NEW.attempt < OLD.attempt
BEGIN SELECT RAISE(ABORT, 'the attempt of a job never decreases'); END;

CREATE TABLE keys (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_job ON keys (job);

CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('state', 'progress', 'log', 'end')),
    data TEXT NOT NULL,
    time INTEGER NOT NULL
) STRICT;
CREATE INDEX events_job ON events (job, number);
CREATE INDEX events_details ON events (time) WHERE kind IN ('progress', 'log');
CREATE UNIQUE INDEX events_one_end ON events (job) WHERE kind = 'end';

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    metadata TEXT,
    size INTEGER,
    received INTEGER NOT NULL,
    sha256 TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_expiry ON uploads (expires);
-- ids of removed uploads, kept for 30 days: they are answered 410, not 404
CREATE TABLE removed_uploads (
    id TEXT PRIMARY KEY,
    removed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX removed_uploads_removed ON removed_uploads (removed);

-- no reference to `jobs`: a deleted job's last message is still delivered
CREATE TABLE webhooks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    address TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_due ON webhooks (due);
CREATE INDEX webhooks_job ON webhooks (job);
";

/// How long a connection waits for another program that holds the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Sets what every connection needs. The journal's mode is a property of the file; the rest is one of the connection.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "foreign_keys", true)?;
    // after each commit the log is synced: an acknowledged job is not lost when the power fails
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // text in the file, such as a name of a table, cannot run functions with side effects
    connection.pragma_update(None, "trusted_schema", false)
}

/// Brings the database to the current version.
///
/// # Errors
/// If a newer version or another program wrote it, or SQLite refuses.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = version == 0 && application == 0 && tables == 0;
    if !is_new && application != APPLICATION {
        return Err(StoreError::Foreign { path: path.to_path_buf() });
    }
    let known = MIGRATIONS.len() as i64;
    if version > known || version < 0 {
        return Err(StoreError::Newer { path: path.to_path_buf(), found: version, known });
    }
    for migration in &MIGRATIONS[version as usize..] {
        transaction.execute_batch(migration)?;
    }
    if version < known {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    Ok(())
}
