//! The notebook, answered: every cell's query run, its rows turned into what a page shows.
//!
//! A cell whose query fails says so in its place and the rest of the page stands: hours of runs are
//! not lost to a misspelt column. Must not know HTML pages nor Markdown files.

use super::claim::Judged;
use super::facts::Facts;
use super::figure::data::Plot;
use super::figure::palette::Legend;
use super::figure::{self, Drawing};
use super::format;
use super::grid::Grid;
use super::table::Shown;
use super::{Notebook, Picture, ReportError};
use crate::experiment::{Cell, Claim, Figure, FigureKind, FigureSpec, Needs, Table};
use crate::tables::{TableError, Tables};

/// One cell with its answer.
#[derive(Debug, Clone)]
pub enum Block {
    Text(String),
    Table {
        title: String,
        note: Option<String>,
        sql: String,
        answer: Result<Shown, String>,
    },
    Figure(Box<Drawn>),
    Strips {
        title: String,
        note: Option<String>,
        pictures: Result<Vec<Film>, String>,
    },
    Claim(Box<Judged>),
    /// A table or a figure without what it needs.
    NotMeasured {
        title: String,
        missing: Needs,
    },
}

/// A figure with what belongs around it.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Its number among the figures, from 1.
    pub number: usize,
    pub title: String,
    pub note: Option<String>,
    pub sql: String,
    /// The stem of its file.
    pub name: String,
    pub answer: Result<DrawnAnswer, String>,
}

/// A figure's query, answered.
#[derive(Debug, Clone)]
pub struct DrawnAnswer {
    pub drawing: Drawing,
    pub summary: String,
    /// About repeats and rows that could not be drawn.
    pub remarks: Vec<String>,
    /// The rows behind it, where there are few.
    pub rows: Option<Shown>,
}

/// One run's frames, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    pub caption: String,
    /// In the order of their frames; none where the run left none.
    pub pictures: Vec<Picture>,
}

/// Everything a page says.
#[derive(Debug, Clone)]
pub struct Answered {
    pub name: String,
    pub question: String,
    /// Whether it is the smaller experiment that `--quick` makes.
    pub is_quick: bool,
    /// What was not run, and why.
    pub left_out: Vec<String>,
    pub blocks: Vec<Block>,
    pub facts: Facts,
}

/// A figure's rows, read; `None` for cells that are no figures.
type Planned = Option<Result<(Plot, Grid), String>>;

/// More rows than this are not repeated under a figure.
const ROWS_UNDER_A_FIGURE: usize = 40;

impl Answered {
    /// Answers every cell of `notebook` from `tables`.
    ///
    /// # Errors
    /// If the table of runs is missing or damaged: without it there is nothing to say.
    pub fn of(notebook: &Notebook, tables: &Tables, pictures: &[Picture]) -> Result<Answered, ReportError> {
        let facts = Facts::of(tables)?;
        let missing = |cell: &Cell| {
            cell.needs().filter(|needs| match needs {
                Needs::Cuda => !facts.has_card,
                Needs::Hmr2 => !facts.has_hmr2,
                Needs::Whole => notebook.is_quick,
            })
        };
        let plots = notebook.cells.iter().enumerate().map(|(at, cell)| match missing(cell) {
            Some(_) => None,
            None => plot(at + 1, cell, tables),
        });
        let plots: Vec<Planned> = plots.collect();
        let legend = legend(notebook, &plots);
        let mut blocks = Vec::new();
        let mut number = 0;
        for ((at, cell), plot) in notebook.cells.iter().enumerate().zip(plots) {
            let position = at + 1;
            if let Some(missing) = missing(cell) {
                blocks.push(unmeasured(position, cell, missing));
                continue;
            }
            blocks.push(match cell {
                Cell::Text(text) => Block::Text(facts.fill_in(text)),
                Cell::Table(table) => table_block(position, table, tables),
                Cell::Claim(claim) => Block::Claim(Box::new(judge(position, claim, tables))),
                Cell::Figure(figure) if figure.spec.kind == FigureKind::Strip => {
                    strips(position, figure, tables, pictures)
                }
                Cell::Figure(figure) => {
                    number += 1;
                    let answer = plot.unwrap_or_else(|| Err("nothing to draw".to_string()));
                    Block::Figure(Box::new(drawn(number, figure, answer, &legend)))
                }
            });
        }
        Ok(Answered {
            name: notebook.name.to_string(),
            question: notebook.question.to_string(),
            is_quick: notebook.is_quick,
            left_out: notebook.left_out.to_vec(),
            blocks,
            facts,
        })
    }

    /// The claims in the notebook's order.
    pub fn claims(&self) -> Vec<Judged> {
        let claims = self.blocks.iter().filter_map(|block| match block {
            Block::Claim(judged) => Some((**judged).clone()),
            _ => None,
        });
        claims.collect()
    }

    /// What could not be answered, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.blocks.iter().filter_map(|block| match block {
            Block::Text(_) | Block::NotMeasured { .. } => None,
            Block::Table { answer, .. } => answer.as_ref().err(),
            Block::Figure(drawn) => drawn.answer.as_ref().err(),
            Block::Strips { pictures, .. } => pictures.as_ref().err(),
            Block::Claim(judged) => judged.error.as_ref(),
        });
        problems.cloned().collect()
    }
}

