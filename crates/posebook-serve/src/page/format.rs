//! Numbers, sizes, durations, times and words as a reader sees them.

use crate::job::{FailureKind, Progress};
use posebook_core::fetch::format_size;
use time::OffsetDateTime;
use time::macros::format_description;

/// The stage whose units are bytes; the units of other stages are frames or runs.
const FETCH: &str = "fetch";

/// A kind of failure in words.
pub fn failure(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Error => "error",
        FailureKind::OutOfMemory => "out of memory",
        FailureKind::TimedOut => "time limit exceeded",
        FailureKind::Crashed => "process crashed",
        FailureKind::Lost => "files are missing",
        FailureKind::DiskFull => "disk full",
        FailureKind::BadSource => "source not readable",
    }
}

/// A duration with one or two units: `8 s`, `4 min 10 s`, `2 h 05 min`, `3 d 4 h`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_string();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    // far beyond any job, and exact in f64
    let whole = seconds.round().min(1e12) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// An estimate: `less than a minute`, `about 4 min`, `about 3 h`.
pub fn estimate(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_string();
    }
    let minutes = (seconds / 60.0).ceil();
    match minutes {
        ..=1.0 => "less than a minute".to_string(),
        ..120.0 => format!("about {minutes:.0} min"),
        _ => format!("about {:.0} h", minutes / 60.0),
    }
}

/// A time for reading: `2026-11-28 12:09:35 UTC`.
pub fn time(milliseconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok();
    time.and_then(|time| time.format(format).ok()).unwrap_or_else(|| "unknown time".to_string())
}

/// Progress in one line: `run · 120 of 300 · 5.2/s · 35 s left`. `script.js` writes the same.
pub fn progress(progress: &Progress) -> String {
    let is_bytes = progress.stage == FETCH;
    let units = |count: u64| if is_bytes { format_size(count) } else { count.to_string() };
    let mut parts = vec![progress.stage.clone()];
    parts.push(match progress.of {
        Some(of) => format!("{} of {}", units(progress.done), units(of)),
        None if progress.done == 0 => String::new(),
        None => units(progress.done),
    });
    if let Some(rate) = progress.rate.filter(|rate| rate.is_finite() && *rate >= 0.0) {
        parts.push(if is_bytes { format!("{}/s", format_size(rate as u64)) } else { format!("{rate:.1}/s") });
    }
    if let Some(left) = progress.seconds_left.filter(|left| left.is_finite() && *left >= 0.0) {
        parts.push(format!("{} left", seconds(left)));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// A setting's value as on the command line: text without quotes.
pub fn setting(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_or_two_units() {
        let given = [0.04, 9.96, 59.4, 250.0, 7500.0, 273_600.0, f64::NAN, -1.0, f64::INFINITY];
        let expected =
            ["0.0 s", "10 s", "59 s", "4 min 10 s", "2 h 05 min", "3 d 4 h", "unknown", "unknown", "unknown"];
        assert_eq!(given.map(seconds), expected);
    }

    #[test]
    fn estimates_are_rounded_up() {
        assert_eq!(
            [0.0, 61.0, 7100.0, 9000.0, f64::NAN].map(estimate),
            ["less than a minute", "about 2 min", "about 119 min", "about 2 h", "unknown"]
        );
    }

    #[test]
    fn times_are_utc_and_out_of_range_is_said() {
        assert_eq!(time(1_795_867_775_000), "2026-11-28 12:09:35 UTC");
        assert_eq!(time(i64::MAX), "unknown time");
    }

    #[test]
    fn progress_is_one_line_and_fetching_counts_bytes() {
        let mut now = Progress {
            stage: "run".to_string(),
            done: 120,
            of: Some(300),
            rate: Some(5.21),
            seconds_left: Some(34.6),
        };
        assert_eq!(progress(&now), "run · 120 of 300 · 5.2/s · 35 s left");
        now = Progress {
            stage: "fetch".to_string(),
            done: 2_500_000,
            rate: Some(1e6),
            seconds_left: Some(f64::NAN),
            ..Progress::default()
        };
        assert_eq!(progress(&now), "fetch · 2.5 MB · 1.0 MB/s");
        now = Progress { stage: "write".to_string(), ..Progress::default() };
        assert_eq!(progress(&now), "write");
    }
}
