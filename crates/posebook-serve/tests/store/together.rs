//! Many threads at once: nothing is lost, and one that fails harms no other.

use crate::support::{TestStore, track};
use posebook_serve::job::{JobId, JobState};
use posebook_serve::store::{Added, End, JobQuery, NewJob, StoreError};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

const THREADS: usize = 16;

#[test]
fn sixteen_threads_that_add_at_once_lose_nothing() {
    let store = TestStore::new();
    let barrier = Barrier::new(THREADS);
    let added: Vec<JobId> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let add = |_| {
                        let job = store.add_track();
                        // what is acknowledged can be read at once
                        assert_eq!(store.get(job.id).state, JobState::Queued);
                        job.id
                    };
                    (0..20).map(add).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let store = store.reopen();
    let found = store.jobs(&JobQuery { limit: 500, ..JobQuery::default() }).unwrap();
    let found: BTreeSet<_> = found.into_iter().map(|job| job.id).collect();
    assert_eq!(found, added.into_iter().collect());
    assert_eq!(found.len(), THREADS * 20);
    let events = store.events(None, 0, usize::MAX).unwrap();
    assert_eq!(events.len(), THREADS * 20);
    // each state event has the position at the time of the addition
    let places: BTreeSet<_> =
        events.iter().map(|event| event.data["queue_position"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..(THREADS * 20) as u64).collect());
}

#[test]
fn threads_that_claim_at_once_never_get_the_same_job() {
    let store = TestStore::new();
    let jobs: BTreeSet<_> = (0..40).map(|_| store.add_track().id).collect();
    let claimed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for device in 0..THREADS {
            let (store, claimed) = (&store, &claimed);
            scope.spawn(move || {
                while let Some(job) = store.claim(&format!("cuda:{device}")).unwrap() {
                    assert_eq!(job.attempt, 1);
                    claimed.lock().unwrap().push(job.id);
                    assert!(store.set_running(job.id).unwrap());
                    assert!(store.end(job.id, &End::Succeeded, &[], None).unwrap());
                }
            });
        }
    });
    let claimed = claimed.into_inner().unwrap();
    assert_eq!(claimed.len(), jobs.len());
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), jobs);
}

#[test]
fn one_of_many_ends_is_recorded() {
    let store = TestStore::new();
    for round in 0..5 {
        let job = store.add_started();
        let barrier = Barrier::new(THREADS);
        let recorded = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|index| {
                    let (store, barrier, id) = (&store, &barrier, job.id);
                    scope.spawn(move || {
                        barrier.wait();
                        let end = if index % 2 == 0 { End::Succeeded } else { End::Canceled };
                        store.end(id, &end, &[], None).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|ended| *ended).count()
        });
        assert_eq!(recorded, 1, "round {round}");
        let ends = store.events_of(job.id).into_iter().filter(|event| event.kind == "end").count();
        assert_eq!(ends, 1);
    }
}

#[test]
fn the_same_key_from_many_threads_is_one_job() {
    let store = TestStore::new();
    let answers = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let store = &store;
                scope.spawn(move || {
                    let job = NewJob { idempotency_key: Some("k".into()), ..track() };
                    store.add(&job, 100).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let new = answers.iter().filter(|answer| matches!(answer, Added::New(_))).count();
    let same = answers.iter().filter(|answer| matches!(answer, Added::Same(_))).count();
    assert_eq!((new, same), (1, THREADS - 1));
}

#[test]
fn the_queue_never_holds_more_than_its_maximum() {
    let store = TestStore::new();
    let accepted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let add = || matches!(store.add(&track(), 10).unwrap(), Added::New(_));
                scope.spawn(move || (0..5).filter(|_| add()).count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(accepted, 10);
    assert_eq!(store.counts().unwrap(), [(JobState::Queued, 10)]);
}

#[test]
fn a_change_that_the_database_refuses_undoes_no_other() {
    let store = TestStore::new();
    let upload = |id: String| posebook_serve::store::Upload {
        id,
        name: "a".into(),
        metadata: None,
        size: None,
        offset: 0,
        sha256: None,
        created: 0,
        expires: 0,
    };
    store.add_upload(&upload("taken".into())).unwrap();
    let refused = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, upload) = (&store, &upload);
                scope.spawn(move || {
                    let mut refused = 0;
                    for index in 0..20 {
                        store.add_upload(&upload(format!("{thread}-{index}"))).unwrap();
                        match store.add_upload(&upload("taken".into())) {
                            Err(StoreError::Sqlite(_)) => refused += 1,
                            other => panic!("{other:?}"),
                        }
                        assert!(store.upload(&format!("{thread}-{index}")).unwrap().is_some());
                    }
                    refused
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(refused, THREADS * 20);
    let store = store.reopen();
    let count: i64 =
        store.connection().query_row("SELECT count(*) FROM uploads", [], |row| row.get(0)).unwrap();
    assert_eq!(count as usize, THREADS * 20 + 1);
}

#[test]
fn readers_see_whole_transactions_only() {
    let store = TestStore::new();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    for job in store.jobs(&JobQuery { limit: 50, ..JobQuery::default() }).unwrap() {
                        assert_eq!(job.ended.is_some(), job.state.is_final());
                        let events = store.events(Some(job.id), 0, 100).unwrap();
                        // events are read later, so they may be further, and never behind
                        if job.state.is_final() {
                            assert_eq!(events.last().map(|event| event.kind.as_str()), Some("end"));
                        }
                    }
                }
            });
        }
        for _ in 0..60 {
            let job = store.add_started();
            store.set_running(job.id).unwrap();
            store.end(job.id, &End::Succeeded, &[], None).unwrap();
        }
        is_done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn every_change_wakes_whoever_waits() {
    let store = TestStore::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let mut changes = store.changes();
    let total = (THREADS * 10) as i64;
    let follower = runtime.spawn(async move {
        while *changes.borrow_and_update() < total {
            changes.changed().await.unwrap();
        }
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..10).for_each(|_| drop(store.add_track())));
        }
    });
    runtime
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(20), follower).await })
        .unwrap()
        .unwrap();
    assert_eq!(store.newest_event().unwrap(), total);
}
