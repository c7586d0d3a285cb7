//! The experiment file: what may stand in it, and its way into an [`Experiment`] and back.

use super::cell::{Cell, Claim, Figure, FigureKind, FigureSpec, Holds, Table, Verdict};
use super::error::{ExperimentError, explain, line_of, nearest};
use super::overrides::{self, Override};
use super::settings::Settings;
use super::{Axis, Experiment};
use crate::tables::query;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Spanned;

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    question: Spanned<String>,
    /// Read a second time as a table; here for its types, which know their lines.
    #[serde(rename = "defaults")]
    _defaults: Settings,
    #[serde(default)]
    sweep: toml::Table,
    #[serde(default)]
    cell: Vec<Spanned<WrittenCell>>,
}

/// A cell as written: which keys belong together is checked afterwards.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenCell {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Verdict>,
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

/// The resolved file, as [`to_toml`] writes it.
#[derive(Serialize)]
struct Resolved<'e> {
    question: &'e str,
    defaults: toml::Table,
    sweep: toml::Table,
    cell: Vec<WrittenCell>,
}

/// The file's name and text, for messages.
struct Source<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Source<'_> {
    fn wrong_at(&self, at: usize, message: impl Into<String>) -> ExperimentError {
        ExperimentError::in_line(self.path, line_of(self.text, at), message)
    }

    /// The line of `key` in the sweep, or the file's first if it came from elsewhere.
    fn line_of_axis(&self, key: &str) -> usize {
        let document = toml::de::DeTable::parse(self.text).ok();
        let line = document.as_ref().and_then(|document| {
            let (_, sweep) = document.get_ref().iter().find(|(name, _)| name.get_ref() == "sweep")?;
            let (key, _) = sweep.get_ref().as_table()?.iter().find(|(name, _)| name.get_ref() == key)?;
            Some(line_of(self.text, key.span().start))
        });
        line.unwrap_or(1)
    }
}

pub(super) fn parse(
    name: &str,
    path: &Path,
    text: &str,
    given: &[Override],
) -> Result<Experiment, ExperimentError> {
    let source = Source { path, text };
    let at = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        source.wrong_at(start, explain(&error))
    };
    let Written { question, sweep: mut sweep_table, cell, .. } = toml::from_str(text).map_err(at)?;
    if question.get_ref().trim().is_empty() {
        return Err(source.wrong_at(question.span().start, "`question` is empty; an experiment asks one"));
    }
    let mut document: toml::Table = toml::from_str(text).map_err(at)?;
    let Some(toml::Value::Table(mut defaults_table)) = document.remove("defaults") else {
        return Err(source.wrong_at(0, "`[defaults]` is missing; it needs at least a `dataset`"));
    };

    check_each(&source, &defaults_table, &sweep_table)?;
    overrides::apply(&mut defaults_table, &mut sweep_table, given);
    check_overrides(&defaults_table, given)?;
    let in_line_1 = |error: ExperimentError| error.at_place(&path.display().to_string());
    let defaults = Settings::from_table(defaults_table.clone()).map_err(in_line_1)?;
    let sweep = axes(&source, sweep_table)?;
    let cells = cell.into_iter().map(|cell| check_cell(&source, cell)).collect::<Result<_, _>>()?;
    let question = question.into_inner();
    let experiment = Experiment { name: name.to_string(), question, defaults, sweep, cells, defaults_table };
    experiment.points()?;
    Ok(experiment)
}

/// Checks every value of the sweep by itself, so that a mistake is found before anything has run.
fn check_each(source: &Source, defaults: &toml::Table, sweep: &toml::Table) -> Result<(), ExperimentError> {
    for (key, values) in sweep {
        let place = || format!("{}:{}", source.path.display(), source.line_of_axis(key));
        let values =
            values.as_array().filter(|values| !values.is_empty()).ok_or_else(|| ExperimentError::Wrong {
                place: place(),
                message: format!("`{key}` in [sweep] must be a list with at least one value"),
            })?;
        for value in values {
            let mut table = defaults.clone();
            overrides::set(&mut table, key, value.clone());
            Settings::from_table(table)
                .map_err(|error| error.at_place(&format!("{}, `{key}` = {value}", place())))?;
        }
    }
    Ok(())
}

