//! Why a job failed, and what to change.
//!
//! In: an error of the runner, or the row of a failed run, and the job's settings. Out: a [`Failure`] with advice, and with settings
//! with which the job may succeed where some are known.

use crate::runner::{Outcome, RunnerError};
use posebook_notebook::tables::RunRow;
use posebook_serve::job::{Failure, FailureKind};
use posebook_video::VideoErrorKind;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// What the operating system says where the disk is full.
const DISK_FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
/// Default batch of HMR2.
const DEFAULT_BATCH: u64 = 8;

/// A failure without advice.
pub fn plain(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message, advice: None, changed_settings: Map::new() }
}

/// The failure of a job that ended with `error`.
pub fn of_error(error: &RunnerError, sources: &[PathBuf], settings: &Map<String, Value>) -> Failure {
    let message = error.to_string();
    let kind = if is_disk_full(error) || says_disk_full(&message) {
        FailureKind::DiskFull
    } else if error.is_out_of_memory() {
        FailureKind::OutOfMemory
    } else if is_bad_source(error, sources) {
        FailureKind::BadSource
    } else {
        FailureKind::Error
    };
    advised(kind, message, settings)
}

/// The failure of a job whose run ended without success.
pub fn of_row(row: &RunRow, sources: &[PathBuf], settings: &Map<String, Value>) -> Failure {
    let message = row.error.clone().unwrap_or_else(|| row.outcome.to_string());
    let is_about_source = || sources.iter().any(|source| message.starts_with(&*source.to_string_lossy()));
    let kind = match row.outcome {
        _ if says_disk_full(&message) => FailureKind::DiskFull,
        Outcome::OutOfMemory => FailureKind::OutOfMemory,
        Outcome::TimedOut => FailureKind::TimedOut,
        Outcome::Crashed => FailureKind::Crashed,
        _ if is_about_source() => FailureKind::BadSource,
        _ => FailureKind::Error,
    };
    advised(kind, message, settings)
}

fn says_disk_full(message: &str) -> bool {
    DISK_FULL.iter().any(|text| message.contains(text))
}

