//! The cells of a notebook as they are written in TOML, to [`Cell`]s and back.
//!
//! Must not know what else stands in the file.

use super::cell::{Cell, Claim, Figure, FigureKind, FigureSpec, Holds, Needs, Table, Verdict};
use super::error::{ExperimentError, nearest};
use super::source::Source;
use crate::tables::query;
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// A cell as written: which keys belong together is checked afterwards.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenCell {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Needs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<WrittenTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figure: Option<FigureSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<Holds>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTable {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Checks a cell: which keys belong together, what a query asks for.
///
/// # Errors
/// If something is wrong with it; the message has its line.
pub(super) fn read(source: &Source, cell: Spanned<WrittenCell>) -> Result<Cell, ExperimentError> {
    let start = cell.span().start;
    let wrong = |message: String| source.wrong_at(start, message);
    let cell = cell.into_inner();
    let kinds = [cell.text.is_some(), cell.table.is_some(), cell.figure.is_some(), cell.claim.is_some()];
    if kinds.iter().filter(|&&is| is).count() != 1 {
        return Err(wrong("a cell is one of `text`, `table`, `figure`, `claim`".into()));
    }
    if cell.claim.is_none() && (cell.source.is_some() || cell.holds.is_some() || cell.expect.is_some()) {
        return Err(wrong("`source`, `holds` and `expect` belong to a `claim`".into()));
    }
    if let Some(text) = cell.text {
        return match (cell.sql, cell.needs) {
            (Some(_), _) => Err(wrong("`sql` belongs to a table, a figure or a claim, not to a text".into())),
            (_, Some(_)) => {
                Err(wrong("`needs` belongs to a table, a figure or a claim, not to a text".into()))
            }
            (None, None) => Ok(Cell::Text(text)),
        };
    }
    let sql = cell.sql.ok_or_else(|| wrong("the cell needs its query: `sql = \"select ...\"`".into()))?;
    let needs = cell.needs;
    query::check(&sql).map_err(|error| wrong(error.to_string()))?;
    if let Some(WrittenTable { title, note }) = cell.table {
        return Ok(Cell::Table(Table { title, note, sql, needs }));
    }
    if let Some(spec) = cell.figure {
        check_figure(&spec, &sql).map_err(wrong)?;
        return Ok(Cell::Figure(Figure { spec, sql, needs }));
    }
    let holds = cell.holds.filter(Holds::has_bound).ok_or_else(|| {
        wrong("a claim needs what would refute it: `holds = { below = 1.0, unit = \"...\" }`".into())
    })?;
    let statement = cell.claim.unwrap_or_default();
    Ok(Cell::Claim(Claim {
        statement,
        source: cell.source,
        sql,
        holds,
        expect: cell.expect.unwrap_or_default(),
        needs,
    }))
}

/// A figure's columns must be among its query's.
fn check_figure(spec: &FigureSpec, sql: &str) -> Result<(), String> {
    if spec.y.is_none() && spec.kind != FigureKind::Strip {
        return Err("the figure needs a `y`: the column along its vertical axis".into());
    }
    if spec.until.is_some() != (spec.kind == FigureKind::Timeline) {
        return Err(
            "`until`, the column that says when something ended, belongs to a figure of kind `timeline`, \
                    and every such figure needs it"
                .into(),
        );
    }
    if spec.low.is_some() != spec.high.is_some() {
        return Err("an interval has two ends: give both `low` and `high`, or neither".into());
    }
    let columns = query::columns(sql).map_err(|error| error.to_string())?;
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    let named = [&spec.y, &spec.by, &spec.until, &spec.low, &spec.high].map(Option::as_ref);
    for name in [Some(&spec.x)].into_iter().chain(named).flatten() {
        if !known.contains(&name.as_str()) {
            let hint =
                nearest(name, &known).map(|right| format!("; did you mean `{right}`?")).unwrap_or_default();
            return Err(format!(
                "the figure's column `{name}` is not among its query's (`{}`){hint}",
                known.join("`, `")
            ));
        }
    }
    Ok(())
}

/// The cell as it would be written.
pub(super) fn write(cell: &Cell) -> WrittenCell {
    let sql = cell.sql().map(str::to_string);
    let needs = cell.needs();
    match cell.clone() {
        Cell::Text(text) => WrittenCell { text: Some(text), ..WrittenCell::default() },
        Cell::Table(Table { title, note, .. }) => {
            WrittenCell { table: Some(WrittenTable { title, note }), sql, needs, ..WrittenCell::default() }
        }
        Cell::Figure(figure) => {
            WrittenCell { figure: Some(figure.spec), sql, needs, ..WrittenCell::default() }
        }
        Cell::Claim(Claim { statement, source, holds, expect, .. }) => WrittenCell {
            claim: Some(statement),
            source,
            sql,
            needs,
            holds: Some(holds),
            expect: Some(expect),
            ..WrittenCell::default()
        },
    }
}
