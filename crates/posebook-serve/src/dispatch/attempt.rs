//! One attempt of a job. In: a job that a device has taken. Out: its end in the store, or the job queued again.

use super::finish::{finish, read_outcome};
use super::job_log::JobLog;
use super::output::lock;
use super::process::{Execution, ProcessEnd, StopReason};
use super::sources::{self, NotPrepared, failure};
use super::{Control, report};
use crate::job::{
    Failure, FailureKind, JOB_FILE, Job, JobFile, JobOutcome, JobState, LOG_FILE, OUTCOME_FILE, RESULTS,
};
use crate::log;
use crate::service::Service;
use crate::store::End;
use nix::sys::signal::Signal;
use posebook_core::files::write_atomically;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

/// Result of an attempt.
#[derive(Debug, PartialEq)]
enum Decision {
    /// It ends.
    End(End),
    /// It is queued again, because the server ends.
    Requeue,
}

/// Executes `job` until it has ended or is queued again.
pub(super) fn run(service: &Service, job: &Job, control: &Control) {
    log::job_state(service.options.log, job);
    // a cancellation before the job was registered has changed the store alone
    if matches!(service.store.job(job.id), Ok(Some(now)) if now.state != JobState::Starting) {
        control.cancel();
    }
    let folder = service.work_folder(job.id, job.attempt);
    let decision = match begin_folder(service, job, &folder) {
        Ok(()) => execute(service, job, &folder, control),
        Err(error) => {
            let kind = kind_of(&error);
            Decision::End(End::Failed(failure(kind, format!("cannot create {}: {error}", folder.display()))))
        }
    };
    settle(service, job, &folder, control, decision);
}

fn settle(service: &Service, job: &Job, folder: &Path, control: &Control, decision: Decision) {
    let end = match decision {
        Decision::End(_) if control.is_canceled() => End::Canceled,
        Decision::End(end) => end,
        Decision::Requeue => match service.store.requeue(job.id, false) {
            Ok(true) => {
                // the log is continued by the next attempt
                for name in [RESULTS, sources::SOURCES] {
                    let _ = fs::remove_dir_all(folder.join(name));
                }
                let _ = fs::remove_file(folder.join(OUTCOME_FILE));
                log_requeue(service, job, "the server was stopped");
                if let Ok(Some(job)) = service.store.job(job.id) {
                    log::job_state(service.options.log, &job);
                }
                return;
            }
            Ok(false) => End::Canceled,
            Err(error) => {
                // the next start finds the job and queues it
                report(service, &format!("job {}: cannot be queued again: {error}", job.id));
                return;
            }
        },
    };
    finish(service, job, folder, end, control);
}

/// Ends a job whose thread panicked.
pub(super) fn end_after_panic(service: &Service, job: &Job, control: &Control) {
    let folder = service.work_folder(job.id, job.attempt);
    super::descendants::kill_all(&folder, None, &|text| report(service, text));
    let message = "an error inside the server ended the job; its log is on the server's standard error";
    settle(service, job, &folder, control, Decision::End(End::Failed(failure(FailureKind::Error, message))));
}

/// Creates the job's folder. The log of the attempt before is continued.
fn begin_folder(service: &Service, job: &Job, folder: &Path) -> io::Result<()> {
    // results of a deleted job that had the same id would decide on this one at the next start
    for old in [folder, &service.done_folder(job.id)] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::create_dir_all(folder.join(RESULTS))?;
    let before = service.work_folder(job.id, job.attempt.saturating_sub(1));
    let log = folder.join(LOG_FILE);
    // without it the log begins here
    let _ = fs::rename(before.join(LOG_FILE), &log);
    if job.attempt > 1 {
        let _ = fs::remove_dir_all(before);
    }
    Ok(())
}

/// Says in the log of a job's last attempt why it is queued again. The next attempt continues that log.
pub(super) fn log_requeue(service: &Service, job: &Job, why: &str) {
    let path = service.work_folder(job.id, job.attempt).join(LOG_FILE);
    if let Ok(mut log) = JobLog::open(&path) {
        log.line(&format!("--- {why} during attempt {}; the job is queued again ---", job.attempt));
        log.finish(0);
    }
}

