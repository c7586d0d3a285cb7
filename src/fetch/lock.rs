//! One process at a time works in a folder. Must not know what is done there.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);

/// A lock on a folder, given back when it is dropped or the process ends.
pub(super) struct Lock {
    #[cfg(unix)]
    _file: Option<nix::fcntl::Flock<File>>,
    #[cfg(not(unix))]
    _file: Option<File>,
}

impl Lock {
    /// Waits until no other process has the folder's lock; `waits` is called once if there is one that has. Where
    /// the file system has no locks there is none to wait for: files are whole all the same, since they are renamed
    /// into their places. `None` if `stop` was set.
    pub fn take(folder: &Path, waits: &mut dyn FnMut(), stop: &AtomicBool) -> Option<Lock> {
        let file = File::options().create(true).append(true).open(folder.join(".lock"));
        let Ok(file) = file else { return Some(Lock { _file: None }) };
        #[cfg(unix)]
        {
            use nix::errno::Errno;
            use nix::fcntl::{Flock, FlockArg};
            let mut file = file;
            let mut has_waited = false;
            loop {
                match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                    Ok(lock) => return Some(Lock { _file: Some(lock) }),
                    Err((same, Errno::EWOULDBLOCK | Errno::EINTR)) => file = same,
                    Err(_) => return Some(Lock { _file: None }),
                }
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                if !std::mem::replace(&mut has_waited, true) {
                    waits();
                }
                std::thread::sleep(EVERY);
            }
        }
        #[cfg(not(unix))]
        {
            let _ = (waits, stop, EVERY, Ordering::Relaxed);
            Some(Lock { _file: Some(file) })
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_second_waits_for_the_first_or_until_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let go_on = AtomicBool::new(false);
        let first = Lock::take(folder.path(), &mut || panic!("nobody has it"), &go_on).unwrap();
        assert!(Lock::take(folder.path(), &mut || (), &AtomicBool::new(true)).is_none());
        let (send, waits) = channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let mut says = || send.send(()).unwrap();
                Lock::take(folder.path(), &mut says, &AtomicBool::new(false)).is_some()
            });
            waits.recv().unwrap();
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
