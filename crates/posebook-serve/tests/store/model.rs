//! Random sequences of what several clients and devices do, compared with a simple model after each step.

use crate::support::{DAY, HOUR, TestStore, file, track};
use posebook_serve::job::{Failure, FailureKind, JobId, JobState, Progress};
use posebook_serve::store::{Added, End, JobQuery, NewJob};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const QUEUE_MAX: usize = 6;

/// One step. Numbers choose a job: of the accepted ones, in the order of acceptance.
#[derive(Debug, Clone)]
enum Step {
    Add { id: Option<u8>, key: Option<u8>, body: u8, priority: i32 },
    Claim,
    Run(usize),
    Progress(usize),
    Note(usize),
    Cancel(usize),
    End(usize, u8),
    Requeue(usize, bool),
    Delete(usize),
    Expire(usize),
    Wait(i64),
    Prune,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let add =
        (proptest::option::weighted(0.3, 0..4_u8), proptest::option::weighted(0.3, 0..3_u8), 0..2_u8, -1..2);
    prop_oneof![
        6 => add.prop_map(|(id, key, body, priority)| Step::Add { id, key, body, priority }),
        5 => Just(Step::Claim),
        3 => (0..12_usize).prop_map(Step::Run),
        1 => (0..12_usize).prop_map(Step::Progress),
        1 => (0..12_usize).prop_map(Step::Note),
        3 => (0..12_usize).prop_map(Step::Cancel),
        5 => (0..12_usize, 0..3_u8).prop_map(|(job, how)| Step::End(job, how)),
        3 => (0..12_usize, any::<bool>()).prop_map(|(job, crashed)| Step::Requeue(job, crashed)),
        1 => (0..12_usize).prop_map(Step::Delete),
        1 => (0..12_usize).prop_map(Step::Expire),
        1 => (-2..30_i64).prop_map(|hours| Step::Wait(hours * HOUR)),
        1 => Just(Step::Prune),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct ModelJob {
    id: JobId,
    body: (u8, i32),
    state: JobState,
    attempt: u32,
    server_crashes: u32,
    expired: bool,
}

#[derive(Default)]
struct Model {
    /// In the order of acceptance.
    jobs: Vec<ModelJob>,
    /// Body, job and time of each key.
    keys: BTreeMap<u8, ((u8, i32), JobId, i64)>,
    newest_event: i64,
}

/// What the model says of a job to add.
#[derive(Debug, PartialEq)]
enum Answer {
    New,
    Same(JobId),
    Reused,
    Full,
}

impl Model {
    fn queue(&self) -> Vec<&ModelJob> {
        let mut queued: Vec<_> = self.jobs.iter().filter(|job| job.state == JobState::Queued).collect();
        // stable: equal priorities stay in the order of acceptance
        queued.sort_by_key(|job| -job.body.1);
        queued
    }

    fn job(&mut self, number: usize) -> Option<&mut ModelJob> {
        if self.jobs.is_empty() {
            return None;
        }
        let index = number % self.jobs.len();
        self.jobs.get_mut(index)
    }

    fn add(&mut self, id: JobId, key: Option<u8>, body: (u8, i32), now: i64) -> Answer {
        if let Some(key) = key {
            if self.keys.get(&key).is_some_and(|(_, _, created)| *created < now - DAY) {
                self.keys.remove(&key);
            }
            match self.keys.get(&key) {
                Some((known, job, _)) if *known == body => return Answer::Same(*job),
                Some(_) => return Answer::Reused,
                None => {}
            }
        }
        if let Some(known) = self.jobs.iter().find(|job| job.id == id) {
            if known.body != body {
                return Answer::Reused;
            }
            if let Some(key) = key {
                self.keys.insert(key, (body, id, now));
            }
            return Answer::Same(id);
        }
        if self.queue().len() >= QUEUE_MAX {
            return Answer::Full;
        }
        if let Some(key) = key {
            self.keys.insert(key, (body, id, now));
        }
        let state = JobState::Queued;
        self.jobs.push(ModelJob { id, body, state, attempt: 0, server_crashes: 0, expired: false });
        Answer::New
    }
}

fn new_job(id: Option<u8>, key: Option<u8>, body: u8, priority: i32) -> NewJob {
    let mut job = track();
    if let Some(id) = id {
        job.id = JobId(Uuid::from_u128(u128::from(id)));
    }
    job.request.settings.insert("body".into(), body.into());
    job.request.priority = priority;
    NewJob { idempotency_key: key.map(|key| key.to_string()), ..job }
}

fn is_started(state: JobState) -> bool {
    matches!(state, JobState::Starting | JobState::Running | JobState::Canceling)
}

/// Executes a step in the store and in the model, and compares the answers.
fn execute(store: TestStore, model: &mut Model, step: &Step) -> TestStore {
    match *step {
        Step::Add { id, key, body, priority } => {
            let job = new_job(id, key, body, priority);
            let expected = model.add(job.id, key, (body, priority), store.now());
            let answer = match store.add(&job, QUEUE_MAX).unwrap() {
                Added::New(added) => {
                    assert_eq!(added.id, job.id);
                    Answer::New
                }
                Added::Same(known) => Answer::Same(known.id),
                Added::KeyReused => Answer::Reused,
                Added::QueueFull => Answer::Full,
            };
            assert_eq!(answer, expected);
        }
        Step::Claim => {
            let expected = model.queue().first().map(|job| job.id);
            let claimed = store.claim("cpu").unwrap();
            assert_eq!(claimed.map(|job| job.id), expected);
            if let Some(job) = model.jobs.iter_mut().find(|job| Some(job.id) == expected) {
                job.state = JobState::Starting;
                job.attempt += 1;
            }
        }
        Step::Run(number) => {
            let Some(job) = model.job(number) else { return store };
            let is_allowed = job.state == JobState::Starting;
            assert_eq!(store.set_running(job.id).unwrap(), is_allowed);
            if is_allowed {
                job.state = JobState::Running;
            }
        }
        Step::Progress(number) => {
            let Some(job) = model.job(number) else { return store };
            store.set_progress(job.id, &Progress { done: 1, ..Progress::default() }).unwrap();
        }
        Step::Note(number) => {
            let Some(job) = model.job(number) else { return store };
            store.add_note(job.id, "a message").unwrap();
        }
        Step::Cancel(number) => {
            let Some(job) = model.job(number) else { return store };
            job.state = match job.state {
                JobState::Queued => JobState::Canceled,
                JobState::Starting | JobState::Running => JobState::Canceling,
                state => state,
            };
            assert_eq!(store.cancel(job.id).unwrap().unwrap().state, job.state);
        }
        Step::End(number, how) => {
            let Some(job) = model.job(number) else { return store };
            let failure = Failure {
                kind: FailureKind::Error,
                message: "no".into(),
                advice: None,
                changed_settings: Default::default(),
            };
            let (end, state) = match how {
                0 => (End::Succeeded, JobState::Succeeded),
                1 => (End::Failed(failure), JobState::Failed),
                _ => (End::Canceled, JobState::Canceled),
            };
            let is_allowed = is_started(job.state);
            assert_eq!(store.end(job.id, &end, &[file(1)], None).unwrap(), is_allowed);
            if is_allowed {
                job.state = state;
            }
        }
        Step::Requeue(number, crashed) => {
            let Some(job) = model.job(number) else { return store };
            let is_allowed = matches!(job.state, JobState::Starting | JobState::Running);
            assert_eq!(store.requeue(job.id, crashed).unwrap(), is_allowed);
            if is_allowed {
                job.state = JobState::Queued;
                job.server_crashes += u32::from(crashed);
            }
        }
        Step::Delete(number) => {
            let Some(job) = model.job(number).map(|job| job.clone()) else { return store };
            assert_eq!(store.delete(job.id).unwrap(), job.state.is_final());
            if job.state.is_final() {
                model.jobs.retain(|other| other.id != job.id);
                model.keys.retain(|_, (_, of, _)| *of != job.id);
            }
        }
        Step::Expire(number) => {
            let Some(job) = model.job(number) else { return store };
            store.set_expired(job.id).unwrap();
            job.expired |= job.state.is_final();
        }
        Step::Wait(milliseconds) => store.wait(milliseconds),
        Step::Prune => {
            store.prune(store.now()).unwrap();
            let oldest = store.now() - DAY;
            model.keys.retain(|_, (_, _, created)| *created >= oldest);
        }
        Step::Reopen => return store.reopen(),
    }
    store
}

/// Compares all that can be read.
fn compare(store: &TestStore, model: &mut Model) {
    let stored = store.jobs(&JobQuery { limit: 500, ..JobQuery::default() }).unwrap();
    let found: Vec<_> = stored
        .iter()
        .rev()
        .map(|job| ModelJob {
            id: job.id,
            body: (job.request.settings["body"].as_u64().unwrap() as u8, job.request.priority),
            state: job.state,
            attempt: job.attempt,
            server_crashes: job.server_crashes,
            expired: job.expired,
        })
        .collect();
    assert_eq!(found, model.jobs);
    let queue: Vec<_> = model.queue().iter().map(|job| job.id).collect();
    for job in &model.jobs {
        let place = queue.iter().position(|id| *id == job.id).map(|place| place as u64);
        assert_eq!(store.queue_position(job.id).unwrap(), place);
    }
    let unfinished: Vec<_> = store.unfinished().unwrap().iter().map(|job| job.id).collect();
    let expected: Vec<_> = model.jobs.iter().filter(|job| is_started(job.state)).map(|job| job.id).collect();
    assert_eq!(unfinished, expected);

    let events = store.events(None, 0, 10_000).unwrap();
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number));
    let newest = store.newest_event().unwrap();
    assert!(newest >= model.newest_event && events.last().is_none_or(|last| last.number <= newest));
    assert_eq!(*store.changes().borrow(), newest);
    model.newest_event = newest;
    for job in &model.jobs {
        let of_job: Vec<_> = events.iter().filter(|event| event.job == job.id).collect();
        let states: Vec<_> = of_job.iter().filter(|event| event.kind == "state").collect();
        assert_eq!(states.last().unwrap().data["state"], job.state.as_str());
        let ends = of_job.iter().filter(|event| event.kind == "end").count();
        assert_eq!(ends, usize::from(job.state.is_final()));
        assert_eq!(of_job.last().unwrap().kind == "end", job.state.is_final());
        let attempts: Vec<_> = states.iter().map(|event| event.data["attempt"].as_u64().unwrap()).collect();
        assert!(attempts.is_sorted() && attempts.last() == Some(&u64::from(job.attempt)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_says(steps in proptest::collection::vec(step(), 1..50)) {
        let mut store = TestStore::in_memory();
        let mut model = Model::default();
        for step in &steps {
            store = execute(store, &mut model, step);
            compare(&store, &mut model);
        }
    }
}