/// Checks what the command line set, so that the message can name it.
fn check_overrides(defaults: &toml::Table, given: &[Override]) -> Result<(), ExperimentError> {
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

fn axes(source: &Source, sweep: toml::Table) -> Result<Vec<Axis>, ExperimentError> {
    let axis = |(key, values)| match values {
        toml::Value::Array(values) if !values.is_empty() => Ok(Axis { key, values }),
        _ => {
            let line = source.line_of_axis(&key);
            Err(ExperimentError::in_line(
                source.path,
                line,
                format!("`{key}` in [sweep] must be a list with at least one value"),
            ))
        }
    };
    sweep.into_iter().map(axis).collect()
}

fn check_cell(source: &Source, cell: Spanned<WrittenCell>) -> Result<Cell, ExperimentError> {
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
        return match cell.sql {
            Some(_) => Err(wrong("`sql` belongs to a table, a figure or a claim, not to a text".into())),
            None => Ok(Cell::Text(text)),
        };
    }
    let sql = cell.sql.ok_or_else(|| wrong("the cell needs its query: `sql = \"select ...\"`".into()))?;
    query::check(&sql).map_err(|error| wrong(error.to_string()))?;
    if let Some(WrittenTable { title, note }) = cell.table {
        return Ok(Cell::Table(Table { title, note, sql }));
    }
    if let Some(spec) = cell.figure {
        check_figure(&spec, &sql).map_err(wrong)?;
        return Ok(Cell::Figure(Figure { spec, sql }));
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
    }))
}

