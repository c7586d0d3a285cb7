//! A job's process, from its start to its end. In: a command. Out: its progress and notes in the store, its messages in the log,
//! how it ended. When it has ended, no descendant of it is left.

use super::descendants::{self, MARKER};
use super::job_log::JobLog;
use super::output::{MAX_WAITING_NOTES, Message, Pending, lock, read_events, read_messages};
use super::progress::Estimator;
use super::{Control, report};
use crate::job::Job;
use crate::service::{DiskSpace, Service};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use posebook_core::children::{ChildLimits, spawn_limited};
use posebook_core::memory::process::oom_kill_count;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Interval at which flags, limits and the disk are checked.
const TICK: Duration = Duration::from_millis(50);
/// How often free disk space is read.
const DISK_INTERVAL: Duration = Duration::from_millis(500);
/// Minimum interval between two stored values of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum number of stored notes of a job; further ones are in the log only.
const MAX_NOTES: usize = 1000;
/// Notes that are stored at a time.
const NOTES_AT_A_TIME: usize = 5;
/// How long to wait for the rest of the output once no process is left.
const OUTPUT_END: Duration = Duration::from_secs(2);

/// Why the server stopped a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum StopReason {
    /// It was canceled.
    Canceled,
    /// The server ends.
    ServerEnds,
    /// Its time limit passed.
    TimeLimit(Duration),
    /// The disk is full.
    DiskFull(DiskSpace),
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct ProcessEnd {
    /// Exit code or signal.
    pub(super) status: ExitStatus,
    /// Why the server asked it to stop.
    pub(super) stopped: Option<StopReason>,
    /// Whether it was killed because it did not stop in time.
    pub(super) killed: bool,
    /// Whether the kernel has killed a process for lack of memory meanwhile.
    pub(super) out_of_memory: bool,
    /// Last lines of the log.
    pub(super) last_lines: Vec<String>,
}

/// What a process needs to run.
pub(super) struct Execution<'a> {
    /// The service.
    pub(super) service: &'a Service,
    /// The job.
    pub(super) job: &'a Job,
    /// Its folder, with `job.json`.
    pub(super) folder: &'a Path,
    /// What stops it.
    pub(super) control: &'a Control,
    /// Its log.
    pub(super) log: Arc<Mutex<JobLog>>,
}

impl Execution<'_> {
    /// Starts the process, calls `started`, and waits until it and its descendants have ended.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn run(&self, started: impl FnOnce()) -> io::Result<ProcessEnd> {
        let mut command = self.service.backend.job_command(self.folder);
        command.current_dir(self.folder).env(MARKER, self.folder);
        let kills_before = OomKills::read();
        let limits = ChildLimits { no_new_privileges: true, own_group: true, ..ChildLimits::default() };
        let mut child = spawn_limited(&command, [Stdio::null(), Stdio::piped(), Stdio::piped()], limits)?;
        let leader = child.id();
        let mut forward = Forward::new(self);
        let result = (|| {
            let (sender, messages) = channel();
            let pending = Arc::new(Mutex::new(Pending::default()));
            let mut readers = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                let (pending, log, sender) = (Arc::clone(&pending), Arc::clone(&self.log), sender.clone());
                readers.push(thread("stdout", move || read_events(stdout, &pending, &log, &sender))?);
            }
            if let Some(stderr) = child.stderr.take() {
                let log = Arc::clone(&self.log);
                readers.push(thread("stderr", move || read_messages(stderr, &log))?);
            }
            thread("wait", move || wait_for(leader, &sender))?;
            started();
            let (stopped, killed) = self.watch(leader, &messages, &pending, &mut forward);
            io::Result::Ok((pending, readers, stopped, killed))
        })();
        // also on errors; the process itself has ended or is killed here
        descendants::kill_all(self.folder, Some(leader), &|text| report(self.service, text));
        let status = child.wait()?;
        let (pending, readers, stopped, killed) = result?;
        for reader in readers {
            // a process that cannot be found may hold the pipe
            let _ = reader.recv_timeout(OUTPUT_END);
        }
        forward.progress(&pending, true);
        forward.notes(&pending, MAX_WAITING_NOTES);
        let last_lines = lock(&self.log).finish(5);
        Ok(ProcessEnd {
            status,
            stopped,
            killed,
            out_of_memory: OomKills::read().is_more_than(&kills_before),
            last_lines,
        })
    }

    /// Forwards output and stops the process when there is a reason, until it has ended. Returns the reason, and whether it was
    /// killed.
    fn watch(
        &self,
        leader: u32,
        messages: &Receiver<Message>,
        pending: &Mutex<Pending>,
        forward: &mut Forward,
    ) -> (Option<StopReason>, bool) {
        let began = Instant::now();
        let mut disk_read = began;
        let mut stopped: Option<(StopReason, Instant)> = None;
        let mut killed = false;
        loop {
            match messages.recv_timeout(TICK) {
                Ok(Message::Exited) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Message::Output) | Err(RecvTimeoutError::Timeout) => {}
            }
            forward.progress(pending, false);
            forward.notes(pending, NOTES_AT_A_TIME);
            lock(&self.log).write_tail_if_due();
            match stopped {
                None => {
                    if let Some(reason) = self.reason_to_stop(began, &mut disk_read) {
                        // an error means that it has ended
                        let _ = kill(Pid::from_raw(leader.cast_signed()), Signal::SIGTERM);
                        stopped = Some((reason, Instant::now()));
                    }
                }
                Some((_, since)) if !killed && since.elapsed() >= self.service.options.interrupt_grace => {
                    killed = true;
                    descendants::kill_all(self.folder, Some(leader), &|text| report(self.service, text));
                }
                Some(_) => {}
            }
        }
        (stopped.map(|(reason, _)| reason), killed)
    }

    fn reason_to_stop(&self, began: Instant, disk_read: &mut Instant) -> Option<StopReason> {
        if self.control.is_canceled() {
            return Some(StopReason::Canceled);
        }
        if self.control.is_interrupted() {
            return Some(StopReason::ServerEnds);
        }
        let limit = self.service.options.job_time_limit;
        if let Some(limit) = limit.filter(|limit| began.elapsed() >= *limit) {
            return Some(StopReason::TimeLimit(limit));
        }
        if disk_read.elapsed() >= DISK_INTERVAL {
            *disk_read = Instant::now();
            let space = self.service.disk_space().ok()?;
            return (!space.fits(0)).then_some(StopReason::DiskFull(space));
        }
        None
    }
}

