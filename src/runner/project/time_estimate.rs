//! An estimated time of runs, and durations as text.

use std::fmt;
use std::iter::Sum;
use std::ops::SubAssign;

/// Estimated time of one or several runs; runs of unknown time are counted separately.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimeEstimate {
    /// Sum of the known times, seconds.
    pub secs: f64,
    /// Number of runs whose time is unknown.
    pub unknown: usize,
}

impl TimeEstimate {
    /// The time of `runs` such runs.
    pub fn times(self, runs: usize) -> TimeEstimate {
        TimeEstimate { secs: self.secs * runs as f64, unknown: self.unknown * runs }
    }

    /// The time that remains after `passed_secs`; at least one second where a time is known.
    pub fn minus(self, passed_secs: f64) -> TimeEstimate {
        let secs = if self.secs > 0.0 { (self.secs - passed_secs).max(1.0) } else { 0.0 };
        TimeEstimate { secs, ..self }
    }

    /// Text such as `about 7 min left`.
    pub fn describe_left(self) -> String {
        match self {
            TimeEstimate { unknown: 0, secs } => format!("about {} left", format_duration(secs)),
            TimeEstimate { secs: 0.0, .. } => "time left unknown".to_string(),
            TimeEstimate { secs, unknown } => {
                format!("about {} left plus {}", format_duration(secs), unknown_runs(unknown))
            }
        }
    }
}

fn unknown_runs(unknown: usize) -> String {
    format!("{unknown} {} of unknown time", if unknown == 1 { "run" } else { "runs" })
}

/// Text such as `about 7 min`.
impl fmt::Display for TimeEstimate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            TimeEstimate { unknown: 0, secs } => write!(f, "about {}", format_duration(secs)),
            TimeEstimate { secs: 0.0, .. } => write!(f, "time unknown"),
            TimeEstimate { secs, unknown } => {
                write!(f, "about {} plus {}", format_duration(secs), unknown_runs(unknown))
            }
        }
    }
}

/// The time of one run; `None` is unknown.
impl From<Option<f64>> for TimeEstimate {
    fn from(secs: Option<f64>) -> TimeEstimate {
        TimeEstimate { secs: secs.unwrap_or(0.0), unknown: usize::from(secs.is_none()) }
    }
}

impl Sum for TimeEstimate {
    fn sum<I: Iterator<Item = TimeEstimate>>(times: I) -> TimeEstimate {
        times.fold(TimeEstimate::default(), |sum, time| TimeEstimate {
            secs: sum.secs + time.secs,
            unknown: sum.unknown + time.unknown,
        })
    }
}

/// Subtracts estimates that were added before. The result never falls below zero.
impl SubAssign for TimeEstimate {
    fn sub_assign(&mut self, time: TimeEstimate) {
        // less than a microsecond is rounding
        self.secs = Some(self.secs - time.secs).filter(|secs| *secs > 1e-6).unwrap_or(0.0);
        self.unknown = self.unknown.saturating_sub(time.unknown);
    }
}

/// A duration in seconds as text, such as `8 s`, `3 min`, `2 h 5 min`.
pub fn format_duration(secs: f64) -> String {
    let whole = secs.round() as u64;
    match whole {
        0..=9 if secs < 9.95 => format!("{secs:.1} s"),
        0..=99 => format!("{whole} s"),
        100..=5999 => format!("{} min", (secs / 60.0).round()),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted() {
        let texts: Vec<String> = [0.25, 9.99, 42.0, 130.0, 7500.0].into_iter().map(format_duration).collect();
        assert_eq!(texts, ["0.2 s", "10 s", "42 s", "2 min", "2 h 5 min"]);
    }

    #[test]
    fn estimates_are_formatted() {
        let known = TimeEstimate::from(Some(200.0));
        let unknown = TimeEstimate::from(None);
        let both: TimeEstimate = [known, known, unknown].into_iter().sum();
        assert_eq!(both.to_string(), "about 7 min plus 1 run of unknown time");
        assert_eq!(unknown.times(3).to_string(), "time unknown");
        assert_eq!(unknown.describe_left(), "time left unknown");
        assert_eq!(known.times(2).minus(30.0).describe_left(), "about 6 min left");
        let mut left = both;
        left -= known;
        left -= unknown;
        left -= known;
        assert_eq!(left, TimeEstimate::default());
    }
}