/// A figure's columns must be among its query's.
fn check_figure(spec: &FigureSpec, sql: &str) -> Result<(), String> {
    if spec.y.is_none() && spec.kind != FigureKind::Strip {
        return Err("the figure needs a `y`: the column along its vertical axis".into());
    }
    let columns = query::columns(sql).map_err(|error| error.to_string())?;
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    for name in [Some(&spec.x), spec.y.as_ref(), spec.by.as_ref()].into_iter().flatten() {
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

pub(super) fn to_toml(experiment: &Experiment) -> String {
    let table = |settings: &Settings| toml::Table::try_from(settings);
    // settings that were read from a table can be written as one
    let defaults =
        table(&experiment.defaults.spelled_out()).unwrap_or_else(|_| experiment.defaults_table.clone());
    let sweep = experiment
        .sweep
        .iter()
        .map(|axis| (axis.key.clone(), toml::Value::Array(axis.values.clone())))
        .collect();
    let cell = experiment.cells.iter().map(written).collect();
    let resolved = Resolved { question: &experiment.question, defaults, sweep, cell };
    toml::to_string_pretty(&resolved).unwrap_or_default()
}

fn written(cell: &Cell) -> WrittenCell {
    let sql = cell.sql().map(str::to_string);
    match cell.clone() {
        Cell::Text(text) => WrittenCell { text: Some(text), ..WrittenCell::default() },
        Cell::Table(Table { title, note, .. }) => {
            WrittenCell { table: Some(WrittenTable { title, note }), sql, ..WrittenCell::default() }
        }
        Cell::Figure(figure) => WrittenCell { figure: Some(figure.spec), sql, ..WrittenCell::default() },
        Cell::Claim(Claim { statement, source, holds, expect, .. }) => WrittenCell {
            claim: Some(statement),
            source,
            sql,
            holds: Some(holds),
            expect: Some(expect),
            ..WrittenCell::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"question = "Does it?"

[defaults]
dataset = "walkers"
seed = 7
[defaults.video]
end_frame = 30

[sweep]
"video.mode" = [{ extract = { store = "png" } }, { stream = { access = "seek" } }]
"dataset.frames" = [60, 120]

[[cell]]
text = "Why."

[[cell]]
figure = { title = "Heap", kind = "line", x = "frames", y = "heap", by = "mode" }
sql = "select frames, mode, heap_peak_bytes as heap from runs"

[[cell]]
table = { title = "Runs" }
sql = "select mode, outcome from runs"

[[cell]]
claim = "It does"
source = "us"
sql = "select count(*) from runs"
holds = { above = 1, unit = "runs" }
expect = "refuted"
"#;

    fn parse_with(text: &str, given: &[&str]) -> Result<Experiment, ExperimentError> {
        Experiment::parse(
            "good",
            Path::new("experiments/good.toml"),
            text,
            &Override::parse_all(given).unwrap(),
        )
    }

    #[test]
    fn a_notebook_becomes_points_and_cells() {
        let experiment = parse_with(GOOD, &[]).unwrap();
        let points = experiment.points().unwrap();
        assert_eq!((points.len(), experiment.cells.len(), experiment.defaults.seed), (4, 4, 7));
        assert_eq!(points[1].settings.dataset.changes.get("frames"), Some(&toml::Value::Integer(120)));
        assert_eq!(points[1].varied[0].0, "video.mode");
        let Cell::Claim(claim) = &experiment.cells[3] else { panic!("the claim is the fourth cell") };
        assert_eq!(claim.expect, Verdict::Refuted);
    }

    #[test]
    fn the_resolved_file_gives_the_same_runs_and_cells() {
        let experiment =
            parse_with(GOOD, &["seed=9", "dataset.people=2", "video.mode=stream-sequential"]).unwrap();
        let text = experiment.to_toml();
        let again = parse_with(&text, &[]).unwrap();
        assert_eq!(again.cells, experiment.cells);
        let settings = |e: &Experiment| -> Vec<Settings> {
            e.points().unwrap().into_iter().map(|point| point.settings.spelled_out()).collect()
        };
        assert_eq!(settings(&again), settings(&experiment));
        assert_eq!(settings(&again).len(), 2);
        assert!(text.contains("precision = \"f32\""), "{text}");
        assert_eq!(again.to_toml(), text);
    }

    /// Every mistake: what is replaced, by what, and the words of the message.
    #[test]
    fn mistakes_name_the_file_the_line_and_the_way_out() {
        for (right, wrong, message) in [
            ("seed = 7", "sed = 7", "experiments/good.toml:5: unknown key `sed`; did you mean `seed`?"),
            ("seed = 7", "seed = \"x\"", "experiments/good.toml:5: invalid type: string \"x\", expected u64"),
            (
                "end_frame",
                "endframe",
                "experiments/good.toml:7: unknown key `endframe`; did you mean `end_frame`?",
            ),
            ("access = \"seek\"", "access = \"sek\"", "experiments/good.toml:10, `video.mode` = {"),
            ("[60, 120]", "60", "experiments/good.toml:11: `dataset.frames` in [sweep] must be a list"),
            ("video.mode", "video.mod", "unknown key `mod`; did you mean `mode`?"),
            ("kind = \"line\"", "kind = \"lien\"", "unknown value `lien`; did you mean `line`?"),
            (
                "by = \"mode\"",
                "by = \"modus\"",
                "good.toml:16: the figure's column `modus` is not among its query's",
            ),
            ("select mode, outcome", "select mode, outcom", "good.toml:20: "),
            (
                "text = \"Why.\"",
                "text = \"Why.\"\nsql = \"select 1\"",
                "good.toml:13: `sql` belongs to a table",
            ),
            ("above = 1, ", "", "good.toml:24: a claim needs what would refute it"),
            ("question = \"Does it?\"", "question = \"\"", "good.toml:1: `question` is empty"),
            ("dataset = \"walkers\"", "", "good.toml:3: missing field `dataset`"),
            ("[defaults]", "[default]", "good.toml:3: unknown key `default`; did you mean `defaults`?"),
            ("seed = 7", "seed = ", "good.toml:5: "),
        ] {
            let text = GOOD.replace(right, wrong);
            assert_ne!(text, GOOD, "{right}");
            let error = parse_with(&text, &[]).unwrap_err().to_string();
            assert!(error.contains(message), "{wrong}\n  gave: {error}\n  want: {message}");
        }
    }

    #[test]
    fn mistakes_on_the_command_line_name_the_argument() {
        for (given, message) in [
            ("sede=3", "sede=3: unknown key `sede`; did you mean `seed`?"),
            ("seed=x", "seed=\"x\": invalid type: string \"x\", expected u64"),
            ("repeats=0", "repeats=0: `repeats` is 0"),
            ("device=tpu", "device=\"tpu\": unknown device `tpu`"),
            ("phalp.n_init=9", "phalp.n_init=9: phalp.n_init is 9; set it to 1 to 7"),
        ] {
            let error = parse_with(GOOD, &[given]).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
