//! One run: its process started, watched from outside, held to its limits, and its death classified.
//!
//! Nothing else runs in the watcher meanwhile: what is measured has the machine to itself.

use super::RunnerError;
use super::death::{Death, Killed, Outcome, classify};
use super::order::{self, Account, Facts};
use crate::experiment::Limits;
use crate::memory::device::parts;
use crate::memory::disk;
use crate::memory::driver::CardWatch;
use crate::memory::live::{self, Live};
use crate::memory::process::{self, Sample, Watch};
use crate::tables::{MemoryRow, Spool};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(20);
/// How much later than a child this process may hear of a signal that both were sent.
const SIGNAL_DELAY: Duration = Duration::from_millis(100);

/// How a process is started: the program, and how it is told its folder.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    /// Arguments before the folder.
    pub arguments: Vec<String>,
}

/// Which run is watched, and how.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    pub run_id: &'a str,
    pub limits: &'a Limits,
    /// What the driver knows the run's graphics card by; `None` for the CPU.
    pub card: Option<&'a str>,
}

/// What was seen of a run's process.
#[derive(Debug, Clone)]
pub struct Seen {
    pub outcome: Outcome,
    pub error: Option<String>,
    pub wall_secs: f64,
    pub process_peak_bytes: Option<u64>,
    pub decoder_peak_bytes: Option<u64>,
    pub heap_peak_bytes: Option<u64>,
    pub disk_peak_bytes: Option<u64>,
    pub device_peak_bytes: Option<u64>,
    pub device_reserved_peak_bytes: Option<u64>,
    pub device_process_peak_bytes: Option<u64>,
    /// What the process itself reported.
    pub facts: Facts,
    /// The run was ended by Ctrl-C: it is no result.
    pub interrupted: bool,
}

/// Runs the process of `folder` to its end, writing the samples of its memory into the folder.
///
/// `on_look` hears what the process published last, once it has.
///
/// # Errors
/// If the process cannot be started, or the samples cannot be written. A process that fails is no
/// error here: that is what [`Seen::outcome`] says.
pub fn run(
    program: &Program,
    folder: &Path,
    watched: &Watched,
    interrupt: &AtomicBool,
    on_look: &mut dyn FnMut(&Live),
) -> Result<Seen, RunnerError> {
    let kernel_kills = process::kills_for_want_of_memory();
    let mut samples = Spool::create(folder)?;
    let started = Instant::now();
    let child = start(program, folder)?;
    let id = child.id();
    let ended = wait_beside(child);
    let mut peaks = Peaks::default();
    let mut eyes = Eyes { process: Watch::new(id), id, card: watched.card.and_then(CardWatch::of) };
    let mut killed = None;
    let status = loop {
        match ended.recv_timeout(EVERY) {
            Ok(status) => break status.map_err(RunnerError::file(&program.path))?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(RunnerError::Watch { folder: folder.to_path_buf() });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let live = live::read(&order::live_in(folder));
        let row = eyes.look(live, watched.run_id, started.elapsed().as_secs_f64());
        peaks.take(&row, live);
        live.iter().for_each(&mut *on_look);
        samples.append(&row)?;
        samples.flush()?;
        if killed.is_none() {
            killed = beyond(watched.limits, &row, started, interrupt);
            if killed.is_some() {
                end_group(id);
            }
        }
    };
    let wall_secs = started.elapsed().as_secs_f64();
    let killed = killed.or_else(|| stopped_with_us(status, interrupt).then_some(Killed::Interrupted));
    // a decoder that outlived the process
    end_group(id);
    peaks.scratch(folder);
    let kernel_killed = process::kills_for_want_of_memory() > kernel_kills;
    Ok(account(folder, status, killed, kernel_killed, wall_secs, peaks))
}

fn start(program: &Program, folder: &Path) -> Result<Child, RunnerError> {
    let words = order::words_in(folder);
    let words = File::create(&words).map_err(RunnerError::file(&words))?;
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(words);
    // a group of its own: Ctrl-C reaches the watcher alone, and the decoder can be ended with the run
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|source| RunnerError::Start { program: program.path.clone(), source })
}

/// Waits in a thread, so that the end is seen when it comes and not at the next look.
fn wait_beside(mut child: Child) -> Receiver<std::io::Result<ExitStatus>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        // nobody listens any more when the watcher has failed
        let _ = send.send(child.wait());
    });
    receive
}

