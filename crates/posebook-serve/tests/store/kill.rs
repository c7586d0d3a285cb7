//! A server that is killed: nothing that was acknowledged is lost, no job has two ends, no row is torn.
//!
//! The test starts its own binary again as a process that adds, claims and ends jobs in four threads and prints what the store
//! acknowledged. It kills that process at a random moment, opens the database, compares, and starts the next one on the same
//! database.

use crate::support::{file, memory_folder, track};
use posebook_serve::job::{Failure, FailureKind, JobId, JobState, Progress};
use posebook_serve::store::{Added, End, NewJob, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

/// Folder of the database, for the process that is killed.
const FOLDER: &str = "POSEBOOK_TEST_STORE_TO_KILL";
const CHILD: &str = "kill::the_process_that_is_killed";

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "ack {text}").and_then(|()| out.flush()).is_err() {
        // the reader is gone, because its test failed
        std::process::exit(1);
    }
}

#[test]
#[ignore = "is the process that the other tests start"]
fn the_process_that_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    recover(&store);
    thread::scope(|scope| {
        for client in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for index in 0.. {
                    let key = format!("{}-{client}-{index}", std::process::id());
                    let job = NewJob { idempotency_key: Some(key), ..track() };
                    let Added::New(job) = store.add(&job, 50).unwrap() else {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    };
                    say(&format!("added {}", job.id));
                    if index % 7 == 0 {
                        let state = store.cancel(job.id).unwrap().unwrap().state;
                        say(&format!("canceled {} {}", job.id, state.as_str()));
                    }
                }
            });
        }
        for device in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for index in 0.. {
                    let Some(job) = store.claim(&format!("cuda:{device}")).unwrap() else {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    };
                    say(&format!("claimed {} {}", job.id, job.attempt));
                    store.set_running(job.id).unwrap();
                    store.set_progress(job.id, &Progress { done: index, ..Progress::default() }).unwrap();
                    let canceling = store.job(job.id).unwrap().unwrap().state == JobState::Canceling;
                    let end = match index % 3 {
                        _ if canceling => End::Canceled,
                        0 => End::Failed(failure()),
                        _ => End::Succeeded,
                    };
                    if store.end(job.id, &end, &[file(index)], None).unwrap() {
                        say(&format!("ended {} {}", job.id, state_after(&end).as_str()));
                    }
                }
            });
        }
    });
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::Error,
        message: "it failed".into(),
        advice: None,
        changed_settings: Default::default(),
    }
}

fn state_after(end: &End) -> JobState {
    match end {
        End::Succeeded => JobState::Succeeded,
        End::Failed(_) => JobState::Failed,
        End::Canceled => JobState::Canceled,
    }
}

/// What a server does with the jobs of one that crashed.
fn recover(store: &Store) {
    for job in store.unfinished().unwrap() {
        let is_done = match job.state {
            JobState::Canceling => store.end(job.id, &End::Canceled, &[], None).unwrap(),
            _ => store.requeue(job.id, true).unwrap(),
        };
        assert!(is_done, "{job:?}");
    }
}

/// What the store acknowledged before the process was killed.
#[derive(Default)]
struct Acknowledged {
    added: BTreeSet<JobId>,
    claimed: BTreeMap<JobId, u32>,
    ended: BTreeMap<JobId, JobState>,
    canceled: BTreeSet<JobId>,
}

impl Acknowledged {
    fn read(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let id = words[2].parse().unwrap();
        match words[1] {
            "added" => drop(self.added.insert(id)),
            "claimed" => drop(self.claimed.insert(id, words[3].parse().unwrap())),
            "ended" => {
                let previous = self.ended.insert(id, words[3].parse().unwrap());
                assert_eq!(previous, None, "a job has one end: {line}");
            }
            "canceled" => drop(self.canceled.insert(id)),
            other => panic!("{other}"),
        }
    }
}

impl Acknowledged {
    /// Joins what a later process acknowledged.
    fn add(&mut self, later: Acknowledged) {
        for (id, state) in later.ended {
            assert_eq!(self.ended.insert(id, state), None, "a job has one end: {id}");
        }
        self.added.extend(later.added);
        self.claimed.extend(later.claimed);
        self.canceled.extend(later.canceled);
    }
}

