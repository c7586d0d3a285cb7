//! The processes of a job: its own, those that it started, and those that are left of an earlier server. In: the job's
//! folder. Out: all of them are killed.
//!
//! The job's process leads a process group. A descendant may leave the group and the session; it is found by a variable of its
//! environment that names the job's folder.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use posebook_core::children::{MarkedProcess, marked_processes};
use std::path::Path;
use std::time::{Duration, Instant};

/// The variable of the environment that names the job's folder.
pub(super) const MARKER: &str = "POSEBOOK_JOB_FOLDER";

/// How long to wait for killed processes before a report that they are not gone.
const REPORT_AFTER: Duration = Duration::from_secs(30);

/// Kills all processes of the job in `folder` and of the process group `leader`, and waits until they are gone. The leader must
/// not have been waited for, so that its number is not given to another group.
pub(super) fn kill_all(folder: &Path, leader: Option<u32>, report: &dyn Fn(&str)) {
    let folder = folder.to_string_lossy();
    kill_where(leader, |process| process.value.as_deref().is_none_or(|value| value == folder), report);
}

/// Kills all processes of jobs whose folder is below `folder`.
pub(super) fn kill_below(folder: &Path, report: &dyn Fn(&str)) {
    let prefix = format!("{}/", folder.to_string_lossy());
    kill_where(
        None,
        |process| process.value.as_deref().is_some_and(|value| value.starts_with(&prefix)),
        report,
    );
}

fn kill_where(group: Option<u32>, is_chosen: impl Fn(&MarkedProcess) -> bool, report: &dyn Fn(&str)) {
    let began = Instant::now();
    let mut is_reported = false;
    loop {
        let mut living: Vec<u32> = marked_processes(MARKER, group)
            .into_iter()
            .filter(&is_chosen)
            .map(|found| found.process)
            .collect();
        living.retain(|process| *process != std::process::id());
        if living.is_empty() {
            return;
        }
        for process in &living {
            // it may have ended; one that may not be killed is reported below
            let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL);
        }
        if began.elapsed() > REPORT_AFTER && !is_reported {
            is_reported = true;
            report(&format!("processes {living:?} of a job were killed and are not gone; waiting for them"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
