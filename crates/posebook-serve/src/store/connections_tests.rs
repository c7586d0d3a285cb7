//! Writes that share a commit, and writes that fail.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

fn open() -> (tempfile::TempDir, Connections) {
    let folder = tempfile::tempdir().unwrap();
    let connections = Connections::open(&folder.path().join("queue.sqlite3")).unwrap();
    (folder, connections)
}

fn insert(writing: &Writing, id: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO uploads (id, name, received, created, expires) VALUES (?1, 'a', 0, 0, 0)";
    writing.connection.execute(sql, [id])?;
    Ok(())
}

/// Adds a job with one event. The event's number.
fn add(writing: &Writing) -> Result<i64, StoreError> {
    let sql = "INSERT INTO jobs (id, kind, name, state, priority, created) VALUES (?1, 'track', 'a', 'queued', 0, 0)";
    writing.connection.execute(sql, [uuid::Uuid::new_v4().to_string()])?;
    writing.add_event(writing.connection.last_insert_rowid(), "log", &serde_json::Value::Null)
}

fn ids(connections: &Connections) -> Vec<String> {
    let read = connections.read(|connection| {
        let mut statement = connection.prepare("SELECT id FROM uploads ORDER BY id")?;
        let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(ids)
    });
    read.unwrap()
}

/// Executes two writes that share a commit.
fn write_two(
    connections: &Connections,
    first: impl FnOnce(&Writing) -> Result<(), StoreError> + Send,
    second: impl FnOnce(&Writing) -> Result<(), StoreError> + Send,
) -> (Result<(), StoreError>, thread::Result<Result<(), StoreError>>) {
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            connections.write(0, |writing| {
                first(writing)?;
                // the second one waits: this one leaves the transaction open for it
                while connections.waiting.load(Ordering::SeqCst) == 0 {
                    thread::yield_now();
                }
                Ok(())
            })
        });
        let second = scope.spawn(|| {
            while lock_is_free(connections) {
                thread::yield_now();
            }
            catch_unwind(AssertUnwindSafe(|| connections.write(0, second)))
        });
        (first.join().unwrap(), second.join().unwrap())
    })
}

/// Whether no write is under way.
fn lock_is_free(connections: &Connections) -> bool {
    connections.writer.try_lock().is_ok()
}

#[test]
fn each_commit_is_synced_and_references_are_checked() {
    let (_folder, connections) = open();
    let pragma = |connection: &Connection, name: &str| -> i64 {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    };
    let writer = lock(&connections.writer);
    // 2 is FULL
    assert_eq!(pragma(&writer.connection, "synchronous"), 2);
    assert_eq!(pragma(&writer.connection, "foreign_keys"), 1);
    let readers = lock(&connections.readers);
    assert_eq!(readers.len(), READERS);
    for reader in &*readers {
        assert!(reader.execute("DELETE FROM uploads", []).is_err(), "a reader does not write");
    }
}

#[test]
fn writes_that_meet_share_a_commit() {
    let (_folder, connections) = open();
    let (first, second) =
        write_two(&connections, |writing| insert(writing, "first"), |writing| insert(writing, "second"));
    assert!(first.is_ok() && second.unwrap().is_ok());
    assert_eq!(ids(&connections), ["first", "second"]);
}

#[test]
fn a_write_that_fails_is_undone_alone() {
    let (_folder, connections) = open();
    let (first, second) = write_two(
        &connections,
        |writing| insert(writing, "first"),
        |writing| {
            insert(writing, "second")?;
            insert(writing, "first")
        },
    );
    assert!(first.is_ok());
    assert!(matches!(second, Ok(Err(StoreError::Sqlite(_)))), "{second:?}");
    assert_eq!(ids(&connections), ["first"]);
}

#[test]
fn a_panic_undoes_the_shared_commit_and_whoever_waits_is_told() {
    let (_folder, connections) = open();
    let (first, second) = write_two(
        &connections,
        |writing| insert(writing, "first"),
        |writing| {
            insert(writing, "second")?;
            panic!("a panic in a write");
        },
    );
    assert!(matches!(first, Err(StoreError::Undone)), "{first:?}");
    assert!(second.is_err());
    assert!(ids(&connections).is_empty());
    // and the next one works
    connections.write(0, |writing| insert(writing, "third")).unwrap();
    assert_eq!(ids(&connections), ["third"]);
}

#[test]
fn a_transaction_that_sqlite_undoes_is_an_error_for_all_its_writes() {
    let (_folder, connections) = open();
    let (first, second) = write_two(
        &connections,
        |writing| insert(writing, "first"),
        |writing| {
            insert(writing, "second")?;
            // as SQLite does it by itself if the disk is full
            writing.connection.execute_batch("ROLLBACK")?;
            Err(StoreError::DiskFull { folder: "x".into() })
        },
    );
    assert!(matches!(first, Err(StoreError::DiskFull { .. })), "{first:?}");
    assert!(matches!(second, Ok(Err(StoreError::DiskFull { .. }))), "{second:?}");
    assert!(ids(&connections).is_empty());
    connections.write(0, |writing| insert(writing, "third")).unwrap();
    assert_eq!(ids(&connections), ["third"]);
}

#[test]
fn undone_events_wake_nobody_and_their_numbers_are_given_again() {
    let (_folder, connections) = open();
    let mut changes = connections.changes();
    assert_eq!(connections.write(0, add).unwrap(), 1);
    assert_eq!(*changes.borrow_and_update(), 1);
    let undone = connections.write(0, |writing| add(writing).and_then(|_| Err::<(), _>(StoreError::Undone)));
    assert!(undone.is_err() && !changes.has_changed().unwrap());
    // events of a write that has succeeded, and whose commit is undone
    let three = |writing: &Writing| (0..3).try_for_each(|_| add(writing).map(drop));
    let (first, second) = write_two(&connections, three, |_| panic!("a panic in a write"));
    assert!(first.is_err() && second.is_err() && !changes.has_changed().unwrap());
    assert_eq!(connections.write(0, add).unwrap(), 2);
    assert!(changes.has_changed().unwrap());
    assert_eq!(*changes.borrow_and_update(), 2);
}

#[test]
fn an_event_wakes_whoever_waits_although_a_write_without_one_shares_its_commit() {
    let (_folder, connections) = open();
    let mut changes = connections.changes();
    let (first, second) =
        write_two(&connections, |writing| add(writing).map(drop), |writing| insert(writing, "second"));
    assert!(first.is_ok() && second.unwrap().is_ok());
    assert!(changes.has_changed().unwrap());
    assert_eq!(*changes.borrow_and_update(), 1);
}
