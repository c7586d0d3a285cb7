//! Compares a new report with a reference: verdicts of claims, and numbers of runs.

use super::ComparedTables;
use super::pairing::{self, RowMap};
use super::rules::{self, Rule};
use posebook_notebook::tables::ClaimRow;
use serde_json::Value;

/// Tolerance of a claim's number, relative to the number or its largest bound, whichever is larger. The runs behind it are
/// compared more closely.
const CLAIM_TOLERANCE: f64 = 0.1;

/// The differences between a reference and a new report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// The claims of both reports.
    pub claims: Vec<ClaimChange>,
    /// Columns with a change beyond their tolerance.
    pub columns: Vec<ColumnChange>,
    /// Number of compared pairs of runs.
    pub pairs: usize,
    /// Labels of points that are only in the reference.
    pub only_reference: Vec<String>,
    /// Labels of points that are only in the new report.
    pub only_new: Vec<String>,
    /// Columns that are not compared, with their sums over the runs before and now.
    pub uncompared_sums: Vec<(String, f64, f64)>,
}

/// A claim before and now.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimChange {
    /// The statement.
    pub claim: String,
    /// The claim in the reference; `None` if it is not there.
    pub before: Option<ClaimRow>,
    /// The claim in the new report; `None` if it is not there.
    pub now: Option<ClaimRow>,
}

/// A column whose values changed beyond its tolerance.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnChange {
    /// Name of the column.
    pub column: String,
    /// How it is compared.
    pub rule: Rule,
    /// Number of runs with a change.
    pub changed: usize,
    /// Label of the run with the largest relative change.
    pub worst: String,
    /// Value of that run in the reference.
    pub before: Value,
    /// Value of that run in the new report.
    pub now: Value,
}

impl Comparison {
    /// Compares all runs and claims of a new report with those of a reference.
    pub fn compare(reference: &ComparedTables, new: &ComparedTables) -> Comparison {
        let mut comparison = Comparison::compare_runs(reference, new);
        comparison.claims = claims(&reference.claims, &new.claims);
        comparison
    }

    /// Compares runs but not claims, for a new report with a part of the reference's runs.
    pub fn compare_runs(reference: &ComparedTables, new: &ComparedTables) -> Comparison {
        let (old, new) = (pairing::to_maps(&reference.runs), pairing::to_maps(&new.runs));
        let pairs = pairing::pair_runs(&old, &new);
        let (old_labels, new_labels) = (pairing::labels(&old), pairing::labels(&new));
        let columns = old.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
        let change = |column: &String| column_change(column, &old, &new, &pairs.both, &old_labels);
        let columns: Vec<String> = columns;
        // runs of a search depend on its earlier runs, so that reports can differ in them
        let list = |labels: &[String], rows: &[RowMap], only: &[usize]| {
            let runs = only.iter().filter(|&&index| pairing::is_unknown(rows[index].get("search_key")));
            runs.map(|&index| labels[index].clone()).collect()
        };
        Comparison {
            claims: Vec::new(),
            columns: columns.iter().filter_map(change).collect(),
            pairs: pairs.both.len(),
            only_reference: list(&old_labels, &old, &pairs.only_reference),
            only_new: list(&new_labels, &new, &pairs.only_new),
            uncompared_sums: columns
                .iter()
                .filter_map(|column| sums(column, &old, &new, &pairs.both))
                .collect(),
        }
    }

    /// Claims whose verdict changed, and claims of only one report.
    pub fn changed_verdicts(&self) -> impl Iterator<Item = &ClaimChange> {
        self.claims.iter().filter(|claim| claim.has_other_verdict())
    }

    /// Whether verdicts, points and numbers agree.
    pub fn is_same(&self) -> bool {
        self.columns.is_empty()
            && self.only_reference.is_empty()
            && self.only_new.is_empty()
            && !self.claims.iter().any(|claim| claim.has_other_verdict() || claim.has_changed())
    }
}

impl ClaimChange {
    /// Whether the verdict changed, or only one report has the claim.
    pub fn has_other_verdict(&self) -> bool {
        let verdict = |row: &Option<ClaimRow>| row.as_ref().map(|row| row.verdict.clone());
        verdict(&self.before) != verdict(&self.now)
    }

