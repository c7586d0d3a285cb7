//! Classifies how a run's process ended.
//!
//! Input: the exit status, the reason if the supervisor killed the process, its standard error and its own report.
//! Output: an [`Outcome`] and a message.

use posebook_core::labels::Outcome;
use posebook_models::device::GpuErrorKind;
use std::process::ExitStatus;

/// Why the supervisor killed a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KillReason {
    /// The resident set exceeded `limits.host_mib`.
    MemoryLimit {
        /// Resident set when it was sampled.
        resident_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The run took longer than `limits.wall_secs`.
    TimeLimit {
        /// The limit in seconds.
        limit_secs: f64,
    },
    /// The user pressed Ctrl-C, or a scheduler asked the program to stop.
    Interrupted,
}

/// Everything known about the end of a process.
#[derive(Debug)]
pub struct ProcessExit<'a> {
    /// What the operating system reports.
    pub status: ExitStatus,
    /// Why the supervisor killed it, if it did.
    pub killed: Option<KillReason>,
    /// Whether the kernel's out-of-memory killer ended any process during the run.
    pub kernel_killed: bool,
    /// What the process wrote to its standard error.
    pub stderr_tail: &'a str,
    /// Outcome and message of the process' own report, if it wrote one.
    pub reported: Option<(Outcome, Option<String>)>,
}

/// The outcome, with a message unless it is [`Outcome::Ok`].
///
/// The first rule that applies decides: a kill by the supervisor; a failed allocation in the standard error; a CUDA
/// out-of-memory error in the standard error of a process without a report; the process' report, if it exited by
/// itself; a SIGKILL while the kernel's out-of-memory killer was active; any other signal or exit code.
pub fn classify(exit: &ProcessExit) -> (Outcome, Option<String>) {
    let failure = |outcome, message: String| (outcome, Some(message));
    match exit.killed {
        Some(KillReason::MemoryLimit { resident_bytes, limit_bytes }) => {
            let message = format!(
                "the resident set reached {} MiB, and limits.host_mib is {}",
                mib(resident_bytes),
                mib(limit_bytes)
            );
            return failure(Outcome::OutOfMemory, message);
        }
        Some(KillReason::TimeLimit { limit_secs }) => {
            let message = format!("not done after {limit_secs} s, which is limits.wall_secs");
            return failure(Outcome::TimedOut, message);
        }
        Some(KillReason::Interrupted) => return failure(Outcome::Crashed, "interrupted".into()),
        None => {}
    }
    if let Some(line) = exit.stderr_tail.lines().find(|line| line.starts_with("memory allocation of ")) {
        let message = format!("{line}: limits.host_mib is exceeded, or the machine has no memory left");
        return failure(Outcome::OutOfMemory, message);
    }
    if exit.reported.is_none()
        && GpuErrorKind::from_message(exit.stderr_tail) == Some(GpuErrorKind::OutOfMemory)
    {
        let message = with_first_line("out of memory on the GPU".into(), exit.stderr_tail);
        return failure(Outcome::OutOfMemory, message);
    }
    if let (Some((outcome, message)), true) = (&exit.reported, exit.status.code().is_some()) {
        return (*outcome, message.clone());
    }
    match (signal(exit.status), exit.status.code()) {
        (Some(9), _) if exit.kernel_killed => {
            failure(Outcome::OutOfMemory, "killed by the kernel, which had no memory left".into())
        }
        (Some(signal), _) => {
            let message = with_first_line(format!("ended by signal {signal}"), exit.stderr_tail);
            failure(Outcome::Crashed, message)
        }
        (None, code) => {
            let code = code.map_or_else(|| "no exit code".into(), |code| format!("exit code {code}"));
            let message =
                with_first_line(format!("ended with {code} and without a report"), exit.stderr_tail);
            failure(Outcome::Crashed, message)
        }
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

/// Appends the first line of the standard error; of a panic the first two, which are position and message.
fn with_first_line(message: String, stderr: &str) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let detail: Vec<&str> = match lines.next() {
        Some(first) if first.contains("panicked at") => std::iter::once(first).chain(lines.next()).collect(),
        Some(first) => vec![first],
        None => return message,
    };
    format!("{message}: {}", detail.join(" "))
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn exited(raw: i32) -> ProcessExit<'static> {
        let status = ExitStatus::from_raw(raw);
        ProcessExit { status, killed: None, kernel_killed: false, stderr_tail: "", reported: None }
    }

    #[test]
    fn each_kind_of_exit_has_its_outcome() {
        let status_of_code = |code: i32| code << 8;
        let succeeded = ProcessExit { reported: Some((Outcome::Ok, None)), ..exited(status_of_code(0)) };
        assert_eq!(classify(&succeeded), (Outcome::Ok, None));
        let allocation_failed =
            ProcessExit { stderr_tail: "memory allocation of 88 bytes failed\n", ..exited(6) };
        assert_eq!(classify(&allocation_failed).0, Outcome::OutOfMemory);
        let killed = ProcessExit { killed: Some(KillReason::TimeLimit { limit_secs: 2.0 }), ..exited(9) };
        assert_eq!(classify(&killed).0, Outcome::TimedOut);
        let large = KillReason::MemoryLimit { resident_bytes: 70 << 20, limit_bytes: 64 << 20 };
        let (outcome, message) = classify(&ProcessExit { killed: Some(large), ..exited(9) });
        assert_eq!(outcome, Outcome::OutOfMemory);
        assert_eq!(message.unwrap(), "the resident set reached 70 MiB, and limits.host_mib is 64");
        assert_eq!(classify(&ProcessExit { kernel_killed: true, ..exited(9) }).0, Outcome::OutOfMemory);
        assert_eq!(classify(&exited(9)), (Outcome::Crashed, Some("ended by signal 9".into())));
        let stderr_tail = "thread 'main' panicked at src/x.rs:1:2:\nindex out of bounds\nnote: run with";
        let (outcome, message) = classify(&ProcessExit { stderr_tail, ..exited(status_of_code(101)) });
        assert_eq!(outcome, Outcome::Crashed);
        assert!(message.unwrap().ends_with("panicked at src/x.rs:1:2: index out of bounds"));
        let stderr_tail = "thread 'main' panicked at src/x.rs:1:2:\nDriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        let (outcome, message) = classify(&ProcessExit { stderr_tail, ..exited(status_of_code(101)) });
        assert_eq!(outcome, Outcome::OutOfMemory);
        assert!(message.unwrap().starts_with("out of memory on the GPU: thread"));
        let report = Some((Outcome::Error, Some("no such file".to_string())));
        assert_eq!(
            classify(&ProcessExit { reported: report, ..exited(status_of_code(1)) }).1.unwrap(),
            "no such file"
        );
    }

    #[test]
    fn a_report_does_not_hide_a_signal() {
        let report = Some((Outcome::Ok, None));
        assert_eq!(classify(&ProcessExit { reported: report, ..exited(11) }).0, Outcome::Crashed);
    }
}
