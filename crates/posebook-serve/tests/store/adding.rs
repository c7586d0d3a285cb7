//! Jobs are added once per id and key.

use crate::support::{DAY, TestStore, new, track};
use posebook_serve::job::{JobId, JobKind, JobRequest, JobState, Source};
use posebook_serve::store::{Added, NewJob};
use serde_json::json;

fn with_key(key: &str, job: &NewJob) -> NewJob {
    NewJob { id: JobId::random(), idempotency_key: Some(key.into()), ..job.clone() }
}

#[test]
fn a_job_is_stored_as_it_was_asked_for() {
    let store = TestStore::new();
    let body = json!({
        "kind": "track", "source": {"upload": "0123456789abcdef0123456789abcdef"}, "boxes": {"path": "b.txt"}, "priority": 5,
        "settings": {"z": 2.0, "a": [1, {"x": null}]}, "webhook": "http://h/", "webhook_events": ["start"], "keep": "7d",
    });
    let request = JobRequest::from_json(body.to_string().as_bytes()).unwrap();
    let original = JobId::random();
    let job = store.add_new(&NewJob {
        name: "\"><img src=x onerror=alert(1)>\u{202e}.mp4".into(),
        retry_of: Some(original),
        ..new(request.clone())
    });
    let job_again = store.get(job.id);
    assert_eq!(job, job_again);
    assert_eq!(job.request, request);
    assert_eq!(serde_json::to_string(&job.request.settings).unwrap(), r#"{"z":2.0,"a":[1,{"x":null}]}"#);
    assert_eq!(job.name, "\"><img src=x onerror=alert(1)>\u{202e}.mp4");
    assert_eq!(job.retry_of, Some(original));
    assert_eq!((job.state, job.attempt, job.device.as_deref()), (JobState::Queued, 0, None));
    assert_eq!((job.created, job.started, job.ended), (crate::support::START, None, None));
    let reopened = store.reopen();
    assert_eq!(reopened.get(job.id), job);
    assert_eq!(reopened.job(JobId::random()).unwrap(), None);
}

#[test]
fn a_key_gives_the_same_job_again_and_refuses_another_request() {
    let store = TestStore::new();
    let first = store.add_new(&with_key("k", &track()));
    assert_eq!(store.add(&with_key("k", &track()), 0).unwrap(), Added::Same(first.clone()));
    // also once it has ended
    store.cancel(first.id).unwrap();
    assert_eq!(store.add(&with_key("k", &track()), 0).unwrap(), Added::Same(store.get(first.id)));
    let mut other = track();
    other.request.priority = 1;
    assert_eq!(store.add(&with_key("k", &other), 9).unwrap(), Added::KeyReused);
    let retry = NewJob { retry_of: Some(first.id), ..track() };
    assert_eq!(store.add(&with_key("k", &retry), 9).unwrap(), Added::KeyReused);
    assert!(matches!(store.add(&with_key("l", &other), 9).unwrap(), Added::New(_)));
    assert_eq!(store.counts().unwrap().iter().map(|(_, count)| count).sum::<u64>(), 2);
}

#[test]
fn requests_are_the_same_if_only_the_order_of_members_differs() {
    let store = TestStore::new();
    let read = |text: &str| with_key("k", &new(JobRequest::from_json(text.as_bytes()).unwrap()));
    let first = r#"{"kind": "track", "source": {"path": "a"}, "settings": {"a": 1, "b": {"x": 1, "y": 2}}}"#;
    let same = r#"{"settings":{"b":{"y":2,"x":1},"a":1},"priority":0,"keep":null,"source":[{"path":"a"}],"kind":"track"}"#;
    let job = store.add_new(&read(first));
    assert_eq!(store.add(&read(same), 9).unwrap(), Added::Same(job));
    for other in [
        r#"{"kind": "track", "source": {"path": "a"}, "settings": {"a": 1, "b": {"x": 1, "y": 3}}}"#,
        r#"{"kind": "track", "source": {"path": "a"}, "settings": {"a": 1.0, "b": {"x": 1, "y": 2}}}"#,
        r#"{"kind": "track", "source": {"url": "a"}, "settings": {"a": 1, "b": {"x": 1, "y": 2}}}"#,
        r#"{"kind": "reconstruct", "source": {"path": "a"}, "settings": {"a": 1, "b": {"x": 1, "y": 2}}}"#,
    ] {
        assert_eq!(store.add(&read(other), 9).unwrap(), Added::KeyReused, "{other}");
    }
}

#[test]
fn an_id_gives_the_same_job_again_and_refuses_another_request() {
    let store = TestStore::new();
    let first = track();
    let job = store.add_new(&first);
    assert_eq!(store.add(&first, 0).unwrap(), Added::Same(job.clone()));
    let mut other = first.clone();
    other.request.settings.insert("video.every".into(), 2.into());
    assert_eq!(store.add(&other, 9).unwrap(), Added::KeyReused);
    // a key that comes with a known id belongs to that job from then on
    let keyed = NewJob { idempotency_key: Some("k".into()), ..first };
    assert_eq!(store.add(&keyed, 0).unwrap(), Added::Same(job.clone()));
    assert_eq!(store.add(&with_key("k", &track()), 0).unwrap(), Added::Same(job));
    assert_eq!(store.jobs(&Default::default()).unwrap().len(), 0);
}

#[test]
fn a_key_is_removed_after_a_day_and_with_its_job() {
    let store = TestStore::new();
    let first = store.add_new(&with_key("k", &track()));
    store.wait(DAY);
    assert_eq!(store.add(&with_key("k", &track()), 9).unwrap(), Added::Same(first.clone()));
    store.wait(1);
    let second = store.add_new(&with_key("k", &track()));
    assert_ne!(first.id, second.id);
    store.cancel(second.id).unwrap();
    assert!(store.delete(second.id).unwrap());
    store.add_new(&with_key("k", &track()));
    // a clock that is set back keeps keys for longer, never shorter
    store.wait(-3 * DAY);
    assert!(matches!(store.add(&with_key("k", &track()), 9).unwrap(), Added::Same(_)));
}

#[test]
fn old_keys_are_removed() {
    let store = TestStore::new();
    store.add_new(&with_key("k", &track()));
    store.wait(2 * DAY);
    store.prune(store.now()).unwrap();
    let count: i64 = store.connection().query_row("SELECT count(*) FROM keys", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
}

#[test]
fn a_full_queue_refuses_new_jobs_and_finds_the_old_ones() {
    let store = TestStore::new();
    let first = with_key("k", &track());
    let job = store.add_new(&first);
    store.add_track();
    assert_eq!(store.add(&track(), 2).unwrap(), Added::QueueFull);
    assert_eq!(store.add(&first, 2).unwrap(), Added::Same(job));
    // a started job has left the queue
    store.claim("cpu").unwrap().unwrap();
    assert!(matches!(store.add(&track(), 2).unwrap(), Added::New(_)));
    // a refused job leaves nothing, not even its key
    assert_eq!(store.add(&with_key("l", &track()), 2).unwrap(), Added::QueueFull);
    store.claim("cpu").unwrap().unwrap();
    let mut other = track();
    other.request.priority = 3;
    assert!(matches!(store.add(&with_key("l", &other), 2).unwrap(), Added::New(_)));
}

#[test]
fn a_large_request_is_stored_whole() {
    let store = TestStore::new();
    let mut request = JobRequest::of_kind(JobKind::Reconstruct);
    request.source = (0..10_000).map(|index| Source::Path(format!("/data/{index}.jpg"))).collect();
    let job = store.add_new(&new(request.clone()));
    assert_eq!(store.get(job.id).request, request);
}
