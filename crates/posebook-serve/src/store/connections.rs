//! Connections to the database: one that writes, and a few that read.
//!
//! In: closures that execute statements. Out: what they return, once it is on the disk.
//!
//! A commit waits for the disk, a few milliseconds. Writes that arrive meanwhile share the next commit: each is a savepoint of
//! one transaction, and none returns before that transaction is committed. A write whose closure fails is undone alone.

use super::{StoreError, schema};
use rusqlite::{Connection, OpenFlags};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Number of reading connections.
const READERS: usize = 4;
/// Maximum number of writes that share a commit.
const BATCH: usize = 256;

/// The connections.
pub(super) struct Connections {
    path: PathBuf,
    writer: Mutex<Writer>,
    /// Threads that wait for `writer`, to write.
    waiting: AtomicUsize,
    readers: Mutex<Vec<Connection>>,
    reader_is_free: Condvar,
    /// Number of the newest committed event.
    changes: watch::Sender<i64>,
}

/// The connection that writes, and the writes that wait for its commit.
struct Writer {
    connection: Connection,
    batch: Arc<Batch>,
    /// Writes in the open transaction; none is open if 0.
    members: usize,
    newest_event: i64,
    /// Whether a write failed because the disk is full.
    is_full: bool,
}

/// The commit that several writes share.
#[derive(Default)]
struct Batch {
    outcome: Mutex<Option<Result<(), StoreError>>>,
    is_decided: Condvar,
}

impl Batch {
    fn decide(&self, outcome: Result<(), StoreError>) {
        *lock(&self.outcome) = Some(outcome);
        self.is_decided.notify_all();
    }