    /// Whether the number changed beyond its tolerance. Numbers that depend on times are not compared.
    pub fn has_changed(&self) -> bool {
        let (Some(before), Some(now)) = (&self.before, &self.now) else { return false };
        if before.is_of_the_moment || now.is_of_the_moment {
            return false;
        }
        match (before.number, now.number) {
            (Some(a), Some(b)) => {
                let size = a.abs().max(b.abs()).max(now.largest_bound.unwrap_or(0.0).abs());
                (a - b).abs() > CLAIM_TOLERANCE * size
            }
            (a, b) => a.is_some() != b.is_some(),
        }
    }
}

/// Pairs the claims of both reports by their statements: in the new order, then removed ones. Empty if the reference has no
/// table of claims.
fn claims(before: &[ClaimRow], now: &[ClaimRow]) -> Vec<ClaimChange> {
    if before.is_empty() {
        return Vec::new();
    }
    let find = |rows: &[ClaimRow], claim: &str| rows.iter().find(|row| row.claim == claim).cloned();
    let change = |claim: &String| ClaimChange {
        claim: claim.clone(),
        before: find(before, claim),
        now: find(now, claim),
    };
    let removed = before.iter().filter(|row| find(now, &row.claim).is_none());
    now.iter().chain(removed).map(|row| change(&row.claim)).collect()
}

/// The change of one column; `None` if there is none, or the column is unknown in the reference.
fn column_change(
    column: &str,
    old: &[RowMap],
    new: &[RowMap],
    pairs: &[(usize, usize)],
    labels: &[String],
) -> Option<ColumnChange> {
    let rule = rules::rule_for(column);
    if !rule.is_compared() || old.iter().all(|row| pairing::is_unknown(row.get(column))) {
        return None;
    }
    let value = |row: &RowMap| row.get(column).cloned().unwrap_or(Value::Null);
    let changed: Vec<(usize, Value, Value)> = pairs
        .iter()
        .map(|&(before, now)| (before, value(&old[before]), value(&new[now])))
        .filter(|(_, before, now)| !allows(rule, before, now))
        .collect();
    let (index, before, now) =
        changed.iter().max_by(|a, b| distance(&a.1, &a.2).total_cmp(&distance(&b.1, &b.2)))?;
    Some(ColumnChange {
        column: column.to_string(),
        rule,
        changed: changed.len(),
        worst: labels[*index].clone(),
        before: before.clone(),
        now: now.clone(),
    })
}

fn allows(rule: Rule, before: &Value, now: &Value) -> bool {
    match (before.as_f64(), now.as_f64()) {
        (Some(before), Some(now)) => rule.allows(before, now),
        _ => before == now,
    }
}

/// Relative difference of two values; infinite if they are not both numbers.
fn distance(before: &Value, now: &Value) -> f64 {
    match (before.as_f64(), now.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE),
        _ => f64::INFINITY,
    }
}

/// Columns that are not compared, but whose sums are reported.
const REPORTED_COLUMNS: [&str; 6] =
    ["wall_secs", "open_secs", "decode_secs", "recover_secs", "process_peak_bytes", "decoder_peak_bytes"];

