//! What can be wrong with an experiment, said so that it can be put right.

use std::path::{Path, PathBuf};

/// What is wrong with an experiment, and where.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    #[error("cannot read the experiment {path}: {source}; `posebook experiment list` shows those there are")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{place}: {message}")]
    Wrong { place: String, message: String },
}

impl ExperimentError {
    /// Something wrong in line `line` of the file at `path`.
    pub(crate) fn in_line(path: &Path, line: usize, message: impl Into<String>) -> ExperimentError {
        ExperimentError::Wrong { place: format!("{}:{line}", path.display()), message: message.into() }
    }

    /// The same mistake, found at another place.
    pub(crate) fn at_place(self, place: &str) -> ExperimentError {
        match self {
            ExperimentError::Wrong { message, .. } => {
                ExperimentError::Wrong { place: place.to_string(), message }
            }
            unreadable => unreadable,
        }
    }
}

/// The line, from 1, that byte `at` of `text` stands in.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

/// A TOML error in our own words: the nearest right key beside an unknown one.
pub(crate) fn explain(error: &toml::de::Error) -> String {
    let message = error.message();
    if let Some(told) = not_whole(message) {
        return told;
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, wrong) = match quoted.first() {
        Some(wrong) if message.starts_with("unknown field") => ("key", wrong),
        Some(wrong) if message.starts_with("unknown variant") => ("value", wrong),
        _ => return message.to_string(),
    };
    let known = &quoted[1..];
    if known.is_empty() {
        return format!("unknown {what} `{wrong}`: nothing can be said here");
    }
    let all = known.join("`, `");
    match nearest(wrong, known) {
        Some(right) => format!("unknown {what} `{wrong}`; did you mean `{right}`? there are `{all}`"),
        None => format!("unknown {what} `{wrong}`; there are `{all}`"),
    }
}

/// What to tell of a number with a point where a whole one is wanted.
fn not_whole(message: &str) -> Option<String> {
    let (given, wanted) =
        message.strip_prefix("invalid type: floating point `")?.split_once("`, expected ")?;
    let whole = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "isize"];
    if !whole.contains(&wanted.split_whitespace().next()?) {
        return None;
    }
    let number: f64 = given.parse().ok()?;
    let hint = if number.fract() == 0.0 { format!("; write {number:.0}") } else { String::new() };
    Some(format!("{given} stands where a whole number is wanted{hint}"))
}

/// The one of `known` that `wrong` was most likely meant to be: the fewest slips of the finger away,
/// of those the one of the nearest length.
pub(crate) fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let slips = |right: &str| strsim::damerau_levenshtein(wrong, right);
    let near = known.iter().copied().filter(|right| slips(right) <= 1 + right.len() / 3);
    near.min_by_key(|right| (slips(right), right.len().abs_diff(wrong.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_a_whole_number_is_told() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code, reason = "it is read and never looked at")]
        struct Counts {
            frames: Option<i64>,
            every: Option<usize>,
        }
        let told = |text: &str| {
            let value: toml::Value = toml::Value::Table(text.parse().unwrap());
            explain(&value.try_into::<Counts>().unwrap_err())
        };
        assert_eq!(told("frames = 2.0"), "2.0 stands where a whole number is wanted; write 2");
        assert_eq!(told("every = 2.5"), "2.5 stands where a whole number is wanted");
    }

    #[test]
    fn lines_and_likeness() {
        assert_eq!(line_of("a\nb\nc", 2), 2);
        assert_eq!(nearest("modle", &["seed", "model", "mode"]), Some("model"));
        assert_eq!(nearest("xyz", &["seed", "model"]), None);
    }
}