fn is_disk_full(error: &RunnerError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether an error is about the source's content, and not about settings, memory or this machine.
fn is_bad_source(error: &RunnerError, sources: &[PathBuf]) -> bool {
    match error {
        RunnerError::Video(error) => {
            let is_setting = matches!(
                error.kind,
                VideoErrorKind::InvalidSettings(_)
                    | VideoErrorKind::InvalidFps(_)
                    | VideoErrorKind::RangeBeyondEnd { .. }
                    | VideoErrorKind::EmptyRange { .. }
            );
            let is_machine = matches!(
                error.kind,
                VideoErrorKind::ProgramNotFound { .. }
                    | VideoErrorKind::CannotStart { .. }
                    | VideoErrorKind::ScratchWrite { .. }
                    | VideoErrorKind::ScratchRead { .. }
            );
            sources.contains(&error.path) && !is_setting && !is_machine
        }
        RunnerError::Source(_) | RunnerError::Boxes(_) | RunnerError::Dataset(_) => true,
        _ => false,
    }
}

/// The failure with what to change.
fn advised(kind: FailureKind, message: String, settings: &Map<String, Value>) -> Failure {
    let (advice, changed_settings) = match kind {
        FailureKind::OutOfMemory => after_out_of_memory(settings),
        FailureKind::TimedOut => after_time_limit(settings),
        FailureKind::DiskFull => after_disk_full(settings),
        FailureKind::BadSource => {
            let advice =
                "check that the file plays, or make a complete copy: ffmpeg -i IN -c:v libx264 OUT.mp4";
            (advice.to_string(), Map::new())
        }
        FailureKind::Crashed => {
            let advice = "the log has the last lines of the process; retry the job";
            (advice.to_string(), Map::new())
        }
        FailureKind::Error | FailureKind::Lost => return plain(kind, message),
    };
    Failure { kind, message, advice: Some(advice), changed_settings }
}

/// The mode that a job's settings ask for, as text.
fn mode(settings: &Map<String, Value>) -> String {
    settings
        .get("video.mode")
        .map(|mode| mode.as_str().map_or_else(|| mode.to_string(), str::to_string))
        .unwrap_or_default()
}

fn after_out_of_memory(settings: &Map<String, Value>) -> (String, Map<String, Value>) {
    let mut changed = Map::new();
    let mut set = |key: &str, value: Value| drop(changed.insert(key.to_string(), value));
    let mode = mode(settings);
    if mode.contains("memory") || mode.contains("device") {
        set("video.mode", json!("stream-sequential"));
    }
    if settings.get("results").is_some_and(|results| results == "accumulate") {
        set("results", json!("stream"));
    }
    let is_published = settings
        .get("detect.model")
        .and_then(Value::as_str)
        .is_some_and(|model| ["vitdet", "regnety", "x101"].contains(&model));
    match settings.get("detect.budget_mib").and_then(Value::as_u64) {
        Some(mib) if mib > 64 => set("detect.budget_mib", json!(mib / 2)),
        None if is_published => set("detect.budget_mib", json!(512)),
        _ => {}
    }
    let batch = settings.get("hmr2.batch").and_then(Value::as_u64).unwrap_or(DEFAULT_BATCH);
    if batch > 1 {
        set("hmr2.batch", json!(batch / 2));
    }
    let limit = settings.get("limits.host_mib").or(settings.get("limits.device_mib"));
    let more = if limit.is_some() { ", or raise the limit" } else { "" };
    if changed.is_empty() {
        return (format!("read fewer frames at once, or use a machine with more memory{more}"), changed);
    }
    let listed: Vec<String> = changed.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    (format!("retry with {}{more}", listed.join(" ")), changed)
}

fn after_time_limit(settings: &Map<String, Value>) -> (String, Map<String, Value>) {
    match settings.get("limits.wall_secs").and_then(Value::as_f64) {
        Some(secs) => {
            let advice = format!(
                "raise limits.wall_secs, such as to {}, or read fewer frames with video.every",
                2.0 * secs
            );
            (advice, Map::from_iter([("limits.wall_secs".to_string(), json!(2.0 * secs))]))
        }
        None => ("read fewer frames with video.every or video.end_frame".to_string(), Map::new()),
    }
}

fn after_disk_full(settings: &Map<String, Value>) -> (String, Map<String, Value>) {
    let mode = mode(settings);
    if mode.contains("jpeg") || mode.contains("png") {
        let advice =
            "free space, or retry with video.mode=stream-sequential, which writes no images of frames";
        return (
            advice.to_string(),
            Map::from_iter([("video.mode".to_string(), json!("stream-sequential"))]),
        );
    }
    ("free space, or remove results of earlier jobs".to_string(), Map::new())
}

/// A value as the command line has it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn row(outcome: Outcome, error: &str) -> RunRow {
        RunRow { outcome, error: Some(error.into()), ..RunRow::default() }
    }

    #[test]
    fn failed_runs_keep_the_runners_words() {
        let source = PathBuf::from("/data/1/source.mp4");
        for (outcome, error, kind) in [
            (Outcome::OutOfMemory, "the resident set reached 70 MiB", FailureKind::OutOfMemory),
            (Outcome::TimedOut, "not done after 2 s", FailureKind::TimedOut),
            (Outcome::Crashed, "ended by signal 11", FailureKind::Crashed),
            (Outcome::Error, "the network failed", FailureKind::Error),
            (Outcome::Error, "/data/1/source.mp4, frame 7: broken", FailureKind::BadSource),
            (Outcome::Error, "/x: No space left on device (os error 28)", FailureKind::DiskFull),
        ] {
            let failure = of_row(&row(outcome, error), std::slice::from_ref(&source), &Map::new());
            assert_eq!((failure.kind, failure.message.as_str()), (kind, error));
            assert_eq!(failure.advice.is_none(), kind == FailureKind::Error, "{error}");
        }
    }

    #[test]
    fn advice_changes_the_settings_that_use_memory_time_or_disk() {
        let memory = |given: Value| after_out_of_memory(&settings(given));
        let (advice, changed) = memory(json!({"video.mode": "extract-memory", "hmr2.batch": 16}));
        assert_eq!(Value::Object(changed), json!({"video.mode": "stream-sequential", "hmr2.batch": 8}));
        assert_eq!(advice, "retry with video.mode=stream-sequential hmr2.batch=8");
        let (advice, changed) =
            memory(json!({"detect.model": "vitdet", "hmr2.batch": 1, "limits.host_mib": 99}));
        assert_eq!(Value::Object(changed), json!({"detect.budget_mib": 512}));
        assert!(advice.ends_with(", or raise the limit"), "{advice}");
        assert!(memory(json!({"hmr2.batch": 1})).1.is_empty());
        let (_, changed) = after_time_limit(&settings(json!({"limits.wall_secs": 3})));
        assert_eq!(Value::Object(changed), json!({"limits.wall_secs": 6.0}));
        let (_, changed) = after_disk_full(&settings(json!({"video.mode": {"extract": {"store": "png"}}})));
        assert_eq!(Value::Object(changed), json!({"video.mode": "stream-sequential"}));
    }

    #[test]
    fn a_full_disk_is_found_behind_other_errors() {
        let source = io::Error::from(ErrorKind::StorageFull);
        let error = RunnerError::File { path: "x".into(), source };
        assert_eq!(of_error(&error, &[], &Map::new()).kind, FailureKind::DiskFull);
        let error = RunnerError::Interrupted;
        assert_eq!(of_error(&error, &[], &Map::new()).kind, FailureKind::Error);
    }
}
