//! Patience with children: one that says nothing for too long while somebody waits for it is ended.
//!
//! A thread looks at all children that are read from, a few times within the shortest patience. Must not
//! know what the children are for.

use std::io::{self, Read};
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// A child that several threads may look at or end. Dropped, it is ended and reaped.
pub(super) struct Leash {
    child: Mutex<Child>,
    program: &'static str,
    /// How long it may say nothing while somebody reads; `None` for ever.
    patience: Option<Duration>,
    /// When the reader in wait began to wait, in milliseconds of [`now_ms`]; 0 while nobody waits.
    since_ms: AtomicU64,
    silent: AtomicBool,
}

impl Leash {
    /// Takes charge of a child and, if there is a patience, has it watched.
    pub fn new(child: Child, program: &'static str, patience: Option<Duration>) -> Arc<Leash> {
        let leash = Arc::new(Leash {
            child: Mutex::new(child),
            program,
            patience,
            since_ms: AtomicU64::new(0),
            silent: AtomicBool::new(false),
        });
        if patience.is_some() {
            Guard::watch(&leash);
        }
        leash
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        // what is inside stays true even if a thread died while it looked
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// Ends the child at once and reaps it.
    pub fn end(&self) {
        let mut child = self.child();
        // both fail only where the child has ended and been waited for
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits for the child to end by itself; one that does not within its patience is ended.
    pub fn wait(&self) -> Option<ExitStatus> {
        let started = Instant::now();
        let mut pause = Duration::from_micros(100);
        loop {
            if let Ok(Some(status)) = self.child().try_wait() {
                return Some(status);
            }
            if self.patience.is_some_and(|patience| started.elapsed() > patience) {
                self.end();
                return None;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    /// How long the child has kept its reader waiting.
    fn silence(&self) -> Duration {
        match self.since_ms.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now_ms().saturating_sub(since)),
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.end();
    }
}

/// A child's standard output. Reading fails with [`io::ErrorKind::TimedOut`] once the child was ended for
/// its silence.
pub(super) struct Output {
    pipe: ChildStdout,
    leash: Arc<Leash>,
}

impl Output {
    pub fn new(pipe: ChildStdout, leash: Arc<Leash>) -> Output {
        Output { pipe, leash }
    }
}

impl Read for Output {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.leash.since_ms.store(now_ms(), Ordering::Release);
        let read = self.pipe.read(bytes);
        self.leash.since_ms.store(0, Ordering::Release);
        if self.leash.silent.load(Ordering::Acquire) {
            let secs = self.leash.patience.unwrap_or_default().as_secs_f64();
            let told = format!("{} said nothing for {secs} s and was ended", self.leash.program);
            return Err(io::Error::new(io::ErrorKind::TimedOut, told));
        }
        read
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Output {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Milliseconds since this was first asked, and one more, so that it is never 0.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

/// Who looks after all children that are watched.
struct Guard {
    watched: Mutex<Vec<Weak<Leash>>>,
    more: Condvar,
}

impl Guard {
    fn watch(leash: &Arc<Leash>) {
        static GUARD: OnceLock<Option<&'static Guard>> = OnceLock::new();
        let start = || {
            let guard: &'static Guard =
                Box::leak(Box::new(Guard { watched: Mutex::default(), more: Condvar::new() }));
            let spawned = thread::Builder::new().name("patience".into()).spawn(|| guard.work());
            spawned.ok().map(|_| guard)
        };
        // where there can be no thread, a silent child is waited for
        let Some(guard) = GUARD.get_or_init(start) else { return };
        guard.watched.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(leash));
        guard.more.notify_one();
    }

    fn work(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            watched.retain(|leash| leash.strong_count() > 0);
            let mut shortest = None;
            for leash in watched.iter().filter_map(Weak::upgrade) {
                let Some(patience) = leash.patience else { continue };
                shortest = Some(shortest.map_or(patience, |shortest: Duration| shortest.min(patience)));
                if leash.silence() > patience && !leash.silent.swap(true, Ordering::AcqRel) {
                    leash.end();
                }
            }
            watched = match shortest {
                None => self.more.wait(watched).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let pause = (patience / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
                    self.more.wait_timeout(watched, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
