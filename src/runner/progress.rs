//! What the runner tells while it works, and two ways of showing it: a bar on a terminal, lines elsewhere.

use super::guess::RoughTime;
use crate::fetch::size_in_words;
use crate::tables::RunRow;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often a line tells how far a fetch has come, where there is no bar.
const FETCH_LINE_EVERY: Duration = Duration::from_secs(5);
const MB: u64 = 1_000_000;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Clips are being made: so many frames of so many.
    Clip { name: &'a str, done: usize, of: usize },
    /// A file of a package is being fetched: so many bytes of so many, where that is known.
    Fetch { name: &'a str, bytes: u64, of: Option<u64> },
    /// A run begins, the `number`th of `of`; `left` is what all that are left may take together.
    Begin { number: usize, of: usize, label: &'a str, left: RoughTime },
    /// The run works on this frame of its video, the `number`th of the `of` frames that it is given: those of the
    /// range, every so many, in every loop.
    Frame { frame: u64, number: u64, of: u64 },
    /// A run has ended, or was found as ended before (`again`).
    End { number: usize, of: usize, label: &'a str, row: &'a RunRow, again: bool },
    /// What a person should know, in a sentence.
    Note(&'a str),
    /// What follows the runs.
    Then(&'static str),
}

/// Hears what happens.
pub trait Listener {
    fn hear(&mut self, event: Event);
}

/// The listener for where standard error goes.
pub fn for_stderr() -> Box<dyn Listener> {
    if std::io::stderr().is_terminal() {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::new(Box::new(std::io::stderr())))
    }
}

/// Nobody listens.
pub struct Silence;

impl Listener for Silence {
    fn hear(&mut self, _: Event) {}
}

/// A bar, with a line for each finished run above it. It counts runs; where there is only one, its frames.
struct Bar {
    bar: ProgressBar,
    label: String,
    runs: usize,
    left: Left,
}

impl Bar {
    fn new() -> Bar {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        Bar { bar, label: String::new(), runs: 0, left: Left::default() }
    }
}

impl Listener for Bar {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Clip { name, done, of } => {
                self.bar.set_length(of as u64);
                self.bar.set_position(done as u64);
                self.bar.set_message(format!("making the clip {name}"));
            }
            Event::Fetch { name, bytes, of } => {
                // the bar counts MB: it has no style of its own for bytes
                self.bar.set_length(of.unwrap_or(bytes) / MB);
                self.bar.set_position(bytes / MB);
                self.bar.set_message(format!("MB of {name}"));
            }
            Event::Begin { number, of, label, left } => {
                self.left.begin(left);
                (self.label, self.runs) = (label.to_string(), of);
                self.bar.set_length(of as u64);
                self.bar.set_position(number as u64 - 1);
                self.bar.set_message(format!("{label}  {}", self.left.in_words()));
            }
            Event::Frame { frame, number, of } => {
                if self.runs == 1 {
                    self.bar.set_length(of);
                    self.bar.set_position(number);
                }
                let frame = frame_in_words(frame, number, of);
                self.bar.set_message(format!("{}  {frame}, {}", self.label, self.left.in_words()));
            }
            Event::End { number, of, label, row, again } => {
                self.bar.set_length(of as u64);
                self.bar.set_position(number as u64);
                if !again {
                    self.bar.println(ended(label, row));
                }
            }
            Event::Note(words) => self.bar.println(words),
            Event::Then(what) => self.bar.set_message(what),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A line for each finished run.
struct Lines {
    out: Box<dyn std::io::Write>,
    clip: String,
    fetched: Option<Instant>,
    left: Left,
}

impl Lines {
    fn new(out: Box<dyn std::io::Write>) -> Lines {
        Lines { out, clip: String::new(), fetched: None, left: Left::default() }
    }

    fn say(&mut self, line: &str) {
        // progress that nobody can read is no reason to stop
        let _ = writeln!(self.out, "{line}");
    }
}

impl Listener for Lines {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Clip { name, .. } if self.clip != name => {
                self.clip = name.to_string();
                self.say(&format!("making the clip {name}"));
            }
            Event::Fetch { name, bytes, of } => {
                let now = Instant::now();
                if self.fetched.is_none_or(|last| now - last >= FETCH_LINE_EVERY) {
                    self.fetched = Some(now);
                    let of = of.map_or_else(String::new, |of| format!(" of {}", size_in_words(of)));
                    self.say(&format!("{name}: {}{of}", size_in_words(bytes)));
                }
            }
            Event::Clip { .. } | Event::Frame { .. } => {}
            Event::Begin { left, .. } => self.left.begin(left),
            Event::End { number, of, label, row, again } => {
                let words = if again { format!("{label}: as before") } else { ended(label, row) };
                let left = if number < of { format!(", {}", self.left.in_words()) } else { String::new() };
                self.say(&format!("[{number}/{of}] {words}{}", if again { String::new() } else { left }));
            }
            Event::Note(words) => self.say(words),
            Event::Then(what) => self.say(what),
        }
    }
}

/// The frame that a run works on, such as `frame 40 (11 of 30)`.
fn frame_in_words(frame: u64, number: u64, of: u64) -> String {
    format!("frame {frame} ({number} of {of})")
}

/// Time left: the estimate at the last beginning, less what has passed since.
#[derive(Default)]
struct Left {
    time: RoughTime,
    since: Option<Instant>,
}

impl Left {
    fn begin(&mut self, time: RoughTime) {
        self.time = time;
        self.since = Some(Instant::now());
    }

    fn in_words(&self) -> String {
        let passed_secs = self.since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        self.time.less(passed_secs).left_in_words()
    }
}

fn ended(label: &str, row: &RunRow) -> String {
    // a run that could not begin took no time
    let secs =
        |word: &str| row.wall_secs.map_or_else(String::new, |secs| format!(" {word} {}", duration(secs)));
    match &row.error {
        None => {
            let remarks = row.remarks.as_ref().map_or_else(String::new, |remarks| format!(" ({remarks})"));
            format!("{label}: {}{}{remarks}", row.outcome, secs("in"))
        }
        Some(error) => format!("{label}: {}{}: {error}", row.outcome, secs("after")),
    }
}

/// Seconds in words, such as `8 s`, `3 min`, `2 h 5 min`.
pub fn duration(secs: f64) -> String {
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
    fn times_in_words() {
        let words: Vec<String> = [0.25, 9.99, 42.0, 130.0, 7500.0].into_iter().map(duration).collect();
        assert_eq!(words, ["0.2 s", "10 s", "42 s", "2 min", "2 h 5 min"]);
    }

    /// Frames 30 to 40 of a longer file, as a reader gives them out.
    #[test]
    fn the_bar_of_a_single_run_counts_its_frames() {
        let mut bar = Bar::new();
        let left = RoughTime::from(Some(60.0));
        bar.hear(Event::Begin { number: 1, of: 1, label: "clip stream-sequential", left });
        bar.hear(Event::Frame { frame: 34, number: 5, of: 10 });
        assert_eq!((bar.bar.position(), bar.bar.length()), (5, Some(10)));
        assert!(bar.bar.message().contains("frame 34 (5 of 10), about"), "{}", bar.bar.message());
        bar.hear(Event::Begin { number: 2, of: 7, label: "clip stream-seek", left });
        bar.hear(Event::Frame { frame: 34, number: 5, of: 10 });
        assert_eq!((bar.bar.position(), bar.bar.length()), (1, Some(7)));
    }

    #[test]
    fn a_failure_says_why() {
        let row = RunRow {
            outcome: "timed_out".into(),
            error: Some("not done after 2 s".into()),
            wall_secs: Some(2.0),
            ..RunRow::default()
        };
        assert_eq!(ended("stream-seek", &row), "stream-seek: timed_out after 2.0 s: not done after 2 s");
    }
}
