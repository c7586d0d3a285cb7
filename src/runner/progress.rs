//! What the runner tells while it works, and two ways of showing it: a bar on a terminal, lines elsewhere.

use crate::tables::RunRow;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Clips are being made: so many frames of so many.
    Clip { name: &'a str, done: usize, of: usize },
    /// A run begins, the `number`th of `of`; all that are left may take `left_secs` together.
    Begin { number: usize, of: usize, label: &'a str, left_secs: f64 },
    /// The run works on this frame.
    Frame { frame: u64 },
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

/// A bar, with a line for each finished run above it.
struct Bar {
    bar: ProgressBar,
    left: Left,
}

impl Bar {
    fn new() -> Bar {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        Bar { bar, left: Left::default() }
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
            Event::Begin { number, of, label, left_secs } => {
                self.left.begin(left_secs);
                self.bar.set_length(of as u64);
                self.bar.set_position(number as u64 - 1);
                self.bar.set_message(format!("{label}  {}", self.left.in_words()));
            }
            Event::Frame { frame } => {
                let message = self.bar.message();
                let label = message.split("  ").next().unwrap_or_default();
                self.bar.set_message(format!("{label}  frame {frame}, {}", self.left.in_words()));
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
    left: Left,
}

impl Lines {
    fn new(out: Box<dyn std::io::Write>) -> Lines {
        Lines { out, clip: String::new(), left: Left::default() }
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
            Event::Clip { .. } | Event::Frame { .. } => {}
            Event::Begin { left_secs, .. } => self.left.begin(left_secs),
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

/// Time left: the estimate at the last beginning, less what has passed since.
#[derive(Default)]
struct Left {
    secs: f64,
    since: Option<Instant>,
}

impl Left {
    fn begin(&mut self, secs: f64) {
        self.secs = secs;
        self.since = Some(Instant::now());
    }

    fn in_words(&self) -> String {
        let passed = self.since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        format!("about {} left", duration((self.secs - passed).max(1.0)))
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
