//! Lists, counts and mean times.

use crate::support::TestStore;
use posebook_serve::job::{JobId, JobState};
use posebook_serve::store::{End, JobQuery};

#[test]
fn jobs_are_listed_newest_first_in_pages() {
    let store = TestStore::new();
    let mut ids: Vec<_> = (0..7).map(|_| store.add_track().id).collect();
    ids.reverse();
    let list = |state, limit, after| {
        let jobs = store.jobs(&JobQuery { state, limit, after }).unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 500, None), ids);
    assert_eq!(list(None, 3, None), ids[..3]);
    assert_eq!(list(None, 3, Some(ids[2])), ids[3..6]);
    assert_eq!(list(None, 3, Some(ids[5])), ids[6..]);
    assert_eq!(list(None, 3, Some(ids[6])), []);
    assert_eq!(list(None, 3, Some(JobId::random())), []);
    store.cancel(ids[1]).unwrap();
    store.cancel(ids[4]).unwrap();
    assert_eq!(list(Some(JobState::Canceled), 500, None), [ids[1], ids[4]]);
    assert_eq!(list(Some(JobState::Canceled), 1, Some(ids[1])), [ids[4]]);
    assert_eq!(list(Some(JobState::Queued), 500, Some(ids[3])), [ids[5], ids[6]]);
    assert_eq!(list(Some(JobState::Failed), 500, None), []);
}

#[test]
fn at_most_500_jobs_are_listed() {
    let store = TestStore::new();
    let sql = "INSERT INTO jobs (id, kind, name, state, priority, created) VALUES (?1, 'track', 'a', 'queued', 0, 1)";
    let mut connection = store.connection();
    let transaction = connection.transaction().unwrap();
    for index in 1..=600 {
        transaction.execute(sql, [JobId::random().to_string()]).unwrap();
        let body = r#"INSERT INTO job_bodies (job, request, digest) VALUES (?1, '{"kind":"track"}', x'00')"#;
        transaction.execute(body, [index]).unwrap();
    }
    transaction.commit().unwrap();
    let query = JobQuery { limit: usize::MAX, ..JobQuery::default() };
    assert_eq!(store.jobs(&query).unwrap().len(), 500);
}

#[test]
fn jobs_are_counted_by_state() {
    let store = TestStore::new();
    assert_eq!(store.counts().unwrap(), []);
    for _ in 0..4 {
        store.add_track();
    }
    let started = store.claim("cpu").unwrap().unwrap();
    let ended = store.claim("cpu").unwrap().unwrap();
    store.set_running(started.id).unwrap();
    store.end(ended.id, &End::Succeeded, &[], None).unwrap();
    let mut counts = store.counts().unwrap();
    counts.sort_by_key(|(state, _)| state.as_str());
    assert_eq!(counts, [(JobState::Queued, 2), (JobState::Running, 1), (JobState::Succeeded, 1)]);
}

#[test]
fn the_mean_time_is_that_of_the_last_jobs_that_succeeded() {
    let store = TestStore::new();
    assert_eq!(store.mean_job_seconds().unwrap(), None);
    let run = |milliseconds: i64, end: &End| {
        let job = store.add_track();
        store.claim("cpu").unwrap().unwrap();
        store.wait(milliseconds);
        store.end(job.id, end, &[], None).unwrap();
    };
    run(90_000, &End::Canceled);
    assert_eq!(store.mean_job_seconds().unwrap(), None);
    run(2_000, &End::Succeeded);
    run(3_000, &End::Succeeded);
    run(7_000, &End::Succeeded);
    // the clock was set back: this says nothing
    run(-7_000, &End::Succeeded);
    assert_eq!(store.mean_job_seconds().unwrap(), Some(4.0));
    for _ in 0..20 {
        run(1_000, &End::Succeeded);
    }
    assert_eq!(store.mean_job_seconds().unwrap(), Some(1.0));
}