fn execute(service: &Service, job: &Job, folder: &Path, control: &Control) -> Decision {
    let prepared = match sources::prepare(service, job, folder, control) {
        Ok(prepared) => prepared,
        Err(NotPrepared::Failed(failure)) => return Decision::End(End::Failed(*failure)),
        Err(NotPrepared::Stopped) => return stopped(control),
    };
    let file = JobFile {
        id: job.id,
        kind: job.request.kind,
        sources: prepared.sources.clone(),
        source_name: job.name.clone(),
        source_names: prepared.names.clone(),
        boxes: prepared.boxes.clone(),
        experiment: job.request.experiment.clone(),
        settings: job.request.settings.clone(),
        device: job.device.clone().unwrap_or_default(),
    };
    let written = serde_json::to_vec_pretty(&file)
        .map_err(io::Error::from)
        .and_then(|text| write_atomically(&folder.join(JOB_FILE), &text))
        .and_then(|()| JobLog::open(&folder.join(LOG_FILE)));
    let job_log = match written {
        Ok(job_log) => Arc::new(Mutex::new(job_log)),
        Err(error) => {
            let message = format!("cannot write to {}: {error}", folder.display());
            return Decision::End(End::Failed(failure(kind_of(&error), message)));
        }
    };
    if control.is_stopped() {
        return stopped(control);
    }
    let execution = Execution { service, job, folder, control, log: Arc::clone(&job_log) };
    let started = || match service.store.set_running(job.id) {
        Ok(true) => {
            if let Ok(Some(job)) = service.store.job(job.id) {
                log::job_state(service.options.log, &job);
            }
        }
        Ok(false) => control.cancel(),
        Err(error) => report(service, &format!("job {}: {error}", job.id)),
    };
    let end = match execution.run(started) {
        Ok(end) => end,
        Err(error) => {
            let message = format!("the job's process cannot be started: {error}");
            return Decision::End(End::Failed(failure(kind_of(&error), message)));
        }
    };
    drop(prepared);
    let decision = decide(&end, read_outcome(folder), control, || {
        service.disk_space().is_ok_and(|space| !space.fits(0) || space.free < 1 << 20)
    });
    if let Decision::End(End::Failed(failure)) = &decision {
        let mut log = lock(&job_log);
        log.line(&format!("--- {} ---", failure.message.lines().next().unwrap_or_default()));
        log.finish(1);
    }
    decision
}

fn kind_of(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::DiskFull,
        _ => FailureKind::Error,
    }
}

fn stopped(control: &Control) -> Decision {
    if control.is_canceled() { Decision::End(End::Canceled) } else { Decision::Requeue }
}

/// How an attempt ended, by the end of its process and the outcome that it wrote.
fn decide(
    end: &ProcessEnd,
    outcome: io::Result<JobOutcome>,
    control: &Control,
    is_disk_full: impl FnOnce() -> bool,
) -> Decision {
    if control.is_canceled() {
        return Decision::End(End::Canceled);
    }
    let failed = |kind, message: String| Decision::End(End::Failed(failure(kind, message)));
    if matches!(&outcome, Ok(JobOutcome { failure: None, interrupted: false, .. })) {
        // it was ready before the signal
        return Decision::End(End::Succeeded);
    }
    match end.stopped {
        Some(StopReason::Canceled) => return Decision::End(End::Canceled),
        Some(StopReason::ServerEnds) => return Decision::Requeue,
        Some(StopReason::TimeLimit(limit)) => {
            let message = format!("the job was stopped after its time limit of {} s", limit.as_secs_f64());
            let advice =
                "process fewer frames, for example with a larger video.every, or ask for a longer limit";
            let advice = Some(advice.to_owned());
            return Decision::End(End::Failed(Failure { advice, ..failure(FailureKind::TimedOut, message) }));
        }
        Some(StopReason::DiskFull(space)) => {
            let message = format!(
                "the job was stopped because the disk has {} free, and the server keeps {} free",
                mebibytes(space.free),
                mebibytes(space.floor)
            );
            let advice = Some("remove results that are not needed any more, and retry".to_owned());
            return Decision::End(End::Failed(Failure { advice, ..failure(FailureKind::DiskFull, message) }));
        }
        None => {}
    }
    let described = describe(end.status);
    match outcome {
        Ok(JobOutcome { failure: Some(failure), .. }) => Decision::End(End::Failed(failure)),
        Ok(_) => failed(
            FailureKind::Crashed,
            format!(
                "the job was interrupted by a signal that the server did not send; its process {described}"
            ),
        ),
        Err(error) if error.kind() != io::ErrorKind::NotFound => failed(
            FailureKind::Crashed,
            format!("the outcome of the job's process cannot be read: {error}; it {described}"),
        ),
        Err(_) if is_disk_full() => failed(
            FailureKind::DiskFull,
            format!("the disk is full; the job's process {described}{}", last_lines(end)),
        ),
        Err(_) if end.status.signal() == Some(Signal::SIGKILL as i32) && !end.killed => {
            let by_kernel = "lack of memory: use a smaller batch, or fewer frames";
            if end.out_of_memory {
                let message =
                    format!("the system ended the job's process for {by_kernel}{}", last_lines(end));
                failed(FailureKind::OutOfMemory, message)
            } else {
                let message = format!(
                    "the job's process {described}. It may be that the system ended it for {by_kernel}{}",
                    last_lines(end)
                );
                failed(FailureKind::Crashed, message)
            }
        }
        Err(_) => {
            let message = format!("the job's process {described}, without an outcome{}", last_lines(end));
            failed(FailureKind::Crashed, message)
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(number)) => {
            let name =
                Signal::try_from(number).map_or_else(|_| String::new(), |signal| format!(" ({signal})"));
            format!("was ended by signal {number}{name}")
        }
        (None, None) => "ended".into(),
    }
}

