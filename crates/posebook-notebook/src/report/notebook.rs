//! Answers a notebook: runs the query of every cell and formats its rows.
//!
//! A cell whose query fails holds its error; the other cells are still answered, so that a misspelled column does not
//! prevent the rest of the report. Does not depend on the output format.

use super::claim::JudgedClaim;
use super::error::CellError;
use super::figure::palette::Legend;
use super::figure::plot::Plot;
use super::figure::{self, Drawing};
use super::run_summary::RunSummary;
use super::table::FormattedTable;
use super::{Notebook, ReportError, SheetImage};
use crate::cell::{Cell, Claim, Figure, FigureKind, FigureSpec, Requirement, Table};
use crate::format;
use crate::tables::{Grid, ReportTables, TableError};

/// One cell with its answer.
#[derive(Debug, Clone)]
pub enum Block {
    /// Markdown, placeholders filled in.
    Text(String),
    /// A table of rows.
    Table {
        title: String,
        /// Markdown below the table.
        note: Option<String>,
        sql: String,
        answer: Result<FormattedTable, CellError>,
    },
    /// A drawn figure.
    Figure(Box<FigureBlock>),
    /// Contact sheets of runs.
    ContactSheets {
        title: String,
        /// Markdown below the sheets.
        note: Option<String>,
        sheets: Result<Vec<ContactSheet>, CellError>,
    },
    /// A judged claim.
    Claim(Box<JudgedClaim>),
    /// A table or a figure whose requirement is not met.
    NotMeasured { title: String, missing: Requirement },
}

/// A figure with its texts.
#[derive(Debug, Clone)]
pub struct FigureBlock {
    /// Number among the figures, from 1.
    pub number: usize,
    /// The figure's title.
    pub title: String,
    /// Markdown below the figure.
    pub note: Option<String>,
    /// The query of the figure.
    pub sql: String,
    /// Stem of the SVG file's name.
    pub name: String,
    /// The drawing, or why there is none.
    pub answer: Result<FigureAnswer, CellError>,
}

/// A drawn figure.
#[derive(Debug, Clone)]
pub struct FigureAnswer {
    /// The SVG drawings.
    pub drawing: Drawing,
    /// Text alternative of the drawing.
    pub summary: String,
    /// Remarks on repeats and on rows that could not be drawn.
    pub remarks: Vec<String>,
    /// The plotted rows, if there are at most [`MAX_ROWS_BELOW_FIGURE`].
    pub rows: Option<FormattedTable>,
}

/// Selected frames of one run, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactSheet {
    /// Name of the run.
    pub caption: String,
    /// Images in frame order; empty if the run saved none.
    pub images: Vec<SheetImage>,
}

/// The content of a page.
#[derive(Debug, Clone)]
pub struct AnsweredNotebook {
    /// Name of the experiment.
    pub name: String,
    /// The experiment's question.
    pub question: String,
    /// Whether this is the smaller experiment of `--quick`.
    pub is_quick: bool,
    /// Runs that were not made, and why.
    pub left_out: Vec<String>,
    /// The answered cells in the notebook's order.
    pub blocks: Vec<Block>,
    /// Summary of all runs.
    pub run_summary: RunSummary,
}

/// The plot of a figure's rows; `None` for cells that are not plotted.
type PlotResult = Option<Result<(Plot, Grid), CellError>>;

/// Figures with more rows than this have no table below them.
const MAX_ROWS_BELOW_FIGURE: usize = 40;

impl AnsweredNotebook {
    /// Answers every cell of `notebook` from `tables` and the `images` of contact sheets.
    ///
    /// # Errors
    /// If the table of runs is missing or damaged.
    pub fn from_tables(
        notebook: &Notebook,
        tables: &ReportTables,
        images: &[SheetImage],
    ) -> Result<AnsweredNotebook, ReportError> {
        let run_summary = RunSummary::from_tables(tables)?;
        let missing = |cell: &Cell| {
            cell.requirement().filter(|requirement| match requirement {
                Requirement::Cuda => !run_summary.has_gpu,
                Requirement::Hmr2 => !run_summary.has_hmr2,
                Requirement::Detectors => !run_summary.has_detectors,
                Requirement::FullSize => notebook.is_quick,
            })
        };
        let plots = notebook.cells.iter().enumerate().map(|(index, cell)| match missing(cell) {
            Some(_) => None,
            None => plot(index + 1, cell, tables),
        });
        let plots: Vec<PlotResult> = plots.collect();
        let legend = legend(notebook, &plots);
        let mut blocks = Vec::new();
        let mut number = 0;
        for ((index, cell), plot) in notebook.cells.iter().enumerate().zip(plots) {
            let position = index + 1;
            if let Some(missing) = missing(cell) {
                blocks.push(not_measured_block(position, cell, missing));
                continue;
            }
            blocks.push(match cell {
                Cell::Text(text) => Block::Text(run_summary.fill_placeholders(text)),
                Cell::Table(table) => table_block(position, table, tables),
                Cell::Claim(claim) => Block::Claim(Box::new(judge(position, claim, tables))),
                Cell::Figure(figure) => match plot {
                    Some(answer) => {
                        number += 1;
                        Block::Figure(Box::new(figure_block(number, figure, answer, &legend)))
                    }
                    None => contact_sheets(position, figure, tables, images),
                },
            });
        }
        Ok(AnsweredNotebook {
            name: notebook.name.to_string(),
            question: notebook.question.to_string(),
            is_quick: notebook.is_quick,
            left_out: notebook.left_out.to_vec(),
            blocks,
            run_summary,
        })
    }