    fn wait(&self) -> Result<(), StoreError> {
        let mut outcome = lock(&self.outcome);
        loop {
            match &*outcome {
                Some(outcome) => return outcome.clone(),
                None => outcome = self.is_decided.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// What a write sees.
pub struct Writing<'c> {
    /// The connection, in a transaction.
    pub connection: &'c Connection,
    /// Milliseconds since 1970.
    pub now: i64,
    /// Number of the newest event that this write added; 0 without.
    pub newest_event: Cell<i64>,
}

/// Number of the newest event that was ever added, also if it was removed since.
pub(super) fn newest_event(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// A panic in a closure leaves the data behind a lock valid here: transactions are undone, and values replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// Opens the database `path` and migrates it.
    pub fn open(path: &Path) -> Result<Connections, StoreError> {
        let explain = |error: StoreError| error.in_file(path);
        let writer = open_writer(path).map_err(explain)?;
        let newest = newest_event(&writer).map_err(explain)?;
        let readers = (0..READERS).map(|_| open_reader(path)).collect::<Result<_, _>>().map_err(explain)?;
        Ok(Connections {
            path: path.to_path_buf(),
            writer: Mutex::new(Writer {
                connection: writer,
                batch: Arc::default(),
                members: 0,
                newest_event: newest,
                is_full: false,
            }),
            waiting: AtomicUsize::new(0),
            readers: Mutex::new(readers),
            reader_is_free: Condvar::new(),
            changes: watch::Sender::new(newest),
        })
    }

    /// Changes when an event was committed.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// Reads a consistent state.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = {
            let mut readers = lock(&self.readers);
            loop {
                match readers.pop() {
                    Some(connection) => break connection,
                    None => {
                        readers = self.reader_is_free.wait(readers).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
        };
        let borrowed = Borrowed { connections: self, connection: Some(connection) };
        let Some(connection) = &borrowed.connection else { unreachable!("set above") };
        // one transaction, so that several statements see the same state
        let result =
            connection.execute_batch("BEGIN").map_err(StoreError::from).and_then(|()| work(connection));
        result.map_err(|error| error.in_file(&self.path))
    }

    /// Executes `work` in a transaction and returns once it is on the disk. An error of `work` undoes what it did.
    pub fn write<T>(
        &self,
        now: i64,
        work: impl FnOnce(&Writing) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut writer = lock(&self.writer);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let result = Member { connections: self, writer: &mut writer, is_done: false }.execute(now, work);
        let result = result.map_err(|error| error.in_file(&self.path));
        writer.is_full |= matches!(result, Err(StoreError::DiskFull { .. }));
        let batch = Arc::clone(&writer.batch);
        // whoever waits takes the lock next, and commits for this one too
        let is_left_open = self.waiting.load(Ordering::SeqCst) > 0 && writer.members < BATCH;
        if writer.members > 0 && !is_left_open {
            self.commit(&mut writer);
        }
        if writer.is_full {
            writer.is_full = false;
            give_log_back(&writer.connection);
        }
        drop(writer);
        let value = result?;
        batch.wait()?;
        Ok(value)
    }

    /// Commits the open transaction and reports the result to its members.
    fn commit(&self, writer: &mut Writer) {
        let outcome = writer.connection.execute_batch("COMMIT").map_err(StoreError::from);
        let outcome = outcome.map_err(|error| error.in_file(&self.path));
        writer.is_full |= matches!(outcome, Err(StoreError::DiskFull { .. }));
        self.decide(writer, outcome);
    }

    fn decide(&self, writer: &mut Writer, outcome: Result<(), StoreError>) {
        if !writer.connection.is_autocommit() {
            // a failed COMMIT leaves the transaction open
            let _ = writer.connection.execute_batch("ROLLBACK");
        }
        if outcome.is_ok() {
            let newest = writer.newest_event;
            self.changes.send_if_modified(|known| {
                let is_newer = newest > *known;
                *known = newest.max(*known);
                is_newer
            });
        } else {
            // the numbers of undone events are given again
            writer.newest_event = *self.changes.borrow();
        }
        writer.members = 0;
        std::mem::take(&mut writer.batch).decide(outcome);
    }
}

/// A write while it executes. If it ends by a panic, the whole transaction is undone and its members get an error.
struct Member<'w> {
    connections: &'w Connections,
    writer: &'w mut Writer,
    is_done: bool,
}

impl Member<'_> {
    fn execute<T>(
        mut self,
        now: i64,
        work: impl FnOnce(&Writing) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.try_execute(now, work);
        self.is_done = true;
        if result.is_err() && self.writer.members > 0 && self.writer.connection.is_autocommit() {
            // SQLite undid the whole transaction, for example because the disk is full
            let error = result.as_ref().err().cloned().unwrap_or(StoreError::Undone);
            self.connections.decide(self.writer, Err(error.in_file(&self.connections.path)));
        } else if result.is_err() && self.writer.members == 0 && !self.writer.connection.is_autocommit() {
            let _ = self.writer.connection.execute_batch("ROLLBACK");
        }
        result
    }

    fn try_execute<T>(
        &mut self,
        now: i64,
        work: impl FnOnce(&Writing) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let writer = &mut *self.writer;
        if writer.members == 0 {
            writer.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        writer.connection.execute_batch("SAVEPOINT member")?;
        let writing = Writing { connection: &writer.connection, now, newest_event: Cell::new(0) };
        let result = work(&writing);
        let newest = writing.newest_event.get();
        match result {
            Ok(value) => {
                writer.connection.execute_batch("RELEASE member")?;
                writer.members += 1;
                writer.newest_event = newest.max(writer.newest_event);
                Ok(value)
            }
            Err(error) => {
                if !writer.connection.is_autocommit() {
                    writer.connection.execute_batch("ROLLBACK TO member; RELEASE member")?;
                }
                Err(error)
            }
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.connections.decide(self.writer, Err(StoreError::Undone));
        }
    }
}

/// A reading connection that returns to the pool when it is dropped.
struct Borrowed<'c> {
    connections: &'c Connections,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("COMMIT");
            }
            lock(&self.connections.readers).push(connection);
            self.connections.reader_is_free.notify_one();
        }
    }
}

fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // for this user alone: addresses of webhooks may contain secrets. SQLite gives its other files the same rights, and
    // explains errors better
    let _ = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let mut connection = Connection::open_with_flags(path, flags)?;
    // SQLite opens what it cannot write for reading
    if connection.is_readonly("main")? {
        return Err(StoreError::ReadOnly { path: path.to_path_buf() });
    }
    schema::configure(&connection)?;
    // a database of another program, or of a newer version, is refused before anything in it changes
    schema::migrate(&mut connection, path)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StoreError::Open {
            path: path.to_path_buf(),
            message: format!("SQLite keeps the journal mode `{mode}` instead of `wal`"),
        });
    }
    Ok(connection)
}

/// Moves the log's pages into the database and gives the log's space back, so that the end of a job whose results filled the
/// disk can be recorded. Does what it can without waiting for readers, and nothing in an open transaction.
fn give_log_back(connection: &Connection) {
    let _ = connection.busy_timeout(Duration::ZERO);
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let _ = connection.busy_timeout(schema::BUSY_TIMEOUT);
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    schema::configure(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
