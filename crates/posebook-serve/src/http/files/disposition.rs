//! Names of files in headers and addresses. In: a name as somebody gave it. Out: `Content-Disposition` (RFC 6266) with a name of
//! plain ASCII and the whole name as `filename*` (RFC 8187); a path for an address.

use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that `filename*` has to encode: all but `attr-char` of RFC 8187.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Characters that a path has to encode: all but the unreserved ones of RFC 3986 and `/`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Longest name in a header, in bytes of UTF-8.
const LONGEST: usize = 200;

/// What a browser does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Disposition {
    /// Shows it.
    Inline,
    /// Saves it.
    Attachment,
}

/// `Content-Disposition` for the last part of `name`.
pub(in crate::http) fn content_disposition(disposition: Disposition, name: &str) -> HeaderValue {
    let kind = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let name = display_name(name);
    let plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let encoded = utf8_percent_encode(&name, VALUE);
    let value = if plain == name {
        format!("{kind}; filename=\"{plain}\"")
    } else {
        format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
    };
    HeaderValue::from_str(&value).unwrap_or_else(|_not_ascii| HeaderValue::from_static("attachment"))
}

/// A name without its extension, for the names of files made from it.
pub(in crate::http) fn file_stem(name: &str) -> String {
    let name = display_name(name);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 5 => stem.to_owned(),
        _ => name,
    }
}

/// The last part of a name, without control characters and characters that change the direction of text, not longer than a file
/// system allows.
fn display_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    let is_shown = |letter: &char| {
        !letter.is_control()
            && !matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown: String = last.chars().filter(is_shown).collect();
    if shown.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&end| shown.is_char_boundary(end)).unwrap_or(0);
        shown.truncate(end);
    }
    if shown.trim_matches(['.', ' ']).is_empty() { "file".to_owned() } else { shown }
}

/// Whether a letter can stand in a quoted file name without any escape.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || " !#$&'()+,-.=@[]^_{}~".contains(letter)
}

/// A name as the path of an address; `/` stays.
pub(super) fn encode_path(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_encoded_and_cut() {
        let of = |name: &str| {
            let value = content_disposition(Disposition::Attachment, name);
            value.to_str().unwrap().strip_prefix("attachment; ").unwrap().to_owned()
        };
        assert_eq!(of("a b.csv"), "filename=\"a b.csv\"");
        assert_eq!(of("deep/er/a.csv"), "filename=\"a.csv\"");
        assert_eq!(of("..\\..\\a.csv"), "filename=\"a.csv\"");
        assert_eq!(of("a\"b.csv"), "filename=\"a_b.csv\"; filename*=UTF-8''a%22b.csv");
        assert_eq!(
            of("a\r\nSet-Cookie: x=1"),
            "filename=\"aSet-Cookie_ x=1\"; filename*=UTF-8''aSet-Cookie%3A%20x%3D1"
        );
        assert_eq!(of("é%.mp4"), "filename=\"__.mp4\"; filename*=UTF-8''%C3%A9%25.mp4");
        assert_eq!(of("a\u{202e}4pm.exe"), "filename=\"a4pm.exe\"");
        for nothing in ["", "/", "..", "\u{7}", " . "] {
            assert_eq!(of(nothing), "filename=\"file\"", "{nothing:?}");
        }
        let long = of(&"😀".repeat(300));
        assert!(long.ends_with("%80") && long.matches("%F0").count() == LONGEST / 4, "{long}");
        assert_eq!(file_stem("clips/a.b.mp4"), "a.b");
        assert_eq!(file_stem(".mp4"), ".mp4");
        assert_eq!(encode_path("a b/%ü?#.csv"), "a%20b/%25%C3%BC%3F%23.csv");
    }
}
