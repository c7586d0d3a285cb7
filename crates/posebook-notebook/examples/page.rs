//! Writes a table of six invented runs and a notebook of four cells, renders the report, and prints the verdicts.
//!
//! The argument is the report's folder; without it a temporary one is used.

use posebook_core::labels::Outcome;
use posebook_notebook::cell::{Cell, CellToml};
use posebook_notebook::format;
use posebook_notebook::report::{self, Notebook};
use posebook_notebook::tables::{ReportTables, RunRow, files};
use std::error::Error;
use std::path::PathBuf;

/// The cells as in an experiment's file.
const CELLS: &str = r#"
[[cell]]
text = "Frames that are **streamed** are dropped after use; extracted ones stay in memory."

[[cell]]
table = { title = "Peak heap" }
sql = "select mode, frames, heap_peak_bytes from runs"

[[cell]]
figure = { title = "Heap against length", kind = "line", x = "frames", y = "heap_peak_bytes", by = "mode" }
sql = "select frames, mode, heap_peak_bytes from runs"

[[cell]]
claim = "The heap does not grow with the length of a streamed video"
sql = """select covar_samp(heap_peak_bytes, frames) / var(frames) from runs
         where outcome = 'ok' and mode = 'stream-sequential'"""
holds = { below = 1024, unit = "bytes per frame" }
"#;

/// The table `cell` of the text above.
#[derive(serde::Deserialize)]
struct Cells {
    cell: Vec<CellToml>,
}

/// Runs of videos with 60, 120 and 240 frames of 1280x720 pixels.
fn runs() -> Result<Vec<RunRow>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (mode, bytes_per_frame) in [("stream-sequential", 16), ("extract-memory", 2_764_800)] {
        for frames in [60, 120, 240] {
            let mut row = RunRow { run_id: format!("{mode}-{frames}"), ..RunRow::default() };
            row.mode = Some(mode.parse()?);
            row.outcome = Outcome::Ok;
            row.frames = Some(frames);
            row.metrics.host.heap_peak_bytes = Some(80_000_000 + frames * bytes_per_frame);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = || std::env::temp_dir().join("posebook-page");
    let folder = std::env::args_os().nth(1).map_or_else(temporary, PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    files::write_with_csv(&folder, &runs()?)?;

    // a query without a report
    let largest = ReportTables::new(&folder).query_number("select max(heap_peak_bytes) from runs")?;
    println!("largest heap: {}", largest.map_or_else(|| "unknown".to_string(), format::bytes));

    let Cells { cell } = toml::from_str(CELLS)?;
    let cells = cell.into_iter().map(Cell::from_toml).collect::<Result<Vec<_>, _>>()?;
    let question = "Which video mode needs constant memory?";
    let notebook = Notebook { name: "page", question, is_quick: false, left_out: &[], cells: &cells };
    let rendered = report::write(&notebook, &folder)?;
    for judged in &rendered.claims {
        let (verdict, measured) = (judged.verdict_name(), judged.measured_text());
        println!("{verdict}: {}: {measured} ({})", judged.claim.statement, judged.condition_text());
    }
    println!("{}", rendered.claims_summary());
    println!("{}", folder.join("report.html").display());
    Ok(())
}
