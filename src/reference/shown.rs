//! A comparison as a person reads it.

use super::compare::{ClaimChange, ColumnChange, Comparison};
use crate::report;
use crate::tables::ClaimRow;
use serde_json::Value;
use std::fmt::{Display, Formatter, Result};

/// Points that are named before the rest is counted.
const NAMED: usize = 3;

impl Display for Comparison {
    /// A line of summary, then a line for every verdict that changed, number that moved and point that one of both
    /// lacks, then what is shown and not compared.
    fn fmt(&self, f: &mut Formatter) -> Result {
        let verdicts = match self.changed_verdicts().count() {
            0 if self.claims.is_empty() => "none to compare".to_string(),
            changed => format!("{changed} changed"),
        };
        let numbers = self.columns.len() + self.claims.iter().filter(|claim| claim.has_moved()).count();
        writeln!(f, "{} runs compared; verdicts: {verdicts}; numbers: {numbers} moved", self.pairs)?;
        for claim in &self.claims {
            write_claim(f, claim)?;
        }
        for column in &self.columns {
            write_column(f, column)?;
        }
        write_points(f, "only in the reference", &self.only_reference)?;
        write_points(f, "only in the new report", &self.only_new)?;
        for (column, before, now) in &self.shown {
            let (ratio, before, now) = (now / before, number(*before), number(*now));
            writeln!(f, "  not compared  {column}, all runs: {before} -> {now} ({ratio:.2} times)")?;
        }
        Ok(())
    }
}

fn write_claim(f: &mut Formatter, change: &ClaimChange) -> Result {
    let what = match (change.has_other_verdict(), change.has_moved()) {
        (true, _) => "VERDICT     ",
        (_, true) => "moved       ",
        _ => return Ok(()),
    };
    let (before, now) = (claim(&change.before), claim(&change.now));
    writeln!(f, "  {what}  \"{}\": {before} -> {now}", change.claim)
}

fn claim(row: &Option<ClaimRow>) -> String {
    let Some(row) = row else { return "not claimed".to_string() };
    let measured = row.number.map(|value| format!(" ({})", number(value)));
    format!("{}{}", row.verdict, measured.unwrap_or_default())
}

fn write_column(f: &mut Formatter, change: &ColumnChange) -> Result {
    let ColumnChange { column, rule, moved, worst, before, now } = change;
    let (before, now) = (value(before), value(now));
    let (runs, rule) = (if *moved == 1 { "run" } else { "runs" }, rule.in_words());
    writeln!(f, "  moved         {column} ({rule}) in {moved} {runs}, most in {worst}: {before} -> {now}")
}

fn write_points(f: &mut Formatter, what: &str, points: &[String]) -> Result {
    if points.is_empty() {
        return Ok(());
    }
    let named = points[..points.len().min(NAMED)].join("; ");
    let rest = points.len().saturating_sub(NAMED);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    writeln!(f, "  {what}: {named}{rest}")
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_string(),
        Value::String(text) => text.clone(),
        other => other.as_f64().map_or_else(|| other.to_string(), number),
    }
}

/// All digits of a whole number, six significant ones of any other.
fn number(value: f64) -> String {
    report::trimmed(value, 6)
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    #[test]
    fn what_moved_is_one_line_each() {
        let row = |verdict: &str, number: f64| ClaimRow {
            verdict: verdict.into(),
            number: Some(number),
            ..ClaimRow::default()
        };
        let comparison = Comparison {
            claims: vec![ClaimChange {
                claim: "Streaming keeps the heap flat".into(),
                before: Some(row("holds", 9.25)),
                now: Some(row("refuted", 1390.0)),
            }],
            columns: vec![ColumnChange {
                column: "heap_peak_bytes".into(),
                rule: rules::of("heap_peak_bytes"),
                moved: 12,
                worst: "stream-sequential width=320 frames=240".into(),
                before: 37_869_000.into(),
                now: 38_389_000.into(),
            }],
            pairs: 40,
            only_reference: (1..=5).map(|at| format!("frames={at}")).collect(),
            only_new: Vec::new(),
            shown: vec![("wall_secs".into(), 200.0, 230.0)],
        };
        insta::assert_snapshot!(comparison, @r#"
        40 runs compared; verdicts: 1 changed; numbers: 2 moved
          VERDICT       "Streaming keeps the heap flat": holds (9.25) -> refuted (1,390)
          moved         heap_peak_bytes (within 0.5%) in 12 runs, most in stream-sequential width=320 frames=240: 37,869,000 -> 38,389,000
          only in the reference: frames=1; frames=2; frames=3 and 2 more
          not compared  wall_secs, all runs: 200 -> 230 (1.15 times)
        "#);
    }
}
