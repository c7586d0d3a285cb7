//! `Upload-Metadata` of tus. In: the header. Out: the file's name for display.

use crate::problem::Problem;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest name in bytes.
const LONGEST_NAME: usize = 1024;
/// Longest header in bytes.
const LONGEST_HEADER: usize = 4096;

/// The name in `Upload-Metadata`: the value of `filename` or `name`.
///
/// # Errors
/// 400 if the header is not a list of unique keys with base64 values, or is longer than 4 KiB.
pub(super) fn name(header: &str) -> Result<Option<String>, Problem> {
    if header.len() > LONGEST_HEADER {
        return Err(Problem::malformed(format!(
            "header upload-metadata: it is longer than {LONGEST_HEADER} bytes"
        )));
    }
    let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
    for pair in header.split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        if key.is_empty() || pairs.iter().any(|(other, _)| *other == key) {
            return Err(Problem::malformed("header upload-metadata: its keys must be unique and not empty"));
        }
        let value = STANDARD.decode(value.trim()).map_err(|error| {
            Problem::malformed(format!(
                "header upload-metadata: the value of `{}` is not base64: {error}",
                key.escape_debug()
            ))
        })?;
        pairs.push((key, value));
    }
    let name = ["filename", "name"].iter().find_map(|key| pairs.iter().find(|(other, _)| other == key));
    name.map(|(_, value)| display_name(&String::from_utf8_lossy(value))).transpose()
}

/// A client's name of a file as it is kept: for display only, never a path.
///
/// # Errors
/// 400 if it is longer than 1 KiB.
pub(super) fn display_name(given: &str) -> Result<String, Problem> {
    if given.len() > LONGEST_NAME {
        return Err(Problem::malformed(format!("the file's name is longer than {LONGEST_NAME} bytes")));
    }
    let name = given.trim();
    Ok(if name.is_empty() { "upload".into() } else { name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_or_the_header_refused() {
        let cases = [
            (
                "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
                Some("world_domination_plan.pdf"),
            ),
            ("name YS5tcDQ=", Some("a.mp4")),
            ("name YS5tcDQ=,filename Yi5tcDQ=", Some("b.mp4")),
            ("filetype dmlkZW8vbXA0", None),
            ("filename", Some("upload")),
            ("filename Li4vLi4veA==", Some("../../x")),
            ("filename /w==", Some("\u{fffd}")),
        ];
        for (header, expected) in cases {
            assert_eq!(name(header).unwrap().as_deref(), expected, "{header}");
        }
        for header in ["", ",", "a YQ==,", "a YQ==,a YQ==", "a !!", "a YQ", "a YQ== YQ==", &"a".repeat(5000)]
        {
            assert_eq!(name(header).unwrap_err().status, 400, "{header}");
        }
        let long = format!("filename {}", STANDARD.encode("a".repeat(1025)));
        assert_eq!(name(&long).unwrap_err().status, 400);
        let emoji = "\u{1f600}".repeat(60);
        assert_eq!(name(&format!("filename {}", STANDARD.encode(&emoji))).unwrap(), Some(emoji));
    }
}
