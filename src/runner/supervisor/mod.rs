//! Runs one process per run and supervises it.
//!
//! The supervisor starts the worker process in a process group of its own, samples its memory every 20 ms (resident
//! set from the kernel, heap and GPU pool from the live record that the worker publishes), writes the samples to the
//! table `memory`, kills the process group when a limit is exceeded or the user interrupts, and classifies the exit
//! ([`classify`]).
//! It returns the worker's report merged with the sampled peaks: [`merge_sampled`] says which value counts. While a run
//! goes on the supervisor does nothing else, so that it does not affect what is measured.

pub mod exit;
pub mod record;
pub mod run_job;
pub mod work_folder;

use super::RunnerError;
use super::job::{self, WorkerReport};
use crate::experiment::Limits;
use crate::runner::supervisor::exit::{KillReason, ProcessExit, classify};
use posebook_core::memory::disk;
use posebook_core::memory::gpu::GpuSampler;
use posebook_core::memory::live::{self, LiveRecord};
use posebook_core::memory::process::{self, ProcessSample, ProcessSampler};
use posebook_models::device::memory::split_process_memory;
use posebook_notebook::tables::metrics::RunMetrics;
use posebook_notebook::tables::{MemoryRow, RowLog};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Time between two samples of memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// How much later than its child this process may receive a signal that a scheduler sent to both.
const SIGNAL_DELAY: Duration = Duration::from_millis(100);

/// The program that executes a run. It gets the run's folder as its last argument.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Arguments before the folder.
    pub arguments: Vec<String>,
}

/// What the supervisor needs to know about a run.
#[derive(Debug, Clone, Copy)]
pub struct SupervisedRun<'a> {
    /// The run's id, written in every sample.
    pub run_id: &'a str,
    /// Limits of memory and time.
    pub limits: &'a Limits,
    /// The driver's id of the GPU; `None` on the CPU.
    pub gpu_uuid: Option<&'a str>,
}

/// The end of a supervised run.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// The worker's report with the classified outcome and the merged metrics. If the worker wrote no report, metrics
    /// that only it can measure are `None`.
    pub report: WorkerReport,
    /// Whether the user interrupted the run; it must not be stored then.
    pub interrupted: bool,
}

/// Runs the process of `folder` to its end and writes the samples of its memory into the folder.
///
/// `on_sample` receives the live record of each sample, as soon as there is one.
///
/// # Errors
/// If the process cannot be started, or the samples cannot be written. A process that fails is not an error here: see
/// [`WorkerReport::outcome`].
pub fn run(
    program: &Program,
    folder: &Path,
    run: &SupervisedRun,
    interrupt: &AtomicBool,
    on_sample: &mut dyn FnMut(&LiveRecord),
) -> Result<RunResult, RunnerError> {
    let oom_kills_before = process::oom_kill_count();
    let mut samples = RowLog::create(folder)?;
    let started = Instant::now();
    let child = start(program, folder)?;
    let id = child.id();
    let exit_status = wait_in_thread(child);
    let mut sampler = MemorySampler {
        process: ProcessSampler::new(id),
        id,
        gpu: run.gpu_uuid.and_then(GpuSampler::open),
        peaks: RunMetrics::default(),
    };
    let mut killed = None;
    let status = loop {
        match exit_status.recv_timeout(SAMPLE_INTERVAL) {
            Ok(status) => break status.map_err(RunnerError::file(&program.path))?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(RunnerError::Supervision { folder: folder.to_path_buf() });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let live = live::read(&job::live_path(folder));
        let row = sampler.sample(live, run.run_id, started.elapsed().as_secs_f64());
        live.iter().for_each(&mut *on_sample);
        samples.append(&row)?;
        samples.flush()?;
        if killed.is_none() {
            killed = kill_reason(run.limits, &row, started, interrupt);
            if killed.is_some() {
                kill_process_group(id);
            }
        }
    };
    let wall_secs = started.elapsed().as_secs_f64();
    let killed =
        killed.or_else(|| was_stopped_by_shared_signal(status, interrupt).then_some(KillReason::Interrupted));
    // a decoder may outlive the process that started it
    kill_process_group(id);
    let kernel_killed = process::oom_kill_count() > oom_kills_before;
    let mut report = classified_report(folder, status, killed, kernel_killed);
    merge_sampled(&mut report.metrics, &sampler.peaks, folder);
    report.metrics.timing.wall_secs = Some(wall_secs);
    Ok(RunResult { report, interrupted: killed == Some(KillReason::Interrupted) })
}

fn start(program: &Program, folder: &Path) -> Result<Child, RunnerError> {
    let stderr = job::stderr_path(folder);
    let stderr = File::create(&stderr).map_err(RunnerError::file(&stderr))?;
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    command.env(job::SUPERVISOR, std::process::id().to_string());
    // A process group of its own: Ctrl-C in a terminal reaches the supervisor alone, and killing the group also ends
    // the decoder.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|source| RunnerError::Start { program: program.path.clone(), source })
}

/// Waits for the process in a thread and sends its exit status, so that the end is noticed at once and not at the next
/// sample.
fn wait_in_thread(mut child: Child) -> Receiver<std::io::Result<ExitStatus>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        // the receiver is gone if the supervisor has failed
        let _ = send.send(child.wait());
    });
    receive
}