/// One legend for the page: a mode looks the same in every figure.
fn legend(notebook: &Notebook, plots: &[Planned]) -> Legend {
    let (mut series, mut layers) = (Vec::new(), Vec::new());
    for (cell, plot) in notebook.cells.iter().zip(plots) {
        let (Cell::Figure(figure), Some(Ok((plot, _)))) = (cell, plot) else { continue };
        let names = plot.names();
        match figure.spec.kind {
            FigureKind::Stack => layers.extend(names),
            // bars without series are coloured by what they stand for
            _ if names.is_empty() => series.extend(plot.categories.iter().cloned()),
            _ => series.extend(names),
        }
    }
    Legend::of(series, layers)
}

/// Why a query failed, without Polars' list of all columns there are: the nearest is enough.
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

/// What a cell's query gives, in an order that is always the same.
fn rows(cell: usize, kind: &str, sql: &str, tables: &Tables) -> Result<Grid, String> {
    let frame = tables.sql(sql).map_err(|error| format!("cell {cell} ({kind}): {}", reason(&error)))?;
    let grid = Grid::from_frame(&frame);
    let ordered = says_an_order(sql);
    Ok(if ordered { grid } else { grid.sorted() })
}

/// Whether a query orders its answer itself: `order by` outside all brackets.
fn says_an_order(sql: &str) -> bool {
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

fn plot(cell: usize, of: &Cell, tables: &Tables) -> Planned {
    let Cell::Figure(figure) = of else { return None };
    if figure.spec.kind == FigureKind::Strip {
        return None;
    }
    let kind = format!("figure “{}”", figure.spec.title);
    Some(rows(cell, &kind, &figure.sql, tables).and_then(|grid| {
        let plot = Plot::of(&figure.spec, &grid).map_err(|error| format!("cell {cell} ({kind}): {error}"))?;
        Ok((plot, grid))
    }))
}

/// A cell without what it needs.
fn unmeasured(position: usize, cell: &Cell, missing: Needs) -> Block {
    let title = match cell {
        Cell::Claim(claim) => return Block::Claim(Box::new(Judged::without(position, claim, missing))),
        Cell::Text(text) => text.clone(),
        Cell::Table(table) => table.title.clone(),
        Cell::Figure(figure) => figure.spec.title.clone(),
    };
    Block::NotMeasured { title, missing }
}

fn table_block(cell: usize, table: &Table, tables: &Tables) -> Block {
    let kind = format!("table “{}”", table.title);
    Block::Table {
        title: table.title.clone(),
        note: table.note.clone(),
        sql: table.sql.clone(),
        answer: rows(cell, &kind, &table.sql, tables).map(|grid| Shown::of(&grid)),
    }
}

fn judge(cell: usize, claim: &Claim, tables: &Tables) -> Judged {
    let answer = tables.number(&claim.sql);
    let answer =
        answer.map_err(|error| format!("cell {cell} (claim “{}”): {}", claim.statement, reason(&error)));
    Judged::of(cell, claim, answer)
}

fn drawn(number: usize, figure: &Figure, answer: Result<(Plot, Grid), String>, legend: &Legend) -> Drawn {
    let spec = &figure.spec;
    let answer = answer.map(|(plot, grid)| {
        let summary = plot.summary(spec.kind);
        DrawnAnswer {
            drawing: figure::draw(&plot, spec, legend, &summary),
            summary,
            remarks: remarks(&plot, spec),
            rows: (1..=ROWS_UNDER_A_FIGURE).contains(&grid.rows.len()).then(|| Shown::of(&grid)),
        }
    });
    Drawn {
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
        remarks.push("A cross at the upper edge marks where a run gave no number.".to_string());
    } else if plot.skipped > 0 && (plot.points().next().is_some() || !plot.spans.is_empty()) {
        remarks.push(format!("{} without a number not drawn.", format::count(plot.skipped, "row", "rows")));
    }
    remarks
}

/// Lower-case letters, digits and dashes, at most 40.
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

/// The film strips of the runs that the query names in the figure's `x`, captioned by its `by`.
fn strips(cell: usize, figure: &Figure, tables: &Tables, pictures: &[Picture]) -> Block {
    let spec = &figure.spec;
    let kind = format!("film strip “{}”", spec.title);
    let films = rows(cell, &kind, &figure.sql, tables).and_then(|grid| {
        let missing = |role: &str, name: &str| {
            format!("cell {cell} ({kind}): its {role} `{name}` is not among the columns of its query")
        };
        let run = grid.position(&spec.x).ok_or_else(|| missing("x", &spec.x))?;
        let by =
            spec.by.as_deref().map(|by| grid.position(by).ok_or_else(|| missing("by", by))).transpose()?;
        let films = grid.rows.iter().filter_map(|row| {
            let run_id = row[run].name()?;
            let caption = by.and_then(|by| row[by].name()).unwrap_or_else(|| run_id.clone());
            let pictures = pictures.iter().filter(|picture| picture.run_id == run_id).cloned();
            Some(Film { caption, pictures: pictures.collect() })
        });
        Ok(films.collect())
    });
    Block::Strips { title: spec.title.clone(), note: spec.note.clone(), pictures: films }
}

#[cfg(test)]
mod tests {
    use super::{file_stem, says_an_order};

    #[test]
    fn an_order_within_brackets_is_none() {
        assert!(says_an_order("select a from runs ORDER\n  BY count(*)"));
        assert!(!says_an_order("with b as (select a from runs order by a) select a from b"));
        assert!(!says_an_order("select row_number() over (order by a) from runs"));
    }

    #[test]
    fn titles_become_names_of_files() {
        assert_eq!(file_stem("Heap: peak / length (MiB)!"), "heap-peak-length-mib");
        assert_eq!(
            file_stem("Peak of the heap against the length of the video"),
            "peak-of-the-heap-against-the-length-of"
        );
        assert_eq!(file_stem("日本"), "");
    }
}
