//! Cells as TOML: [`CellToml`] is one `[[cell]]` of a file; it is checked and converted to a [`Cell`], and back.

use super::{Bounds, Cell, Claim, Figure, FigureKind, FigureSpec, Requirement, Table, Verdict};
use crate::tables::{TableError, check_query, query_columns};
use posebook_core::toml_error::nearest_match;
use serde::{Deserialize, Serialize};

/// One `[[cell]]` of a TOML file, with the keys of all kinds of cells. [`Cell::from_toml`] checks which belong together.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CellToml {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Requirement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<TableToml>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figure: Option<FigureSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<Bounds>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableToml {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Why a cell is invalid. The file and the line are known to the caller only.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCell {
    /// The cell has no kind or several.
    #[error("a cell is one of `text`, `table`, `figure`, `claim`")]
    Kind,
    /// A key of claims in another cell.
    #[error("`source`, `holds` and `expect` belong to a `claim`")]
    NotAClaim,
    /// A key of the other cells in a text.
    #[error("`{key}` belongs to a table, a figure or a claim, not to a text")]
    NotForText {
        /// The key.
        key: &'static str,
    },
    /// A table, figure or claim has no query.
    #[error("the cell needs a query: `sql = \"select ...\"`")]
    NoQuery,
    /// The query is invalid.
    #[error(transparent)]
    Query(#[from] TableError),
    /// The figure has no vertical axis.
    #[error("the figure needs a `y`: the column of its vertical axis")]
    NoVerticalAxis,
    /// A timeline has no end times, or another figure has them.
    #[error(
        "`until`, the column with the end times, is required for figures of kind `timeline` and allowed only there"
    )]
    EndTimes,
    /// Only one end of an interval is given.
    #[error("`low` and `high` must be given together")]
    HalfAnInterval,
    /// The figure names a column that its query does not give.
    #[error("the figure's column `{name}` is not among those of its query (`{}`){hint}", columns.join("`, `"))]
    UnknownColumn {
        /// The column of the figure.
        name: String,
        /// The columns of the query.
        columns: Vec<String>,
        /// The most similar column as a hint, or empty.
        hint: String,
    },
    /// A claim has no bounds.
    #[error("a claim needs bounds that could refute it: `holds = {{ below = 1.0, unit = \"...\" }}`")]
    NoBounds,
}

impl Cell {
    /// Checks the cell's combination of keys and its query, without data.
    ///
    /// # Errors
    /// If keys are missing or do not belong together, or the query is invalid.
    pub fn from_toml(cell: CellToml) -> Result<Cell, InvalidCell> {
        let kinds = [cell.text.is_some(), cell.table.is_some(), cell.figure.is_some(), cell.claim.is_some()];
        if kinds.iter().filter(|&&is_kind| is_kind).count() != 1 {
            return Err(InvalidCell::Kind);
        }
        if cell.claim.is_none() && (cell.source.is_some() || cell.holds.is_some() || cell.expect.is_some()) {
            return Err(InvalidCell::NotAClaim);
        }
        if let Some(text) = cell.text {
            return match (cell.sql, cell.needs) {
                (Some(_), _) => Err(InvalidCell::NotForText { key: "sql" }),
                (_, Some(_)) => Err(InvalidCell::NotForText { key: "needs" }),
                (None, None) => Ok(Cell::Text(text)),
            };
        }
        let sql = cell.sql.ok_or(InvalidCell::NoQuery)?;
        let needs = cell.needs;
        check_query(&sql)?;
        if let Some(TableToml { title, note }) = cell.table {
            return Ok(Cell::Table(Table { title, note, sql, needs }));
        }
        if let Some(spec) = cell.figure {
            check_figure(&spec, &sql)?;
            return Ok(Cell::Figure(Figure { spec, sql, needs }));
        }
        let holds = cell.holds.filter(Bounds::has_bound).ok_or(InvalidCell::NoBounds)?;
        let statement = cell.claim.unwrap_or_default();
        let expect = cell.expect.unwrap_or_default();
        Ok(Cell::Claim(Claim { statement, source: cell.source, sql, holds, expect, needs }))
    }