/// Samples the memory of a process from outside and stores the peaks.
struct MemorySampler {
    process: ProcessSampler,
    id: u32,
    gpu: Option<GpuSampler>,
    peaks: RunMetrics,
}

impl MemorySampler {
    /// One sample: what is measured from outside, and what the process published last.
    fn sample(&mut self, live: Option<LiveRecord>, run_id: &str, secs: f64) -> MemoryRow {
        let ProcessSample { resident_bytes, resident_peak_bytes, children_bytes, children } =
            self.process.sample();
        let driver_bytes = self.gpu.as_ref().and_then(|gpu| gpu.sample().process_bytes(self.id));
        // until the process has published its reservation, the driver's value cannot be split
        let reservation_bytes = live.and_then(|live| live.device_reservation_bytes);
        let row = MemoryRow {
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
            device_process_bytes: reservation_bytes.and_then(|reservation_bytes| {
                split_process_memory(driver_bytes, reservation_bytes, None, None).process_bytes
            }),
            device_free_bytes: live.and_then(|live| live.device_free_bytes),
            disk_bytes: live.and_then(|live| live.disk_bytes),
        };
        self.update_peaks(&row, live);
        row
    }

    fn update_peaks(&mut self, row: &MemoryRow, live: Option<LiveRecord>) {
        let RunMetrics { host, device, disk, .. } = &mut self.peaks;
        host.process_peak_bytes = host.process_peak_bytes.max(row.process_peak_bytes);
        host.decoder_peak_bytes = host.decoder_peak_bytes.max(row.decoder_bytes);
        host.heap_peak_bytes = host.heap_peak_bytes.max(row.heap_peak_bytes);
        disk.disk_peak_bytes = disk.disk_peak_bytes.max(row.disk_bytes);
        device.device_process_peak_bytes = device.device_process_peak_bytes.max(row.device_process_bytes);
        // the pool's own peaks, which the worker resets after loading: the last values count
        let used_peak_bytes = live.and_then(|live| live.device_used_peak_bytes);
        device.device_peak_bytes = used_peak_bytes.or(device.device_peak_bytes);
        let reserved_peak_bytes = live.and_then(|live| live.device_reserved_peak_bytes);
        device.device_reserved_peak_bytes = reserved_peak_bytes.or(device.device_reserved_peak_bytes);
    }
}

/// Why the process has to be killed now; `None` if it may go on.
fn kill_reason(
    limits: &Limits,
    row: &MemoryRow,
    started: Instant,
    interrupt: &AtomicBool,
) -> Option<KillReason> {
    if interrupt.load(Relaxed) {
        return Some(KillReason::Interrupted);
    }
    let limit_bytes = limits.host_mib.map(|mib| mib * 1024 * 1024);
    if let (Some(resident_bytes), Some(limit_bytes)) = (row.process_bytes, limit_bytes)
        && resident_bytes > limit_bytes
    {
        return Some(KillReason::MemoryLimit { resident_bytes, limit_bytes });
    }
    let limit_secs = limits.wall_secs?;
    (started.elapsed().as_secs_f64() > limit_secs).then_some(KillReason::TimeLimit { limit_secs })
}

/// Whether a process failed because this program was asked to stop. A scheduler sends its signal to every process of
/// a job, and the child's end may be noticed before this process has received the signal.
fn was_stopped_by_shared_signal(status: ExitStatus, interrupt: &AtomicBool) -> bool {
    if !status.success() && !interrupt.load(Relaxed) {
        std::thread::sleep(SIGNAL_DELAY);
    }
    !status.success() && interrupt.load(Relaxed)
}

/// The report in `folder`, or an empty one, with the outcome by [`classify`].
fn classified_report(
    folder: &Path,
    status: ExitStatus,
    killed: Option<KillReason>,
    kernel_killed: bool,
) -> WorkerReport {
    let stderr = std::fs::read(job::stderr_path(folder)).unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr);
    let report = std::fs::read(job::report_path(folder)).ok();
    let report: Option<WorkerReport> = report.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let reported = report.as_ref().map(|report| (report.outcome, report.error.clone()));
    let exit = ProcessExit { status, killed, kernel_killed, stderr_tail: &stderr, reported };
    let (outcome, error) = classify(&exit);
    WorkerReport { outcome, error, ..report.unwrap_or_default() }
}

