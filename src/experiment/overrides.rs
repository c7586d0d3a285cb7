//! `key=value` arguments in Hydra's syntax, PHALP's names included.
//!
//! A key is a setting (`video.mode`, `dataset.frames`, `limits.host_mib`), a list of the sweep
//! (`sweep.dataset.frames=[60,120]`), or one of PHALP's names. A value is parsed as TOML or, if it is not valid TOML, used
//! as text. Paths are used literally, including blanks and quotes; only a leading `~/` is expanded. Overriding a key that
//! the sweep varies removes its list from the sweep.

use posebook_core::files;
use posebook_video::{Access, Mode, Store};
use toml::{Table, Value};

/// Keys whose values are paths (or, for `boxes` of an image, numbers as text).
const PATHS: [&str; 4] = ["video.source", "boxes", "truth", "out"];
/// Keys whose values are names or paths of TOML files, or tables, but never numbers, dates or truth values.
const NAMES: [&str; 4] = ["model", "device", "dataset", "dataset.name"];
/// PHALP's bounds in frames, where -1 means no bound.
const FRAME_BOUNDS: [&str; 2] = ["video.start_frame", "video.end_frame"];

/// One parsed `key=value` argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The dotted key.
    pub key: String,
    /// The value as TOML.
    pub value: Value,
    /// A note for the user, if the argument was translated from a spelling of PHALP or Python.
    pub translation: Option<String>,
}

/// Why an argument is not a valid `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// The argument has no key, or no `=`.
    #[error("`{0}` is not a setting; write key=value, such as seed=2 or video.mode=stream-sequential")]
    NotAPair(String),
    /// The value is invalid for its key.
    #[error("`{given}`: {message}")]
    Value {
        /// The argument.
        given: String,
        /// What is invalid.
        message: String,
    },
}

impl Override {
    /// Parses one argument.
    ///
    /// # Errors
    /// If it is not `key=value`, a path is empty, a value is invalid for PHALP's key, or the value is Python's `None` for a
    /// key without an equivalent.
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
                let mode: Mode = text.parse().map_err(|error| wrong(format!("{error}")))?;
                let value = Value::try_from(mode).map_err(|error| wrong(error.to_string()))?;
                Ok(Override { key, value, translation: None })
            }
            known if PATHS.contains(&known) => {
                if text.is_empty() {
                    return Err(wrong("the path is empty; give one, or leave the setting out".into()));
                }
                let value = expand_home(text).map_err(wrong)?;
                Ok(Override { key, value: Value::String(value), translation: None })
            }
            known if NAMES.contains(&known) => {
                let value = parse_name(text).map_err(wrong)?;
                Ok(Override { key, value, translation: None })
            }
            _ if is_none(text) => {
                let value = value_for_none(&key).map_err(wrong)?;
                let translation = format!("{given} became {key}={value}");
                Ok(Override { key, value, translation: Some(translation) })
            }
            _ => Ok(Override { key, value: parse_value(text), translation: None }),
        }
    }

    /// Parses several arguments.
    ///
    /// # Errors
    /// As [`Override::parse`], for the first invalid one.
    pub fn parse_all<S: AsRef<str>>(given: &[S]) -> Result<Vec<Override>, OverrideError> {
        given.iter().map(|one| Override::parse(one.as_ref())).collect()
    }
}

/// PHALP's switch between its two modes. The frame ranges that PHALP attaches to it are not applied.
fn extract_video(given: &str, text: &str) -> Result<Override, OverrideError> {
    let wrong = |message: String| OverrideError::Value { given: given.to_string(), message };
    let (mode, range) = match text.to_ascii_lowercase().as_str() {
        "true" | "1" => (Mode::extract(Store::Jpeg), "up to frame 1300 (video.preset=phalp-extract)"),
        "false" | "0" => (Mode::stream(Access::Seek), "the first 10 s (video.preset=phalp-stream)"),
        _ => return Err(wrong("PHALP's switch must be True or False".into())),
    };
    let value = Value::try_from(mode).map_err(|error| wrong(error.to_string()))?;
    let translation = format!("{given} became video.mode={mode}; PHALP itself would also stop after {range}");
    Ok(Override { key: "video.mode".to_string(), value, translation: Some(translation) })
}

