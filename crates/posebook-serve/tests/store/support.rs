//! A store in a temporary folder with a clock that tests set.

use posebook_serve::job::{Job, JobId, JobKind, JobRequest, ResultFile, Source};
use posebook_serve::store::{Added, Event, NewJob, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

/// The time at which test clocks start: in the year 2027.
pub const START: i64 = 1_800_000_000_000;
pub const HOUR: i64 = 3600 * 1000;
pub const DAY: i64 = 24 * HOUR;

pub struct TestStore {
    pub store: Store,
    pub clock: Arc<AtomicI64>,
    pub folder: TempDir,
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    pub fn new() -> TestStore {
        TestStore::in_folder(tempfile::tempdir().unwrap())
    }

    /// A store in [`memory_folder`].
    pub fn in_memory() -> TestStore {
        TestStore::in_folder(memory_folder())
    }

    fn in_folder(folder: TempDir) -> TestStore {
        let clock = Arc::new(AtomicI64::new(START));
        let store = open(&folder, &clock);
        TestStore { store, clock, folder }
    }

    /// The same after a restart of the server.
    pub fn reopen(self) -> TestStore {
        let TestStore { store, clock, folder } = self;
        drop(store);
        let store = open(&folder, &clock);
        TestStore { store, clock, folder }
    }

    pub fn wait(&self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Ordering::SeqCst);
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("queue.sqlite3")
    }

    /// Another connection to the database, to look or to do harm.
    pub fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.database()).unwrap()
    }

    pub fn add_new(&self, new: &NewJob) -> Job {
        match self.add(new, usize::MAX).unwrap() {
            Added::New(job) => job,
            other => panic!("{other:?}"),
        }
    }

    pub fn add_track(&self) -> Job {
        self.add_new(&track())
    }

    /// A job that has started.
    pub fn add_started(&self) -> Job {
        let job = self.add_track();
        let claimed = self.claim("cpu").unwrap().unwrap();
        assert_eq!(claimed.id, job.id);
        claimed
    }

    pub fn get(&self, id: JobId) -> Job {
        self.job(id).unwrap().unwrap()
    }

    /// All events of a job.
    pub fn events_of(&self, id: JobId) -> Vec<Event> {
        self.events(Some(id), 0, usize::MAX).unwrap()
    }

    /// States in the events of a job.
    pub fn states_of(&self, id: JobId) -> Vec<String> {
        let events = self.events_of(id).into_iter().filter(|event| event.kind == "state");
        events.map(|event| event.data["state"].as_str().unwrap().to_string()).collect()
    }
}

fn open(folder: &TempDir, clock: &Arc<AtomicI64>) -> Store {
    let clock = Arc::clone(clock);
    Store::open_with_clock(folder.path(), Arc::new(move || clock.load(Ordering::SeqCst))).unwrap()
}

/// A folder on a file system in memory, if there is one: syncs cost nothing there, and what a process wrote outlives it as it
/// does on a disk.
pub fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A job to add.
pub fn track() -> NewJob {
    let mut request = JobRequest::of_kind(JobKind::Track);
    request.source = vec![Source::Path("/data/a.mp4".into())];
    new(request)
}

pub fn new(request: JobRequest) -> NewJob {
    NewJob {
        id: JobId::random(),
        request,
        name: "a.mp4".into(),
        resolved: Some("/srv/data/a.mp4".into()),
        retry_of: None,
        idempotency_key: None,
    }
}

pub fn file(bytes: u64) -> ResultFile {
    ResultFile { name: "people.csv".into(), bytes, sha256: "00".repeat(32), media_type: "text/csv".into() }
}