/// Merges the sampled peaks into the worker's metrics. A peak that the worker measures exactly (heap, GPU memory pool) is
/// taken from its report, and from the samples only if there is no report. For all other peaks the larger value counts.
fn merge_sampled(metrics: &mut RunMetrics, sampled: &RunMetrics, folder: &Path) {
    let host = &mut metrics.host;
    host.process_peak_bytes = host.process_peak_bytes.max(sampled.host.process_peak_bytes);
    host.decoder_peak_bytes = sampled.host.decoder_peak_bytes;
    host.heap_peak_bytes = host.heap_peak_bytes.or(sampled.host.heap_peak_bytes);
    let device = &mut metrics.device;
    device.device_peak_bytes = device.device_peak_bytes.or(sampled.device.device_peak_bytes);
    device.device_reserved_peak_bytes =
        device.device_reserved_peak_bytes.or(sampled.device.device_reserved_peak_bytes);
    device.device_process_peak_bytes =
        device.device_process_peak_bytes.max(sampled.device.device_process_peak_bytes);
    // scratch files that a failed process left
    let left_bytes = disk::folder_bytes(&folder.join("scratch")).filter(|&bytes| bytes > 0);
    metrics.disk.disk_peak_bytes =
        metrics.disk.disk_peak_bytes.max(sampled.disk.disk_peak_bytes).max(left_bytes);
}

/// Kills the process and every process that it started.
#[cfg(unix)]
fn kill_process_group(leader: u32) {
    use nix::sys::signal::{Signal, killpg};
    if let Ok(group) = i32::try_from(leader) {
        // an error means that no process of the group is left
        let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(not(unix))]
fn kill_process_group(_: u32) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use posebook_core::labels::Outcome;

    fn shell(script: &str, limits: Limits) -> RunResult {
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        let supervised = SupervisedRun { run_id: "r", limits: &limits, gpu_uuid: None };
        run(&program, folder.path(), &supervised, &AtomicBool::new(false), &mut |_| ()).unwrap()
    }

    #[test]
    fn a_run_beyond_its_time_limit_ends_with_its_children() {
        let limits = Limits { wall_secs: Some(0.2), ..Limits::default() };
        let result = shell("sleep 20 & sleep 30", limits);
        assert_eq!(result.report.outcome, Outcome::TimedOut);
        assert!(
            result.report.metrics.timing.wall_secs.unwrap() < 2.0,
            "{}",
            result.report.metrics.timing.wall_secs.unwrap()
        );
        assert_eq!(result.report.metrics.host.heap_peak_bytes, None);
    }

    #[test]
    fn a_run_beyond_its_memory_limit_is_killed() {
        let limits = Limits { host_mib: Some(64), wall_secs: Some(20.0), ..Limits::default() };
        let result = shell("x=$(head -c 90000000 /dev/zero | tr '\\0' x); sleep 15", limits);
        assert_eq!(result.report.outcome, Outcome::OutOfMemory, "{:?}", result.report.error);
        assert!(result.report.metrics.host.process_peak_bytes.unwrap() > 64 << 20);
    }

    #[test]
    fn crashes_and_failed_allocations_are_classified() {
        assert_eq!(shell("kill -SEGV $$", Limits::default()).report.error.unwrap(), "ended by signal 11");
        let failed = shell("echo memory allocation of 5 bytes failed >&2; kill -ABRT $$", Limits::default());
        assert_eq!(failed.report.outcome, Outcome::OutOfMemory);
        assert_eq!(shell("exit 3", Limits::default()).report.outcome, Outcome::Crashed);
    }

    #[test]
    fn a_signal_sent_to_parent_and_child_is_an_interrupt_and_not_a_crash() {
        static INTERRUPT: AtomicBool = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: "sh".into(), arguments: vec!["-c".into(), "kill -TERM $$".into()] };
        let supervised = SupervisedRun { run_id: "r", limits: &Limits::default(), gpu_uuid: None };
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(40));
            INTERRUPT.store(true, Relaxed);
        });
        let result = run(&program, folder.path(), &supervised, &INTERRUPT, &mut |_| ()).unwrap();
        assert!(result.interrupted, "{:?}", result.report.error);
    }

    #[test]
    fn an_interrupted_run_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program { path: "sh".into(), arguments: vec!["-c".into(), "sleep 20".into()] };
        let supervised = SupervisedRun { run_id: "r", limits: &Limits::default(), gpu_uuid: None };
        let result = run(&program, folder.path(), &supervised, &AtomicBool::new(true), &mut |_| ());
        assert!(result.unwrap().interrupted);
    }
}
