//! A full disk: the change is refused as a whole, what was acknowledged stays, and the store works again once there is space.
//!
//! The test starts its own binary again in a mount namespace with a small file system in memory.

use crate::support::track;
use crate::test_skip::skip;
use posebook_serve::job::{JobId, JobState, Progress};
use posebook_serve::store::{Added, End, Store, StoreError};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs, thread};

/// Folder of the small file system.
const FOLDER: &str = "POSEBOOK_TEST_STORE_FULL";
const CHILD: &str = "full::the_process_with_a_small_disk";
const MOUNT: &str = "mount -t tmpfs -o size=4m tmpfs \"$0\"";

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script]).arg(folder.path());
        command.arg(env::current_exe().unwrap()).env(FOLDER, folder.path());
        command
    };
    let can_mount = in_namespace(MOUNT).output().is_ok_and(|output| output.status.success());
    if !can_mount {
        skip("a full disk: a file system in memory cannot be mounted (unshare, mount)", false);
        return;
    }
    let script = format!("{MOUNT} && exec \"$1\" --exact {CHILD} --ignored --nocapture");
    let output = in_namespace(&script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("the disk was full"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "is the process that the other test starts"]
fn the_process_with_a_small_disk() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let store = Store::open(folder).unwrap();
    let first = store.add(&track(), 10).map(|_| store.claim("cpu").unwrap().unwrap()).unwrap();
    assert!(store.set_running(first.id).unwrap());
    let acknowledged = Mutex::new(BTreeSet::from([first.id]));

    // several threads, so that writes that share a commit meet the full disk too
    let fill = || {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        match store.add(&track(), usize::MAX) {
                            Ok(Added::New(job)) => drop(acknowledged.lock().unwrap().insert(job.id)),
                            Err(StoreError::DiskFull { folder: named }) => {
                                assert_eq!(named, folder.canonicalize().unwrap());
                                return;
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                });
            }
        });
    };
    fill();
    let before = acknowledged.lock().unwrap().len();
    assert!(before > 20, "{before}");
    check(&store, folder, &acknowledged.lock().unwrap());
    // all other changes are refused too, as a whole
    let full = |result: Result<bool, StoreError>| {
        assert!(matches!(result, Err(StoreError::DiskFull { .. })), "{result:?}")
    };
    for _ in 0..3 {
        full(store.add_note(first.id, &"x".repeat(200_000)).map(|()| true));
        let progress = Progress { stage: "x".repeat(200_000), ..Progress::default() };
        full(store.set_progress(first.id, &progress).map(|()| true));
    }
    let job = store.job(first.id).unwrap().unwrap();
    assert_eq!((job.state, job.progress), (JobState::Running, None));

    fs::remove_file(&ballast).unwrap();
    assert!(store.end(first.id, &End::Succeeded, &[], None).unwrap());
    fill();
    assert!(acknowledged.lock().unwrap().len() > before);
    check(&store, folder, &acknowledged.lock().unwrap());

    // a database that is opened on the full disk
    drop(store);
    let opened = Store::open(folder);
    match opened {
        Ok(store) => check(&store, folder, &acknowledged.lock().unwrap()),
        Err(error) => assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}"),
    }
    // a new one cannot be created there
    fs::write(&ballast, vec![1; 4096]).ok();
    while fs::OpenOptions::new()
        .append(true)
        .open(&ballast)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[1; 1024]))
        .is_ok()
    {}
    let new = folder.join("new");
    match fs::create_dir(&new).map(|()| Store::open(&new)) {
        Ok(Err(StoreError::DiskFull { .. })) => {}
        Ok(other) => panic!("{other:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull),
    }
    println!("the disk was full with {} jobs", acknowledged.lock().unwrap().len());
}

fn check(store: &Store, folder: &Path, acknowledged: &BTreeSet<JobId>) {
    for id in acknowledged {
        assert!(store.job(*id).unwrap().is_some(), "{id} is lost");
    }
    let total: u64 = store.counts().unwrap().iter().map(|(_, count)| count).sum();
    assert_eq!(total, acknowledged.len() as u64, "a refused job left something");
    let connection = rusqlite::Connection::open(folder.join("queue.sqlite3")).unwrap();
    let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}
