//! Judges claims: takes a claim and the number that its query gave, returns the verdict and its texts.
//!
//! Does not depend on the output format.

use super::error::CellError;
use super::quantity::{Quantity, Unit};
use crate::cell::{Bounds, Claim, Requirement, Verdict};
use crate::format;
use crate::tables::ClaimRow;

/// A claim with its measured number and verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedClaim {
    /// Position among the cells of the notebook, from 1.
    pub cell: usize,
    /// The claim as the experiment states it.
    pub claim: Claim,
    /// The measured number; `None` if the query gave none.
    pub number: Option<f64>,
    /// Whether the number is within the claim's bounds.
    pub verdict: Verdict,
    /// Why the query failed.
    pub error: Option<String>,
    /// A requirement that the runs do not meet. The claim is then not measured, which is not an error.
    pub missing: Option<Requirement>,
}

impl JudgedClaim {
    /// Judges `claim` by the answer of its query.
    pub fn from_answer(cell: usize, claim: &Claim, answer: Result<Option<f64>, CellError>) -> JudgedClaim {
        let (number, error) = match answer {
            Ok(number) => (number.filter(|number| !number.is_nan()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let verdict = claim.holds.verdict(number);
        JudgedClaim { cell, claim: claim.clone(), number, verdict, error, missing: None }
    }

    /// A claim that was not tested because the runs do not meet the requirement `missing`.
    pub fn not_measured(cell: usize, claim: &Claim, missing: Requirement) -> JudgedClaim {
        JudgedClaim { missing: Some(missing), ..JudgedClaim::from_answer(cell, claim, Ok(None)) }
    }

    /// Whether the verdict is the expected one, or the claim's requirement is not met.
    pub fn matches_expectation(&self) -> bool {
        self.verdict == self.claim.expect || self.missing.is_some()
    }

    /// The claim as a row of `claims.csv`.
    pub fn to_row(&self) -> ClaimRow {
        let bounds = bounds(&self.claim.holds).into_iter().map(|(_, bound)| bound);
        ClaimRow {
            claim: self.claim.statement.clone(),
            verdict: self.verdict_name().to_string(),
            expected: verdict_label(self.claim.expect).to_string(),
            as_expected: self.matches_expectation(),
            number: self.number,
            holds_if: self.claim.holds.describe(),
            largest_bound: bounds.max_by(|a, b| a.abs().total_cmp(&b.abs())),
            is_of_the_moment: RUN_DEPENDENT_COLUMNS.iter().any(|part| self.claim.sql.contains(part)),
        }
    }

    /// `holds`, `refuted` or `not measured`.
    pub fn verdict_name(&self) -> &'static str {
        verdict_label(self.verdict)
    }

    /// `as expected`, or what was expected instead. For a claim that was not measured: the unmet requirement, if any.
    pub fn expectation_text(&self) -> Option<String> {
        match (self.verdict, self.matches_expectation()) {
            (Verdict::Unknown, _) => self.missing.map(|missing| missing.missing_reason().to_string()),
            (_, true) => Some("as expected".to_string()),
            (_, false) => Some(format!("unexpected: expected it {}", expected_text(self.claim.expect))),
        }
    }

    /// What the number counts, where the unit is followed by a phrase: `of PA-MPJPE between the modes`.
    pub fn counted_noun(&self) -> &str {
        split_unit(&self.claim.holds.unit).1
    }

    /// The measured number with its unit, with as many digits as distinguish it from the bounds.
    pub fn measured_text(&self) -> String {
        let Some(number) = self.number else { return "not measured".to_string() };
        let bounds = bounds(&self.claim.holds);
        let unit = split_unit(&self.claim.holds.unit).0;
        let shown = |digits: usize| format_with_unit(number, unit, digits);
        let digits = (3..=9)
            .find(|&digits| {
                bounds.iter().all(|&(_, bound)| {
                    bound == number || format_with_unit(bound, unit, digits) != shown(digits)
                })
            })
            .unwrap_or(9);
        shown(digits)
    }

    /// What the number must be for the claim to hold: `below 1 KiB per frame`.
    pub fn condition_text(&self) -> String {
        let unit = split_unit(&self.claim.holds.unit).0;
        let parts: Vec<String> = bounds(&self.claim.holds)
            .iter()
            .map(|(word, bound)| format!("{word} {}", format_with_unit(*bound, unit, 6)))
            .collect();
        parts.join(" and ")
    }
}

/// Parts of column names whose values differ between identical runs: times, and counters of the operating system.
const RUN_DEPENDENT_COLUMNS: [&str; 5] =
    ["_secs", "process_", "decoder_", "disk_written_bytes", "device_reserved_peak_bytes"];

/// The name of a verdict in reports and tables.
fn verdict_label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Refuted => "refuted",
        Verdict::Unknown => "not measured",
    }
}

