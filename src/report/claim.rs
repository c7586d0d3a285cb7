//! Verdicts: a claim, the number that was measured, and whether that was expected.
//!
//! Must not know how it is written down.

use super::format;
use super::quantity::{Quantity, Unit};
use crate::experiment::{Claim, Holds, Needs, Verdict};
use crate::tables::ClaimRow;

/// A claim after the measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Its position among the cells, from 1.
    pub cell: usize,
    pub claim: Claim,
    pub number: Option<f64>,
    pub verdict: Verdict,
    /// Why the query gave no number, if it failed.
    pub error: Option<String>,
    /// What the claim needs and these runs did not have: it is not measured, and nothing is wrong.
    pub missing: Option<Needs>,
}

impl Judged {
    /// Judges `claim` by what its query gave.
    pub fn of(cell: usize, claim: &Claim, answer: Result<Option<f64>, String>) -> Judged {
        let (number, error) = match answer {
            Ok(number) => (number.filter(|number| !number.is_nan()), None),
            Err(error) => (None, Some(error)),
        };
        let verdict = claim.holds.verdict(number);
        Judged { cell, claim: claim.clone(), number, verdict, error, missing: None }
    }

    /// A claim that could not be put to the test, because what it needs was `missing`.
    pub fn without(cell: usize, claim: &Claim, missing: Needs) -> Judged {
        Judged { missing: Some(missing), ..Judged::of(cell, claim, Ok(None)) }
    }

    /// Whether the verdict is the one that the experiment expects, or none could be had for want of what
    /// the claim itself says that it needs.
    pub fn as_expected(&self) -> bool {
        self.verdict == self.claim.expect || self.missing.is_some()
    }

    /// The claim as a row of the report's table of claims.
    pub fn row(&self) -> ClaimRow {
        let farthest = bounds(&self.claim.holds).into_iter().map(|(_, bound)| bound);
        ClaimRow {
            claim: self.claim.statement.clone(),
            verdict: self.verdict_word().to_string(),
            expected: word(self.claim.expect).to_string(),
            as_expected: self.as_expected(),
            number: self.number,
            holds_if: self.claim.holds.in_words(),
            largest_bound: farthest.max_by(|a, b| a.abs().total_cmp(&b.abs())),
            is_of_the_moment: OF_THE_MOMENT.iter().any(|part| self.claim.sql.contains(part)),
        }
    }

    /// `holds`, `refuted` or `not measured`.
    pub fn verdict_word(&self) -> &'static str {
        word(self.verdict)
    }

    /// `as expected`, or what was expected instead; for what was not measured what was missing, if it is known.
    pub fn expectation(&self) -> Option<String> {
        match (self.verdict, self.as_expected()) {
            (Verdict::Unknown, _) => self.missing.map(|needs| needs.missing().to_string()),
            (_, true) => Some("as expected".to_string()),
            (_, false) => Some(format!("unexpected: {} was expected", expected_word(self.claim.expect))),
        }
    }

    /// What the number counts, where that takes more words than a unit: `of PA-MPJPE between the modes`.
    pub fn counted(&self) -> &str {
        unit_and_rest(&self.claim.holds.unit).1
    }

    /// The measured number with its unit: as many digits as tell it from the bounds.
    pub fn measured(&self) -> String {
        let Some(number) = self.number else { return "not measured".to_string() };
        let bounds = bounds(&self.claim.holds);
        let unit = unit_and_rest(&self.claim.holds.unit).0;
        let shown = |digits: usize| with_unit(number, unit, digits);
        let digits = (3..=9)
            .find(|&digits| {
                bounds
                    .iter()
                    .all(|&(_, bound)| bound == number || with_unit(bound, unit, digits) != shown(digits))
            })
            .unwrap_or(9);
        shown(digits)
    }

    /// What the number must be for the claim to hold: `below 1 KiB per frame`.
    pub fn condition(&self) -> String {
        let unit = unit_and_rest(&self.claim.holds.unit).0;
        let parts: Vec<String> = bounds(&self.claim.holds)
            .iter()
            .map(|(word, bound)| format!("{word} {}", with_unit(*bound, unit, 6)))
            .collect();
        parts.join(" and ")
    }
}

/// Parts of the names of columns that differ between two runs of the same: times, and what the system counts.
const OF_THE_MOMENT: [&str; 5] =
    ["_secs", "process_", "decoder_", "disk_written_bytes", "device_reserved_peak_bytes"];

/// How a verdict is called.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Refuted => "refuted",
        Verdict::Unknown => "not measured",
    }
}

fn expected_word(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Holds { "that it holds" } else { "a refutation" }
}

fn bounds(holds: &Holds) -> Vec<(&'static str, f64)> {
    let all = [
        ("above", holds.above),
        ("at least", holds.at_least),
        ("exactly", holds.equals),
        ("below", holds.below),
        ("at most", holds.at_most),
    ];
    all.into_iter().filter_map(|(word, bound)| bound.map(|bound| (word, bound))).collect()
}

/// The unit at the start of `words` (`mm`, `bytes per frame`, or all of a few words), and what follows.
fn unit_and_rest(words: &str) -> (&str, &str) {
    let words = words.trim();
    let known = |unit: &str| Quantity::of_column(&format!("x ({unit})")).unit != Unit::None;
    let ends = words.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at).chain([words.len()]);
    let ends: Vec<usize> = ends.collect();
    let per = words.split(' ').nth(1) == Some("per");
    let end = ends[if per { 2.min(ends.len() - 1) } else { 0 }];
    if known(&words[..end]) {
        return (&words[..end], words[end..].trim());
    }
    if words.chars().count() <= 16 { (words, "") } else { ("", words) }
}

