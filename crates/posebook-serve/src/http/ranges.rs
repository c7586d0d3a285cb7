//! Conditional and range requests (RFC 9110, sections 13 and 14). In: a request's headers, and the validators and size of what
//! is asked for. Out: whether to answer with the whole, with one part, or without a body.
//!
//! Only one range is answered with a part. A request for several ranges gets the whole (a server may ignore `Range`): a
//! `multipart/byteranges` answer has no use for videos and tables, and many overlapping ranges would multiply what is sent.

use axum::http::{HeaderMap, HeaderName, Method, header};
use std::time::{Duration, SystemTime};

/// What identifies the state of a resource.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// The strong entity tag, with its quotes.
    pub etag: String,
    /// When it last changed. Headers have whole seconds.
    pub modified: SystemTime,
}

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// All of it: 200.
    Whole,
    /// Bytes from `start` up to `end`, exclusive: 206.
    Part {
        /// First byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// The client has it already: 304.
    NotModified,
    /// `If-Match` or `If-Unmodified-Since` does not hold: 412.
    PreconditionFailed,
    /// The range begins behind the end: 416.
    Unsatisfiable,
}

/// Decides by the order of RFC 9110, section 13.2.2.
pub(super) fn decide(method: &Method, headers: &HeaderMap, validators: &Validators, size: u64) -> Decision {
    let modified = whole_seconds(validators.modified);
    if headers.contains_key(header::IF_MATCH) {
        if !names_tag(headers, &header::IF_MATCH, &validators.etag, Comparison::Strong) {
            return Decision::PreconditionFailed;
        }
    } else if date(headers, &header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Decision::PreconditionFailed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if names_tag(headers, &header::IF_NONE_MATCH, &validators.etag, Comparison::Weak) {
            return Decision::NotModified;
        }
    } else if date(headers, &header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        return Decision::NotModified;
    }
    // `Range` has a meaning for GET only (section 14.2)
    if method != Method::GET || !range_applies(headers, validators) {
        return Decision::Whole;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next().map(|range| range.to_str()), ranges.next()) {
        (Some(Ok(range)), None) => decide_range(range, size),
        _ => Decision::Whole,
    }
}

/// Whether `If-Range`, if there is one, names the current state.
fn range_applies(headers: &HeaderMap, validators: &Validators) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else { return true };
    let Ok(condition) = condition.to_str() else { return false };
    let condition = condition.trim();
    if condition.starts_with('"') || condition.starts_with("W/") {
        return condition == validators.etag;
    }
    httpdate::parse_http_date(condition).is_ok_and(|date| date == whole_seconds(validators.modified))
}

/// Decides about the value of `Range`. What is not valid is ignored, as section 14.2 says.
fn decide_range(range: &str, size: u64) -> Decision {
    let Some((unit, set)) = range.split_once('=') else { return Decision::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Decision::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Decision::Whole };
    match (first, last) {
        ("", length) => match number(length) {
            None => Decision::Whole,
            Some(0) => Decision::Unsatisfiable,
            Some(_) if size == 0 => Decision::Whole,
            Some(length) => Decision::Part { start: size.saturating_sub(length), end: size },
        },
        (first, last) => {
            let Some(start) = number(first) else { return Decision::Whole };
            let end = match last {
                "" => size,
                last => match number(last) {
                    Some(last) if last >= start => size.min(last.saturating_add(1)),
                    _ => return Decision::Whole,
                },
            };
            if start >= size { Decision::Unsatisfiable } else { Decision::Part { start, end } }
        }
    }
}

/// A number of decimal digits. Numbers beyond 64 bits are the largest one: they are behind the end of any file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// How entity tags are compared (section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Weak tags equal none.
    Strong,
    /// `W/` does not matter.
    Weak,
}

/// Whether the list of entity tags in a header has `etag`, or is `*`.
fn names_tag(headers: &HeaderMap, name: &HeaderName, etag: &str, comparison: Comparison) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        let mut rest = value.trim();
        if rest == "*" {
            return true;
        }
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let (is_weak, tag) = match rest.strip_prefix("W/") {
                Some(tag) => (true, tag),
                None => (false, rest),
            };
            let Some(length) = tag.strip_prefix('"').and_then(|inside| inside.find('"')) else {
                return false;
            };
            let (tag, after) = tag.split_at(length + 2);
            if tag == etag && (!is_weak || comparison == Comparison::Weak) {
                return true;
            }
            rest = after;
        }
    })
}

