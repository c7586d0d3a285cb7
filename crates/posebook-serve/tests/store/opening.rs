//! Opening: new, existing, foreign, newer, damaged and unusable databases.

use crate::support::TestStore;
use posebook_serve::store::{Store, StoreError};
use std::fs;

fn sentence(folder: &std::path::Path) -> (StoreError, String) {
    let error = Store::open(folder).expect_err("this is refused");
    let text = error.to_string();
    assert!(text.contains(&folder.display().to_string()), "names the folder: {text}");
    (error, text)
}

#[test]
fn the_database_is_safe_against_loss_of_power_and_one_of_this_program() {
    let store = TestStore::new();
    store.add_track();
    let connection = store.connection();
    let pragma = |name: &str| -> String {
        connection
            .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("user_version"), "1");
    assert_eq!(pragma("application_id"), 0x7062_6B71.to_string());
    assert_eq!(pragma("integrity_check"), "ok");
    drop(connection);
    let mut names = Vec::new();
    for entry in fs::read_dir(store.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "others cannot read {}", entry.path().display());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["queue.sqlite3", "queue.sqlite3-shm", "queue.sqlite3-wal"]);
}

#[test]
fn a_newer_database_is_refused_and_unchanged() {
    let store = TestStore::new();
    store.connection().pragma_update(None, "user_version", 99).unwrap();
    let folder = store.folder;
    drop(store.store);
    let before = fs::read(folder.path().join("queue.sqlite3")).unwrap();
    let (error, text) = sentence(folder.path());
    assert!(matches!(error, StoreError::Newer { found: 99, known: 1, .. }), "{error:?}");
    assert!(text.contains("version 99") && text.contains("--data"), "{text}");
    assert_eq!(fs::read(folder.path().join("queue.sqlite3")).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_unchanged() {
    for content in [b"SQLite format 4 ".repeat(100), b"hello\n".to_vec(), vec![0xff; 5000]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.sqlite3");
        fs::write(&file, &content).unwrap();
        let (error, _) = sentence(folder.path());
        assert!(matches!(error, StoreError::NotADatabase { .. }), "{error:?}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn the_database_of_another_program_is_refused_and_unchanged() {
    for sql in
        ["CREATE TABLE jobs (x)", "PRAGMA user_version = 1; CREATE TABLE a (x)", "PRAGMA application_id = 7"]
    {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.sqlite3");
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&file).unwrap();
        let (error, _) = sentence(folder.path());
        assert!(matches!(error, StoreError::Foreign { .. }), "{sql}: {error:?}");
        assert_eq!(fs::read(&file).unwrap(), before, "{sql}");
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("queue.sqlite3"), b"").unwrap();
    assert_eq!(Store::open(folder.path()).unwrap().newest_event().unwrap(), 0);
}

#[test]
fn a_folder_that_is_missing_or_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (error, _) = sentence(&folder.path().join("missing"));
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let (error, _) = sentence(&file);
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    // a folder where the database should be
    fs::create_dir(folder.path().join("queue.sqlite3")).unwrap();
    let (error, _) = sentence(folder.path());
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // no user can create a file there
    let error = Store::open(std::path::Path::new("/proc/self")).expect_err("no file can be created in /proc");
    assert!(matches!(error, StoreError::Open { .. } | StoreError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn a_database_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let store = TestStore::new();
    let (folder, database) = (store.folder.path().to_path_buf(), store.database());
    drop(store.store);
    let set = |mode| {
        fs::set_permissions(&database, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(0o400);
    if fs::OpenOptions::new().append(true).open(&database).is_ok() {
        crate::test_skip::skip("a database that cannot be written: this user may write any file", false);
        return;
    }
    let (error, _) = sentence(&folder);
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    set(0o600);
    // the log beside it cannot be created
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let (error, _) = sentence(&folder);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. } | StoreError::Open { .. }), "{error:?}");
    drop(Store::open(&folder).unwrap());
}

#[test]
fn a_damaged_row_is_an_error_and_not_a_panic() {
    for sql in [
        "UPDATE job_bodies SET request = '{'",
        "UPDATE job_bodies SET files = '7'",
        "UPDATE jobs SET id = 'x'",
        "UPDATE jobs SET progress = '[]'",
        "UPDATE jobs SET retry_of = ''",
    ] {
        let store = TestStore::new();
        store.add_track();
        store.connection().execute(sql, []).unwrap();
        let error =
            store.jobs(&posebook_serve::store::JobQuery { limit: 9, ..Default::default() }).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{sql}: {error:?}");
        // the others are still served
        assert_eq!(store.counts().unwrap().len(), 1);
    }
}

#[test]
fn a_damaged_file_is_an_error_and_not_a_panic() {
    let store = TestStore::new();
    for _ in 0..200 {
        store.add_track();
    }
    let database = store.database();
    let folder = store.folder;
    drop(store.store);
    let whole = fs::read(&database).unwrap();
    for at in (100..whole.len()).step_by(whole.len() / 20) {
        let mut damaged = whole.clone();
        let end = (at + 300).min(damaged.len());
        damaged[at..end].fill(0xa5);
        fs::write(&database, damaged).unwrap();
        // whatever is still readable may be read
        if let Ok(store) = Store::open(folder.path()) {
            let _ = store.jobs(&posebook_serve::store::JobQuery { limit: 500, ..Default::default() });
            let _ = store.events(None, 0, 10_000);
            let _ = store.claim("cpu");
            let _ = store.unfinished();
        }
    }
}

#[test]
fn a_relative_folder_and_one_that_looks_like_an_address_work() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("file:a?mode=memory#x%20");
    fs::create_dir(&odd).unwrap();
    drop(Store::open(&odd).unwrap());
    assert!(odd.join("queue.sqlite3").is_file());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&odd, &link).unwrap();
    Store::open(&link).unwrap();
}
