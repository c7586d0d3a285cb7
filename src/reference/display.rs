//! Prints comparisons as text.

use super::compare::{ClaimChange, ColumnChange, Comparison};
use posebook_notebook::format;
use posebook_notebook::tables::ClaimRow;
use serde_json::Value;
use std::fmt::{Display, Formatter, Result};

/// Number of listed points; further ones are counted.
const MAX_LISTED: usize = 3;

impl Display for Comparison {
    /// A summary, then one line for every changed verdict, changed number and unpaired point, then values that are not
    /// compared.
    fn fmt(&self, f: &mut Formatter) -> Result {
        let verdicts = match self.changed_verdicts().count() {
            0 if self.claims.is_empty() => "none to compare".to_string(),
            changed => format!("{changed} changed"),
        };
        let numbers = self.columns.len() + self.claims.iter().filter(|claim| claim.has_changed()).count();
        writeln!(f, "{} runs compared; verdicts: {verdicts}; numbers: {numbers} changed", self.pairs)?;
        for claim in &self.claims {
            write_claim(f, claim)?;
        }
        for column in &self.columns {
            write_column(f, column)?;
        }
        write_points(f, "only in the reference", &self.only_reference)?;
        write_points(f, "only in the new report", &self.only_new)?;
        for (column, before, now) in &self.uncompared_sums {
            let (ratio, before, now) = (now / before, number(*before), number(*now));
            writeln!(f, "  not compared  {column}, all runs: {before} -> {now} ({ratio:.2} times)")?;
        }
        Ok(())
    }
}

fn write_claim(f: &mut Formatter, change: &ClaimChange) -> Result {
    let what = match (change.has_other_verdict(), change.has_changed()) {
        (true, _) => "VERDICT     ",
        (_, true) => "changed     ",
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
    let ColumnChange { column, rule, changed, worst, before, now } = change;
    let (before, now) = (value(before), value(now));
    let (runs, rule) = (if *changed == 1 { "run" } else { "runs" }, rule.describe());
    writeln!(f, "  changed       {column} ({rule}) in {changed} {runs}, most in {worst}: {before} -> {now}")
}

fn write_points(f: &mut Formatter, what: &str, points: &[String]) -> Result {
    if points.is_empty() {
        return Ok(());
    }
    let listed = points[..points.len().min(MAX_LISTED)].join("; ");
    let rest = points.len().saturating_sub(MAX_LISTED);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    writeln!(f, "  {what}: {listed}{rest}")
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_string(),
        Value::String(text) => text.clone(),
        other => other.as_f64().map_or_else(|| other.to_string(), number),
    }
}

/// All digits of an integer, six significant digits of other numbers.
fn number(value: f64) -> String {
    format::trimmed(value, 6)
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    #[test]
    fn every_difference_is_one_line() {
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
                rule: rules::rule_for("heap_peak_bytes"),
                changed: 12,
                worst: "stream-sequential width=320 frames=240".into(),
                before: 37_869_000.into(),
                now: 38_389_000.into(),
            }],
            pairs: 40,
            only_reference: (1..=5).map(|frames| format!("frames={frames}")).collect(),
            only_new: Vec::new(),
            uncompared_sums: vec![("wall_secs".into(), 200.0, 230.0)],
        };
        insta::assert_snapshot!(comparison, @r#"
        40 runs compared; verdicts: 1 changed; numbers: 2 changed
          VERDICT       "Streaming keeps the heap flat": holds (9.25) -> refuted (1,390)
          changed       heap_peak_bytes (within 0.5%) in 12 runs, most in stream-sequential width=320 frames=240: 37,869,000 -> 38,389,000
          only in the reference: frames=1; frames=2; frames=3 and 2 more
          not compared  wall_secs, all runs: 200 -> 230 (1.15 times)
        "#);
    }
}
