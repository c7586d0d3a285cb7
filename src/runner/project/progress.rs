//! Progress events of the runner, and two listeners that show them: a bar on a terminal, lines elsewhere.

use super::time_estimate::{TimeEstimate, format_duration};
use indicatif::{ProgressBar, ProgressStyle};
use posebook_core::fetch::format_size;
use posebook_notebook::tables::RunRow;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Minimum interval between two progress lines of a fetch, if the output is not a terminal and no progress bar is shown.
const FETCH_LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum interval between two progress lines of `posebook detect`, if no progress bar is shown.
const DETECTED_LINE_INTERVAL: Duration = Duration::from_secs(10);
const MB: u64 = 1_000_000;

/// A progress event.
#[derive(Debug)]
pub enum ProgressEvent<'a> {
    /// A clip is being generated.
    Clip {
        /// The clip's name.
        name: &'a str,
        /// Frames done.
        done: usize,
        /// Frames in all.
        total: usize,
    },
    /// A file of a package is being fetched.
    Fetch {
        /// The file's name.
        name: &'a str,
        /// Bytes received.
        bytes: u64,
        /// The file's size, where it is known.
        total: Option<u64>,
    },
    /// A run starts.
    RunStarted {
        /// Number of the run, from 1.
        number: usize,
        /// Maximum number of runs.
        total: usize,
        /// Label of the run.
        label: &'a str,
        /// Estimated time of all remaining runs, this one included.
        time_left: TimeEstimate,
    },
    /// The run processes a frame.
    Frame {
        /// Index of the frame in the video.
        frame: u64,
        /// Number of the frame among those that the run processes, from 1.
        number: u64,
        /// Number of frames that the run processes.
        total: u64,
    },
    /// The people of a frame are detected and stored.
    Detected {
        /// Number of the frame in the video.
        frame: u64,
        /// Number of frames that are done, those of an earlier start included.
        done: u64,
        /// Number of frames in all.
        total: u64,
        /// Mean rate since the start.
        frames_per_sec: f64,
    },
    /// A run has ended.
    RunEnded {
        /// Number of the run, from 1.
        number: usize,
        /// Maximum number of runs.
        total: usize,
        /// Label of the run.
        label: &'a str,
        /// The run's row.
        row: &'a RunRow,
        /// Whether the row comes from a stored run.
        reused: bool,
    },
    /// A message for the user, one sentence.
    Note(&'a str),
    /// A phase other than a run starts.
    Phase(&'static str),
}

/// Receives progress events.
pub trait ProgressListener {
    /// Called for every event, in order.
    fn on_event(&mut self, event: ProgressEvent);
}

/// A bar if standard error is a terminal, otherwise lines.
pub fn stderr_listener() -> Box<dyn ProgressListener> {
    if std::io::stderr().is_terminal() {
        Box::new(BarListener::new())
    } else {
        Box::new(LineListener::new(Box::new(std::io::stderr())))
    }
}

/// Ignores all events.
pub struct NoProgress;

impl ProgressListener for NoProgress {
    fn on_event(&mut self, _: ProgressEvent) {}
}

/// A bar, with a line for each finished run above it. It counts runs; where there is only one, its frames.
struct BarListener {
    bar: ProgressBar,
    label: String,
    runs: usize,
    left: TimeLeft,
}

impl BarListener {
    fn new() -> BarListener {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        BarListener { bar, label: String::new(), runs: 0, left: TimeLeft::default() }
    }
}

impl ProgressListener for BarListener {
    fn on_event(&mut self, event: ProgressEvent) {
        match event {
            ProgressEvent::Clip { name, done, total } => {
                self.bar.set_length(total as u64);
                self.bar.set_position(done as u64);
                self.bar.set_message(format!("generating the clip {name}"));
            }
            ProgressEvent::Fetch { name, bytes, total } => {
                // the bar has one style for all counts, so bytes are shown as MB
                self.bar.set_length(total.unwrap_or(bytes) / MB);
                self.bar.set_position(bytes / MB);
                self.bar.set_message(format!("MB of {name}"));
            }
            ProgressEvent::RunStarted { number, total, label, time_left } => {
                self.left.update(time_left);
                (self.label, self.runs) = (label.to_string(), total);
                self.bar.set_length(total as u64);
                self.bar.set_position(number as u64 - 1);
                self.bar.set_message(format!("{label}  {}", self.left.describe()));
            }
            ProgressEvent::Frame { frame, number, total } => {
                if self.runs == 1 {
                    self.bar.set_length(total);
                    self.bar.set_position(number);
                }
                let frame = format_frame(frame, number, total);
                self.bar.set_message(format!("{}  {frame}, {}", self.label, self.left.describe()));
            }
            ProgressEvent::Detected { frame, done, total, frames_per_sec } => {
                self.bar.set_length(total);
                self.bar.set_position(done);
                self.bar.set_message(format_detected(frame, total - done, frames_per_sec));
            }
            ProgressEvent::RunEnded { number, total, label, row, reused } => {
                self.bar.set_length(total as u64);
                self.bar.set_position(number as u64);
                if !reused {
                    self.bar.println(describe_end(label, row));
                }
            }
            ProgressEvent::Note(text) => self.bar.println(text),
            ProgressEvent::Phase(name) => self.bar.set_message(name),
        }
    }
}

impl Drop for BarListener {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A line for each finished run.
struct LineListener {
    out: Box<dyn std::io::Write>,
    clip: String,
    last_fetch_line: Option<Instant>,
    last_detected_line: Option<Instant>,
    left: TimeLeft,
}

impl LineListener {
    fn new(out: Box<dyn std::io::Write>) -> LineListener {
        LineListener {
            out,
            clip: String::new(),
            last_fetch_line: None,
            last_detected_line: None,
            left: TimeLeft::default(),
        }
    }

    fn print_line(&mut self, line: &str) {
        // a closed standard error is no reason to stop
        let _ = writeln!(self.out, "{line}");
    }
}

impl ProgressListener for LineListener {
    fn on_event(&mut self, event: ProgressEvent) {
        match event {
            ProgressEvent::Clip { name, .. } if self.clip != name => {
                self.clip = name.to_string();
                self.print_line(&format!("generating the clip {name}"));
            }
            ProgressEvent::Fetch { name, bytes, total } => {
                let now = Instant::now();
                if self.last_fetch_line.is_none_or(|last| now - last >= FETCH_LINE_INTERVAL) {
                    self.last_fetch_line = Some(now);
                    let of = total.map_or_else(String::new, |total| format!(" of {}", format_size(total)));
                    self.print_line(&format!("{name}: {}{of}", format_size(bytes)));
                }
            }
            ProgressEvent::Detected { frame, done, total, frames_per_sec } => {
                let now = Instant::now();
                if self.last_detected_line.is_none_or(|last| now - last >= DETECTED_LINE_INTERVAL) {
                    self.last_detected_line = Some(now);
                    let what = format_detected(frame, total - done, frames_per_sec);
                    self.print_line(&format!("[{done}/{total}] {what}"));
                }
            }
            ProgressEvent::Clip { .. } | ProgressEvent::Frame { .. } => {}
            ProgressEvent::RunStarted { time_left, .. } => self.left.update(time_left),
            ProgressEvent::RunEnded { number, total, label, row, reused } => {
                let text = if reused { format!("{label}: as before") } else { describe_end(label, row) };
                let is_last = number >= total;
                let left =
                    if is_last || reused { String::new() } else { format!(", {}", self.left.describe()) };
                self.print_line(&format!("[{number}/{total}] {text}{left}"));
            }
            ProgressEvent::Note(text) => self.print_line(text),
            ProgressEvent::Phase(name) => self.print_line(name),
        }
    }
}

/// A frame whose people are detected, such as `frame 40, 30 left, 0.02 frames/s, about 25 min`.
fn format_detected(frame: u64, left: u64, frames_per_sec: f64) -> String {
    let time = format_duration(left as f64 / frames_per_sec);
    format!("frame {frame}, {left} left, {frames_per_sec:.2} frames/s, about {time}")
}

/// The frame that a run processes, such as `frame 40 (11 of 30)`.
fn format_frame(frame: u64, number: u64, total: u64) -> String {
    format!("frame {frame} ({number} of {total})")
}

/// Time left: the estimate at the start of the current run, minus the time since.
#[derive(Default)]
struct TimeLeft {
    time: TimeEstimate,
    since: Option<Instant>,
}

impl TimeLeft {
    fn update(&mut self, time: TimeEstimate) {
        self.time = time;
        self.since = Some(Instant::now());
    }

    fn describe(&self) -> String {
        let passed_secs = self.since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        self.time.minus(passed_secs).describe_left()
    }
}

fn describe_end(label: &str, row: &RunRow) -> String {
    // a run that could not start took no time
    let wall_secs = row.metrics.timing.wall_secs;
    let secs =
        |word: &str| wall_secs.map_or_else(String::new, |secs| format!(" {word} {}", format_duration(secs)));
    match &row.error {
        None => {
            let remarks = row.remarks.as_ref().map_or_else(String::new, |remarks| format!(" ({remarks})"));
            format!("{label}: {}{}{remarks}", row.outcome, secs("in"))
        }
        Some(error) => format!("{label}: {}{}: {error}", row.outcome, secs("after")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::labels::Outcome;

    /// Frames 30 to 40 of a longer file.
    #[test]
    fn the_bar_of_a_single_run_counts_its_frames() {
        let mut bar = BarListener::new();
        let time_left = TimeEstimate::from(Some(60.0));
        bar.on_event(ProgressEvent::RunStarted {
            number: 1,
            total: 1,
            label: "clip stream-sequential",
            time_left,
        });
        bar.on_event(ProgressEvent::Frame { frame: 34, number: 5, total: 10 });
        assert_eq!((bar.bar.position(), bar.bar.length()), (5, Some(10)));
        assert!(bar.bar.message().contains("frame 34 (5 of 10), about"), "{}", bar.bar.message());
        bar.on_event(ProgressEvent::RunStarted { number: 2, total: 7, label: "clip stream-seek", time_left });
        bar.on_event(ProgressEvent::Frame { frame: 34, number: 5, total: 10 });
        assert_eq!((bar.bar.position(), bar.bar.length()), (1, Some(7)));
    }

    #[test]
    fn a_failed_run_is_shown_with_its_error() {
        let mut row = RunRow {
            outcome: Outcome::TimedOut,
            error: Some("not done after 2 s".into()),
            ..RunRow::default()
        };
        row.metrics.timing.wall_secs = Some(2.0);
        assert_eq!(
            describe_end("stream-seek", &row),
            "stream-seek: timed_out after 2.0 s: not done after 2 s"
        );
    }
}