/// A literal path, with a leading `~/` expanded.
fn expand_home(text: &str) -> Result<String, String> {
    let path = files::expand_home(text)?;
    path.into_os_string().into_string().map_err(|_| "HOME is not UTF-8; write the path in full".to_string())
}

/// A literal name; quotes, tables and lists are parsed as TOML.
fn parse_name(text: &str) -> Result<Value, String> {
    match parse_value(text) {
        value @ (Value::Table(_) | Value::Array(_)) => Ok(value),
        Value::String(quoted) if text.trim_start().starts_with(['"', '\'']) => Ok(Value::String(quoted)),
        _ => expand_home(text).map(Value::String),
    }
}

/// Whether the value is Python's None, or `null` as in Hydra.
fn is_none(text: &str) -> bool {
    matches!(text.trim(), "None" | "null")
}

/// The value that `None` means for `key`.
fn value_for_none(key: &str) -> Result<Value, String> {
    match key {
        _ if FRAME_BOUNDS.contains(&key) => Ok(Value::Integer(-1)),
        "video.hwaccel" => Ok(Value::String("none".into())),
        _ => Err(format!("None is not allowed here; leave `{key}` out for its default")),
    }
}

/// `text` as TOML, with Python's True and False, or otherwise as text.
fn parse_value(text: &str) -> Value {
    let text = text.trim();
    match text {
        "True" => return Value::Boolean(true),
        "False" => return Value::Boolean(false),
        _ => {}
    }
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_string()))
}

/// The table `[quick]` as overrides: a list replaces one of the sweep, any other value is a default.
pub(super) fn overrides_from_quick(changes: &Table) -> Vec<Override> {
    let to_override = |(key, value): (&String, &Value)| match value {
        Value::Array(_) => Override { key: format!("sweep.{key}"), value: value.clone(), translation: None },
        _ => Override { key: key.clone(), value: value.clone(), translation: None },
    };
    changes.iter().map(to_override).collect()
}

/// The tables of an experiment that overrides can change, before they are parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RawTables {
    pub defaults: Table,
    pub sweep: Table,
    pub search: Table,
}

/// Applies `overrides` to the `[defaults]`, `[sweep]` and `[search]` of an experiment.
pub(super) fn apply(tables: &mut RawTables, overrides: &[Override]) {
    for Override { key, value, .. } in overrides {
        if let Some(axis) = key.strip_prefix("sweep.") {
            tables.sweep.insert(axis.to_string(), value.clone());
        } else if let Some(search) = key.strip_prefix("search.") {
            change_search(&mut tables.search, search, value);
        } else {
            tables.sweep.retain(|axis, _| !overlaps(axis, key));
            tables.search.retain(|searched, _| !overlaps(searched, key));
            set(&mut tables.defaults, key, value.clone());
        }
    }
}

