//! Progress of a job as lines of JSON on standard output.
//!
//! In: events of the runner. Out: [`ProcessEvent`]s. Within a stage there are at most four lines a second.
//!
//! | stage | units |
//! |---|---|
//! | `models` | bytes of published weights that are fetched |
//! | `clip` | frames of a clip that is drawn or read |
//! | `run` | frames of the one run; images of a reconstruction |
//! | `runs` | runs of an experiment |
//! | `overlay`, `write` | the overlay that is drawn after a run; tables and files of other formats |
//! | `draw`, `report` | contact sheets and page of an experiment |

use super::shown::ShownNames;
use crate::runner::format_duration;
use crate::runner::progress::{ProgressEvent, ProgressListener};
use posebook_notebook::tables::RunRow;
use posebook_serve::job::{JobKind, ProcessEvent, Progress};
use std::io::{Stdout, Write};
use std::time::{Duration, Instant};

/// Minimum interval between two lines of one stage.
const INTERVAL: Duration = Duration::from_millis(250);
/// Minimum time of a stage before its rate is given.
const RATE_AFTER: Duration = Duration::from_millis(300);
/// The runner's label of the export of PHALP's .pkl.
const EXPORT: &str = "export";

/// Writes events to standard output.
pub struct Reporter<W: Write = Stdout> {
    out: W,
    kind: JobKind,
    shown: ShownNames,
    stage: &'static str,
    began: Instant,
    /// Units that were done when the stage began.
    first: u64,
    last_line: Option<Instant>,
    is_export: bool,
    /// Of an experiment: runs done, runs in all, and the estimated seconds left with the time of the estimate.
    runs: (u64, u64, Option<(f64, Instant)>),
}

impl<W: Write> Reporter<W> {
    /// A reporter for a job of `kind`; texts name sources as `shown`.
    pub fn new(out: W, kind: JobKind, shown: ShownNames) -> Reporter<W> {
        Reporter {
            out,
            kind,
            shown,
            stage: "",
            began: Instant::now(),
            first: 0,
            last_line: None,
            is_export: false,
            runs: (0, 0, None),
        }
    }

    /// An image of a reconstruction is done.
    pub fn image(&mut self, number: usize, total: usize) {
        self.progress("run", number as u64, Some(total as u64), None);
    }

    fn progress(&mut self, stage: &'static str, done: u64, of: Option<u64>, seconds_left: Option<f64>) {
        let now = Instant::now();
        if self.stage != stage {
            (self.stage, self.began, self.first) = (stage, now, done);
        } else if self.last_line.is_some_and(|last| now - last < INTERVAL) && of != Some(done) {
            return;
        }
        self.last_line = Some(now);
        let elapsed = now - self.began;
        let new = done.saturating_sub(self.first);
        let rate = (new > 0 && elapsed >= RATE_AFTER).then(|| new as f64 / elapsed.as_secs_f64());
        let left = of.map(|of| of.saturating_sub(done) as f64);
        let seconds_left = seconds_left.or(left.zip(rate).map(|(left, rate)| left / rate));
        let progress = Progress { stage: stage.to_string(), done, of, rate, seconds_left };
        self.write(&ProcessEvent::Progress(progress));
    }

    fn run_progress(&mut self) {
        let (done, of, left) = self.runs;
        let left = left.map(|(secs, since)| (secs - since.elapsed().as_secs_f64()).max(1.0));
        self.progress("runs", done, Some(of), left);
    }

    fn note(&mut self, text: &str) {
        let text = self.shown.text(text);
        self.write(&ProcessEvent::Note { text });
    }

