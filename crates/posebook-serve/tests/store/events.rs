//! Events: what clients follow.

use crate::support::{DAY, TestStore, track};
use posebook_serve::job::{JobId, Progress};
use posebook_serve::store::End;
use serde_json::json;

#[test]
fn events_say_what_happened() {
    let store = TestStore::new();
    let job = store.add_track();
    let other = store.add_track();
    store.claim("cuda:1").unwrap();
    store.set_progress(job.id, &Progress { stage: "fetch".into(), done: 1, ..Progress::default() }).unwrap();
    store.add_note(job.id, "line\n\u{1b}[31m").unwrap();
    store.end(job.id, &End::Succeeded, &[], None).unwrap();
    let data: Vec<_> = store.events_of(job.id).into_iter().map(|event| (event.kind, event.data)).collect();
    let id = job.id.to_string();
    let state = |state: &str, attempt: u32, device: Option<&str>, position: Option<u64>| {
        let data = json!({"job": id, "state": state, "attempt": attempt, "device": device, "queue_position": position});
        ("state".to_string(), data)
    };
    let progress =
        json!({"job": id, "stage": "fetch", "done": 1, "of": null, "rate": null, "seconds_left": null});
    let expected = [
        state("queued", 0, None, Some(0)),
        state("starting", 1, Some("cuda:1"), None),
        ("progress".into(), progress),
        ("log".into(), json!({"job": id, "text": "line\n\u{1b}[31m"})),
        state("succeeded", 1, Some("cuda:1"), None),
        ("end".into(), json!({"job": id, "state": "succeeded", "failure": null})),
    ];
    assert_eq!(data, expected);
    assert_eq!(store.events_of(other.id)[0].data["queue_position"], 1);
}

#[test]
fn numbers_increase_over_jobs_restarts_and_removals() {
    let store = TestStore::new();
    let first = store.add_track();
    store.cancel(first.id).unwrap();
    let newest = store.newest_event().unwrap();
    assert_eq!(newest, store.events_of(first.id).last().unwrap().number);
    assert!(store.delete(first.id).unwrap());
    assert_eq!(store.events(None, 0, 100).unwrap(), []);
    // a number is never used again, although its event is gone
    let store = store.reopen();
    assert_eq!(store.newest_event().unwrap(), newest);
    assert_eq!(*store.changes().borrow(), newest);
    let second = store.add_track();
    assert_eq!(store.events_of(second.id)[0].number, newest + 1);
}

#[test]
fn events_are_read_from_a_number_on() {
    let store = TestStore::new();
    let jobs: Vec<_> = (0..3).map(|_| store.add_track().id).collect();
    for _ in 0..3 {
        store.claim("cpu").unwrap();
    }
    for index in 0..30 {
        store.add_note(jobs[index % 3], &index.to_string()).unwrap();
    }
    let all = store.events(None, 0, usize::MAX).unwrap();
    assert_eq!(all.len(), 36);
    assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    // in pages
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let page = store.events(None, after, 7).unwrap();
        let Some(last) = page.last() else { break };
        after = last.number;
        paged.extend(page);
    }
    assert_eq!(paged, all);
    let of_job: Vec<_> = all.iter().filter(|event| event.job == jobs[1]).cloned().collect();
    assert_eq!(store.events_of(jobs[1]), of_job);
    assert_eq!(store.events(Some(jobs[1]), of_job[3].number, usize::MAX).unwrap(), of_job[4..]);
    assert_eq!(store.events(Some(JobId::random()), 0, 10).unwrap(), []);
    assert_eq!(store.events(None, i64::MAX, 10).unwrap(), []);
    assert_eq!(store.events(None, i64::MIN, 1).unwrap().len(), 1);
    assert_eq!(store.events(None, 0, 0).unwrap(), []);
}

#[test]
fn whoever_waits_for_changes_finds_the_event() {
    let store = TestStore::new();
    let mut changes = store.changes();
    assert!(!changes.has_changed().unwrap());
    let job = store.add_track();
    assert!(changes.has_changed().unwrap());
    let newest = *changes.borrow_and_update();
    assert_eq!(newest, store.newest_event().unwrap());
    // what adds no event wakes nobody
    store.requeue(job.id, false).unwrap();
    store.add_note(JobId::random(), "x").unwrap();
    assert!(!changes.has_changed().unwrap());
    store.add_note(job.id, "x").unwrap();
    assert_eq!(*changes.borrow_and_update(), newest + 1);
}

#[test]
fn progress_events_are_removed_after_a_day_and_state_events_stay() {
    let store = TestStore::new();
    let ended = store.add_started().id;
    store.set_progress(ended, &Progress::default()).unwrap();
    store.add_note(ended, "a message").unwrap();
    store.end(ended, &End::Succeeded, &[], None).unwrap();
    let running = store.add_new(&track()).id;
    store.claim("cpu").unwrap();
    store.set_progress(running, &Progress::default()).unwrap();
    store.add_note(running, "a message").unwrap();
    assert_eq!(store.prune(store.now() + DAY).unwrap(), 0);
    store.wait(DAY + 1);
    store.set_progress(running, &Progress { done: 1, ..Progress::default() }).unwrap();
    assert_eq!(store.prune(store.now()).unwrap(), 3);
    let kinds = |id| store.events_of(id).into_iter().map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(kinds(ended), ["state", "state", "state", "end"]);
    assert_eq!(kinds(running), ["state", "state", "log", "progress"]);
}
