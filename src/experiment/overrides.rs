//! `key=value` on the command line, Hydra's way, PHALP's spellings included.
//!
//! A key may be any of the settings (`video.mode`, `dataset.frames`, `limits.host_mib`), a list of the
//! sweep (`sweep.dataset.frames=[60,120]`), or one of PHALP's own. A value is read as TOML and, where
//! it is none, as text. Paths are taken as they are typed, blanks and quotes included; only `~/` at the start is
//! the home folder. Overriding a key that the sweep varies takes its list out of the sweep.

use crate::files;
use crate::video::{Access, Mode, Store};
use toml::{Table, Value};

/// Keys whose values are paths (or, for `boxes` of a picture, numbers that are read as text).
const PATHS: [&str; 4] = ["video.source", "boxes", "truth", "out"];
/// Keys whose values are names or paths of TOML files, or a table: never a number, a date or a truth value.
const NAMES: [&str; 4] = ["model", "device", "dataset", "dataset.name"];
/// PHALP's bounds in frames, for which -1 is no bound.
const FRAME_BOUNDS: [&str; 2] = ["video.start_frame", "video.end_frame"];

/// One `key=value`, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The key with dots.
    pub key: String,
    pub value: Value,
    /// What a foreign spelling became, for the person who wrote it.
    pub became: Option<String>,
}

/// What is wrong with a `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    #[error("`{0}` is no setting; write key=value, such as seed=2 or video.mode=stream-sequential")]
    NotAPair(String),
    #[error("`{given}`: {message}")]
    Value { given: String, message: String },
}

impl Override {
    /// Reads one argument of the command line.
    ///
    /// # Errors
    /// If it is not `key=value`, a path is empty, a value is not what PHALP's spelling allows, or it is Python's
    /// `None` where nothing corresponds to it.
    pub fn parse(given: &str) -> Result<Override, OverrideError> {
        let pair = given
            .split_once('=')
            .filter(|(key, _)| !key.is_empty() && key.split('.').all(|part| !part.is_empty()));
        let (key, text) = pair.ok_or_else(|| OverrideError::NotAPair(given.to_string()))?;
        let key = key.trim_start_matches('+').to_string();
        let wrong = |message: String| OverrideError::Value { given: given.to_string(), message };
        match key.as_str() {
            "video.extract_video" => extract_video(given, text),
            "video.mode" if !text.trim_start().starts_with('{') => {
                let mode: Mode = text.parse().map_err(|fault| wrong(format!("{fault}")))?;
                let value = Value::try_from(mode).map_err(|error| wrong(error.to_string()))?;
                Ok(Override { key, value, became: None })
            }
            known if PATHS.contains(&known) => {
                if text.is_empty() {
                    return Err(wrong("there is no path; write one, or leave the setting out".into()));
                }
                let value = home_text(text).map_err(wrong)?;
                Ok(Override { key, value: Value::String(value), became: None })
            }
            known if NAMES.contains(&known) => {
                let value = name_of(text).map_err(wrong)?;
                Ok(Override { key, value, became: None })
            }
            _ if is_none(text) => {
                let value = none_of(&key).map_err(wrong)?;
                let became = format!("{given} became {key}={value}");
                Ok(Override { key, value, became: Some(became) })
            }
            _ => Ok(Override { key, value: value_of(text), became: None }),
        }
    }

    /// Reads several.
    ///
    /// # Errors
    /// As [`Override::parse`], for the first that is wrong.
    pub fn parse_all<S: AsRef<str>>(given: &[S]) -> Result<Vec<Override>, OverrideError> {
        given.iter().map(|one| Override::parse(one.as_ref())).collect()
    }
}

/// PHALP's switch between its two modes. Its ranges are left to whoever asks for them.
fn extract_video(given: &str, text: &str) -> Result<Override, OverrideError> {
    let wrong = |message: String| OverrideError::Value { given: given.to_string(), message };
    let (mode, range) = match text.to_ascii_lowercase().as_str() {
        "true" | "1" => (Mode::extract(Store::Jpeg), "up to frame 1300 (video.preset=phalp-extract)"),
        "false" | "0" => (Mode::stream(Access::Seek), "the first 10 s (video.preset=phalp-stream)"),
        _ => return Err(wrong("PHALP's switch is True or False".into())),
    };
    let value = Value::try_from(mode).map_err(|error| wrong(error.to_string()))?;
    let became = format!("{given} became video.mode={mode}; PHALP itself would also stop after {range}");
    Ok(Override { key: "video.mode".to_string(), value, became: Some(became) })
}

/// A path as it is typed, with the home folder in the place of `~/`.
fn home_text(text: &str) -> Result<String, String> {
    let path = files::from_home(text)?;
    path.into_os_string().into_string().map_err(|_| "HOME is not UTF-8; write the path in full".to_string())
}

/// A name as it is typed, or what TOML makes of quotes, a table or a list.
fn name_of(text: &str) -> Result<Value, String> {
    match value_of(text) {
        value @ (Value::Table(_) | Value::Array(_)) => Ok(value),
        Value::String(quoted) if text.trim_start().starts_with(['"', '\'']) => Ok(Value::String(quoted)),
        _ => home_text(text).map(Value::String),
    }
}