    fn write(&mut self, event: &ProcessEvent) {
        if let Ok(line) = serde_json::to_string(event) {
            // a server that reads no more has ended, and this process with it
            let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}

impl<W: Write> ProgressListener for Reporter<W> {
    fn on_event(&mut self, event: ProgressEvent) {
        let is_experiment = self.kind == JobKind::Experiment;
        match event {
            ProgressEvent::Clip { done, total, .. } => {
                self.progress("clip", done as u64, Some(total as u64).filter(|total| *total > 0), None);
            }
            ProgressEvent::Fetch { bytes, total, .. } => self.progress("models", bytes, total, None),
            ProgressEvent::RunStarted { label: EXPORT, .. } => {
                self.is_export = true;
                self.progress("write", 0, None, None);
            }
            ProgressEvent::RunStarted { number, total, time_left, .. } if is_experiment => {
                let known = (time_left.unknown == 0).then(|| (time_left.secs, Instant::now()));
                self.runs = (number.saturating_sub(1) as u64, total as u64, known);
                self.run_progress();
            }
            ProgressEvent::RunStarted { .. } => self.progress("run", 0, None, None),
            ProgressEvent::Frame { .. } if is_experiment => self.run_progress(),
            ProgressEvent::Frame { number, total, .. } => {
                let stage = if self.is_export { "write" } else { "run" };
                self.progress(stage, number, Some(total), None);
            }
            ProgressEvent::Detected { done, total, .. } => self.progress("run", done, Some(total), None),
            ProgressEvent::RunEnded { number, total, label, row, reused } if is_experiment => {
                self.runs = (number as u64, total as u64, self.runs.2);
                self.note(&describe_end(label, row, reused));
                self.run_progress();
            }
            ProgressEvent::RunEnded { .. } => self.progress("write", 0, None, None),
            ProgressEvent::Note(text) => self.note(text),
            ProgressEvent::Phase(name) => self.progress(stage_of_phase(name), 0, None, None),
        }
    }
}

fn stage_of_phase(name: &str) -> &'static str {
    match name {
        "drawing the overlay" => "overlay",
        "drawing contact sheets" => "draw",
        "writing the report" => "report",
        _ => "write",
    }
}

/// How a run of an experiment ended, such as `crossing stream-seek: ok in 2.1 s`.
fn describe_end(label: &str, row: &RunRow, reused: bool) -> String {
    if reused {
        return format!("{label}: as before");
    }
    let secs = row.metrics.timing.wall_secs.map(|secs| format!(" in {}", format_duration(secs)));
    let error = row.error.as_ref().map(|error| format!(": {error}"));
    format!("{label}: {}{}{}", row.outcome, secs.unwrap_or_default(), error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::TimeEstimate;
    use posebook_serve::job::{JobFile, JobId};
    use std::path::Path;

    fn reporter(kind: JobKind, source: &str) -> Reporter<Vec<u8>> {
        let job = JobFile {
            id: JobId::random(),
            kind,
            sources: vec![source.into()],
            source_name: "walk.mp4".into(),
            source_names: Vec::new(),
            boxes: None,
            experiment: None,
            settings: serde_json::Map::new(),
            device: "cpu".into(),
        };
        let shown = ShownNames::new(&job, Path::new("/data/x"));
        Reporter::new(Vec::new(), kind, shown)
    }

    fn events(reporter: &Reporter<Vec<u8>>) -> Vec<ProcessEvent> {
        let text = std::str::from_utf8(&reporter.out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn stages(reporter: &Reporter<Vec<u8>>) -> Vec<(String, u64, Option<u64>)> {
        let progress = |event| match event {
            ProcessEvent::Progress(Progress { stage, done, of, .. }) => Some((stage, done, of)),
            ProcessEvent::Note { .. } => None,
        };
        events(reporter).into_iter().filter_map(progress).collect()
    }

    #[test]
    fn frames_of_a_run_are_reported_at_most_four_times_a_second() {
        let mut reporter = reporter(JobKind::Track, "/data/1/source.mp4");
        let time_left = TimeEstimate::default();
        reporter.on_event(ProgressEvent::Note("/data/1/source.mp4 has no sound"));
        reporter.on_event(ProgressEvent::RunStarted { number: 1, total: 1, label: "walk", time_left });
        for number in 1..=100 {
            reporter.on_event(ProgressEvent::Frame { frame: number, number, total: 100 });
        }
        reporter.on_event(ProgressEvent::Phase("drawing the overlay"));
        reporter.on_event(ProgressEvent::RunStarted { number: 1, total: 1, label: EXPORT, time_left });
        let found = stages(&reporter);
        let names: Vec<&str> = found.iter().map(|(stage, ..)| stage.as_str()).collect();
        assert_eq!(names, ["run", "run", "overlay", "write"]);
        assert_eq!((found[1].1, found[1].2), (100, Some(100)), "the last frame is always reported");
        assert_eq!(events(&reporter)[0], ProcessEvent::Note { text: "walk.mp4 has no sound".into() });
    }

    #[test]
    fn an_experiment_counts_its_runs() {
        let mut reporter = reporter(JobKind::Experiment, "/none");
        let time_left = TimeEstimate { secs: 30.0, unknown: 0 };
        let row = RunRow::default();
        for number in 1..=2 {
            reporter.on_event(ProgressEvent::RunStarted { number, total: 2, label: "a", time_left });
            reporter.on_event(ProgressEvent::Frame { frame: 3, number: 4, total: 9 });
            reporter.on_event(ProgressEvent::RunEnded {
                number,
                total: 2,
                label: "a",
                row: &row,
                reused: number == 1,
            });
        }
        assert_eq!(stages(&reporter).first(), Some(&("runs".to_string(), 0, Some(2))));
        assert_eq!(stages(&reporter).last(), Some(&("runs".to_string(), 2, Some(2))));
        assert!(events(&reporter).contains(&ProcessEvent::Note { text: "a: as before".into() }));
    }
}
