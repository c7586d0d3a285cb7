//! Messages that are due to the addresses that jobs name.

use crate::support::{DAY, START, TestStore, file, track};
use posebook_serve::job::{Failure, FailureKind, JobId, JobState, Progress};
use posebook_serve::store::{DueWebhook, End, NewJob};

fn with_webhook(events: &[&str]) -> NewJob {
    let mut job = track();
    job.request.webhook = Some("http://127.0.0.1/hook".into());
    job.request.webhook_events = events.iter().map(|event| (*event).to_string()).collect();
    job
}

/// A running job with a webhook.
fn running(store: &TestStore, events: &[&str]) -> JobId {
    let id = store.add_new(&with_webhook(events)).id;
    store.claim("cpu").unwrap().unwrap();
    assert!(store.set_running(id).unwrap());
    id
}

fn progress(done: u64) -> Progress {
    Progress { stage: "run".into(), done, ..Progress::default() }
}

fn due(store: &TestStore) -> Vec<DueWebhook> {
    store.due_webhooks(store.now(), 100).unwrap()
}

fn names(due: &[DueWebhook]) -> Vec<&str> {
    due.iter().map(|due| due.event.as_str()).collect()
}

#[test]
fn start_and_end_are_sent_with_the_job() {
    let store = TestStore::new();
    let id = running(&store, &[]);
    let start = due(&store);
    assert_eq!(names(&start), ["start"]);
    assert_eq!((start[0].job, start[0].address.as_str()), (id, "http://127.0.0.1/hook"));
    assert_eq!(start[0].body["id"], id.to_string());
    assert_eq!(
        (&start[0].body["state"], &start[0].body["status"]),
        (&"running".into(), &"processing".into())
    );
    let failure = Failure {
        kind: FailureKind::Crashed,
        message: "it crashed".into(),
        advice: None,
        changed_settings: Default::default(),
    };
    store.end(id, &End::Failed(failure), &[file(3)], None).unwrap();
    assert_eq!(names(&due(&store)), ["start"], "the start is sent before the end");
    store.set_webhook(start[0].number, true, None).unwrap();
    let end = due(&store);
    assert_eq!(names(&end), ["completed"]);
    let body = &end[0].body;
    assert_eq!(
        (&body["event"], &body["status"], &body["error"]),
        (&"completed".into(), &"failed".into(), &"it crashed".into())
    );
    assert_eq!(body["failure"]["kind"], "crashed");
    assert_eq!(body["files"][0]["name"], "people.csv");
    assert_eq!(body["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(body["completed_at"], "2027-01-15T08:00:00.000Z");
}

#[test]
fn the_end_of_a_canceled_job_is_sent_once() {
    let store = TestStore::new();
    let id = store.add_new(&with_webhook(&[])).id;
    store.cancel(id).unwrap();
    store.cancel(id).unwrap();
    let messages = due(&store);
    assert_eq!(names(&messages), ["completed"]);
    assert_eq!(messages[0].body["status"], "canceled");
}

#[test]
fn only_requested_events_are_sent() {
    let store = TestStore::new();
    let id = running(&store, &["completed", "logs"]);
    store.set_progress(id, &progress(1)).unwrap();
    store.add_note(id, "a").unwrap();
    assert_eq!(names(&due(&store)), ["logs"]);
    let quiet = store.add_track();
    store.claim("cpu").unwrap();
    store.end(quiet.id, &End::Succeeded, &[], None).unwrap();
    assert_eq!(names(&due(&store)), ["logs"]);
    store.end(id, &End::Succeeded, &[], None).unwrap();
    assert_eq!(names(&due(&store)), ["completed"], "the end replaces earlier messages that wait");
}

#[test]
fn progress_is_sent_at_most_every_500_ms() {
    let store = TestStore::new();
    let id = running(&store, &["output"]);
    let mut sent = Vec::new();
    for step in 0..100 {
        store.set_progress(id, &progress(step)).unwrap();
        for message in due(&store) {
            sent.push((store.now() - START, message.body["progress"]["done"].as_u64().unwrap()));
            store.set_webhook(message.number, true, None).unwrap();
        }
        store.wait(50);
    }
    let times: Vec<_> = sent.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, (0..10).map(|index| index * 500).collect::<Vec<_>>());
    // each is the newest progress of its time
    assert!(sent.iter().all(|(time, done)| *time as u64 == done * 50), "{sent:?}");
}

#[test]
fn messages_that_wait_are_joined() {
    let store = TestStore::new();
    let id = running(&store, &["logs"]);
    for text in ["a", "b", "c"] {
        store.add_note(id, text).unwrap();
        store.wait(10);
    }
    let messages = due(&store);
    assert_eq!(names(&messages), ["logs"]);
    assert_eq!(messages[0].body["logs"], "a\nb\nc");
    // one that was attempted is not changed any more
    store.set_webhook(messages[0].number, false, Some(store.now() + 9000)).unwrap();
    store.add_note(id, "d").unwrap();
    store.wait(500);
    assert!(due(&store).is_empty(), "one that waits for its next attempt is not overtaken");
    store.wait(9000);
    for logs in ["a\nb\nc", "d"] {
        let messages = due(&store);
        assert_eq!((names(&messages), &messages[0].body["logs"]), (vec!["logs"], &logs.into()));
        store.set_webhook(messages[0].number, true, None).unwrap();
    }
}

#[test]
fn a_failed_delivery_is_repeated_and_a_delivered_one_is_not() {
    let store = TestStore::new();
    let id = running(&store, &["start"]);
    let first = due(&store).remove(0);
    assert_eq!(first.attempts, 0);
    store.set_webhook(first.number, false, Some(START + 1000)).unwrap();
    assert!(due(&store).is_empty());
    store.wait(1000);
    let store = store.reopen();
    let second = due(&store).remove(0);
    assert_eq!((second.number, second.attempts, &second.body), (first.number, 1, &first.body));
    store.set_webhook(second.number, true, None).unwrap();
    assert!(due(&store).is_empty());
    store.end(id, &End::Succeeded, &[], None).unwrap();
    assert_eq!(names(&due(&store)), [] as [&str; 0]);
    assert_eq!(store.get(id).state, JobState::Succeeded);
}

#[test]
fn a_delivery_can_be_given_up() {
    let store = TestStore::new();
    let id = running(&store, &["start"]);
    let first = due(&store).remove(0);
    store.set_webhook(first.number, false, None).unwrap();
    store.wait(300 * DAY);
    assert!(due(&store).is_empty());
    assert_eq!(store.get(id).state, JobState::Running, "the job does not depend on it");
}

#[test]
fn the_last_message_of_a_deleted_job_is_still_sent() {
    let store = TestStore::new();
    let id = store.add_new(&with_webhook(&[])).id;
    store.cancel(id).unwrap();
    store.delete(id).unwrap();
    assert_eq!(names(&due(&store)), ["completed"]);
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_messages() {
    let store = TestStore::new();
    let id = running(&store, &[]);
    store.set_progress(id, &progress(1)).unwrap();
    let first = due(&store).remove(0);
    store.set_webhook(first.number, false, Some(START + 60_000)).unwrap();
    store.wait(-DAY);
    for event in ["start", "output"] {
        let messages = due(&store);
        assert_eq!(names(&messages), [event]);
        store.set_webhook(messages[0].number, true, None).unwrap();
    }
    store.set_progress(id, &progress(2)).unwrap();
    store.wait(500);
    assert_eq!(names(&due(&store)), ["output"]);
}

#[test]
fn those_that_wait_longest_come_first() {
    let store = TestStore::new();
    let ids: Vec<_> = (0..3)
        .map(|_| {
            let id = running(&store, &["start"]);
            store.wait(10);
            id
        })
        .collect();
    let first = due(&store).remove(0);
    store.set_webhook(first.number, false, Some(store.now())).unwrap();
    let order: Vec<_> = due(&store).iter().map(|due| due.job).collect();
    assert_eq!(order, [ids[1], ids[2], ids[0]]);
    assert_eq!(store.due_webhooks(store.now(), 2).unwrap().len(), 2);
}

#[test]
fn a_client_of_cog_finds_the_id_that_it_chose() {
    let store = TestStore::new();
    let mut job = with_webhook(&[]);
    job.request.prediction = Some("abcd1234".into());
    let id = store.add_new(&job).id;
    store.cancel(id).unwrap();
    let body = &due(&store)[0].body;
    assert_eq!((&body["id"], &body["job"]), (&"abcd1234".into(), &id.to_string().into()));
}