    /// The claims in the notebook's order.
    pub fn claims(&self) -> Vec<JudgedClaim> {
        let claims = self.blocks.iter().filter_map(|block| match block {
            Block::Claim(judged) => Some((**judged).clone()),
            _ => None,
        });
        claims.collect()
    }

    /// The errors of cells that could not be answered.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.blocks.iter().filter_map(|block| match block {
            Block::Text(_) | Block::NotMeasured { .. } => None,
            Block::Table { answer, .. } => answer.as_ref().err().map(ToString::to_string),
            Block::Figure(drawn) => drawn.answer.as_ref().err().map(ToString::to_string),
            Block::ContactSheets { sheets, .. } => sheets.as_ref().err().map(ToString::to_string),
            Block::Claim(judged) => judged.error.clone(),
        });
        problems.collect()
    }
}

/// The legend of the page, shared by all figures so that a mode has the same color everywhere.
fn legend(notebook: &Notebook, plots: &[PlotResult]) -> Legend {
    let (mut series, mut layers) = (Vec::new(), Vec::new());
    for (cell, plot) in notebook.cells.iter().zip(plots) {
        let (Cell::Figure(figure), Some(Ok((plot, _)))) = (cell, plot) else { continue };
        let names = plot.names();
        match figure.spec.kind {
            FigureKind::Stack => layers.extend(names),
            // bars without series are colored by category
            _ if names.is_empty() => series.extend(plot.categories.iter().cloned()),
            _ => series.extend(names),
        }
    }
    Legend::new(series, layers)
}

/// The message of a failed query. Polars' list of all columns is replaced by the most similar one.
fn reason(error: &TableError) -> String {
    let TableError::Query { message, .. } = error else { return error.to_string() };
    let Some((start, list)) = message.split_once("; valid columns: [") else { return error.to_string() };
    let wrong = start.split('"').nth(1).unwrap_or_default();
    let columns = list.split('"').skip(1).step_by(2);
    let likeness = |column: &&str| strsim::jaro_winkler(column, wrong);
    match columns.max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(nearest) => format!("no column is called `{wrong}`; did you mean `{nearest}`?"),
        None => format!("no column is called `{wrong}`"),
    }
}

/// The rows of a cell's query, sorted if the query has no order of its own.
fn rows(cell: usize, kind: &str, sql: &str, tables: &ReportTables) -> Result<Grid, CellError> {
    let grid = tables.query(sql).map_err(|error| CellError::Query {
        cell,
        kind: kind.to_string(),
        reason: reason(&error),
    })?;
    Ok(if is_ordered(sql) { grid } else { grid.sorted() })
}

/// Whether a query has an `order by` outside of all brackets.
fn is_ordered(sql: &str) -> bool {
    let mut depth = 0;
    let outside: String = sql
        .chars()
        .filter(|&c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        })
        .collect();
    outside.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().contains("order by")
}

fn plot(position: usize, cell: &Cell, tables: &ReportTables) -> PlotResult {
    let Cell::Figure(figure) = cell else { return None };
    if figure.spec.kind == FigureKind::ContactSheet {
        return None;
    }
    let kind = format!("figure “{}”", figure.spec.title);
    Some(rows(position, &kind, &figure.sql, tables).and_then(|grid| {
        let plot = Plot::from_grid(&figure.spec, &grid).map_err(|source| CellError::Plot {
            cell: position,
            kind,
            source,
        })?;
        Ok((plot, grid))
    }))
}

/// A cell whose requirement is not met.
fn not_measured_block(position: usize, cell: &Cell, missing: Requirement) -> Block {
    let title = match cell {
        Cell::Claim(claim) => {
            return Block::Claim(Box::new(JudgedClaim::not_measured(position, claim, missing)));
        }
        Cell::Text(text) => text.clone(),
        Cell::Table(table) => table.title.clone(),
        Cell::Figure(figure) => figure.spec.title.clone(),
    };
    Block::NotMeasured { title, missing }
}

fn table_block(cell: usize, table: &Table, tables: &ReportTables) -> Block {
    let kind = format!("table “{}”", table.title);
    Block::Table {
        title: table.title.clone(),
        note: table.note.clone(),
        sql: table.sql.clone(),
        answer: rows(cell, &kind, &table.sql, tables).map(|grid| FormattedTable::new(&grid)),
    }
}