/// A header's date. One that is not valid is none, as section 13.1 says.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// A time without its fraction of a second, as headers have it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    const TAG: &str = "\"abc\"";
    const DATE: &str = "Sat, 28 Nov 2026 12:00:00 GMT";

    fn validators() -> Validators {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(400);
        Validators { etag: TAG.to_owned(), modified }
    }

    fn decision(method: &Method, size: u64, given: &[(HeaderName, &str)]) -> Decision {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        decide(method, &headers, &validators(), size)
    }

    #[test]
    fn ranges_are_decided_as_rfc_9110_says() {
        let part = |start, end| Decision::Part { start, end };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=0-99999", part(0, 10)),
            ("bytes=9-", part(9, 10)),
            ("bytes=-3", part(7, 10)),
            ("bytes=-99", part(0, 10)),
            ("BYTES=2-3", part(2, 4)),
            ("bytes=2-18446744073709551615", part(2, 10)),
            ("bytes=2-99999999999999999999999", part(2, 10)),
            ("bytes=10-", Decision::Unsatisfiable),
            ("bytes=10-12", Decision::Unsatisfiable),
            ("bytes=-0", Decision::Unsatisfiable),
            ("bytes=99999999999999999999999-", Decision::Unsatisfiable),
            // not valid, another unit, or several: the whole
            ("bytes=3-2", Decision::Whole),
            ("bytes=", Decision::Whole),
            ("bytes=-", Decision::Whole),
            ("bytes=--1", Decision::Whole),
            ("bytes=+1-2", Decision::Whole),
            ("bytes=a-b", Decision::Whole),
            ("bytes=1-2x", Decision::Whole),
            ("bytes", Decision::Whole),
            ("lines=1-2", Decision::Whole),
            ("bytes=0-1,3-4", Decision::Whole),
        ] {
            assert_eq!(decision(&Method::GET, 10, &[(header::RANGE, range)]), expected, "{range}");
        }
        let many = format!("bytes={}0-", "0-,".repeat(1000));
        assert_eq!(decision(&Method::GET, 10, &[(header::RANGE, &many)]), Decision::Whole);
        let twice = [(header::RANGE, "bytes=0-1"), (header::RANGE, "bytes=2-3")];
        assert_eq!(decision(&Method::GET, 10, &twice), Decision::Whole);
        assert_eq!(decision(&Method::HEAD, 10, &[(header::RANGE, "bytes=0-1")]), Decision::Whole);
        assert_eq!(decision(&Method::GET, 0, &[(header::RANGE, "bytes=0-")]), Decision::Unsatisfiable);
        assert_eq!(decision(&Method::GET, 0, &[(header::RANGE, "bytes=-1")]), Decision::Whole);
    }

    #[test]
    fn conditions_are_decided_in_the_order_of_rfc_9110() {
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
        let later = "Sat, 28 Nov 2026 12:00:01 GMT";
        let earlier = "Sat, 28 Nov 2026 11:59:59 GMT";
        let part = Decision::Part { start: 1, end: 2 };
        let cases: &[(&[(HeaderName, &str)], Decision)] = &[
            (&[(IF_NONE_MATCH, TAG)], Decision::NotModified),
            (&[(IF_NONE_MATCH, "W/\"abc\"")], Decision::NotModified),
            (&[(IF_NONE_MATCH, "*")], Decision::NotModified),
            (&[(IF_NONE_MATCH, "\"x,\", W/\"y\" ,\"abc\"")], Decision::NotModified),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, TAG)], Decision::NotModified),
            (&[(IF_NONE_MATCH, "\"abcd\"")], Decision::Whole),
            (&[(IF_NONE_MATCH, "abc")], Decision::Whole),
            (&[(IF_NONE_MATCH, "\"abc")], Decision::Whole),
            (&[(IF_MODIFIED_SINCE, DATE)], Decision::NotModified),
            (&[(IF_MODIFIED_SINCE, later)], Decision::NotModified),
            (&[(IF_MODIFIED_SINCE, earlier)], Decision::Whole),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Decision::Whole),
            // the tag decides where there are both
            (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, later)], Decision::Whole),
            (&[(IF_MATCH, TAG)], Decision::Whole),
            (&[(IF_MATCH, "*")], Decision::Whole),
            (&[(IF_MATCH, "W/\"abc\"")], Decision::PreconditionFailed),
            (&[(IF_MATCH, "\"x\"")], Decision::PreconditionFailed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Decision::Whole),
            (&[(IF_UNMODIFIED_SINCE, earlier)], Decision::PreconditionFailed),
            (&[(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)], Decision::NotModified),
            (&[(RANGE, "bytes=1-1"), (IF_NONE_MATCH, TAG)], Decision::NotModified),
            (&[(RANGE, "bytes=1-1"), (IF_RANGE, TAG)], part),
            (&[(RANGE, "bytes=1-1"), (IF_RANGE, DATE)], part),
            (&[(RANGE, "bytes=1-1"), (IF_RANGE, "W/\"abc\"")], Decision::Whole),
            (&[(RANGE, "bytes=1-1"), (IF_RANGE, "\"x\"")], Decision::Whole),
            (&[(RANGE, "bytes=1-1"), (IF_RANGE, later)], Decision::Whole),
            (&[(RANGE, "bytes=99-"), (IF_RANGE, "\"x\"")], Decision::Whole),
        ];
        for (headers, expected) in cases {
            assert_eq!(decision(&Method::GET, 10, headers), *expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn any_range_is_decided_within_the_file(range in "(bytes=)?[0-9, \\-a-z=]{0,40}", size in 0..50_u64) {
            if let Decision::Part { start, end } = decision(&Method::GET, size, &[(header::RANGE, &range)]) {
                prop_assert!(start < end && end <= size);
            }
        }

        #[test]
        fn any_tags_are_read_to_their_end(tags in "[\"W/*, a-c]{0,40}") {
            decision(&Method::GET, 9, &[(header::IF_NONE_MATCH, &tags), (header::IF_MATCH, &tags)]);
        }
    }
}
