//! The experiment file: what may stand in it, and its way into an [`Experiment`] and back.

use super::error::{ExperimentError, explain};
use super::overrides::Tables;
use super::overrides::{self, Override};
use super::search::Search;
use super::settings::Settings;
use super::source::Source;
use super::written::{self, WrittenCell};
use super::{Axis, Experiment, Size};
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Spanned, Table, Value};

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    question: Spanned<String>,
    /// A report's file says here that it holds the smaller experiment.
    #[serde(default)]
    is_quick: bool,
    /// A report's file says here what could not be run where it was made.
    #[serde(default)]
    left_out: Vec<String>,
    /// Read a second time as a table; here for its types, which know their lines.
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
    cell: Vec<Spanned<WrittenCell>>,
}

/// The resolved file, as [`to_toml`] writes it.
#[derive(Serialize)]
struct Resolved<'e> {
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
    cell: Vec<WrittenCell>,
}

pub(super) fn parse(
    name: &str,
    path: &Path,
    text: &str,
    size: Size,
    given: &[Override],
) -> Result<Experiment, ExperimentError> {
    let source = Source { path, text };
    let at = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        source.wrong_at(start, explain(&error))
    };
    let written: Written = toml::from_str(text).map_err(at)?;
    let question = written.question;
    if question.get_ref().trim().is_empty() {
        return Err(source.wrong_at(question.span().start, "`question` is empty; an experiment asks one"));
    }
    let mut document: Table = toml::from_str(text).map_err(at)?;
    let Some(Value::Table(defaults)) = document.remove("defaults") else {
        return Err(source.wrong_at(0, "`[defaults]` is missing; it needs at least a `dataset`"));
    };

    let mut tables = Tables { defaults, sweep: written.sweep, search: written.search };
    check_lists(&source, &tables)?;
    check_quick(&source, &tables, written.quick.as_ref())?;
    let (is_quick, quick) = match (size, written.quick) {
        (Size::Quick, Some(changes)) => {
            overrides::apply(&mut tables, &overrides::of_quick(&changes));
            (true, None)
        }
        (Size::Quick, None) if !written.is_quick => {
            let message = "there is no smaller experiment: a table [quick] would say what `--quick` changes; \
                           change settings by key=value instead";
            return Err(source.wrong_at(0, message).at_place(&path.display().to_string()));
        }
        (Size::Quick | Size::Whole, quick) => (written.is_quick, quick),
    };
    overrides::apply(&mut tables, given);
    check_overrides(&tables.defaults, given)?;
    let in_file = |error: ExperimentError| error.at_place(&path.display().to_string());
    let defaults = Settings::from_table(tables.defaults.clone()).map_err(in_file)?;
    let sweep = axes(&source, tables.sweep)?;
    let searches = searches(&source, &tables.search)?;
    let cells =
        written.cell.into_iter().map(|cell| written::read(&source, cell)).collect::<Result<_, _>>()?;
    let experiment = Experiment {
        name: name.to_string(),
        question: question.into_inner(),
        is_quick,
        left_out: written.left_out,
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

/// Checks that both ends of every search can be set at every point.
fn check_ends(source: &Source, experiment: &Experiment) -> Result<(), ExperimentError> {
    for search in &experiment.searches {
        for point in experiment.points_of(search)? {
            for end in [search.from, search.to] {
                experiment.point_at(search, &point, end).map_err(|error| {
                    let place = source.place_of("search", &search.key);
                    error.at_place(&format!("{place}, `{}` = {end}", search.key))
                })?;
            }
        }
    }
    Ok(())
}

/// Checks every value of the sweep by itself, so that a mistake is found before anything has run.
fn check_lists(source: &Source, tables: &Tables) -> Result<(), ExperimentError> {
    for (key, values) in &tables.sweep {
        let values = list(values).ok_or_else(|| not_a_list(source, key))?;
        check_values(source, "sweep", &tables.defaults, key, values)?;
    }
    Ok(())
}

/// Checks every value of `[quick]` by itself, whether it is asked for or not.
fn check_quick(source: &Source, tables: &Tables, quick: Option<&Table>) -> Result<(), ExperimentError> {
    for (key, value) in quick.into_iter().flatten() {
        if key.starts_with("search.") {
            // a part of a search means something with the rest of it alone
            let mut changed = tables.clone();
            overrides::apply(
                &mut changed,
                &overrides::of_quick(&Table::from_iter([(key.clone(), value.clone())])),
            );
            for (name, search) in &changed.search {
                Search::read(name, search).map_err(|message| source.wrong_in("quick", key, message))?;
            }
            continue;
        }
        match value {
            Value::Array(values) if values.is_empty() => {
                return Err(source.wrong_in("quick", key, format!("`{key}` in [quick] is an empty list")));
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
    source: &Source,
    section: &str,
    defaults: &Table,
    key: &str,
    values: &[Value],
) -> Result<(), ExperimentError> {
    for value in values {
        let mut table = defaults.clone();
        overrides::set(&mut table, key, value.clone());
        let place = || format!("{}, `{key}` = {value}", source.place_of(section, key));
        Settings::from_table(table).map_err(|error| error.at_place(&place()))?;
    }
    Ok(())
}

fn list(value: &Value) -> Option<&[Value]> {
    value.as_array().map(Vec::as_slice).filter(|values| !values.is_empty())
}

fn not_a_list(source: &Source, key: &str) -> ExperimentError {
    source.wrong_in("sweep", key, format!("`{key}` in [sweep] must be a list with at least one value"))
}

/// Checks what the command line set, so that the message can name it.
fn check_overrides(defaults: &Table, given: &[Override]) -> Result<(), ExperimentError> {
    let Err(error) = Settings::from_table(defaults.clone()) else { return Ok(()) };
    let place = match given {
        [] => return Ok(()),
        [one] => format!("{}={}", one.key, one.value),
        several => {
            let keys: Vec<&str> = several.iter().map(|one| one.key.as_str()).collect();
            format!("one of {} on the command line", keys.join(", "))
        }
    };
    Err(error.at_place(&place))
}

fn axes(source: &Source, sweep: Table) -> Result<Vec<Axis>, ExperimentError> {
    let axis = |(key, values): (String, Value)| match list(&values) {
        Some(values) => Ok(Axis { values: values.to_vec(), key }),
        None => Err(not_a_list(source, &key)),
    };
    sweep.into_iter().map(axis).collect()
}

fn searches(source: &Source, searches: &Table) -> Result<Vec<Search>, ExperimentError> {
    let one = |(key, written): (&String, &Value)| {
        Search::read(key, written)
            .map_err(|message| source.wrong_in("search", key, format!("`{key}`: {message}")))
    };
    searches.iter().map(one).collect()
}

pub(super) fn to_toml(experiment: &Experiment) -> String {
    let table = |settings: &Settings| Table::try_from(settings);
    // settings that were read from a table can be written as one
    let defaults =
        table(&experiment.defaults.spelled_out()).unwrap_or_else(|_| experiment.defaults_table.clone());
    let sweep =
        experiment.sweep.iter().map(|axis| (axis.key.clone(), Value::Array(axis.values.clone()))).collect();
    let resolved = Resolved {
        question: &experiment.question,
        is_quick: experiment.is_quick,
        left_out: &experiment.left_out,
        defaults,
        sweep,
        search: experiment.searches.iter().map(|search| (search.key.clone(), search.write())).collect(),
        quick: experiment.quick.as_ref(),
        cell: experiment.cells.iter().map(written::write).collect(),
    };
    toml::to_string_pretty(&resolved).unwrap_or_default()
}
