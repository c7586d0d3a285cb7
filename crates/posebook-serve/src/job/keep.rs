//! How long results are kept.

use std::time::Duration;

/// Reads a duration such as `90s`, `30m`, `12h`, `7d`, `2w`; `forever` is `None`.
///
/// # Errors
/// If it is not one. The message names the text and shows an example.
pub fn parse_keep(text: &str) -> Result<Option<Duration>, String> {
    let trimmed = text.trim();
    if trimmed == "forever" {
        return Ok(None);
    }
    let invalid = || format!("`{text}` is not a time such as `90s`, `30m`, `12h`, `7d`, `2w` or `forever`");
    let unit_at = trimmed.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(invalid)?;
    let (number, unit) = trimmed.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| invalid())?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(invalid()),
    };
    let seconds = number.checked_mul(unit_seconds).filter(|&seconds| seconds <= MAX_KEEP_SECONDS);
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| {
        format!("`{text}` is more than a hundred years; write `forever` to keep results without a limit")
    })
}

/// A hundred years: times in milliseconds since 1970 stay far from overflow.
const MAX_KEEP_SECONDS: u64 = 100 * 366 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("12h", 43_200), (" 7d ", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(parse_keep(text), Ok(Some(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!(parse_keep("forever"), Ok(None));
        for text in ["", "7", "d", "-1d", "1.5h", "7 d", "7D", "7days", "99999999999999999999s", "٣d"] {
            assert!(parse_keep(text).is_err(), "{text}");
        }
        assert!(parse_keep("18446744073709551615w").unwrap_err().contains("forever"));
    }
}