/// What looks at a run's process from outside.
struct Eyes {
    process: Watch,
    id: u32,
    card: Option<CardWatch>,
}

impl Eyes {
    /// One sample: what is seen, and what the process published last.
    fn look(&mut self, live: Option<Live>, run_id: &str, secs: f64) -> MemoryRow {
        let Sample { resident_bytes, resident_peak_bytes, children_bytes, children } = self.process.sample();
        let on_card = self.card.as_ref().and_then(|card| card.look().bytes_of(self.id));
        // before the ballast is known, nobody can tell what of the process' memory is its own
        let ballast_bytes = live.and_then(|live| live.device_ballast_bytes);
        MemoryRow {
            run_id: run_id.to_string(),
            secs,
            frame: live.and_then(|live| live.frame),
            heap_bytes: live.and_then(|live| live.heap_bytes),
            heap_peak_bytes: live.and_then(|live| live.heap_peak_bytes),
            process_bytes: resident_bytes,
            process_peak_bytes: resident_peak_bytes,
            decoder_bytes: children_bytes,
            decoder_processes: children,
            device_used_bytes: live.and_then(|live| live.device_used_bytes),
            device_reserved_bytes: live.and_then(|live| live.device_reserved_bytes),
            device_process_bytes: ballast_bytes
                .and_then(|ballast| parts(on_card, ballast, None, None).process_bytes),
            device_free_bytes: live.and_then(|live| live.device_free_bytes),
            disk_bytes: live.and_then(|live| live.disk_bytes),
        }
    }
}

fn beyond(limits: &Limits, row: &MemoryRow, started: Instant, interrupt: &AtomicBool) -> Option<Killed> {
    if interrupt.load(Relaxed) {
        return Some(Killed::Interrupted);
    }
    let limit_bytes = limits.host_mib.map(|mib| mib * 1024 * 1024);
    if let (Some(resident_bytes), Some(limit_bytes)) = (row.process_bytes, limit_bytes)
        && resident_bytes > limit_bytes
    {
        return Some(Killed::TooLarge { resident_bytes, limit_bytes });
    }
    let limit_secs = limits.wall_secs?;
    (started.elapsed().as_secs_f64() > limit_secs).then_some(Killed::TooLong { limit_secs })
}

/// Whether a process failed because this one was asked to stop: schedulers send their signals to every process
/// of a job, and the child's end may be seen before the own signal is.
fn stopped_with_us(status: ExitStatus, interrupt: &AtomicBool) -> bool {
    if !status.success() && !interrupt.load(Relaxed) {
        std::thread::sleep(SIGNAL_DELAY);
    }
    !status.success() && interrupt.load(Relaxed)
}

/// The largest of what was sampled.
#[derive(Debug, Default)]
struct Peaks {
    process_bytes: Option<u64>,
    decoder_bytes: Option<u64>,
    heap_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    device_bytes: Option<u64>,
    device_reserved_bytes: Option<u64>,
    device_process_bytes: Option<u64>,
}

impl Peaks {
    fn take(&mut self, row: &MemoryRow, live: Option<Live>) {
        // the pool's own marks, which begin again when the models are loaded: the last ones count
        self.device_bytes = live.and_then(|live| live.device_used_peak_bytes).or(self.device_bytes);
        let reserved = live.and_then(|live| live.device_reserved_peak_bytes);
        self.device_reserved_bytes = reserved.or(self.device_reserved_bytes);
        self.device_process_bytes = self.device_process_bytes.max(row.device_process_bytes);
        self.process_bytes = self.process_bytes.max(row.process_peak_bytes);
        self.decoder_bytes = self.decoder_bytes.max(row.decoder_bytes);
        self.heap_bytes = self.heap_bytes.max(row.heap_peak_bytes);
        self.disk_bytes = self.disk_bytes.max(row.disk_bytes);
    }

    /// What a process that died left behind.
    fn scratch(&mut self, folder: &Path) {
        let left = disk::bytes_in(&folder.join("scratch")).filter(|&bytes| bytes > 0);
        self.disk_bytes = self.disk_bytes.max(left);
    }
}

