//! A lock on a folder, so that one process at a time fetches into it.

use super::error::FetchError;
use super::event::Event;
use crate::scratch;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Stem of the temporary folders for downloads and unpacking.
const WORK_STEM: &str = ".fetch";
/// Interval between attempts to acquire the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A lock on a folder; released when it is dropped or the process ends.
pub struct Lock {
    #[cfg(unix)]
    _file: Option<nix::fcntl::Flock<File>>,
    #[cfg(not(unix))]
    _file: Option<File>,
}

impl Lock {
    /// Waits until no other process holds the folder's lock; `on_wait` is called once if one does. On file systems without
    /// locks it returns at once: files are still complete, since they are renamed to their paths. `None` if `stop` is set.
    pub fn acquire(folder: &Path, on_wait: &mut dyn FnMut(), stop: &AtomicBool) -> Option<Lock> {
        let file = File::options().create(true).append(true).open(folder.join(".lock"));
        let Ok(file) = file else { return Some(Lock { _file: None }) };
        #[cfg(unix)]
        {
            use nix::errno::Errno;
            use nix::fcntl::{Flock, FlockArg};
            let mut file = file;
            let mut has_reported = false;
            loop {
                match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                    Ok(lock) => return Some(Lock { _file: Some(lock) }),
                    Err((same, Errno::EWOULDBLOCK | Errno::EINTR)) => file = same,
                    Err(_) => return Some(Lock { _file: None }),
                }
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                if !std::mem::replace(&mut has_reported, true) {
                    on_wait();
                }
                std::thread::sleep(POLL_INTERVAL);
            }
        }
        #[cfg(not(unix))]
        {
            let _ = (on_wait, stop, POLL_INTERVAL, Ordering::Relaxed);
            Some(Lock { _file: Some(file) })
        }
    }
}

/// A temporary folder, removed when it is dropped.
pub struct WorkFolder(pub PathBuf);

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Creates `folder`, takes its lock, deletes temporary folders of processes that no longer run, and creates a temporary
/// folder for this fetch.
///
/// # Errors
/// [`FetchError::Stopped`] if `stop` is set while waiting; or if `folder` cannot be created.
pub fn lock_folder(
    folder: &Path,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(Lock, WorkFolder), FetchError> {
    fs::create_dir_all(folder).map_err(FetchError::io(folder))?;
    let lock = Lock::acquire(folder, &mut || on_event(Event::WaitingForLock { folder }), stop);
    let lock = lock.ok_or(FetchError::Stopped)?;
    scratch::remove_abandoned(folder, |stem| stem == WORK_STEM);
    let work = folder.join(scratch::temporary_name(WORK_STEM));
    Ok((lock, WorkFolder(work)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_second_process_waits_for_the_lock_or_until_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let not_stopped = AtomicBool::new(false);
        let first = Lock::acquire(folder.path(), &mut || panic!("the lock is free"), &not_stopped).unwrap();
        assert!(Lock::acquire(folder.path(), &mut || (), &AtomicBool::new(true)).is_none());
        let (send, waits) = channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let mut report = || send.send(()).unwrap();
                Lock::acquire(folder.path(), &mut report, &AtomicBool::new(false)).is_some()
            });
            waits.recv().unwrap();
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
