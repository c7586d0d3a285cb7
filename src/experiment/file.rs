//! Converts experiment files between TOML and [`Experiment`]. Every setting, query and search is checked here, before any
//! run, so that an error names the line of the file or the argument.

use super::error::ExperimentError;
use super::overrides::RawTables;
use super::overrides::{self, Override};
use super::search::Search;
use super::settings::Settings;
use super::source::SourceText;
use super::{Experiment, ExperimentSize, SweepAxis};
use posebook_core::toml_error::explain_toml_error;
use posebook_notebook::cell::{Cell, CellToml};
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Spanned, Table, Value};

/// The file as TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExperimentToml {
    question: Spanned<String>,
    /// Set in a report's file if the experiment is the smaller one of `--quick`.
    #[serde(default)]
    is_quick: bool,
    /// Set in a report's file: runs that could not be made on its machine.
    #[serde(default)]
    left_out: Vec<String>,
    /// Parsed here only for errors with line numbers; the values are read from the untyped document.
    #[serde(rename = "defaults")]
    _defaults: Settings,
    #[serde(default)]
    sweep: Table,
    #[serde(default)]
    search: Table,
    /// What `--quick` changes.
    #[serde(default)]
    quick: Option<Table>,
    #[serde(default)]
    cell: Vec<Spanned<CellToml>>,
}

/// The file with all defaults filled in, as [`to_toml`] writes it.
#[derive(Serialize)]
struct ResolvedToml<'e> {
    question: &'e str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_quick: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    left_out: &'e [String],
    defaults: Table,
    sweep: Table,
    #[serde(skip_serializing_if = "Table::is_empty")]
    search: Table,
    #[serde(skip_serializing_if = "Option::is_none")]
    quick: Option<&'e Table>,
    cell: Vec<CellToml>,
}

pub(super) fn parse(
    name: &str,
    path: &Path,
    text: &str,
    size: ExperimentSize,
    given: &[Override],
) -> Result<Experiment, ExperimentError> {
    let source = SourceText { path, text };
    let invalid = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        source.error_at(start, explain_toml_error(&error))
    };
    let file_toml: ExperimentToml = toml::from_str(text).map_err(invalid)?;
    let question = file_toml.question;
    if question.get_ref().trim().is_empty() {
        return Err(source.error_at(question.span().start, "`question` is empty; every experiment has one"));
    }
    let mut document: Table = toml::from_str(text).map_err(invalid)?;
    let Some(Value::Table(defaults)) = document.remove("defaults") else {
        return Err(source.error_at(0, "`[defaults]` is missing; it needs at least a `dataset`"));
    };

    let mut tables = RawTables { defaults, sweep: file_toml.sweep, search: file_toml.search };
    check_lists(&source, &tables)?;
    check_quick(&source, &tables, file_toml.quick.as_ref())?;
    let (is_quick, quick) = match (size, file_toml.quick) {
        (ExperimentSize::Quick, Some(changes)) => {
            overrides::apply(&mut tables, &overrides::overrides_from_quick(&changes));
            (true, None)
        }
        (ExperimentSize::Quick, None) if !file_toml.is_quick => {
            let message = "the experiment has no table [quick], which says what `--quick` changes; \
                           change settings by key=value instead";
            return Err(source.error_at(0, message).with_location(&path.display().to_string()));
        }
        (ExperimentSize::Quick | ExperimentSize::Full, quick) => (file_toml.is_quick, quick),
    };
    overrides::apply(&mut tables, given);
    check_overrides(&tables.defaults, given)?;
    let in_file = |error: ExperimentError| error.with_location(&path.display().to_string());
    let defaults = Settings::from_table(tables.defaults.clone()).map_err(in_file)?;
    let sweep = axes(&source, tables.sweep)?;
    let searches = searches(&source, &tables.search)?;
    let cells = file_toml.cell.into_iter().map(|cell| {
        let start = cell.span().start;
        Cell::from_toml(cell.into_inner()).map_err(|error| source.error_at(start, error.to_string()))
    });
    let cells = cells.collect::<Result<_, _>>()?;
    let experiment = Experiment {
        name: name.to_string(),
        question: question.into_inner(),
        is_quick,
        left_out: file_toml.left_out,
        defaults,
        sweep,
        searches,
        cells,
        quick,
        defaults_table: tables.defaults,
    };
    experiment.points()?;
    check_ends(&source, &experiment)?;
    Ok(experiment)
}

