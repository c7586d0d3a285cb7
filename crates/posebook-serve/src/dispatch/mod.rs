//! Runs jobs: one thread per device takes the next job, starts its process, forwards its progress, and records its end.
//! Also recovers what an earlier server left, and removes results after their time.
//!
//! | module | in | out |
//! |---|---|---|
//! | `device` | a device | jobs taken one after another, while neither another process nor a full disk prevents it |
//! | `device_lock` | a card's UUID | a lock that servers share |
//! | `attempt` | a job that was taken | its end in the store, or the job queued again |
//! | `sources` | the sources of a request | local files that do not change any more |
//! | `process` | a command | progress and notes in the store, messages in the log, how it ended |
//! | `output` | what a process writes | progress and notes that wait to be stored, and the log |
//! | `progress` | progress | rate and time left |
//! | `job_log` | messages | a file of at most 10 MiB |
//! | `descendants` | a job's folder | no process that belongs to it |
//! | `finish` | a folder and an end | recorded and synced results |
//! | `recovery` | what an ended server left | a decision on each job |
//! | `retention` | the time | removed results, uploads, events and leftovers |

mod attempt;
mod descendants;
mod device;
mod device_lock;
mod finish;
mod job_log;
mod output;
mod process;
mod progress;
mod recovery;
mod retention;
mod sources;

use crate::job::JobId;
use crate::service::Service;
use serde::Serialize;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The threads of the devices.
#[derive(Debug)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// State of a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceState {
    /// The device.
    pub device: String,
    /// The job that it executes.
    pub job: Option<JobId>,
    /// Why it takes no jobs: locked by another process, or the disk is full.
    pub blocked: Option<String>,
}

/// What requests and the threads share. It does not refer to the service, which refers to it.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signaled when a job was queued, ended or canceled, and when the server ends.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    devices: Vec<DeviceState>,
    /// Jobs that a device executes.
    active: HashMap<JobId, Arc<Control>>,
    /// Increases with every call of [`Dispatcher::wake`]: a call between a look at the queue and the wait is not missed.
    wakes: u64,
    /// Whether no more jobs are taken.
    ending: bool,
}

/// What stops a job.
#[derive(Debug, Default)]
struct Control {
    /// Cancellation was asked for.
    canceled: AtomicBool,
    /// The server ends and the time for running jobs is over.
    interrupted: AtomicBool,
    /// Set when one of the two others is: for code that takes one flag.
    stopped: AtomicBool,
}

impl Control {
    fn cancel(&self) {
        self.canceled.store(true, Ordering::SeqCst);
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::SeqCst)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // a thread that panicked leaves a state that is still valid: every change is one assignment
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Number of wakes so far, for [`Shared::wait`].
    fn wakes(&self) -> u64 {
        self.lock().wakes
    }

    /// Waits until there were more than `wakes` wakes, the server ends, or `time` has passed.
    fn wait(&self, wakes: u64, time: Duration) {
        let state = self.lock();
        let is_idle = |state: &mut State| state.wakes == wakes && !state.ending;
        // a poisoned lock has the same guard
        drop(self.changed.wait_timeout_while(state, time, is_idle));
    }

    /// Waits until the server ends, or `time` has passed.
    fn wait_for_end(&self, time: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), time, |state| !state.ending));
    }

    /// Registers the job that the device at `index` executes. One that was taken from the queue just when the server began to end
    /// is interrupted at once: [`Dispatcher::drain`] may have looked for active jobs already.
    fn begin(&self, index: usize, job: JobId) -> Arc<Control> {
        let control = Arc::new(Control::default());
        let mut state = self.lock();
        if state.ending {
            control.interrupt();
        }
        state.devices[index].job = Some(job);
        state.active.insert(job, Arc::clone(&control));
        control
    }

    fn end(&self, index: usize, job: JobId) {
        let mut state = self.lock();
        state.devices[index].job = None;
        state.active.remove(&job);
        drop(state);
        self.changed.notify_all();
    }

    /// Says why a device takes no jobs. True if that is new.
    fn set_blocked(&self, index: usize, reason: Option<String>) -> bool {
        let blocked = &mut self.lock().devices[index].blocked;
        let is_new = blocked.is_some() != reason.is_some();
        *blocked = reason;
        is_new
    }
}

impl Dispatcher {
    /// Recovers unfinished jobs of an earlier server and starts the threads.
    ///
    /// # Errors
    /// If folders or threads cannot be created.
    pub fn start(service: Arc<Service>) -> io::Result<Dispatcher> {
        recovery::recover(&service)?;
        let device = |name: &String| DeviceState { device: name.clone(), job: None, blocked: None };
        let state = State {
            devices: service.options.devices.iter().map(device).collect(),
            active: HashMap::new(),
            wakes: 0,
            ending: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let dispatcher = Dispatcher { shared, threads: Mutex::new(Vec::new()) };
        for (index, info) in service.devices.iter().enumerate() {
            let (service, shared, info) =
                (Arc::clone(&service), Arc::clone(&dispatcher.shared), info.clone());
            dispatcher.thread(&info.name.clone(), move || device::run(&service, &shared, index, &info))?;
        }
        let shared = Arc::clone(&dispatcher.shared);
        dispatcher.thread("retention", move || retention::run(&service, &shared))?;
        Ok(dispatcher)
    }

    /// Starts a thread that [`Dispatcher::drain`] waits for.
    fn thread(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let handle = thread::Builder::new().name(name.into()).spawn(work)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(())
    }

    /// A job was queued: idle devices look for it.
    pub fn wake(&self) {
        self.shared.lock().wakes += 1;
        self.shared.changed.notify_all();
    }

    /// A job's state is `canceling`: its process is interrupted, and killed after 10 s.
    pub fn cancel(&self, job: JobId) {
        if let Some(control) = self.shared.lock().active.get(&job) {
            control.cancel();
        }
    }

    /// What the devices do.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceState> {
        self.shared.lock().devices.clone()
    }

    /// Takes no more jobs, waits `grace` for running ones, interrupts and queues the rest again. Blocks until no process is left.
    pub fn drain(&self, grace: Duration) {
        let mut state = self.shared.lock();
        state.ending = true;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + grace;
        while !state.active.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            state = match self.shared.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        for control in state.active.values() {
            control.interrupt();
        }
        drop(state);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // a device's thread that panicked has ended as well; its job is decided on at the next start
            let _ = thread.join();
        }
    }
}

/// Bytes that can be written before the disk's floor is reached; all if the system does not say.
fn free_bytes_above_floor(service: &Service) -> u64 {
    service.disk_space().map_or(u64::MAX, |space| space.free.saturating_sub(space.floor))
}

/// Reports what is not part of a request or of a job's state, such as a full disk, in the server's log.
fn report(service: &Service, text: &str) {
    crate::log::error(service.options.log, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_taken_while_the_server_ends_is_interrupted() {
        let device = DeviceState { device: "cpu".into(), job: None, blocked: None };
        let state = State { devices: vec![device], active: HashMap::new(), wakes: 0, ending: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let dispatcher = Dispatcher { shared: Arc::clone(&shared), threads: Mutex::default() };
        assert!(!shared.begin(0, JobId::random()).is_stopped());
        dispatcher.drain(Duration::ZERO);
        let control = shared.begin(0, JobId::random());
        assert!(control.is_interrupted() && control.is_stopped() && !control.is_canceled());
    }
}