fn account(
    folder: &Path,
    status: ExitStatus,
    killed: Option<Killed>,
    kernel_killed: bool,
    wall_secs: f64,
    peaks: Peaks,
) -> Seen {
    let last_words = std::fs::read(order::words_in(folder)).unwrap_or_default();
    let last_words = String::from_utf8_lossy(&last_words);
    let account = std::fs::read(order::account_in(folder)).ok();
    let account: Option<Account> = account.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let reported = account.as_ref().map(|account| (account.outcome, account.error.clone()));
    let (outcome, error) =
        classify(&Death { status, killed, kernel_killed, last_words: &last_words, reported });
    let facts = account.map(|account| account.facts).unwrap_or_default();
    Seen {
        outcome,
        error,
        wall_secs,
        process_peak_bytes: peaks.process_bytes.max(facts.process_peak_bytes),
        decoder_peak_bytes: peaks.decoder_bytes,
        // exact where the process lived to tell, the last sample where it did not
        heap_peak_bytes: facts.heap_peak_bytes.or(peaks.heap_bytes),
        disk_peak_bytes: peaks.disk_bytes.max(facts.disk_peak_bytes),
        device_peak_bytes: facts.device_peak_bytes.or(peaks.device_bytes),
        device_reserved_peak_bytes: facts.device_reserved_peak_bytes.or(peaks.device_reserved_bytes),
        device_process_peak_bytes: peaks.device_process_bytes.max(facts.device_process_peak_bytes),
        facts,
        interrupted: killed == Some(Killed::Interrupted),
    }
}

/// Ends the process and all that it started.
#[cfg(unix)]
fn end_group(leader: u32) {
    use nix::sys::signal::{Signal, killpg};
    if let Ok(group) = i32::try_from(leader) {
        // nobody left in the group is what is wanted
        let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(not(unix))]
fn end_group(_: u32) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, limits: Limits) -> Seen {
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        let watched = Watched { run_id: "r", limits: &limits, card: None };
        run(&program, folder.path(), &watched, &AtomicBool::new(false), &mut |_| ()).unwrap()
    }

    #[test]
    fn time_is_limited_and_the_children_end_too() {
        let limits = Limits { wall_secs: Some(0.2), ..Limits::default() };
        let seen = shell("sleep 20 & sleep 30", limits);
        assert_eq!(seen.outcome, Outcome::TimedOut);
        assert!(seen.wall_secs < 2.0, "{}", seen.wall_secs);
        assert_eq!(seen.heap_peak_bytes, None);
    }

    #[test]
    fn memory_is_limited_from_outside() {
        let limits = Limits { host_mib: Some(64), wall_secs: Some(20.0), ..Limits::default() };
        let seen = shell("x=$(head -c 90000000 /dev/zero | tr '\\0' x); sleep 15", limits);
        assert_eq!(seen.outcome, Outcome::OutOfMemory, "{:?}", seen.error);
        assert!(seen.process_peak_bytes.unwrap() > 64 << 20);
    }

    #[test]
    fn crashes_and_refusals_are_rows() {
        assert_eq!(shell("kill -SEGV $$", Limits::default()).error.unwrap(), "ended by signal 11");
        let refused = shell("echo memory allocation of 5 bytes failed >&2; kill -ABRT $$", Limits::default());
        assert_eq!(refused.outcome, Outcome::OutOfMemory);
        assert_eq!(shell("exit 3", Limits::default()).outcome, Outcome::Crashed);
    }

    #[test]
    fn a_signal_that_parent_and_child_are_sent_is_an_interrupt_and_no_crash() {
        static ASKED: AtomicBool = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: "sh".into(), arguments: vec!["-c".into(), "kill -TERM $$".into()] };
        let watched = Watched { run_id: "r", limits: &Limits::default(), card: None };
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(40));
            ASKED.store(true, Relaxed);
        });
        let seen = run(&program, folder.path(), &watched, &ASKED, &mut |_| ()).unwrap();
        assert!(seen.interrupted, "{:?}", seen.error);
    }

    #[test]
    fn an_interrupt_ends_the_run_and_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: "sh".into(), arguments: vec!["-c".into(), "sleep 20".into()] };
        let watched = Watched { run_id: "r", limits: &Limits::default(), card: None };
        let seen = run(&program, folder.path(), &watched, &AtomicBool::new(true), &mut |_| ());
        assert!(seen.unwrap().interrupted);
    }
}