fn expected_text(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Holds { "to hold" } else { "to be refuted" }
}

fn bounds(holds: &Bounds) -> Vec<(&'static str, f64)> {
    let all = [
        ("above", holds.above),
        ("at least", holds.at_least),
        ("exactly", holds.equals),
        ("below", holds.below),
        ("at most", holds.at_most),
    ];
    all.into_iter().filter_map(|(word, bound)| bound.map(|bound| (word, bound))).collect()
}

/// Splits `text` into the unit at its start (`mm`, `bytes per frame`, or all of a short text) and the rest.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let is_known = |unit: &str| Quantity::from_column_name(&format!("x ({unit})")).unit != Unit::None;
    let ends = text.char_indices().filter(|(_, c)| *c == ' ').map(|(index, _)| index).chain([text.len()]);
    let ends: Vec<usize> = ends.collect();
    let is_per = text.split(' ').nth(1) == Some("per");
    let end = ends[if is_per { 2.min(ends.len() - 1) } else { 0 }];
    if is_known(&text[..end]) {
        return (&text[..end], text[end..].trim());
    }
    if text.chars().count() <= 16 { (text, "") } else { ("", text) }
}

/// A number with its unit; large counts of bytes get binary prefixes.
fn format_with_unit(number: f64, unit: &str, digits: usize) -> String {
    let quantity = Quantity::from_column_name(&format!("x ({unit})"));
    if matches!(quantity.unit, Unit::Bytes | Unit::Seconds) {
        // a least-squares slope over equal numbers is not exactly 0: rounding error far below one byte
        let number = if quantity.unit == Unit::Bytes && number.abs() < 1e-6 { 0.0 } else { number };
        let (name, factor) = quantity.display_unit(number);
        let text = format::trimmed(number * factor, digits);
        let name = if text == "1" { name.replacen("bytes", "byte", 1) } else { name };
        return format!("{text} {name}");
    }
    let text = format::trimmed(number, digits);
    match unit.trim() {
        "" => text,
        "%" => format!("{text}%"),
        unit => format!("{text} {unit}"),
    }
}

