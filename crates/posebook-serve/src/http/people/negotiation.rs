//! Which format of people a client accepts (RFC 9110, section 12.5.1). In: `Accept`. Out: the format, or 406.

use crate::backend::PeopleFormat;
use crate::problem::Problem;
use axum::http::{HeaderMap, StatusCode, header};

/// Formats with their media types and names, in order of preference among equally acceptable ones.
const FORMATS: [(PeopleFormat, &[&str], &str); 4] = [
    (PeopleFormat::Json, &["application/json"], "json"),
    (PeopleFormat::Ndjson, &["application/x-ndjson", "application/ndjson", "application/jsonl"], "ndjson"),
    (PeopleFormat::Csv, &["text/csv"], "csv"),
    (PeopleFormat::Parquet, &["application/vnd.apache.parquet"], "parquet"),
];

/// The format with this name.
///
/// # Errors
/// 406 if there is none.
pub(super) fn format_of_name(name: &str) -> Result<PeopleFormat, Problem> {
    FORMATS
        .iter()
        .find(|(_, _, own)| *own == name)
        .map(|(format, _, _)| *format)
        .ok_or_else(|| not_acceptable(name))
}

/// The format that `Accept` prefers; JSON without one.
///
/// # Errors
/// 406 if it accepts none.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<PeopleFormat, Problem> {
    let lines: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let accepted = lines.join(",");
    if accepted.trim().is_empty() {
        return Ok(PeopleFormat::Json);
    }
    let ranges: Vec<Range> = accepted.split(',').filter_map(parse_range).collect();
    let mut best: Option<(u16, PeopleFormat)> = None;
    for (format, media_types, _) in FORMATS {
        let quality = media_types.iter().map(|media_type| quality(&ranges, media_type)).max().unwrap_or(0);
        if quality > 0 && best.is_none_or(|(other, _)| quality > other) {
            best = Some((quality, format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| not_acceptable(&accepted))
}

fn not_acceptable(wish: &str) -> Problem {
    let detail = format!(
        "`{}`: people are there as application/json, application/x-ndjson, text/csv and application/vnd.apache.parquet \
         (`Accept`, or `?format=` json, ndjson, csv, parquet)",
        wish.chars().take(200).collect::<String>().escape_debug()
    );
    Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail)
}

/// A media range with its quality in thousandths.
struct Range {
    kind: String,
    subtype: String,
    quality: u16,
}

/// Reads `type/subtype;q=0.5`. What is not valid is ignored.
fn parse_range(text: &str) -> Option<Range> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut quality = 1000;
    for parameter in parts {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            quality = parse_quality(value.trim())?;
        }
    }
    Some(Range { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), quality })
}

/// `0`, `1`, or up to three digits after the point.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 3;
    if !digits || !matches!(whole, "0" | "1") {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    let quality = if whole == "1" { 1000 + thousandths } else { thousandths };
    (quality <= 1000).then_some(quality)
}

/// The quality of the most specific range that covers a media type.
fn quality(ranges: &[Range], media_type: &str) -> u16 {
    let Some((kind, subtype)) = media_type.split_once('/') else { return 0 };
    let specific = |range: &Range| match (range.kind == kind, range.subtype == subtype, range.subtype == "*")
    {
        (true, true, _) => 3,
        (true, _, true) => 2,
        _ if range.kind == "*" && range.subtype == "*" => 1,
        _ => 0,
    };
    ranges
        .iter()
        .map(|range| (specific(range), range.quality))
        .filter(|(specific, _)| *specific > 0)
        .max()
        .map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn accept_decides_by_quality_and_then_by_order() {
        use PeopleFormat::{Csv, Json, Ndjson, Parquet};
        for (accept, expected) in [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/json", Some(Json)),
            ("application/x-ndjson", Some(Ndjson)),
            ("application/jsonl", Some(Ndjson)),
            ("text/csv", Some(Csv)),
            ("TEXT/CSV ; charset=utf-8", Some(Csv)),
            ("text/*", Some(Csv)),
            ("application/vnd.apache.parquet", Some(Parquet)),
            ("text/html, text/csv;q=0.9, application/json;q=0.8", Some(Csv)),
            ("text/csv;q=0.5, application/vnd.apache.parquet;q=0.501", Some(Parquet)),
            ("application/json;q=0, */*", Some(Ndjson)),
            ("application/*;q=0.1, text/csv;q=0.2", Some(Csv)),
            ("*/*;q=0.1, application/vnd.apache.parquet", Some(Parquet)),
            ("text/csv;q=nonsense, application/json;q=0.1", Some(Json)),
            ("text/csv;q=1.001", None),
            ("text/html", None),
            ("*/*;q=0", None),
            ("application/json;q=0", None),
            ("nonsense", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            let got = negotiate(&headers);
            assert_eq!(got.clone().ok(), expected, "{accept}");
            assert!(expected.is_some() || got.is_err_and(|problem| problem.status == 406), "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new()).unwrap(), Json);
    }
}
