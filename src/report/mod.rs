//! The report: an experiment's prose and its tables to a page that a person reads.
//!
//! [`render`] gives everything as bytes; [`write`] puts it into the report's folder. `report.html` is
//! one file that needs nothing else; `report.md` says the same and refers to `figures/`. The same
//! tables give the same bytes.
//!
//! Must not know models nor video: what it says comes from the tables and the experiment alone.

mod claim;
mod facts;
mod figure;
mod format;
mod grid;
mod markdown;
mod markup;
mod notebook;
mod page;
mod quantity;
mod table;

pub use claim::{Judged, trimmed};
pub use format::decimals;
pub use grid::{Grid, Value};

use crate::experiment::{Cell, Experiment, FigureSpec, Verdict};
use crate::files::write_whole;
use crate::tables::{TableError, Tables, csv};
use std::path::{Path, PathBuf};

/// The part of an experiment that a report reads.
#[derive(Debug, Clone, Copy)]
pub struct Notebook<'a> {
    pub name: &'a str,
    pub question: &'a str,
    /// Whether it is the smaller experiment that `--quick` makes.
    pub is_quick: bool,
    /// What was not run, and why.
    pub left_out: &'a [String],
    pub cells: &'a [Cell],
}

impl<'a> From<&'a Experiment> for Notebook<'a> {
    fn from(experiment: &'a Experiment) -> Notebook<'a> {
        let Experiment { name, question, is_quick, left_out, cells, .. } = experiment;
        Notebook { name, question, is_quick: *is_quick, left_out, cells }
    }
}

/// One picture of a run's film strip.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub run_id: String,
    /// The number of the frame that it shows, where its file's name says so.
    pub frame: Option<u64>,
    /// Where it lies, seen from the report's folder, with forward slashes.
    pub path: String,
    /// Such as `image/jpeg`.
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

/// A report, ready to be written down.
#[derive(Debug, Clone)]
pub struct Page {
    /// One file that needs nothing else.
    pub html: String,
    /// The same, referring to `figures/NAME` and the film strips' paths.
    pub markdown: String,
    /// Names (with `.svg`) and bytes.
    pub figures: Vec<(String, Vec<u8>)>,
    /// The verdicts, in the notebook's order.
    pub claims: Vec<Judged>,
    /// Cells that could not be answered: one sentence each, with the cell's number.
    pub problems: Vec<String>,
}

impl Page {
    /// The claims whose verdict is another than the experiment expects, those not measured included.
    pub fn unexpected(&self) -> impl Iterator<Item = &Judged> {
        self.claims.iter().filter(|judged| !judged.as_expected())
    }

    /// Whether every claim could be judged and came out as expected, and every cell could be answered.
    pub fn is_as_expected(&self) -> bool {
        self.problems.is_empty() && self.unexpected().next().is_none()
    }

    /// How many claims have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.claims.iter().filter(|judged| judged.verdict == verdict).count()
    }

    /// The claims in one sentence.
    pub fn in_short(&self) -> String {
        claim::in_short(&self.claims)
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("no report without the table of runs: {0}")]
    Table(#[from] TableError),
    #[error("cannot read or write {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
}

/// The report of `notebook` over the tables in `folder`. Pictures are read by [`pictures_in`].
///
/// # Errors
/// If the table of runs is missing or damaged. A cell that cannot be answered says so in its place
/// and in [`Page::problems`].
pub fn render(notebook: &Notebook, tables: &Tables, pictures: &[Picture]) -> Result<Page, ReportError> {
    let answered = notebook::Answered::of(notebook, tables, pictures)?;
    let figures = answered.blocks.iter().filter_map(|block| match block {
        notebook::Block::Figure(drawn) => {
            let answer = drawn.answer.as_ref().ok()?;
            Some((format!("{}.svg", drawn.name), answer.drawing.file.clone()))
        }
        _ => None,
    });
    Ok(Page {
        figures: figures.collect(),
        claims: answered.claims(),
        problems: answered.problems(),
        html: page::html(&answered),
        markdown: markdown::markdown(&answered),
    })
}

/// Writes `report.html`, `report.md`, `claims.csv` and `figures/` into `folder`, from the tables and the film strips
/// that lie there.
///
/// # Errors
/// As [`render`], and if the folder cannot be read or written.
pub fn write(notebook: &Notebook, folder: &Path) -> Result<Page, ReportError> {
    let pictures = pictures_in(&folder.join(STRIPS))?;
    let page = render(notebook, &Tables::of(folder), &pictures)?;
    for (name, bytes) in &page.figures {
        write_file(&folder.join("figures").join(name), bytes)?;
    }
    write_file(&folder.join("report.md"), page.markdown.as_bytes())?;
    write_file(&folder.join("report.html"), page.html.as_bytes())?;
    csv::write(folder, &page.claims.iter().map(Judged::row).collect::<Vec<_>>())?;
    Ok(page)
}

/// One figure as an SVG file of its own, from rows that are at hand.
///
/// # Errors
/// In words, if a column that the figure names is missing or holds text where numbers are needed.
pub fn figure_file(spec: &FigureSpec, grid: &Grid) -> Result<Vec<u8>, String> {
    let plot = figure::data::Plot::of(spec, grid)?;
    let legend = figure::palette::Legend::of(plot.names(), []);
    Ok(figure::draw(&plot, spec, &legend, &plot.summary(spec.kind)).file)
}

/// Where a report's film strips lie: pictures named by [`strip_file`].
pub const STRIPS: &str = "strips";

/// Stands between a run's id and a frame's number in a picture's name.
const FRAME: &str = "-frame-";

/// The name of the picture of a run's frame.
pub fn strip_file(run_id: &str, frame: u64) -> String {
    format!("{run_id}{FRAME}{frame}.jpg")
}

/// The film strips in `folder`, by run and frame; none where the folder is not there.
///
/// # Errors
/// If a picture cannot be read.
pub fn pictures_in(folder: &Path) -> Result<Vec<Picture>, ReportError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        |source| ReportError::File { path, source }
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut pictures = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let media_type = match text(path.extension()).as_str() {
            "jpg" | "jpeg" => "image/jpeg",
            "png" => "image/png",
            _ => continue,
        };
        let stem = text(path.file_stem());
        let parts = stem.rsplit_once(FRAME).and_then(|(run, frame)| Some((run, frame.parse().ok()?)));
        let (run_id, frame) = parts.map_or((stem.as_str(), None), |(run, frame)| (run, Some(frame)));
        pictures.push(Picture {
            run_id: run_id.to_string(),
            frame,
            path: format!("{STRIPS}/{}", text(path.file_name())),
            media_type,
            bytes: std::fs::read(&path).map_err(failed(&path))?,
        });
    }
    pictures.sort_by(|a, b| (&a.run_id, a.frame, &a.path).cmp(&(&b.run_id, b.frame, &b.path)));
    Ok(pictures)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    write_whole(path, bytes).map_err(|source| ReportError::File { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests;