fn last_lines(end: &ProcessEnd) -> String {
    if end.last_lines.is_empty() {
        return ".".into();
    }
    let shown = |line: &String| line.chars().take(300).collect::<String>();
    format!(". The log ends with:\n{}", end.last_lines.iter().map(shown).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ended(raw: i32) -> ProcessEnd {
        ProcessEnd {
            status: ExitStatus::from_raw(raw),
            stopped: None,
            killed: false,
            out_of_memory: false,
            last_lines: vec!["the last line".into()],
        }
    }

    fn outcome(failure: Option<Failure>, interrupted: bool) -> io::Result<JobOutcome> {
        Ok(JobOutcome { failure, interrupted, summary: None })
    }

    fn none() -> io::Result<JobOutcome> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn decided(end: &ProcessEnd, outcome: io::Result<JobOutcome>) -> Decision {
        decide(end, outcome, &Control::default(), || false)
    }

    fn kind_and_message(decision: Decision) -> (FailureKind, String) {
        match decision {
            Decision::End(End::Failed(failure)) => (failure.kind, failure.message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_outcome_decides_and_a_cancellation_decides_before_it() {
        assert_eq!(decided(&ended(0), outcome(None, false)), Decision::End(End::Succeeded));
        let error = failure(FailureKind::BadSource, "no video");
        assert_eq!(
            decided(&ended(256), outcome(Some(error.clone()), false)),
            Decision::End(End::Failed(error))
        );
        let canceled = Control::default();
        canceled.cancel();
        for outcome in [outcome(None, false), outcome(None, true), none()] {
            assert_eq!(decide(&ended(0), outcome, &canceled, || false), Decision::End(End::Canceled));
        }
    }

    #[test]
    fn a_drained_job_is_queued_again_unless_it_was_ready() {
        let end = ProcessEnd { stopped: Some(StopReason::ServerEnds), ..ended(0) };
        assert_eq!(decided(&end, outcome(None, true)), Decision::Requeue);
        assert_eq!(decided(&end, none()), Decision::Requeue);
        assert_eq!(decided(&end, outcome(None, false)), Decision::End(End::Succeeded));
    }

    #[test]
    fn a_time_limit_is_a_failure_of_its_own() {
        let reason = StopReason::TimeLimit(Duration::from_secs(3));
        let end = ProcessEnd { stopped: Some(reason), killed: true, ..ended(9) };
        let (kind, message) = kind_and_message(decided(&end, none()));
        assert_eq!(kind, FailureKind::TimedOut);
        assert!(message.contains("3 s"), "{message}");
    }

    #[test]
    fn a_process_without_an_outcome_has_crashed_and_the_message_says_how() {
        let (kind, message) = kind_and_message(decided(&ended(11), none()));
        assert_eq!(kind, FailureKind::Crashed);
        assert!(message.contains("signal 11 (SIGSEGV)") && message.ends_with("the last line"), "{message}");
        let (kind, message) = kind_and_message(decided(&ended(9 << 8), none()));
        assert!(kind == FailureKind::Crashed && message.contains("exit code 9"), "{message}");
        let (kind, message) = kind_and_message(decided(&ended(0), Err(io::ErrorKind::InvalidData.into())));
        assert!(kind == FailureKind::Crashed && message.contains("cannot be read"), "{message}");
        let (kind, message) = kind_and_message(decided(&ended(0), outcome(None, true)));
        assert!(kind == FailureKind::Crashed && message.contains("did not send"), "{message}");
    }

    #[test]
    fn a_kill_is_out_of_memory_if_the_kernel_counted_one() {
        let (kind, message) = kind_and_message(decided(&ended(9), none()));
        assert!(kind == FailureKind::Crashed && message.contains("It may be"), "{message}");
        let end = ProcessEnd { out_of_memory: true, ..ended(9) };
        let (kind, message) = kind_and_message(decided(&end, none()));
        assert!(kind == FailureKind::OutOfMemory && message.contains("lack of memory"), "{message}");
    }

    #[test]
    fn a_crash_on_a_full_disk_is_blamed_on_the_disk() {
        let decision = decide(&ended(1 << 8), none(), &Control::default(), || true);
        assert_eq!(kind_and_message(decision).0, FailureKind::DiskFull);
    }
}