/// Stores the progress and notes of a process.
struct Forward<'a> {
    execution: &'a Execution<'a>,
    estimator: Estimator,
    stored: Option<Instant>,
    notes: usize,
    failed: bool,
}

impl<'a> Forward<'a> {
    fn new(execution: &'a Execution<'a>) -> Forward<'a> {
        Forward { execution, estimator: Estimator::default(), stored: None, notes: 0, failed: false }
    }

    fn progress(&mut self, pending: &Mutex<Pending>, is_last: bool) {
        if !is_last && self.stored.is_some_and(|stored| stored.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        let Some(progress) = lock(pending).progress.take() else { return };
        let now = Instant::now();
        self.stored = Some(now);
        let progress = self.estimator.complete(progress, now);
        let stored = self.execution.service.store.set_progress(self.execution.job.id, &progress);
        self.check(stored);
    }

    fn notes(&mut self, pending: &Mutex<Pending>, maximum: usize) {
        for _ in 0..maximum {
            let Some(note) = lock(pending).notes.pop_front() else { return };
            if self.notes == MAX_NOTES {
                continue;
            }
            self.notes += 1;
            let stored = self.execution.service.store.add_note(self.execution.job.id, &note);
            self.check(stored);
        }
    }

    /// Progress that cannot be stored is no reason to stop a job. It is reported once.
    fn check(&mut self, stored: Result<(), crate::store::StoreError>) {
        if let Err(error) = stored
            && !std::mem::replace(&mut self.failed, true)
        {
            report(self.execution.service, &format!("progress of job {}: {error}", self.execution.job.id));
        }
    }
}

/// Starts a thread; the receiver gets nothing, and is disconnected when it has ended.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Receiver<()>> {
    let (end, ended) = channel::<()>();
    let work = move || {
        work();
        drop(end);
    };
    thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(ended)
}

/// Waits until the process has ended, and leaves it to be waited for again.
fn wait_for(process: u32, sender: &Sender<Message>) {
    let id = || Id::Pid(Pid::from_raw(process.cast_signed()));
    while waitid(id(), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    // nobody listens if an error ended the job
    let _ = sender.send(Message::Exited);
}

/// How often the kernel has killed a process for lack of memory: on the machine, and in this process' control group.
struct OomKills {
    machine: Option<u64>,
    group: Option<u64>,
}

impl OomKills {
    fn read() -> OomKills {
        OomKills { machine: oom_kill_count(), group: group_kills() }
    }

    fn is_more_than(&self, before: &OomKills) -> bool {
        let is_more =
            |now: Option<u64>, before: Option<u64>| now.zip(before).is_some_and(|(now, before)| now > before);
        is_more(self.machine, before.machine) || is_more(self.group, before.group)
    }
}

fn group_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let events = fs::read_to_string(Path::new("/sys/fs/cgroup").join(group).join("memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}
