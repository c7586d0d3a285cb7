//! How a run ended: its process' death, classified.
//!
//! Must not know what the run was doing.

use crate::device::Fault;
use serde::{Deserialize, Serialize};
use std::process::ExitStatus;

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    OutOfMemory,
    TimedOut,
    Crashed,
    Error,
}

impl Outcome {
    /// The word in the table of runs.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::OutOfMemory => "out_of_memory",
            Outcome::TimedOut => "timed_out",
            Outcome::Crashed => "crashed",
            Outcome::Error => "error",
        }
    }
}

/// Why the watcher ended a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Killed {
    /// Its resident set, in bytes, went beyond `limits.host_mib`.
    TooLarge { resident_bytes: u64, limit_bytes: u64 },
    /// It took longer than `limits.wall_secs`.
    TooLong { limit_secs: f64 },
    /// A person pressed Ctrl-C.
    Interrupted,
}

/// All that is known about a death.
#[derive(Debug)]
pub struct Death<'a> {
    pub status: ExitStatus,
    pub killed: Option<Killed>,
    /// Whether the kernel killed a process for want of memory meanwhile.
    pub kernel_killed: bool,
    /// What the process wrote to its standard error.
    pub last_words: &'a str,
    /// What the process itself reported, if it came to that: its outcome and message.
    pub reported: Option<(Outcome, Option<String>)>,
}

/// The outcome and, unless it is [`Outcome::Ok`], what to tell about it.
pub fn classify(death: &Death) -> (Outcome, Option<String>) {
    let told = |outcome, message: String| (outcome, Some(message));
    match death.killed {
        Some(Killed::TooLarge { resident_bytes, limit_bytes }) => {
            let message = format!(
                "the resident set reached {} MiB, and limits.host_mib is {}",
                mib(resident_bytes),
                mib(limit_bytes)
            );
            return told(Outcome::OutOfMemory, message);
        }
        Some(Killed::TooLong { limit_secs }) => {
            return told(
                Outcome::TimedOut,
                format!("not done after {limit_secs} s, which is limits.wall_secs"),
            );
        }
        Some(Killed::Interrupted) => return told(Outcome::Crashed, "interrupted".into()),
        None => {}
    }
    if let Some(words) = death.last_words.lines().find(|line| line.starts_with("memory allocation of ")) {
        return told(Outcome::OutOfMemory, format!("{words}: beyond limits.host_mib, or nothing left"));
    }
    if death.reported.is_none() && Fault::of(death.last_words) == Some(Fault::OutOfMemory) {
        return told(Outcome::OutOfMemory, with_words("out of memory on the card".into(), death.last_words));
    }
    if let (Some((outcome, message)), true) = (&death.reported, death.status.code().is_some()) {
        return (*outcome, message.clone());
    }
    match (signal(death.status), death.status.code()) {
        (Some(9), _) if death.kernel_killed => {
            told(Outcome::OutOfMemory, "killed by the kernel for want of memory".into())
        }
        (Some(signal), _) => {
            told(Outcome::Crashed, with_words(format!("ended by signal {signal}"), death.last_words))
        }
        (None, code) => {
            let code = code.map_or_else(|| "no exit code".into(), |code| format!("exit code {code}"));
            told(
                Outcome::Crashed,
                with_words(format!("ended with {code} and without a report"), death.last_words),
            )
        }
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

/// Adds the first line of what the process said last: a panic's place, mostly.
fn with_words(message: String, last_words: &str) -> String {
    let mut lines = last_words.lines().map(str::trim).filter(|line| !line.is_empty());
    let said: Vec<&str> = match lines.next() {
        // a panic says where in one line and why in the next
        Some(first) if first.contains("panicked at") => std::iter::once(first).chain(lines.next()).collect(),
        Some(first) => vec![first],
        None => return message,
    };
    format!("{message}: {}", said.join(" "))
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

    fn death(raw: i32) -> Death<'static> {
        let status = ExitStatus::from_raw(raw);
        Death { status, killed: None, kernel_killed: false, last_words: "", reported: None }
    }

    #[test]
    fn deaths_are_told_apart() {
        let exit = |code: i32| code << 8;
        let fine = Death { reported: Some((Outcome::Ok, None)), ..death(exit(0)) };
        assert_eq!(classify(&fine), (Outcome::Ok, None));
        let refused = Death { last_words: "memory allocation of 88 bytes failed\n", ..death(6) };
        assert_eq!(classify(&refused).0, Outcome::OutOfMemory);
        let killed = Death { killed: Some(Killed::TooLong { limit_secs: 2.0 }), ..death(9) };
        assert_eq!(classify(&killed).0, Outcome::TimedOut);
        let large = Killed::TooLarge { resident_bytes: 70 << 20, limit_bytes: 64 << 20 };
        let (outcome, message) = classify(&Death { killed: Some(large), ..death(9) });
        assert_eq!(outcome, Outcome::OutOfMemory);
        assert_eq!(message.unwrap(), "the resident set reached 70 MiB, and limits.host_mib is 64");
        assert_eq!(classify(&Death { kernel_killed: true, ..death(9) }).0, Outcome::OutOfMemory);
        assert_eq!(classify(&death(9)), (Outcome::Crashed, Some("ended by signal 9".into())));
        let words = "thread 'main' panicked at src/x.rs:1:2:\nindex out of bounds\nnote: run with";
        let (outcome, message) = classify(&Death { last_words: words, ..death(exit(101)) });
        assert_eq!(outcome, Outcome::Crashed);
        assert!(message.unwrap().ends_with("panicked at src/x.rs:1:2: index out of bounds"));
        let words = "thread 'main' panicked at src/x.rs:1:2:\nDriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        let (outcome, message) = classify(&Death { last_words: words, ..death(exit(101)) });
        assert_eq!(outcome, Outcome::OutOfMemory);
        assert!(message.unwrap().starts_with("out of memory on the card: thread"));
        let report = Some((Outcome::Error, Some("no such file".to_string())));
        assert_eq!(classify(&Death { reported: report, ..death(exit(1)) }).1.unwrap(), "no such file");
    }

    #[test]
    fn a_report_does_not_hide_a_signal() {
        let report = Some((Outcome::Ok, None));
        assert_eq!(classify(&Death { reported: report, ..death(11) }).0, Outcome::Crashed);
    }
}
