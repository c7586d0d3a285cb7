//! The syntax of Hydra's command line: `key=value`, `+key=value`, `++key=value`, `~key`, quoted values.
//!
//! In: one argument. Out: an [`Argument`] with the key and the value's text without quotes. What a key means is decided by
//! [`super::table`].

use crate::experiment::OverrideError;
use std::path::Path;

/// Keys whose values are paths or names of files. They are taken literally, unless they are quoted and no file has that name.
const PATHS: [&str; 6] = ["video.source", "video.output_dir", "video.base_path", "boxes", "truth", "out"];

/// One argument of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// `key=value`; `+` and `++` in front are allowed.
    Set {
        /// The key, dotted.
        key: String,
        /// The value without quotes.
        text: String,
        /// The value as written.
        raw: String,
    },
    /// `~key`: the key's default again.
    Reset {
        /// The key, dotted.
        key: String,
    },
}

/// Parses one argument.
///
/// # Errors
/// If it is neither `key=value` nor `~key`.
pub(super) fn parse(given: &str) -> Result<Argument, OverrideError> {
    let not_a_pair = || OverrideError::NotAPair(given.to_string());
    if let Some(key) = given.strip_prefix('~') {
        // Hydra allows `~key=value`, which also checks the value
        let key = key.split_once('=').map_or(key, |(key, _)| key);
        return if is_key(key) { Ok(Argument::Reset { key: key.to_string() }) } else { Err(not_a_pair()) };
    }
    let (key, raw) = given.split_once('=').ok_or_else(not_a_pair)?;
    let key = key.trim_start_matches('+');
    if !is_key(key) {
        return Err(not_a_pair());
    }
    // blanks at the ends of a path are part of it, quotes around it are not
    let is_path = PATHS.contains(&key);
    let is_literal = is_path && (!raw.starts_with(['\'', '"']) || Path::new(raw).exists());
    let text = if is_literal { raw.to_string() } else { unquote(raw) };
    Ok(Argument::Set { key: key.to_string(), text, raw: raw.to_string() })
}

/// Whether `key` is dotted words. Hydra's groups are written with slashes (`hydra/job_logging`).
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.split(['.', '/']).all(|part| !part.is_empty())
}

/// The text without the quotes around it. PHALP's README quotes an address twice (`'"https://..."'`), so all pairs are removed.
/// Inside quotes `\'` and `\"` are quotes.
pub(super) fn unquote(text: &str) -> String {
    let mut text = text.trim().to_string();
    while let Some(inner) = between_quotes(&text) {
        text = inner;
    }
    text
}

fn between_quotes(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let escaped = format!("\\{quote}");
    // the last quote is escaped, or there is one in the middle: these are not a pair
    let is_pair = !inner.ends_with('\\') && !inner.replace(&escaped, "").contains(quote);
    is_pair.then(|| inner.replace(&escaped, &quote.to_string()))
}

/// Whether the value is YAML's or Python's empty value.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "null" | "None" | "~")
}

/// A truth value as YAML, Python and OmegaConf write it.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, text: &str, raw: &str) -> Argument {
        Argument::Set { key: key.into(), text: text.into(), raw: raw.into() }
    }

    #[test]
    fn arguments_are_parsed_as_hydra_does() {
        for (given, expected) in [
            ("a.b=3", set("a.b", "3", "3")),
            ("+a=3", set("a", "3", "3")),
            ("++a=3", set("a", "3", "3")),
            ("a=", set("a", "", "")),
            ("a='x y'", set("a", "x y", "'x y'")),
            ("a=[1,2]", set("a", "[1,2]", "[1,2]")),
            ("a=b=c", set("a", "b=c", "b=c")),
            ("a= b ", set("a", "b", " b ")),
            ("out= b ", set("out", " b ", " b ")),
            ("out='b'", set("out", "b", "'b'")),
            ("~a.b", Argument::Reset { key: "a.b".into() }),
            ("~a.b=3", Argument::Reset { key: "a.b".into() }),
            ("hydra/job_logging=none", set("hydra/job_logging", "none", "none")),
        ] {
            assert_eq!(parse(given).unwrap(), expected, "{given}");
        }
        for given in ["a", "=3", "~", "a..b=1", "+=1"] {
            assert_eq!(parse(given), Err(OverrideError::NotAPair(given.into())), "{given}");
        }
    }

    #[test]
    fn all_pairs_of_quotes_are_removed() {
        for (text, expected) in [
            ("'\"https://a/watch?v=x\"'", "https://a/watch?v=x"),
            ("\"'a'\"", "a"),
            ("'it\\'s'", "it's"),
            ("'a' 'b'", "'a' 'b'"),
            ("'a", "'a"),
            ("'", "'"),
            ("''", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(unquote(text), expected, "{text}");
        }
    }

    #[test]
    fn a_path_that_exists_keeps_its_quotes() {
        let folder = tempfile::tempdir().unwrap();
        let quoted = folder.path().join("'");
        std::fs::create_dir(&quoted).unwrap();
        let file = quoted.join("a'");
        std::fs::write(&file, "").unwrap();
        let given = format!("video.source={}", file.display());
        assert_eq!(
            parse(&given).unwrap(),
            set("video.source", file.to_str().unwrap(), file.to_str().unwrap())
        );
    }

    #[test]
    fn truth_values_are_those_of_yaml_and_python() {
        assert_eq!(
            ["True", "on", "1", "no", "FALSE"].map(parse_bool),
            [Some(true), Some(true), Some(true), Some(false), Some(false)]
        );
        assert_eq!(parse_bool("maybe"), None);
        assert!(is_null("null") && is_null("None") && !is_null("none"));
    }
}