/// Starts the process, kills it `time` after so many acknowledgements, and reads what it acknowledged.
fn run_and_kill(folder: &Path, count: usize, time: Duration, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // the harness writes its own words before the first one
    let mut lines = lines.filter_map(|line| line.find("ack ").map(|at| line[at..].to_string()));
    for line in lines.by_ref().take(count) {
        acknowledged.read(&line);
    }
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            thread::sleep(time);
            child.kill().unwrap();
            child.wait().unwrap()
        });
        lines.for_each(|line| acknowledged.read(&line));
        let status = killer.join().unwrap();
        assert!(!status.success(), "it was killed and did not end by itself");
    });
}

/// Compares the database with what was acknowledged, and looks at the `newest` jobs.
fn check(folder: &Path, acknowledged: &Acknowledged, newest: i64) {
    let store = Store::open(folder).unwrap();
    let connection = rusqlite::Connection::open(folder.join("queue.sqlite3")).unwrap();
    let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    let broken: i64 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(broken, 0);
    for id in &acknowledged.added {
        assert!(store.job(*id).unwrap().is_some(), "job {id} is lost");
    }
    for (id, attempt) in &acknowledged.claimed {
        assert!(store.job(*id).unwrap().unwrap().attempt >= *attempt, "attempt {attempt} of {id} is lost");
    }
    for (id, state) in &acknowledged.ended {
        assert_eq!(store.job(*id).unwrap().unwrap().state, *state, "end of {id}");
    }
    for id in &acknowledged.canceled {
        let state = store.job(*id).unwrap().unwrap().state;
        let is_possible = state.is_final() || state == JobState::Canceling;
        assert!(is_possible, "cancellation of {id} is lost: {state:?}");
    }
    // every job is whole, also those that were not acknowledged
    let mut statement = connection.prepare("SELECT id FROM jobs ORDER BY seq DESC LIMIT ?1").unwrap();
    let ids = statement.query_map([newest], |row| row.get::<_, String>(0)).unwrap();
    for id in ids.map(|id| id.unwrap().parse::<JobId>().unwrap()) {
        let job = store.job(id).unwrap().unwrap();
        let events = store.events(Some(id), 0, 10_000).unwrap();
        assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number));
        let states: Vec<_> = events.iter().filter(|event| event.kind == "state").collect();
        assert_eq!(states.last().unwrap().data["state"], job.state.as_str(), "{id}");
        let starts = states.iter().filter(|event| event.data["state"] == "starting").count();
        assert_eq!(starts, job.attempt as usize, "{id}");
        let ends = events.iter().filter(|event| event.kind == "end").count();
        assert_eq!(ends, usize::from(job.state.is_final()), "{id}");
        assert_eq!(events.last().unwrap().kind == "end", job.state.is_final(), "{id}");
    }
}

fn kill_often(times: u64) {
    let folder = memory_folder();
    let mut all = Acknowledged::default();
    // moments that differ in each round: after 1 to 60 acknowledgements and 0 to 5 ms
    let mut random: u64 = 12_345;
    let mut next = |maximum: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % maximum
    };
    for _ in 0..times {
        let (count, time) = (1 + next(60) as usize, Duration::from_micros(next(5_000)));
        let mut acknowledged = Acknowledged::default();
        run_and_kill(folder.path(), count, time, &mut acknowledged);
        check(folder.path(), &acknowledged, 150);
        all.add(acknowledged);
    }
    check(folder.path(), &all, i64::MAX);
    println!("{times} times killed: {} added, {} ended, 0 lost", all.added.len(), all.ended.len());
    assert!(all.added.len() as u64 > 2 * times && !all.ended.is_empty(), "it did work");
    // the next server finishes what is left
    let store = Store::open(folder.path()).unwrap();
    recover(&store);
    while let Some(job) = store.claim("cpu").unwrap() {
        assert!(store.end(job.id, &End::Succeeded, &[], None).unwrap());
    }
    assert!(store.counts().unwrap().iter().all(|(state, _)| state.is_final()));
}

#[test]
fn a_process_killed_20_times_loses_nothing() {
    kill_often(20);
}

#[test]
#[ignore = "takes a minute"]
fn a_process_killed_100_times_loses_nothing() {
    kill_often(100);
}
