//! Kills child processes that stall: that write nothing for their stall timeout while a thread reads from them.
//!
//! In: a [`ChildHandle`] with a timeout and a [`ChildOutput`] that is read from. One background thread for the
//! whole process checks all children, several times within the shortest timeout. Only time within a
//! read counts, so a slow consumer never makes a child stall. Out: the read fails with [`io::ErrorKind::TimedOut`].

use std::io::{self, Read};
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// A child process shared between threads. It is killed and reaped when the last handle is dropped.
pub struct ChildHandle {
    child: Mutex<Child>,
    program: &'static str,
    /// How long the child may write nothing while a thread reads; `None` for any time.
    stall_timeout: Option<Duration>,
    /// When the read in progress began, in milliseconds of [`now_ms`]; 0 while no thread reads.
    read_began_ms: AtomicU64,
    /// Whether the watchdog killed the child.
    has_stalled: AtomicBool,
}

impl ChildHandle {
    /// Takes ownership of a child and, if it has a timeout, registers it with the watchdog.
    pub fn new(child: Child, program: &'static str, stall_timeout: Option<Duration>) -> Arc<ChildHandle> {
        let handle = Arc::new(ChildHandle {
            child: Mutex::new(child),
            program,
            stall_timeout,
            read_began_ms: AtomicU64::new(0),
            has_stalled: AtomicBool::new(false),
        });
        if stall_timeout.is_some() {
            Watchdog::register(&handle);
        }
        handle
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        // a panic of another thread does not invalidate the child
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// Kills the child and reaps it.
    pub fn kill(&self) {
        let mut child = self.child();
        // both fail only if the child has exited and was reaped
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits for the child to exit by itself. `None` if it did not within its stall timeout and was killed.
    pub fn wait(&self) -> Option<ExitStatus> {
        let started = Instant::now();
        let mut pause = Duration::from_micros(100);
        loop {
            if let Ok(Some(status)) = self.child().try_wait() {
                return Some(status);
            }
            if self.stall_timeout.is_some_and(|timeout| started.elapsed() > timeout) {
                self.kill();
                return None;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    /// How long the read in progress has been blocked; zero if no thread reads.
    fn blocked_for(&self) -> Duration {
        match self.read_began_ms.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            began => Duration::from_millis(now_ms().saturating_sub(began)),
        }
    }
}

impl Drop for ChildHandle {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child's standard output. Reading fails with [`io::ErrorKind::TimedOut`] once the child was killed because it
/// stalled.
pub struct ChildOutput {
    pipe: ChildStdout,
    handle: Arc<ChildHandle>,
}

impl ChildOutput {
    /// The output `pipe` of the child behind `handle`.
    pub fn new(pipe: ChildStdout, handle: Arc<ChildHandle>) -> ChildOutput {
        ChildOutput { pipe, handle }
    }
}

impl Read for ChildOutput {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.handle.read_began_ms.store(now_ms(), Ordering::Release);
        let read = self.pipe.read(bytes);
        self.handle.read_began_ms.store(0, Ordering::Release);
        if self.handle.has_stalled.load(Ordering::Acquire) {
            let timeout_secs = self.handle.stall_timeout.unwrap_or_default().as_secs_f64();
            let message =
                format!("{} wrote nothing for {timeout_secs} s and was stopped", self.handle.program);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        read
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for ChildOutput {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Milliseconds since the first call, plus one, so that the result is never 0.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

/// The thread that checks all children with a stall timeout.
struct Watchdog {
    children: Mutex<Vec<Weak<ChildHandle>>>,
    /// Signaled when a child was added.
    added: Condvar,
}

impl Watchdog {
    fn register(handle: &Arc<ChildHandle>) {
        static WATCHDOG: OnceLock<Option<&'static Watchdog>> = OnceLock::new();
        let start = || {
            let watchdog: &'static Watchdog =
                Box::leak(Box::new(Watchdog { children: Mutex::default(), added: Condvar::new() }));
            let spawned = thread::Builder::new().name("stall-watchdog".into()).spawn(|| watchdog.run());
            spawned.ok().map(|_| watchdog)
        };
        // if the thread cannot be started, a stalled child blocks its reader
        let Some(watchdog) = WATCHDOG.get_or_init(start) else { return };
        watchdog.children.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(handle));
        watchdog.added.notify_one();
    }

    fn run(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            children.retain(|child| child.strong_count() > 0);
            let mut shortest = None;
            for child in children.iter().filter_map(Weak::upgrade) {
                let Some(timeout) = child.stall_timeout else { continue };
                shortest = Some(shortest.map_or(timeout, |shortest: Duration| shortest.min(timeout)));
                if child.blocked_for() > timeout && !child.has_stalled.swap(true, Ordering::AcqRel) {
                    child.kill();
                }
            }
            children = match shortest {
                None => self.added.wait(children).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let pause = (timeout / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
                    self.added.wait_timeout(children, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