fn judge(cell: usize, claim: &Claim, tables: &ReportTables) -> JudgedClaim {
    let answer = tables.query_number(&claim.sql);
    let answer = answer.map_err(|error| {
        let kind = format!("claim “{}”", claim.statement);
        CellError::Query { cell, kind, reason: reason(&error) }
    });
    JudgedClaim::from_answer(cell, claim, answer)
}

fn figure_block(
    number: usize,
    figure: &Figure,
    answer: Result<(Plot, Grid), CellError>,
    legend: &Legend,
) -> FigureBlock {
    let spec = &figure.spec;
    let answer = answer.map(|(plot, grid)| {
        let summary = plot.summary(spec.kind);
        FigureAnswer {
            drawing: figure::draw(&plot, spec, legend, &summary),
            summary,
            remarks: remarks(&plot, spec),
            rows: (1..=MAX_ROWS_BELOW_FIGURE).contains(&grid.rows.len()).then(|| FormattedTable::new(&grid)),
        }
    });
    FigureBlock {
        number,
        title: spec.title.clone(),
        note: spec.note.clone(),
        sql: figure.sql.clone(),
        name: format!("{number}-{}", file_stem(&spec.title)),
        answer,
    }
}

fn remarks(plot: &Plot, spec: &FigureSpec) -> Vec<String> {
    let kind = spec.kind;
    let mut remarks = Vec::new();
    if let Some((low, high)) = spec.low.as_ref().zip(spec.high.as_ref()) {
        remarks.push(format!("Whiskers from `{low}` to `{high}`."));
    } else if plot.repeats > 1 && kind != FigureKind::Scatter {
        let spread =
            if kind == FigureKind::Stack { "" } else { "; whiskers from the smallest to the largest" };
        let most = format::count(plot.repeats, "measurement", "measurements");
        remarks.push(format!("Medians of up to {most}{spread}."));
    }
    let missing = plot.panels.iter().flat_map(|panel| &panel.series).any(|series| !series.missing.is_empty());
    if matches!(kind, FigureKind::Line | FigureKind::Scatter) && missing && plot.points().next().is_some() {
        remarks.push("A cross at the upper edge marks a run without a number.".to_string());
    } else if plot.skipped > 0 && (plot.points().next().is_some() || !plot.spans.is_empty()) {
        remarks.push(format!("{} without a number not shown.", format::count(plot.skipped, "row", "rows")));
    }
    remarks
}

/// A title as the stem of a file name: at most 40 lower-case letters, digits and dashes.
fn file_stem(title: &str) -> String {
    let mut stem = String::new();
    for character in title.chars() {
        let plain = character.to_ascii_lowercase();
        if plain.is_ascii_alphanumeric() {
            stem.push(plain);
        } else if !stem.is_empty() && !stem.ends_with('-') {
            stem.push('-');
        }
    }
    if stem.len() > 40 {
        stem.truncate(41);
        stem.truncate(stem.rfind('-').unwrap_or(40));
    }
    stem.trim_matches('-').to_string()
}

/// The contact sheets of the runs in the figure's column `x`, captioned by its column `by`.
fn contact_sheets(cell: usize, figure: &Figure, tables: &ReportTables, images: &[SheetImage]) -> Block {
    let spec = &figure.spec;
    let kind = format!("contact sheet “{}”", spec.title);
    let sheets = rows(cell, &kind, &figure.sql, tables).and_then(|grid| {
        let missing = |role: &'static str, column: &str| CellError::Column {
            cell,
            kind: kind.clone(),
            role,
            column: column.to_string(),
        };
        let run = grid.position(&spec.x).ok_or_else(|| missing("x", &spec.x))?;
        let by =
            spec.by.as_deref().map(|by| grid.position(by).ok_or_else(|| missing("by", by))).transpose()?;
        let sheets = grid.rows.iter().filter_map(|row| {
            let run_id = row[run].name()?;
            let caption = by.and_then(|by| row[by].name()).unwrap_or_else(|| run_id.clone());
            let images = images.iter().filter(|image| image.run_id == run_id).cloned();
            Some(ContactSheet { caption, images: images.collect() })
        });
        Ok(sheets.collect())
    });
    Block::ContactSheets { title: spec.title.clone(), note: spec.note.clone(), sheets }
}

#[cfg(test)]
mod tests {
    use super::{file_stem, is_ordered};

    #[test]
    fn an_order_by_within_brackets_does_not_count() {
        assert!(is_ordered("select a from runs ORDER\n  BY count(*)"));
        assert!(!is_ordered("with b as (select a from runs order by a) select a from b"));
        assert!(!is_ordered("select row_number() over (order by a) from runs"));
    }

    #[test]
    fn titles_become_file_names() {
        assert_eq!(file_stem("Heap: peak / length (MiB)!"), "heap-peak-length-mib");
        assert_eq!(
            file_stem("Peak of the heap against the length of the video"),
            "peak-of-the-heap-against-the-length-of"
        );
        assert_eq!(file_stem("日本"), "");
    }
}