/// Changes a search, or one key of it (`search.video.loops.to=64`); other keys are unchanged.
fn change_search(searches: &mut Table, key: &str, value: &Value) {
    let known = searches.iter_mut().find(|(searched, _)| *searched == key || is_below(key, searched));
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

/// Whether two keys are equal or one is a part of the other.
pub(super) fn overlaps(one: &str, other: &str) -> bool {
    one == other || is_below(one, other) || is_below(other, one)
}

/// Whether `key` is a part of `upper`: `video.mode.stream` is one of `video.mode`.
fn is_below(key: &str, upper: &str) -> bool {
    key.strip_prefix(upper).is_some_and(|rest| rest.starts_with('.'))
}

/// Sets the dotted `key` in `table`, and creates missing tables.
///
/// Two keys are special: a dataset given by its name becomes a table when a part of it is set, and a mode has one kind at
/// a time, so that setting `video.mode.stream.access` removes `extract`.
pub fn set(table: &mut Table, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_string(), value);
        return;
    };
    if first == "mode" {
        let kind = rest.split('.').next().unwrap_or(rest);
        if let Some(Value::Table(mode)) = table.get_mut(first) {
            mode.retain(|other, _| other == kind);
        }
    }
    let entry = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    if let (Value::String(name), "dataset") = (&entry, first) {
        *entry = Value::Table(Table::from_iter([("name".to_string(), Value::String(name.clone()))]));
    }
    match entry {
        Value::Table(table) => set(table, rest, value),
        // wrong types are reported when the table is parsed
        other => *other = Value::Table(Table::from_iter([(rest.to_string(), value)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(defaults: &str, sweep: &str, given: &[&str]) -> (Table, Table) {
        let (defaults, sweep) = (defaults.parse().unwrap(), sweep.parse().unwrap());
        let mut tables = RawTables { defaults, sweep, ..RawTables::default() };
        apply(&mut tables, &Override::parse_all(given).unwrap());
        (tables.defaults, tables.sweep)
    }

    #[test]
    fn a_search_is_changed_in_part_or_removed() {
        let searched = |given: &[&str]| {
            let search = "'video.loops' = { from = 1, to = 512 }".parse().unwrap();
            let mut tables = RawTables { search, ..RawTables::default() };
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
    fn paths_are_used_literally() {
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
        assert!(wrong.starts_with("`out=`: the path is empty"), "{wrong}");
    }

    #[test]
    fn none_means_no_bound_or_is_refused() {
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
            assert_eq!((found.value, found.translation.unwrap()), (value, became.to_string()));
        }
        let wrong = Override::parse("limits.host_mib=None").unwrap_err().to_string();
        assert!(wrong.ends_with("leave `limits.host_mib` out for its default"), "{wrong}");
    }

    #[test]
    fn phalps_switch_is_translated_with_a_note() {
        let stream = Override::parse("video.extract_video=False").unwrap();
        assert_eq!(stream.key, "video.mode");
        assert_eq!(stream.value, Value::try_from(Mode::stream(Access::Seek)).unwrap());
        assert!(
            stream
                .translation
                .unwrap()
                .starts_with("video.extract_video=False became video.mode=stream-seek")
        );
        let wrong = Override::parse("video.extract_video=maybe").unwrap_err().to_string();
        assert_eq!(wrong, "`video.extract_video=maybe`: PHALP's switch must be True or False");
        let wrong = Override::parse("video.mode=sequential").unwrap_err().to_string();
        assert!(wrong.contains("stream-sequential"), "{wrong}");
    }

    #[test]
    fn arguments_without_key_or_value_are_refused() {
        for given in ["seed", "=3", "video..mode=1", ".a=1"] {
            assert_eq!(Override::parse(given), Err(OverrideError::NotAPair(given.into())));
        }
    }

    #[test]
    fn an_override_removes_its_list_from_the_sweep() {
        let sweep = "\"video.mode\" = [1, 2]\n\"dataset.frames\" = [60, 120]";
        let (defaults, sweep) =
            applied("dataset = 'walkers'", sweep, &["video.mode.stream.access=seek", "dataset.frames=30"]);
        assert!(sweep.is_empty());
        let expected = "dataset = { name = 'walkers', frames = 30 }\nvideo.mode.stream.access = 'seek'";
        assert_eq!(defaults, expected.parse().unwrap());
    }

    #[test]
    fn a_mode_has_one_kind_at_a_time() {
        let (defaults, _) =
            applied("video.mode.extract.store = 'png'", "", &["video.mode.stream.access=seek"]);
        assert_eq!(defaults, "video.mode.stream.access = 'seek'".parse().unwrap());
        let (_, sweep) = applied("", "", &["sweep.dataset.frames=[1, 2]"]);
        assert_eq!(sweep, "'dataset.frames' = [1, 2]".parse().unwrap());
    }
}