/// A number in a unit given in words; large counts of bytes in binary prefixes.
fn with_unit(number: f64, unit: &str, digits: usize) -> String {
    let quantity = Quantity::of_column(&format!("x ({unit})"));
    if matches!(quantity.unit, Unit::Bytes | Unit::Seconds) {
        // least squares over equal numbers leaves a trace of rounding: no byte is that small
        let number = if quantity.unit == Unit::Bytes && number.abs() < 1e-6 { 0.0 } else { number };
        let (name, factor) = quantity.shown_unit(number);
        let text = trimmed(number * factor, digits);
        let name = if text == "1" { name.replacen("bytes", "byte", 1) } else { name };
        return format!("{text} {name}");
    }
    let text = trimmed(number, digits);
    match unit.trim() {
        "" => text,
        "%" => format!("{text}%"),
        unit => format!("{text} {unit}"),
    }
}

/// Significant digits without the zeros at the end, which a bound does not have.
pub fn trimmed(number: f64, digits: usize) -> String {
    let text = format::significant(number, digits);
    if !text.contains('.') || text.contains('×') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The claims in one sentence: `3 claims hold, 1 is refuted, 1 was not measured; all as expected.`
pub fn in_short(claims: &[Judged]) -> String {
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
    let unexpected =
        claims.iter().filter(|claim| claim.verdict != Verdict::Unknown && !claim.as_expected()).count();
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

    fn claim(holds: Holds, expect: Verdict) -> Claim {
        Claim { statement: "s".into(), source: None, sql: String::new(), holds, expect, needs: None }
    }

    fn below(bound: f64, unit: &str) -> Holds {
        Holds { below: Some(bound), unit: unit.into(), ..Holds::default() }
    }

    #[test]
    fn every_verdict() {
        let judge = |expect, answer| Judged::of(1, &claim(below(1024.0, "bytes per frame"), expect), answer);
        let holds = judge(Verdict::Holds, Ok(Some(12.3456)));
        assert_eq!((holds.verdict_word(), holds.as_expected()), ("holds", true));
        assert_eq!(
            (holds.measured().as_str(), holds.condition().as_str()),
            ("12.3 bytes per frame", "below 1 KiB per frame")
        );
        let refuted = judge(Verdict::Holds, Ok(Some(691200.0)));
        assert_eq!(refuted.measured(), "675 KiB per frame");
        assert_eq!(refuted.expectation().unwrap(), "unexpected: that it holds was expected");
        let expected = judge(Verdict::Refuted, Ok(Some(2048.0)));
        assert_eq!(expected.expectation().unwrap(), "as expected");
        for nothing in [Ok(None), Ok(Some(f64::NAN)), Err("no such column".to_string())] {
            let unknown = judge(Verdict::Holds, nothing);
            assert_eq!((unknown.verdict_word(), unknown.as_expected()), ("not measured", false));
            assert_eq!((unknown.measured().as_str(), unknown.expectation()), ("not measured", None));
        }
        let no_card = Judged::without(1, &claim(below(1.0, "MiB"), Verdict::Holds), Needs::Cuda);
        assert_eq!((no_card.verdict_word(), no_card.as_expected()), ("not measured", true));
        assert_eq!(no_card.expectation().unwrap(), "no graphics card");
        assert_eq!(in_short(&[]), "This experiment makes no claims.");
        assert_eq!(
            in_short(&[holds.clone(), holds.clone(), refuted, expected]),
            "2 claims hold, 2 claims are refuted; 1 unexpected."
        );
        assert_eq!(in_short(&[holds]), "1 claim holds, as expected.");
        assert_eq!(in_short(&[judge(Verdict::Holds, Ok(None))]), "1 claim was not measured.");
    }

    #[test]
    fn a_unit_may_be_a_phrase() {
        assert_eq!(unit_and_rest("mm of PA-MPJPE between modes"), ("mm", "of PA-MPJPE between modes"));
        assert_eq!(unit_and_rest("bytes per frame of heap"), ("bytes per frame", "of heap"));
        assert_eq!(unit_and_rest("bytes per"), ("bytes per", ""));
        assert_eq!(unit_and_rest("runs"), ("runs", ""));
        assert_eq!(unit_and_rest("of the people found by both"), ("", "of the people found by both"));
        assert_eq!(unit_and_rest(""), ("", ""));
    }

    #[test]
    fn a_narrow_miss_shows_its_digits() {
        let holds =
            Holds { at_least: Some(0.98), at_most: Some(1.02), unit: "frames".into(), ..Holds::default() };
        let judged = Judged::of(1, &claim(holds, Verdict::Holds), Ok(Some(1.020004)));
        assert_eq!((judged.measured().as_str(), judged.verdict), ("1.020004 frames", Verdict::Refuted));
        assert_eq!(judged.condition(), "at least 0.98 frames and at most 1.02 frames");
        let exact = Judged::of(
            1,
            &claim(Holds { equals: Some(0.0), unit: "px".into(), ..Holds::default() }, Verdict::Holds),
            Ok(Some(0.0)),
        );
        assert_eq!((exact.measured().as_str(), exact.verdict), ("0 px", Verdict::Holds));
    }
}
