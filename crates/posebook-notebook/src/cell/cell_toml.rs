//! Converts cells of a notebook between TOML and [`Cell`].

use crate::cell::{Bounds, Cell, Claim, Figure, FigureKind, FigureSpec, Requirement, Table, Verdict};
use crate::tables::query;
use posebook_core::toml_error::nearest_match;
use serde::{Deserialize, Serialize};

/// A cell as TOML. [`parse`] checks which keys belong together.
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

/// Validates a cell: its combination of keys, and its query.
///
/// # Errors
/// What is wrong with the cell.
pub fn parse(cell: CellToml) -> Result<Cell, String> {
    let kinds = [cell.text.is_some(), cell.table.is_some(), cell.figure.is_some(), cell.claim.is_some()];
    if kinds.iter().filter(|&&is_kind| is_kind).count() != 1 {
        return Err("a cell is one of `text`, `table`, `figure`, `claim`".into());
    }
    if cell.claim.is_none() && (cell.source.is_some() || cell.holds.is_some() || cell.expect.is_some()) {
        return Err("`source`, `holds` and `expect` belong to a `claim`".into());
    }
    if let Some(text) = cell.text {
        return match (cell.sql, cell.needs) {
            (Some(_), _) => Err("`sql` belongs to a table, a figure or a claim, not to a text".into()),
            (_, Some(_)) => Err("`needs` belongs to a table, a figure or a claim, not to a text".into()),
            (None, None) => Ok(Cell::Text(text)),
        };
    }
    let sql = cell.sql.ok_or("the cell needs a query: `sql = \"select ...\"`")?;
    let needs = cell.needs;
    query::check(&sql).map_err(|error| error.to_string())?;
    if let Some(TableToml { title, note }) = cell.table {
        return Ok(Cell::Table(Table { title, note, sql, needs }));
    }
    if let Some(spec) = cell.figure {
        check_figure(&spec, &sql)?;
        return Ok(Cell::Figure(Figure { spec, sql, needs }));
    }
    let holds = cell
        .holds
        .filter(Bounds::has_bound)
        .ok_or("a claim needs bounds that could refute it: `holds = { below = 1.0, unit = \"...\" }`")?;
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

/// Checks that the figure has the keys of its kind, and that its columns are in the query's answer.
fn check_figure(spec: &FigureSpec, sql: &str) -> Result<(), String> {
    if spec.y.is_none() && spec.kind != FigureKind::ContactSheet {
        return Err("the figure needs a `y`: the column of its vertical axis".into());
    }
    if spec.until.is_some() != (spec.kind == FigureKind::Timeline) {
        return Err(
            "`until`, the column with the end times, is required for figures of kind `timeline` and allowed only there"
                .into(),
        );
    }
    if spec.low.is_some() != spec.high.is_some() {
        return Err("`low` and `high` must be given together".into());
    }
    let columns = query::columns(sql).map_err(|error| error.to_string())?;
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    let named = [&spec.y, &spec.by, &spec.until, &spec.low, &spec.high].map(Option::as_ref);
    for name in [Some(&spec.x)].into_iter().chain(named).flatten() {
        if !known.contains(&name.as_str()) {
            let hint = nearest_match(name, &known)
                .map(|nearest| format!("; did you mean `{nearest}`?"))
                .unwrap_or_default();
            return Err(format!(
                "the figure's column `{name}` is not among those of its query (`{}`){hint}",
                known.join("`, `")
            ));
        }
    }
    Ok(())
}

/// The cell as TOML.
pub fn to_toml(cell: &Cell) -> CellToml {
    let sql = cell.sql().map(str::to_string);
    let needs = cell.requirement();
    match cell.clone() {
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
