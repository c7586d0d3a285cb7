//! From state to state: which transitions there are, and what each leaves.

use crate::support::{DAY, START, TestStore, file, track};
use posebook_serve::job::{Failure, FailureKind, JobId, JobState, Progress};
use posebook_serve::store::{End, NewJob};
use serde_json::json;

fn failure() -> Failure {
    Failure {
        kind: FailureKind::OutOfMemory,
        message: "the device's memory is full".into(),
        advice: Some("use every second frame".into()),
        changed_settings: json!({"video.every": 2}).as_object().unwrap().clone(),
    }
}

#[test]
fn a_job_runs_from_queued_to_succeeded() {
    let store = TestStore::new();
    let job = store.add_track();
    store.wait(1000);
    let claimed = store.claim("cuda:0").unwrap().unwrap();
    assert_eq!((claimed.state, claimed.attempt), (JobState::Starting, 1));
    assert_eq!(claimed.device.as_deref(), Some("cuda:0"));
    assert_eq!(claimed.started, Some(START + 1000));
    assert!(store.set_running(job.id).unwrap());
    assert!(!store.set_running(job.id).unwrap());
    let progress =
        Progress { stage: "run".into(), done: 3, of: Some(9), rate: Some(1.5), seconds_left: Some(4.0) };
    store.set_progress(job.id, &progress).unwrap();
    assert_eq!(store.get(job.id).progress, Some(progress));
    store.wait(5000);
    let files = [file(10), file(20)];
    assert!(store.end(job.id, &End::Succeeded, &files, Some(START + DAY)).unwrap());
    let ended = store.get(job.id);
    assert_eq!((ended.state, ended.ended), (JobState::Succeeded, Some(START + 6000)));
    assert_eq!(ended.files, files);
    assert_eq!((ended.expires, ended.expired), (Some(START + DAY), false));
    assert_eq!(store.states_of(job.id), ["queued", "starting", "running", "succeeded"]);
    let kinds: Vec<_> = store.events_of(job.id).into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["state", "state", "state", "progress", "state", "end"]);
}

#[test]
fn a_failure_is_stored_with_its_advice() {
    let store = TestStore::new();
    let job = store.add_started();
    assert!(store.end(job.id, &End::Failed(failure()), &[file(5)], None).unwrap());
    let ended = store.get(job.id);
    assert_eq!((ended.state, ended.failure), (JobState::Failed, Some(failure())));
    let end = store.events_of(job.id).pop().unwrap();
    assert_eq!(end.data["failure"]["kind"], "out_of_memory");
    assert_eq!(end.data["failure"]["changed_settings"], json!({"video.every": 2}));
}

#[test]
fn every_change_increases_the_revision() {
    let store = TestStore::new();
    let id = store.add_track().id;
    let mut last = store.get(id).revision;
    let mut grows = |what: &str| {
        let revision = store.get(id).revision;
        assert!(revision > last, "{what}: {revision} after {last}");
        last = revision;
    };
    store.claim("cpu").unwrap();
    grows("claim");
    store.set_running(id).unwrap();
    grows("set_running");
    store.set_progress(id, &Progress::default()).unwrap();
    grows("set_progress");
    store.requeue(id, false).unwrap();
    grows("requeue");
    store.claim("cpu").unwrap();
    grows("claim");
    store.cancel(id).unwrap();
    grows("cancel");
    store.end(id, &End::Canceled, &[], None).unwrap();
    grows("end");
    store.set_expired(id).unwrap();
    grows("set_expired");
}

#[test]
fn jobs_start_by_priority_and_then_in_the_order_of_acceptance() {
    let store = TestStore::new();
    let add = |priority| {
        let mut job = track();
        job.request.priority = priority;
        store.add_new(&job).id
    };
    let (low, first, second, high) = (add(-1), add(0), add(0), add(7));
    // the order is not that of the clock
    store.wait(-DAY);
    let third = add(0);
    let places: Vec<_> = [high, first, second, third, low]
        .iter()
        .map(|id| store.queue_position(*id).unwrap().unwrap())
        .collect();
    assert_eq!(places, [0, 1, 2, 3, 4]);
    let started: Vec<_> = (0..5).map(|_| store.claim("cpu").unwrap().unwrap().id).collect();
    assert_eq!(started, [high, first, second, third, low]);
    assert_eq!(store.claim("cpu").unwrap(), None);
    assert_eq!(store.queue_position(high).unwrap(), None);
    assert_eq!(store.queue_position(JobId::random()).unwrap(), None);
}

#[test]
fn a_requeued_job_keeps_its_place_and_its_next_start_is_another_attempt() {
    let store = TestStore::new();
    let first = store.add_started();
    let second = store.add_track();
    store.set_running(first.id).unwrap();
    store.set_progress(first.id, &Progress::default()).unwrap();
    assert!(store.requeue(first.id, true).unwrap());
    let queued = store.get(first.id);
    assert_eq!((queued.state, queued.attempt, queued.server_crashes), (JobState::Queued, 1, 1));
    assert_eq!((queued.device, queued.progress), (None, None));
    assert_eq!(store.queue_position(first.id).unwrap(), Some(0));
    assert_eq!(store.queue_position(second.id).unwrap(), Some(1));
    let again = store.claim("cpu").unwrap().unwrap();
    assert_eq!((again.id, again.attempt), (first.id, 2));
    assert!(store.requeue(first.id, false).unwrap());
    assert_eq!(store.get(first.id).server_crashes, 1);
    assert_eq!(store.claim("cpu").unwrap().unwrap().attempt, 3);
    assert!(store.end(first.id, &End::Succeeded, &[], None).unwrap());
    let states = ["queued", "starting", "running", "queued", "starting", "queued", "starting", "succeeded"];
    assert_eq!(store.states_of(first.id), states);
}