/// The claims in one sentence: `3 claims hold, 1 is refuted, 1 was not measured; all as expected.`
pub fn summary(claims: &[JudgedClaim]) -> String {
    let count = |verdict: Verdict| claims.iter().filter(|claim| claim.verdict == verdict).count();
    let some = |number: usize, one: &str, many: &str| {
        (number > 0).then(|| format!("{number} {}", if number == 1 { one } else { many }))
    };
    let parts: Vec<String> = [
        some(count(Verdict::Holds), "claim holds", "claims hold"),
        some(count(Verdict::Refuted), "claim is refuted", "claims are refuted"),
        some(count(Verdict::Unknown), "claim was not measured", "claims were not measured"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        return "This experiment makes no claims.".to_string();
    }
    let unexpected = claims
        .iter()
        .filter(|claim| claim.verdict != Verdict::Unknown && !claim.matches_expectation())
        .count();
    let measured = claims.len() - count(Verdict::Unknown);
    let end = match (unexpected, measured) {
        (_, 0) => String::new(),
        (0, 1) => ", as expected".to_string(),
        (0, _) => ", all as expected".to_string(),
        (number, _) => format!(
            "; {} unexpected",
            if number == measured && number > 1 { "all".to_string() } else { number.to_string() }
        ),
    };
    format!("{}{end}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(holds: Bounds, expect: Verdict) -> Claim {
        Claim { statement: "s".into(), source: None, sql: String::new(), holds, expect, needs: None }
    }

    fn below(bound: f64, unit: &str) -> Bounds {
        Bounds { below: Some(bound), unit: unit.into(), ..Bounds::default() }
    }

    #[test]
    fn every_verdict() {
        let judge = |expect, answer| {
            JudgedClaim::from_answer(1, &claim(below(1024.0, "bytes per frame"), expect), answer)
        };
        let holds = judge(Verdict::Holds, Ok(Some(12.3456)));
        assert_eq!((holds.verdict_name(), holds.matches_expectation()), ("holds", true));
        assert_eq!(
            (holds.measured_text().as_str(), holds.condition_text().as_str()),
            ("12.3 bytes per frame", "below 1 KiB per frame")
        );
        let refuted = judge(Verdict::Holds, Ok(Some(691200.0)));
        assert_eq!(refuted.measured_text(), "675 KiB per frame");
        assert_eq!(refuted.expectation_text().unwrap(), "unexpected: expected it to hold");
        let expected = judge(Verdict::Refuted, Ok(Some(2048.0)));
        assert_eq!(expected.expectation_text().unwrap(), "as expected");
        let failed = CellError::Query { cell: 1, kind: "claim".into(), reason: "no such column".into() };
        for nothing in [Ok(None), Ok(Some(f64::NAN)), Err(failed)] {
            let unknown = judge(Verdict::Holds, nothing);
            assert_eq!((unknown.verdict_name(), unknown.matches_expectation()), ("not measured", false));
            assert_eq!(
                (unknown.measured_text().as_str(), unknown.expectation_text()),
                ("not measured", None)
            );
        }
        let no_gpu =
            JudgedClaim::not_measured(1, &claim(below(1.0, "MiB"), Verdict::Holds), Requirement::Cuda);
        assert_eq!((no_gpu.verdict_name(), no_gpu.matches_expectation()), ("not measured", true));
        assert_eq!(no_gpu.expectation_text().unwrap(), "no GPU");
        assert_eq!(summary(&[]), "This experiment makes no claims.");
        assert_eq!(
            summary(&[holds.clone(), holds.clone(), refuted, expected]),
            "2 claims hold, 2 claims are refuted; 1 unexpected."
        );
        assert_eq!(summary(&[holds]), "1 claim holds, as expected.");
        assert_eq!(summary(&[judge(Verdict::Holds, Ok(None))]), "1 claim was not measured.");
    }

    #[test]
    fn a_unit_is_split_from_the_phrase_behind_it() {
        assert_eq!(split_unit("mm of PA-MPJPE between modes"), ("mm", "of PA-MPJPE between modes"));
        assert_eq!(split_unit("bytes per frame of heap"), ("bytes per frame", "of heap"));
        assert_eq!(split_unit("bytes per"), ("bytes per", ""));
        assert_eq!(split_unit("runs"), ("runs", ""));
        assert_eq!(split_unit("of the people found by both"), ("", "of the people found by both"));
        assert_eq!(split_unit(""), ("", ""));
    }

    #[test]
    fn a_number_close_to_a_bound_is_shown_with_more_digits() {
        let holds =
            Bounds { at_least: Some(0.98), at_most: Some(1.02), unit: "frames".into(), ..Bounds::default() };
        let judged = JudgedClaim::from_answer(1, &claim(holds, Verdict::Holds), Ok(Some(1.020004)));
        assert_eq!((judged.measured_text().as_str(), judged.verdict), ("1.020004 frames", Verdict::Refuted));
        assert_eq!(judged.condition_text(), "at least 0.98 frames and at most 1.02 frames");
        let exact = JudgedClaim::from_answer(
            1,
            &claim(Bounds { equals: Some(0.0), unit: "px".into(), ..Bounds::default() }, Verdict::Holds),
            Ok(Some(0.0)),
        );
        assert_eq!((exact.measured_text().as_str(), exact.verdict), ("0 px", Verdict::Holds));
    }
}