/// Python's None, also as Hydra writes it.
fn is_none(text: &str) -> bool {
    matches!(text.trim(), "None" | "null")
}

/// What `None` stands for.
fn none_of(key: &str) -> Result<Value, String> {
    match key {
        _ if FRAME_BOUNDS.contains(&key) => Ok(Value::Integer(-1)),
        "video.hwaccel" => Ok(Value::String("none".into())),
        _ => Err(format!("there is no None here; leave `{key}` out, and its default holds")),
    }
}

/// `text` as TOML, Python's True, False and None understood, or else as itself.
fn value_of(text: &str) -> Value {
    let text = text.trim();
    match text {
        "True" => return Value::Boolean(true),
        "False" => return Value::Boolean(false),
        _ => {}
    }
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_string()))
}

/// The table `[quick]` as overrides: a list takes the place of one in the sweep, anything else is a default.
pub(crate) fn of_quick(changes: &Table) -> Vec<Override> {
    let one = |(key, value): (&String, &Value)| match value {
        Value::Array(_) => Override { key: format!("sweep.{key}"), value: value.clone(), became: None },
        _ => Override { key: key.clone(), value: value.clone(), became: None },
    };
    changes.iter().map(one).collect()
}

/// What an experiment runs, as tables that are laid over each other before they are read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tables {
    pub defaults: Table,
    pub sweep: Table,
    pub search: Table,
}

/// Lays `overrides` over the `[defaults]`, the `[sweep]` and the `[search]` of an experiment.
pub(crate) fn apply(tables: &mut Tables, overrides: &[Override]) {
    for Override { key, value, .. } in overrides {
        if let Some(axis) = key.strip_prefix("sweep.") {
            tables.sweep.insert(axis.to_string(), value.clone());
        } else if let Some(search) = key.strip_prefix("search.") {
            change_search(&mut tables.search, search, value);
        } else {
            tables.sweep.retain(|axis, _| !related(axis, key));
            tables.search.retain(|searched, _| !related(searched, key));
            set(&mut tables.defaults, key, value.clone());
        }
    }
}

/// Changes a search, or one number of it (`search.video.loops.to=64`); what is not named stays.
fn change_search(searches: &mut Table, key: &str, value: &Value) {
    let known = searches.iter_mut().find(|(searched, _)| *searched == key || below(key, searched));
    match (known, value) {
        (Some((searched, Value::Table(search))), value) if key != searched => {
            search.insert(key[searched.len() + 1..].to_string(), value.clone());
        }
        (Some((_, Value::Table(search))), Value::Table(changes)) => search.extend(changes.clone()),
        _ => {
            searches.insert(key.to_string(), value.clone());
        }
    }
}

/// Whether two keys set the same thing, or one a part of the other.
pub(super) fn related(one: &str, other: &str) -> bool {
    one == other || below(one, other) || below(other, one)
}

/// Whether `key` lies somewhere below `upper`: `video.mode.stream` below `video.mode`.
fn below(key: &str, upper: &str) -> bool {
    key.strip_prefix(upper).is_some_and(|rest| rest.starts_with('.'))
}

