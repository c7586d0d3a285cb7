//! Messages of TOML errors for the user: line numbers, and for an unknown key or value the most similar known one.
//!
//! In: an error of the `toml` crate from [`toml::de::Error`], and the text. Out: one line of text.

/// The line of the byte `position` of `text`, counted from 1.
pub fn line_number(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|&byte| byte == b'\n').count() + 1
}

/// The message of a TOML error, without its position. For an unknown key or value it names the most similar known one and
/// all known ones; for a number such as `2.0` where an integer is expected it says what to write.
pub fn explain_toml_error(error: &toml::de::Error) -> String {
    let message = error.message();
    if let Some(message) = expected_integer_message(message) {
        return message;
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, unknown) = match quoted.first() {
        Some(unknown) if message.starts_with("unknown field") => ("key", unknown),
        Some(unknown) if message.starts_with("unknown variant") => ("value", unknown),
        _ => return message.to_string(),
    };
    let known = &quoted[1..];
    if known.is_empty() {
        return format!("unknown {what} `{unknown}`: none is allowed here");
    }
    let all = known.join("`, `");
    match nearest_match(unknown, known) {
        Some(nearest) => format!("unknown {what} `{unknown}`; did you mean `{nearest}`? (known: `{all}`)"),
        None => format!("unknown {what} `{unknown}` (known: `{all}`)"),
    }
}

/// The message for a number with a decimal point where an integer is expected.
fn expected_integer_message(message: &str) -> Option<String> {
    let (given, expected) =
        message.strip_prefix("invalid type: floating point `")?.split_once("`, expected ")?;
    let integers = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "isize"];
    if !integers.contains(&expected.split_whitespace().next()?) {
        return None;
    }
    let number: f64 = given.parse().ok()?;
    let hint = if number.fract() == 0.0 { format!("; write {number:.0}") } else { String::new() };
    Some(format!("{given} is not an integer{hint}"))
}

/// The one of `known` that is most similar to `unknown`: by edit distance (Damerau-Levenshtein), then by length. `None` if
/// none is similar: the distance may be one plus a third of the known word's length.
pub fn nearest_match<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |known: &str| strsim::damerau_levenshtein(unknown, known);
    let similar = known.iter().copied().filter(|known| distance(known) <= 1 + known.len() / 3);
    similar.min_by_key(|known| (distance(known), known.len().abs_diff(unknown.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_point_in_an_integer_is_reported() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code, reason = "only deserialized")]
        struct Counts {
            frames: Option<i64>,
            every: Option<usize>,
        }
        let message = |text: &str| {
            let value: toml::Value = toml::Value::Table(text.parse().unwrap());
            explain_toml_error(&value.try_into::<Counts>().unwrap_err())
        };
        assert_eq!(message("frames = 2.0"), "2.0 is not an integer; write 2");
        assert_eq!(message("every = 2.5"), "2.5 is not an integer");
    }

    #[test]
    fn an_unknown_key_or_value_names_the_most_similar_known_one() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code, reason = "only deserialized")]
        #[serde(deny_unknown_fields)]
        struct Clip {
            frames: Option<i64>,
            mode: Option<Mode>,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Mode {
            Fast,
            Exact,
        }
        let message = |text: &str| explain_toml_error(&toml::from_str::<Clip>(text).unwrap_err());
        assert_eq!(
            message("framse = 2"),
            "unknown key `framse`; did you mean `frames`? (known: `frames`, `mode`)"
        );
        assert_eq!(message("xyz = 2"), "unknown key `xyz` (known: `frames`, `mode`)");
        assert_eq!(
            message("mode = 'exat'"),
            "unknown value `exat`; did you mean `exact`? (known: `fast`, `exact`)"
        );
    }

    #[test]
    fn line_numbers_and_nearest_matches() {
        assert_eq!(line_number("a\nb\nc", 2), 2);
        assert_eq!(nearest_match("modle", &["seed", "model", "mode"]), Some("model"));
        assert_eq!(nearest_match("xyz", &["seed", "model"]), None);
    }
}
