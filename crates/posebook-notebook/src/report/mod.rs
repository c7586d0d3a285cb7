//! Reports: takes an experiment's [`Notebook`] and the tables of its runs, and renders pages, figures and verdicts.
//!
//! [`render`] returns everything in memory; [`write()`] saves it into the report's folder. `report.html` is
//! self-contained; `report.md` has the same content and refers to `figures/`. The same tables give the same bytes.
//! [`draw_figure`] draws a single figure of any rows.
//!
//! The steps: `notebook` answers every cell, with `table` for formatted rows, `figure` for drawings, `claim` for verdicts
//! and `run_summary` for what the runs have in common; `page` and `markdown` write the two pages.

mod claim;
mod error;
mod figure;
mod markdown;
mod markup;
mod notebook;
mod page;
mod quantile;
mod quantity;
mod run_summary;
mod table;

pub use claim::JudgedClaim;
pub use figure::plot::PlotError;

use crate::cell::{Cell, FigureSpec, Verdict};
use crate::tables::{Grid, ReportTables, TableError, csv};
use posebook_core::files::write_atomically;
use std::path::{Path, PathBuf};

/// The parts of an experiment that a report uses.
#[derive(Debug, Clone, Copy)]
pub struct Notebook<'a> {
    /// Name of the experiment.
    pub name: &'a str,
    /// The question that the experiment answers.
    pub question: &'a str,
    /// Whether this is the smaller experiment of `--quick`.
    pub is_quick: bool,
    /// Runs that were not made, and why.
    pub left_out: &'a [String],
    /// Texts, tables, figures and claims.
    pub cells: &'a [Cell],
}

/// One image of a run's contact sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetImage {
    /// The run.
    pub run_id: String,
    /// The frame number, if the file name has one.
    pub frame: Option<u64>,
    /// Path relative to the report's folder, with forward slashes.
    pub path: String,
    /// Media type such as `image/jpeg`.
    pub media_type: &'static str,
    /// Content of the file.
    pub bytes: Vec<u8>,
}

/// A rendered report.
#[derive(Debug, Clone)]
pub struct RenderedReport {
    /// The self-contained page.
    pub html: String,
    /// The page as Markdown, which refers to `figures/NAME` and the images of contact sheets.
    pub markdown: String,
    /// File names (with `.svg`) and contents of the figures.
    pub figures: Vec<(String, Vec<u8>)>,
    /// The judged claims in the notebook's order.
    pub claims: Vec<JudgedClaim>,
    /// Errors of cells that could not be answered.
    pub problems: Vec<String>,
}

impl RenderedReport {
    /// The claims whose verdict is not the expected one, those not measured included.
    pub fn unexpected(&self) -> impl Iterator<Item = &JudgedClaim> {
        self.claims.iter().filter(|judged| !judged.matches_expectation())
    }

    /// Whether every claim has its expected verdict and every cell could be answered.
    pub fn is_as_expected(&self) -> bool {
        self.problems.is_empty() && self.unexpected().next().is_none()
    }

    /// The number of claims with this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.claims.iter().filter(|judged| judged.verdict == verdict).count()
    }

    /// One sentence about all claims.
    pub fn claims_summary(&self) -> String {
        claim::summary(&self.claims)
    }
}

/// Why a report could not be rendered or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The table of runs cannot be read, or that of claims cannot be written.
    #[error("the report needs its tables: {0}")]
    Table(#[from] TableError),
    /// A file of the report cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: std::io::Error,
    },
}

/// Renders the report of `notebook` from `tables` and the images that [`load_sheet_images`] returns.
///
/// # Errors
/// If the table of runs is missing or damaged. Errors of single cells are part of the report: see
/// [`RenderedReport::problems`].
pub fn render(
    notebook: &Notebook,
    tables: &ReportTables,
    images: &[SheetImage],
) -> Result<RenderedReport, ReportError> {
    let answered = notebook::AnsweredNotebook::from_tables(notebook, tables, images)?;
    let figures = answered.blocks.iter().filter_map(|block| match block {
        notebook::Block::Figure(drawn) => {
            let answer = drawn.answer.as_ref().ok()?;
            Some((format!("{}.svg", drawn.name), answer.drawing.file.clone()))
        }
        _ => None,
    });
    Ok(RenderedReport {
        figures: figures.collect(),
        claims: answered.claims(),
        problems: answered.problems(),
        html: page::render_html(&answered),
        markdown: markdown::render_markdown(&answered),
    })
}

/// Writes `report.html`, `report.md`, `claims.csv` and `figures/` into `folder`, from the tables and contact sheets in
/// it.
///
/// # Errors
/// As [`render`], and if the folder cannot be read or written.
pub fn write(notebook: &Notebook, folder: &Path) -> Result<RenderedReport, ReportError> {
    let images = load_sheet_images(&folder.join(CONTACT_SHEET_FOLDER))?;
    let page = render(notebook, &ReportTables::new(folder), &images)?;
    for (name, bytes) in &page.figures {
        write_file(&folder.join("figures").join(name), bytes)?;
    }
    write_file(&folder.join("report.md"), page.markdown.as_bytes())?;
    write_file(&folder.join("report.html"), page.html.as_bytes())?;
    csv::write(folder, &page.claims.iter().map(JudgedClaim::to_row).collect::<Vec<_>>())?;
    Ok(page)
}

/// Draws one figure as an SVG file.
///
/// # Errors
/// If a column of `spec` is missing in `grid`, or holds text where numbers are needed.
pub fn draw_figure(spec: &FigureSpec, grid: &Grid) -> Result<Vec<u8>, PlotError> {
    let plot = figure::plot::Plot::from_grid(spec, grid)?;
    let legend = figure::palette::Legend::new(plot.names(), []);
    Ok(figure::draw(&plot, spec, &legend, &plot.summary(spec.kind)).file)
}

/// The folder of contact sheet images in a report, named by [`sheet_image_name`].
pub const CONTACT_SHEET_FOLDER: &str = "strips";

/// Separates run id and frame number in the file name of an image.
const FRAME_SEPARATOR: &str = "-frame-";

/// The file name of the image of a run's frame.
pub fn sheet_image_name(run_id: &str, frame: u64) -> String {
    format!("{run_id}{FRAME_SEPARATOR}{frame}.jpg")
}

/// Loads the contact sheet images in `folder`, sorted by run and frame; empty if the folder does not exist.
///
/// # Errors
/// If an image cannot be read.
pub fn load_sheet_images(folder: &Path) -> Result<Vec<SheetImage>, ReportError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        |source| ReportError::File { path, source }
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut images = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let media_type = match text(path.extension()).as_str() {
            "jpg" | "jpeg" => "image/jpeg",
            "png" => "image/png",
            _ => continue,
        };
        let stem = text(path.file_stem());
        let parts =
            stem.rsplit_once(FRAME_SEPARATOR).and_then(|(run, frame)| Some((run, frame.parse().ok()?)));
        let (run_id, frame) = parts.map_or((stem.as_str(), None), |(run, frame)| (run, Some(frame)));
        images.push(SheetImage {
            run_id: run_id.to_string(),
            frame,
            path: format!("{CONTACT_SHEET_FOLDER}/{}", text(path.file_name())),
            media_type,
            bytes: std::fs::read(&path).map_err(failed(&path))?,
        });
    }
    images.sort_by(|a, b| (&a.run_id, a.frame, &a.path).cmp(&(&b.run_id, b.frame, &b.path)));
    Ok(images)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    write_atomically(path, bytes).map_err(|source| ReportError::File { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests;