/// Sets `key` (with dots) in `table`, making tables on the way.
///
/// Two things are more than their spelling: a dataset given by its name alone becomes a table when
/// something below it is set, and a mode has one way at a time, so that setting
/// `video.mode.stream.access` takes an `extract` away.
pub fn set(table: &mut Table, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_string(), value);
        return;
    };
    if first == "mode" {
        let way = rest.split('.').next().unwrap_or(rest);
        if let Some(Value::Table(mode)) = table.get_mut(first) {
            mode.retain(|other, _| other == way);
        }
    }
    let place = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    if let (Value::String(name), "dataset") = (&place, first) {
        *place = Value::Table(Table::from_iter([("name".to_string(), Value::String(name.clone()))]));
    }
    match place {
        Value::Table(below) => set(below, rest, value),
        // the wrong type is found, and said, when the whole is read
        other => *other = Value::Table(Table::from_iter([(rest.to_string(), value)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(defaults: &str, sweep: &str, given: &[&str]) -> (Table, Table) {
        let (defaults, sweep) = (defaults.parse().unwrap(), sweep.parse().unwrap());
        let mut tables = Tables { defaults, sweep, ..Tables::default() };
        apply(&mut tables, &Override::parse_all(given).unwrap());
        (tables.defaults, tables.sweep)
    }

    #[test]
    fn a_search_is_changed_in_part_or_taken_away() {
        let searched = |given: &[&str]| {
            let search = "'video.loops' = { from = 1, to = 512 }".parse().unwrap();
            let mut tables = Tables { search, ..Tables::default() };
            apply(&mut tables, &Override::parse_all(given).unwrap());
            tables.search
        };
        let to_8: Table = "'video.loops' = { from = 1, to = 8 }".parse().unwrap();
        assert_eq!(searched(&["search.video.loops.to=8"]), to_8);
        assert_eq!(searched(&["search.video.loops={ to = 8 }"]), to_8);
        assert!(searched(&["video.loops=3"]).is_empty());
        assert_eq!(searched(&["search.dataset.frames={ from = 1, to = 2 }"]).len(), 2);
    }

    #[test]
    fn values_are_toml_or_text() {
        for (text, value) in [
            ("3", Value::Integer(3)),
            ("0.5", Value::Float(0.5)),
            ("True", Value::Boolean(true)),
            ("[1, 2]", Value::Array(vec![Value::Integer(1), Value::Integer(2)])),
            ("a/path.mp4", Value::String("a/path.mp4".into())),
            ("10s", Value::String("10s".into())),
            ("\"3\"", Value::String("3".into())),
        ] {
            assert_eq!(Override::parse(&format!("key={text}")).unwrap().value, value, "{text}");
        }
    }

    #[test]
    fn paths_are_taken_as_they_are_typed() {
        for text in [
            "2024_11_27",
            "1e3",
            "1_000.toml",
            "007",
            "trailing ",
            " leading",
            "a=b",
            "a:b",
            "-x",
            "true",
            "True",
            "None",
            "2024-11-27",
            "inf",
            "\"quoted\"",
            "'q'",
            "[1]",
            "{a=1}",
            "#x",
            "~a",
            "a\nb",
        ] {
            for key in PATHS {
                let found = Override::parse(&format!("{key}={text}")).unwrap();
                assert_eq!(found.value, Value::String(text.into()), "{key}={text}");
            }
        }
        for text in ["2024_11_27", "1e3", "007", "true", "2024-11-27", "-x", "None"] {
            for key in NAMES {
                let found = Override::parse(&format!("{key}={text}")).unwrap();
                assert_eq!(found.value, Value::String(text.into()), "{key}={text}");
            }
        }
        let value = |text: &str| Override::parse(text).unwrap().value;
        assert_eq!(value("model=\"tiny\""), Value::String("tiny".into()));
        assert!(value("dataset={ name = 'walkers', frames = 3 }").is_table());
        let home = std::env::var("HOME").unwrap();
        assert_eq!(value("out=~/a b"), Value::String(format!("{home}/a b")));
        assert_eq!(value("model=~/m.toml"), Value::String(format!("{home}/m.toml")));
        let wrong = Override::parse("out=").unwrap_err().to_string();
        assert!(wrong.starts_with("`out=`: there is no path"), "{wrong}");
    }

    #[test]
    fn none_is_no_bound_or_is_refused_in_words() {
        for (given, value, became) in [
            ("video.end_frame=None", Value::Integer(-1), "video.end_frame=None became video.end_frame=-1"),
            (
                "video.start_frame=null",
                Value::Integer(-1),
                "video.start_frame=null became video.start_frame=-1",
            ),
            (
                "video.hwaccel=None",
                Value::String("none".into()),
                "video.hwaccel=None became video.hwaccel=\"none\"",
            ),
        ] {
            let found = Override::parse(given).unwrap();
            assert_eq!((found.value, found.became.unwrap()), (value, became.to_string()));
        }
        let wrong = Override::parse("limits.host_mib=None").unwrap_err().to_string();
        assert!(wrong.ends_with("leave `limits.host_mib` out, and its default holds"), "{wrong}");
    }

    #[test]
    fn phalps_switch_says_what_it_became() {
        let stream = Override::parse("video.extract_video=False").unwrap();
        assert_eq!(stream.key, "video.mode");
        assert_eq!(stream.value, Value::try_from(Mode::stream(Access::Seek)).unwrap());
        assert!(
            stream.became.unwrap().starts_with("video.extract_video=False became video.mode=stream-seek")
        );
        let wrong = Override::parse("video.extract_video=maybe").unwrap_err().to_string();
        assert_eq!(wrong, "`video.extract_video=maybe`: PHALP's switch is True or False");
        let wrong = Override::parse("video.mode=sequential").unwrap_err().to_string();
        assert!(wrong.contains("stream-sequential"), "{wrong}");
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for given in ["seed", "=3", "video..mode=1", ".a=1"] {
            assert_eq!(Override::parse(given), Err(OverrideError::NotAPair(given.into())));
        }
    }

    #[test]
    fn an_override_takes_its_list_out_of_the_sweep() {
        let sweep = "\"video.mode\" = [1, 2]\n\"dataset.frames\" = [60, 120]";
        let (defaults, sweep) =
            applied("dataset = 'walkers'", sweep, &["video.mode.stream.access=seek", "dataset.frames=30"]);
        assert!(sweep.is_empty());
        let expected = "dataset = { name = 'walkers', frames = 30 }\nvideo.mode.stream.access = 'seek'";
        assert_eq!(defaults, expected.parse().unwrap());
    }

    #[test]
    fn a_mode_has_one_way_at_a_time() {
        let (defaults, _) =
            applied("video.mode.extract.store = 'png'", "", &["video.mode.stream.access=seek"]);
        assert_eq!(defaults, "video.mode.stream.access = 'seek'".parse().unwrap());
        let (_, sweep) = applied("", "", &["sweep.dataset.frames=[1, 2]"]);
        assert_eq!(sweep, "'dataset.frames' = [1, 2]".parse().unwrap());
    }
}
