//! What is removed, and what never is.

use crate::support::{DAY, HOUR, START, TestStore, file, track};
use posebook_serve::job::JobId;
use posebook_serve::store::{End, Store};

/// A job that ended with results.
fn ended(store: &TestStore, keep: Option<&str>, bytes: u64, expires: Option<i64>) -> JobId {
    let mut job = track();
    job.request.keep = keep.map(str::to_string);
    let id = store.add_new(&job).id;
    assert_eq!(store.claim("cpu").unwrap().unwrap().id, id);
    assert!(store.end(id, &End::Succeeded, &[file(bytes / 2), file(bytes - bytes / 2)], expires).unwrap());
    id
}

fn due(store: &Store, now: i64, keep_bytes: Option<u64>) -> Vec<JobId> {
    store.due_for_removal(now, keep_bytes).unwrap()
}

#[test]
fn results_are_due_after_their_time() {
    let store = TestStore::new();
    let first = ended(&store, None, 10, Some(START + DAY));
    let second = ended(&store, None, 10, Some(START + HOUR));
    let _forever = ended(&store, None, 10, None);
    let _pinned = ended(&store, Some("forever"), 10, Some(START + HOUR));
    assert!(due(&store, START + HOUR - 1, None).is_empty());
    assert_eq!(due(&store, START + HOUR, None), [second]);
    assert_eq!(due(&store, START + DAY, None), [first, second]);
    store.set_expired(second).unwrap();
    assert_eq!(due(&store, START + DAY, None), [first]);
    let job = store.get(second);
    assert!(job.expired && job.files.len() == 2, "the record stays");
}

#[test]
fn the_oldest_results_are_due_until_the_rest_fits() {
    let store = TestStore::new();
    let pinned = ended(&store, Some("forever"), 100, None);
    let first = ended(&store, None, 50, None);
    // the order is that of the ends, not of the clock
    store.wait(-DAY);
    let empty = ended(&store, None, 0, None);
    let second = ended(&store, None, 30, Some(START + 9 * DAY));
    let third = ended(&store, None, 20, None);
    let running = store.add_started().id;
    assert!(due(&store, START, Some(200)).is_empty());
    assert_eq!(due(&store, START, Some(199)), [first]);
    assert_eq!(due(&store, START, Some(150)), [first]);
    assert_eq!(due(&store, START, Some(149)), [first, second]);
    assert_eq!(due(&store, START, Some(0)), [first, second, third]);
    // what goes by its time makes space for the others
    assert_eq!(due(&store, START + 10 * DAY, Some(170)), [second]);
    store.set_expired(first).unwrap();
    assert!(due(&store, START, Some(150)).is_empty());
    for never in [pinned, empty, running] {
        assert!(!due(&store, START, Some(0)).contains(&never));
    }
    assert_eq!(due(&store, START, Some(u64::MAX)), []);
}

#[test]
fn jobs_that_have_not_ended_are_never_due() {
    let store = TestStore::new();
    let running = store.add_started();
    let queued = store.add_track();
    store.set_expired(running.id).unwrap();
    store.set_expired(queued.id).unwrap();
    assert!(!store.get(running.id).expired && !store.get(queued.id).expired);
    assert!(due(&store, i64::MAX, Some(0)).is_empty());
    assert!(!store.delete(running.id).unwrap());
    assert!(!store.delete(queued.id).unwrap());
    assert!(!store.delete(JobId::random()).unwrap());
}

#[test]
fn a_deleted_job_leaves_nothing() {
    let store = TestStore::new();
    let id = ended(&store, None, 10, None);
    assert!(store.delete(id).unwrap());
    assert_eq!(store.job(id).unwrap(), None);
    assert_eq!(store.events_of(id), []);
    let connection = store.connection();
    for table in ["jobs", "job_bodies", "job_uploads", "keys", "events"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert!(!store.delete(id).unwrap());
}

#[test]
fn results_are_kept_for_their_time_although_the_clock_was_behind() {
    let store = TestStore::new();
    store.add_track();
    store.claim("cpu").unwrap();
    // the machine started without its clock, which says 2026 instead of 2027, and is corrected later
    store.wait(-300 * DAY);
    let now = store.now();
    let id = ended(&store, None, 10, Some(now + 7 * DAY));
    assert_eq!(store.get(id).expires, Some(START + 7 * DAY));
    assert!(due(&store, START + 6 * DAY, None).is_empty());
    assert_eq!(due(&store, START + 7 * DAY, None), [id]);
}

#[test]
fn a_clock_that_is_set_back_removes_nothing_early() {
    let store = TestStore::new();
    let id = ended(&store, None, 10, Some(START + 7 * DAY));
    assert!(due(&store, START - 300 * DAY, None).is_empty());
    assert_eq!(due(&store, START + 7 * DAY, None), [id]);
}