    /// The cell as TOML; [`Cell::from_toml`] gives the same cell.
    pub fn to_toml(&self) -> CellToml {
        let sql = self.sql().map(str::to_string);
        let needs = self.requirement();
        match self.clone() {
            Cell::Text(text) => CellToml { text: Some(text), ..CellToml::default() },
            Cell::Table(Table { title, note, .. }) => {
                CellToml { table: Some(TableToml { title, note }), sql, needs, ..CellToml::default() }
            }
            Cell::Figure(figure) => CellToml { figure: Some(figure.spec), sql, needs, ..CellToml::default() },
            Cell::Claim(Claim { statement, source, holds, expect, .. }) => CellToml {
                claim: Some(statement),
                source,
                sql,
                needs,
                holds: Some(holds),
                expect: Some(expect),
                ..CellToml::default()
            },
        }
    }
}

/// Checks that the figure has the keys of its kind, and that its columns are in the query's answer.
fn check_figure(spec: &FigureSpec, sql: &str) -> Result<(), InvalidCell> {
    if spec.y.is_none() && spec.kind != FigureKind::ContactSheet {
        return Err(InvalidCell::NoVerticalAxis);
    }
    if spec.until.is_some() != (spec.kind == FigureKind::Timeline) {
        return Err(InvalidCell::EndTimes);
    }
    if spec.low.is_some() != spec.high.is_some() {
        return Err(InvalidCell::HalfAnInterval);
    }
    let columns = query_columns(sql)?;
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    let named = [&spec.y, &spec.by, &spec.until, &spec.low, &spec.high].map(Option::as_ref);
    for name in [Some(&spec.x)].into_iter().chain(named).flatten() {
        if !known.contains(&name.as_str()) {
            let hint = nearest_match(name, &known).map(|nearest| format!("; did you mean `{nearest}`?"));
            let (name, hint) = (name.clone(), hint.unwrap_or_default());
            return Err(InvalidCell::UnknownColumn { name, columns, hint });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Result<Cell, InvalidCell> {
        Cell::from_toml(toml::from_str(text).unwrap())
    }

    #[test]
    fn a_cell_is_the_same_after_a_round_trip() {
        for text in [
            "text = 'Why?'",
            "table = { title = 'Runs' }\nsql = 'select mode from runs'\nneeds = 'cuda'",
            "figure = { title = 'Heap', kind = 'bar', x = 'mode', y = 'n' }\nsql = 'select mode, 1 as n from runs'",
            "claim = 'Few'\nsql = 'select count(*) from runs'\nholds = { below = 9, unit = 'runs' }",
        ] {
            let read = cell(text).unwrap();
            let written = toml::to_string(&read.to_toml()).unwrap();
            assert_eq!(cell(&written).unwrap(), read, "{written}");
        }
    }

    #[test]
    fn an_invalid_cell_is_refused_with_the_reason() {
        let figure = |keys: &str| {
            format!("figure = {{ title = 't', x = 'mode', {keys} }}\nsql = 'select mode from runs'")
        };
        for (text, message) in [
            ("".to_string(), "a cell is one of"),
            ("text = 'a'\nclaim = 'b'".to_string(), "a cell is one of"),
            ("text = 'a'\nexpect = 'holds'".to_string(), "belong to a `claim`"),
            ("text = 'a'\nneeds = 'cuda'".to_string(), "`needs` belongs to a table"),
            ("claim = 'a'".to_string(), "`sql = \"select ...\"`"),
            (
                "claim = 'a'\nsql = 'select count(*) from runs'".to_string(),
                "`holds = { below = 1.0, unit = \"...\" }`",
            ),
            (
                "table = { title = 't' }\nsql = 'select mod from runs'".to_string(),
                "in the query `select mod from runs`",
            ),
            (figure("kind = 'line'"), "needs a `y`"),
            (figure("kind = 'line', y = 'mode', until = 'mode'"), "allowed only there"),
            (figure("kind = 'timeline', y = 'mode'"), "is required for figures of kind `timeline`"),
            (figure("kind = 'line', y = 'mode', low = 'mode'"), "given together"),
            (
                figure("kind = 'line', y = 'mod'"),
                "`mod` is not among those of its query (`mode`); did you mean `mode`?",
            ),
        ] {
            let error = cell(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}\n  got: {error}");
        }
    }
}