fn sums(
    column: &str,
    old: &[RowMap],
    new: &[RowMap],
    pairs: &[(usize, usize)],
) -> Option<(String, f64, f64)> {
    let number = |row: &RowMap| row.get(column).and_then(Value::as_f64);
    let both = pairs.iter().filter_map(|&(a, b)| Some((number(&old[a])?, number(&new[b])?)));
    let (before, now) = both.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (REPORTED_COLUMNS.contains(&column) && before > 0.0).then(|| (column.to_string(), before, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::labels::Outcome;
    use posebook_notebook::tables::RunRow;

    fn run(mode: &str, frames: u64) -> RunRow {
        let mut row = RunRow {
            mode: mode.parse().ok(),
            outcome: Outcome::Ok,
            frames: Some(frames),
            ..RunRow::default()
        };
        row.metrics.tracking.people = Some(2 * frames);
        row.metrics.pose.pa_mpjpe_mm = Some(45.0);
        row.metrics.host.heap_peak_bytes = Some(37_869_000);
        row.metrics.timing.wall_secs = Some(2.0);
        row
    }

    fn claim(statement: &str, verdict: &str, number: f64) -> ClaimRow {
        ClaimRow {
            claim: statement.into(),
            verdict: verdict.into(),
            number: Some(number),
            largest_bound: Some(160.0),
            ..ClaimRow::default()
        }
    }

    fn reference() -> ComparedTables {
        ComparedTables {
            runs: vec![run("stream-sequential", 60), run("stream-sequential", 240), run("extract-jpeg", 60)],
            claims: vec![claim("flat", "holds", 9.0), claim("gone", "holds", 1.0)],
        }
    }

    #[test]
    fn times_run_ids_and_order_do_not_matter() {
        let mut new = reference();
        new.runs.reverse();
        new.runs.iter_mut().for_each(|run| {
            run.metrics.timing.wall_secs = Some(7.0);
            run.run_id = "other".into();
            run.metrics.host.heap_peak_bytes = run.metrics.host.heap_peak_bytes.map(|bytes| bytes + 4096);
        });
        let comparison = Comparison::compare(&reference(), &new);
        assert!(comparison.is_same(), "{comparison:?}");
        assert_eq!((comparison.pairs, comparison.changed_verdicts().count()), (3, 0));
        assert_eq!(comparison.uncompared_sums, [("wall_secs".to_string(), 6.0, 21.0)]);
    }

    #[test]
    fn changes_of_heap_and_scores_are_found() {
        let mut new = reference();
        new.runs[1].metrics.host.heap_peak_bytes = Some(38_389_000);
        new.runs[0].metrics.pose.pa_mpjpe_mm = Some(45.02);
        new.runs[2].metrics.pose.pa_mpjpe_mm = Some(46.0);
        let comparison = Comparison::compare(&reference(), &new);
        let changed: Vec<(&str, usize, &str)> =
            comparison.columns.iter().map(|c| (c.column.as_str(), c.changed, c.worst.as_str())).collect();
        assert_eq!(
            changed,
            [
                ("heap_peak_bytes", 1, "stream-sequential frames=240"),
                ("pa_mpjpe_mm", 2, "extract-jpeg frames=60")
            ]
        );
        assert!(!comparison.is_same());
    }

    #[test]
    fn a_missing_value_and_a_failed_run_are_found() {
        let mut new = reference();
        new.runs[0].metrics.pose.pa_mpjpe_mm = None;
        new.runs[1].outcome = Outcome::Crashed;
        let comparison = Comparison::compare_runs(&reference(), &new);
        let changed: Vec<&str> = comparison.columns.iter().map(|change| change.column.as_str()).collect();
        assert_eq!(changed, ["outcome", "pa_mpjpe_mm"]);
    }

    #[test]
    fn verdicts_are_compared_claim_by_claim() {
        let mut new = reference();
        new.claims = vec![claim("flat", "refuted", 1390.0), claim("new", "holds", 1.0)];
        let comparison = Comparison::compare(&reference(), &new);
        let changed: Vec<&str> = comparison.changed_verdicts().map(|claim| claim.claim.as_str()).collect();
        assert_eq!(changed, ["flat", "new", "gone"]);
        assert!(comparison.claims[0].has_changed() && !comparison.is_same());

        new.claims = vec![claim("flat", "holds", 23.0), claim("gone", "holds", 18.0)];
        let comparison = Comparison::compare(&reference(), &new);
        let changed: Vec<bool> = comparison.claims.iter().map(ClaimChange::has_changed).collect();
        assert_eq!(changed, [false, true], "a tenth of the bound is 16");
        new.claims[1].is_of_the_moment = true;
        assert!(Comparison::compare(&reference(), &new).is_same());
    }

    #[test]
    fn unpaired_points_are_listed_but_not_those_of_searches() {
        let mut new = reference();
        new.runs[2] = run("extract-jpeg", 480);
        new.runs.push(RunRow { search_key: Some("video.loops".into()), ..run("extract-jpeg", 999) });
        let comparison = Comparison::compare_runs(&reference(), &new);
        assert_eq!(comparison.only_reference, ["extract-jpeg frames=60"]);
        assert_eq!(comparison.only_new.len(), 1);
        assert!(comparison.only_new[0].contains("frames=480"), "{:?}", comparison.only_new);
    }

    #[test]
    fn claims_are_not_compared_if_the_reference_has_none() {
        let old = ComparedTables { claims: Vec::new(), ..reference() };
        assert!(Comparison::compare(&old, &reference()).is_same());
    }
}
