//! Quick versions of the experiments: every verdict, and the numbers that are the same on every machine.
//!
//! Claims about times need the full experiments and are not measured here.

mod common;

use common::{Project, Row};

/// A column divided by `divisor` and rounded to `digits`, because encoders and floating point differ between machines.
fn rounded(row: &Row, column: &str, divisor: f64, digits: usize) -> String {
    row[column]
        .parse::<f64>()
        .map_or_else(|_| row[column].clone(), |value| format!("{:.digits$}", value / divisor))
}

/// Verdict and statement of each claim, from the report's first table.
fn verdicts(markdown: &str) -> String {
    let rows = markdown.lines().filter(|line| line.starts_with("| **"));
    let cells = rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | "));
    cells.map(|row| row.trim_start_matches("| ").to_string()).collect::<Vec<_>>().join("\n")
}

/// Runs the quick version of an experiment, which fails if a verdict is unexpected. Returns verdicts and `columns`.
fn quick_results(name: &str, columns: &[(&str, f64, usize)]) -> String {
    let toml = format!("{}/experiments/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let project = Project::with_experiment(name, &std::fs::read_to_string(toml).unwrap());
    project.posebook(&["experiment", "run", name, "--quick"]).succeeds();
    let markdown =
        std::fs::read_to_string(project.path(&format!("reports/{name}/latest/report.md"))).unwrap();
    let line = |row: &Row| {
        let cells = columns.iter().map(|(column, divisor, digits)| rounded(row, column, *divisor, *digits));
        cells.collect::<Vec<_>>().join(" | ")
    };
    let header = columns.iter().map(|(column, ..)| *column).collect::<Vec<_>>().join(" | ");
    let table: Vec<String> = project.runs(name).iter().map(line).collect();
    format!("{}\n\n{header}\n{}", verdicts(&markdown), table.join("\n"))
}

const KIB: f64 = 1024.0;
const TEN_KIB: f64 = 10.0 * KIB;

#[test]
fn published_claims() {
    insta::assert_snapshot!(quick_results(
        "published-claims",
        &[
            ("mode", 1.0, 0),
            ("results", 1.0, 0),
            ("clip_frames", 1.0, 0),
            ("frames", 1.0, 0),
            ("outcome", 1.0, 0),
            ("heap_frames_bytes", 1.0, 0),
            ("heap_results_bytes", TEN_KIB, 0),
        ]
    ));
}

#[test]
fn memory_vs_size() {
    insta::assert_snapshot!(quick_results(
        "memory-vs-size",
        &[
            ("mode", 1.0, 0),
            ("frames", 1.0, 0),
            ("people", 1.0, 0),
            ("heap_frames_bytes", 1.0, 0),
            ("heap_results_bytes", TEN_KIB, 0),
        ]
    ));
}

#[test]
fn video_size_limit() {
    // runs of a search depend on the memory of the machine's libraries, verdicts do not
    insta::assert_snapshot!(
        quick_results("video-size-limit", &[("mode", 1.0, 0), ("width", 1.0, 0)])
            .split("\n\n")
            .next()
            .unwrap()
    );
}

#[test]
fn accuracy_vs_mode() {
    insta::assert_snapshot!(quick_results(
        "accuracy-vs-mode",
        &[
            ("mode", 1.0, 0),
            ("jpeg_quality", 1.0, 0),
            ("people", 1.0, 0),
            ("hota", 1.0, 2),
            ("idf1", 1.0, 2),
            ("pa_mpjpe_mm", 1.0, 0),
        ]
    ));
}

#[test]
fn speed_vs_mode() {
    insta::assert_snapshot!(quick_results(
        "speed-vs-mode",
        &[
            ("mode", 1.0, 0),
            ("overlap", 1.0, 0),
            ("gop", 1.0, 0),
            ("frames", 1.0, 0),
            ("people", 1.0, 0),
            ("disk_peak_bytes", TEN_KIB, 0),
        ]
    ));
}

#[test]
fn long_video() {
    insta::assert_snapshot!(quick_results(
        "long-video",
        &[
            ("results", 1.0, 0),
            ("frames", 1.0, 0),
            ("people", 1.0, 0),
            ("heap_frames_bytes", 1.0, 0),
            ("heap_results_bytes", TEN_KIB, 0),
        ]
    ));
}

#[test]
fn precision() {
    insta::assert_snapshot!(quick_results(
        "precision",
        &[
            ("model", 1.0, 0),
            ("precision", 1.0, 0),
            ("people", 1.0, 0),
            ("agree_identities", 1.0, 2),
            ("pa_mpjpe_mm", 1.0, 0),
        ]
    ));
}

#[test]
fn memory_of_results() {
    insta::assert_snapshot!(quick_results(
        "memory-of-results",
        &[
            ("results", 1.0, 0),
            ("frames", 1.0, 0),
            ("people", 1.0, 0),
            ("heap_results_bytes", 4.0 * TEN_KIB, 0),
            ("heap_tracks_bytes", TEN_KIB, 0),
        ]
    ));
}

#[test]
fn cues() {
    insta::assert_snapshot!(quick_results("cues", &[("clip", 1.0, 0), ("people", 1.0, 0), ("hota", 1.0, 1)]));
}