/// Checks that both ends of every search are valid at every point.
fn check_ends(source: &SourceText, experiment: &Experiment) -> Result<(), ExperimentError> {
    for search in &experiment.searches {
        for point in experiment.points_for_search(search)? {
            for end in [search.from, search.to] {
                experiment.point_with_search_value(search, &point, end).map_err(|error| {
                    let location = source.location_of("search", &search.key);
                    error.with_location(&format!("{location}, `{}` = {end}", search.key))
                })?;
            }
        }
    }
    Ok(())
}

/// Checks every value of the sweep by itself, so that errors are found before any run.
fn check_lists(source: &SourceText, tables: &RawTables) -> Result<(), ExperimentError> {
    for (key, values) in &tables.sweep {
        let values = list(values).ok_or_else(|| not_a_list(source, key))?;
        check_values(source, "sweep", &tables.defaults, key, values)?;
    }
    Ok(())
}

/// Checks every value of `[quick]` by itself, also without `--quick`.
fn check_quick(
    source: &SourceText,
    tables: &RawTables,
    quick: Option<&Table>,
) -> Result<(), ExperimentError> {
    for (key, value) in quick.into_iter().flatten() {
        if key.starts_with("search.") {
            // a part of a search is only valid together with its other parts
            let mut changed = tables.clone();
            overrides::apply(
                &mut changed,
                &overrides::overrides_from_quick(&Table::from_iter([(key.clone(), value.clone())])),
            );
            for (name, search) in &changed.search {
                Search::from_toml(name, search).map_err(|message| source.error_in("quick", key, message))?;
            }
            continue;
        }
        match value {
            Value::Array(values) if values.is_empty() => {
                return Err(source.error_in("quick", key, format!("`{key}` in [quick] is an empty list")));
            }
            Value::Array(values) => check_values(source, "quick", &tables.defaults, key, values)?,
            value => {
                check_values(source, "quick", &tables.defaults, key, std::slice::from_ref(value))?;
            }
        }
    }
    Ok(())
}

fn check_values(
    source: &SourceText,
    section: &str,
    defaults: &Table,
    key: &str,
    values: &[Value],
) -> Result<(), ExperimentError> {
    for value in values {
        let mut table = defaults.clone();
        overrides::set(&mut table, key, value.clone());
        let location = || format!("{}, `{key}` = {value}", source.location_of(section, key));
        Settings::from_table(table).map_err(|error| error.with_location(&location()))?;
    }
    Ok(())
}

fn list(value: &Value) -> Option<&[Value]> {
    value.as_array().map(Vec::as_slice).filter(|values| !values.is_empty())
}

fn not_a_list(source: &SourceText, key: &str) -> ExperimentError {
    source.error_in("sweep", key, format!("`{key}` in [sweep] must be a list with at least one value"))
}

/// Checks the settings from the command line, so that errors name the argument.
fn check_overrides(defaults: &Table, given: &[Override]) -> Result<(), ExperimentError> {
    let Err(error) = Settings::from_table(defaults.clone()) else { return Ok(()) };
    let location = match given {
        [] => return Ok(()),
        [one] => format!("{}={}", one.key, one.value),
        several => {
            let keys: Vec<&str> = several.iter().map(|one| one.key.as_str()).collect();
            format!("one of {} on the command line", keys.join(", "))
        }
    };
    Err(error.with_location(&location))
}

fn axes(source: &SourceText, sweep: Table) -> Result<Vec<SweepAxis>, ExperimentError> {
    let axis = |(key, values): (String, Value)| match list(&values) {
        Some(values) => Ok(SweepAxis { values: values.to_vec(), key }),
        None => Err(not_a_list(source, &key)),
    };
    sweep.into_iter().map(axis).collect()
}

fn searches(source: &SourceText, searches: &Table) -> Result<Vec<Search>, ExperimentError> {
    let search = |(key, toml): (&String, &Value)| {
        Search::from_toml(key, toml)
            .map_err(|message| source.error_in("search", key, format!("`{key}`: {message}")))
    };
    searches.iter().map(search).collect()
}

pub(super) fn to_toml(experiment: &Experiment) -> Result<String, ExperimentError> {
    let defaults = Table::try_from(experiment.defaults.with_defaults()?)?;
    let sweep =
        experiment.sweep.iter().map(|axis| (axis.key.clone(), Value::Array(axis.values.clone()))).collect();
    let searches = experiment.searches.iter().map(|search| Ok((search.key.clone(), search.to_toml()?)));
    let resolved = ResolvedToml {
        question: &experiment.question,
        is_quick: experiment.is_quick,
        left_out: &experiment.left_out,
        defaults,
        sweep,
        search: searches.collect::<Result<_, toml::ser::Error>>()?,
        quick: experiment.quick.as_ref(),
        cell: experiment.cells.iter().map(Cell::to_toml).collect(),
    };
    Ok(toml::to_string_pretty(&resolved)?)
}