#[test]
fn a_queued_job_is_canceled_at_once() {
    let store = TestStore::new();
    let job = store.add_track();
    let canceled = store.cancel(job.id).unwrap().unwrap();
    assert_eq!((canceled.state, canceled.ended), (JobState::Canceled, Some(START)));
    assert_eq!(store.states_of(job.id), ["queued", "canceled"]);
    assert_eq!(store.claim("cpu").unwrap(), None);
    // asking again changes nothing
    assert_eq!(store.cancel(job.id).unwrap(), Some(canceled));
    assert_eq!(store.events_of(job.id).len(), 3);
    assert_eq!(store.cancel(JobId::random()).unwrap(), None);
}

#[test]
fn a_started_job_is_canceling_until_its_process_has_ended() {
    let store = TestStore::new();
    let job = store.add_started();
    assert_eq!(store.cancel(job.id).unwrap().unwrap().state, JobState::Canceling);
    assert_eq!(store.cancel(job.id).unwrap().unwrap().state, JobState::Canceling);
    assert!(!store.set_running(job.id).unwrap());
    assert!(!store.requeue(job.id, true).unwrap());
    assert_eq!(store.unfinished().unwrap().len(), 1);
    assert!(store.end(job.id, &End::Canceled, &[], None).unwrap());
    assert_eq!(store.states_of(job.id), ["queued", "starting", "canceling", "canceled"]);
    assert!(store.unfinished().unwrap().is_empty());
}

#[test]
fn a_job_has_one_end() {
    for first in [End::Succeeded, End::Failed(failure()), End::Canceled] {
        let store = TestStore::new();
        let job = store.add_started();
        assert!(store.end(job.id, &first, &[file(1)], None).unwrap());
        let ended = store.get(job.id);
        let events = store.events_of(job.id);
        for second in [End::Succeeded, End::Failed(failure()), End::Canceled] {
            assert!(!store.end(job.id, &second, &[], Some(5)).unwrap());
        }
        assert!(!store.set_running(job.id).unwrap());
        assert!(!store.requeue(job.id, true).unwrap());
        store.cancel(job.id).unwrap().unwrap();
        store.set_progress(job.id, &Progress::default()).unwrap();
        store.add_note(job.id, "late").unwrap();
        assert_eq!(store.get(job.id), ended);
        assert_eq!(store.events_of(job.id), events);
        assert_eq!(events.iter().filter(|event| event.kind == "end").count(), 1);
    }
}

#[test]
fn the_database_itself_refuses_a_second_end() {
    let store = TestStore::new();
    let job = store.add_started();
    store.end(job.id, &End::Succeeded, &[], None).unwrap();
    let connection = store.connection();
    for sql in [
        "UPDATE jobs SET state = 'failed', failure = '{}'",
        "UPDATE jobs SET state = 'queued', ended = NULL",
        "UPDATE jobs SET attempt = 0",
        "INSERT INTO events (job, kind, data, time) SELECT job, kind, data, time FROM events WHERE kind = 'end'",
    ] {
        assert!(connection.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn a_queued_job_and_an_unknown_one_have_no_end() {
    let store = TestStore::new();
    let job = store.add_track();
    for id in [job.id, JobId::random()] {
        assert!(!store.end(id, &End::Succeeded, &[], None).unwrap());
        assert!(!store.set_running(id).unwrap());
        assert!(!store.requeue(id, false).unwrap());
        store.set_progress(id, &Progress::default()).unwrap();
    }
    assert_eq!(store.get(job.id), job);
}

#[test]
fn a_restart_finds_what_was_started_and_has_no_end() {
    let store = TestStore::new();
    let ids: Vec<_> = (0..5).map(|_| store.add_track().id).collect();
    for _ in 0..4 {
        store.claim("cpu").unwrap();
    }
    store.set_running(ids[1]).unwrap();
    store.cancel(ids[2]).unwrap();
    store.end(ids[3], &End::Succeeded, &[], None).unwrap();
    let store = store.reopen();
    let found: Vec<_> = store.unfinished().unwrap().iter().map(|job| (job.id, job.state)).collect();
    let expected = [(ids[0], JobState::Starting), (ids[1], JobState::Running), (ids[2], JobState::Canceling)];
    assert_eq!(found, expected);
}

#[test]
fn times_of_a_job_do_not_decrease_when_the_clock_is_set_back() {
    let store = TestStore::new();
    let job = store.add_track();
    store.wait(-DAY);
    store.claim("cpu").unwrap();
    store.wait(-DAY);
    store.end(job.id, &End::Succeeded, &[file(1)], None).unwrap();
    let ended = store.get(job.id);
    assert_eq!((ended.created, ended.started, ended.ended), (START, Some(START), Some(START)));
}

#[test]
fn a_retry_names_its_job_and_shares_nothing_else() {
    let store = TestStore::new();
    let first = store.add_started();
    store.end(first.id, &End::Failed(failure()), &[], None).unwrap();
    let retry = store.add_new(&NewJob { retry_of: Some(first.id), ..track() });
    assert_eq!((retry.retry_of, retry.state, retry.attempt), (Some(first.id), JobState::Queued, 0));
    // the first one may be deleted
    assert!(store.delete(first.id).unwrap());
    assert_eq!(store.get(retry.id).retry_of, Some(first.id));
}
