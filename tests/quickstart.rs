//! The experiment `quickstart`: its verdicts, and its accuracy rounded to digits that are the same on every machine.

mod common;

use common::{Project, Row};

/// A column rounded to `digits`, because encoders and floating point differ between machines.
fn rounded(row: &Row, column: &str, digits: usize) -> String {
    row[column].parse::<f64>().map_or_else(|_| row[column].clone(), |value| format!("{value:.digits$}"))
}

#[test]
fn quickstart_answers_as_expected() {
    let toml = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/quickstart.toml"));
    let project = Project::with_experiment("quickstart", &toml.unwrap());
    // the exit status is a failure if a claim has an unexpected verdict
    project.posebook(&["experiment", "run", "quickstart"]).succeeds();
    let runs = project.runs("quickstart");
    // checked first, because different decoded frames explain all other differences
    for row in &runs {
        assert_eq!(
            row["clip_as_recorded"], "true",
            "{}: decoded frames {}",
            row["clip"], row["clip_decoded_sha256"]
        );
    }
    let line = |row: &Row| {
        let cells = [
            row["clip"].clone(),
            row["mode"].clone(),
            row["outcome"].clone(),
            rounded(row, "people", 0),
            rounded(row, "tracks", 0),
            rounded(row, "hota", 2),
            rounded(row, "idf1", 2),
            rounded(row, "mota", 2),
            rounded(row, "mpjpe_mm", 0),
            rounded(row, "pa_mpjpe_mm", 0),
        ];
        cells.join(" | ")
    };
    let table: Vec<String> = runs.iter().map(line).collect();
    let header = "clip | mode | outcome | people | tracks | HOTA | IDF1 | MOTA | MPJPE, mm | PA-MPJPE, mm";
    insta::assert_snapshot!(format!("{header}\n{}", table.join("\n")));

    for file in ["report.html", "report.md", "experiment.toml", "people.parquet", "memory.parquet"] {
        assert!(project.path(&format!("reports/quickstart/latest/{file}")).is_file(), "{file} is missing");
    }
    let sheets = project.path("reports/quickstart/latest/strips");
    // three frames per run
    assert_eq!(std::fs::read_dir(sheets).unwrap().count(), 3 * runs.len());
}
