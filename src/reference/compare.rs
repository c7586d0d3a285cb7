//! A new report held against a reference: what became of every claim, and which numbers moved.

use super::Tables;
use super::points::{self, Cells};
use super::rules::{self, Rule};
use crate::tables::ClaimRow;
use serde_json::Value;

/// A claim's number may move by this share of itself or of its largest bound, whichever is more. What it is made of
/// is compared run by run, and more closely.
const CLAIM_TOLERANCE: f64 = 0.1;

/// What differs between a reference and a new report, and what may.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// All claims of either.
    pub claims: Vec<ClaimChange>,
    /// Columns in which a number moved farther than its rule allows.
    pub columns: Vec<ColumnChange>,
    /// How many runs were compared.
    pub pairs: usize,
    /// Points of the reference that the new report lacks.
    pub only_reference: Vec<String>,
    pub only_new: Vec<String>,
    /// What differs from run to run: a column and its sum over the runs, before and now.
    pub shown: Vec<(String, f64, f64)>,
}

/// A claim before and now.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimChange {
    pub claim: String,
    /// `None` if one of them does not make it.
    pub before: Option<ClaimRow>,
    pub now: Option<ClaimRow>,
}

/// A column whose values moved.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnChange {
    pub column: String,
    pub rule: Rule,
    /// In how many runs it moved.
    pub moved: usize,
    /// The run in which it moved farthest, in relation to its size.
    pub worst: String,
    pub before: Value,
    pub now: Value,
}

impl Comparison {
    /// Compares all runs and claims of a new report with those of a reference.
    pub fn of(reference: &Tables, new: &Tables) -> Comparison {
        let mut comparison = Comparison::of_runs(reference, new);
        comparison.claims = claims(&reference.claims, &new.claims);
        comparison
    }

    /// Compares runs without claims, for a new report that has only some of the reference's runs.
    pub fn of_runs(reference: &Tables, new: &Tables) -> Comparison {
        let (old, new) = (points::cells(&reference.runs), points::cells(&new.runs));
        let pairs = points::pair(&old, &new);
        let (old_labels, new_labels) = (points::labels(&old), points::labels(&new));
        let columns = old.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
        let change = |column: &String| column_change(column, &old, &new, &pairs.both, &old_labels);
        let columns: Vec<String> = columns;
        // tries of a search begin where the tries before left off, so that one may try what the other did not
        let named = |labels: &[String], rows: &[Cells], only: &[usize]| {
            let runs = only.iter().filter(|&&at| points::is_unknown(rows[at].get("search_key")));
            runs.map(|&at| labels[at].clone()).collect()
        };
        Comparison {
            claims: Vec::new(),
            columns: columns.iter().filter_map(change).collect(),
            pairs: pairs.both.len(),
            only_reference: named(&old_labels, &old, &pairs.only_reference),
            only_new: named(&new_labels, &new, &pairs.only_new),
            shown: columns.iter().filter_map(|column| sums(column, &old, &new, &pairs.both)).collect(),
        }
    }

    /// Claims whose verdict changed, claims that one of both does not make included.
    pub fn changed_verdicts(&self) -> impl Iterator<Item = &ClaimChange> {
        self.claims.iter().filter(|claim| claim.has_other_verdict())
    }

    /// Whether the new report says what the reference says: every verdict, every point, every number.
    pub fn is_same(&self) -> bool {
        self.columns.is_empty()
            && self.only_reference.is_empty()
            && self.only_new.is_empty()
            && !self.claims.iter().any(|claim| claim.has_other_verdict() || claim.has_moved())
    }
}

impl ClaimChange {
    /// Whether the verdict is another, or only one of both makes the claim.
    pub fn has_other_verdict(&self) -> bool {
        let verdict = |row: &Option<ClaimRow>| row.as_ref().map(|row| row.verdict.clone());
        verdict(&self.before) != verdict(&self.now)
    }

    /// Whether the number moved farther than it may. Numbers that follow from times may move as they like.
    pub fn has_moved(&self) -> bool {
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

/// The claims of both by their statements: in the new order, then those that are gone. A reference without a table
/// of claims has nothing to compare.
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
    let gone = before.iter().filter(|row| find(now, &row.claim).is_none());
    now.iter().chain(gone).map(|row| change(&row.claim)).collect()
}

/// What moved in one column; `None` if nothing did, or the reference knows nothing of it.
fn column_change(
    column: &str,
    old: &[Cells],
    new: &[Cells],
    pairs: &[(usize, usize)],
    labels: &[String],
) -> Option<ColumnChange> {
    let rule = rules::of(column);
    if !rule.compares() || old.iter().all(|row| points::is_unknown(row.get(column))) {
        return None;
    }
    let value = |row: &Cells| row.get(column).cloned().unwrap_or(Value::Null);
    let moved: Vec<(usize, Value, Value)> = pairs
        .iter()
        .map(|&(before, now)| (before, value(&old[before]), value(&new[now])))
        .filter(|(_, before, now)| !allows(rule, before, now))
        .collect();
    let (at, before, now) =
        moved.iter().max_by(|a, b| distance(&a.1, &a.2).total_cmp(&distance(&b.1, &b.2)))?;
    Some(ColumnChange {
        column: column.to_string(),
        rule,
        moved: moved.len(),
        worst: labels[*at].clone(),
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

/// How far apart two values are, as a share of the larger; what is known on one side alone is farthest.
fn distance(before: &Value, now: &Value) -> f64 {
    match (before.as_f64(), now.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE),
        _ => f64::INFINITY,
    }
}

/// The columns worth showing although they differ from run to run.
const WORTH_SHOWING: [&str; 6] =
    ["wall_secs", "open_secs", "decode_secs", "recover_secs", "process_peak_bytes", "decoder_peak_bytes"];

fn sums(column: &str, old: &[Cells], new: &[Cells], pairs: &[(usize, usize)]) -> Option<(String, f64, f64)> {
    let of = |row: &Cells| row.get(column).and_then(Value::as_f64);
    let both = pairs.iter().filter_map(|&(a, b)| Some((of(&old[a])?, of(&new[b])?)));
    let (before, now) = both.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (WORTH_SHOWING.contains(&column) && before > 0.0).then(|| (column.to_string(), before, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::RunRow;

    fn run(mode: &str, frames: u64) -> RunRow {
        RunRow {
            mode: mode.into(),
            outcome: "ok".into(),
            frames: Some(frames),
            people: Some(2 * frames),
            pa_mpjpe_mm: Some(45.0),
            heap_peak_bytes: Some(37_869_000),
            wall_secs: Some(2.0),
            ..RunRow::default()
        }
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

    fn reference() -> Tables {
        Tables {
            runs: vec![run("stream", 60), run("stream", 240), run("extract", 60)],
            claims: vec![claim("flat", "holds", 9.0), claim("gone", "holds", 1.0)],
        }
    }

    #[test]
    fn the_same_is_the_same_whatever_the_clock_says() {
        let mut new = reference();
        new.runs.reverse();
        new.runs.iter_mut().for_each(|run| {
            run.wall_secs = Some(7.0);
            run.run_id = "other".into();
            run.heap_peak_bytes = run.heap_peak_bytes.map(|bytes| bytes + 4096);
        });
        let comparison = Comparison::of(&reference(), &new);
        assert!(comparison.is_same(), "{comparison:?}");
        assert_eq!((comparison.pairs, comparison.changed_verdicts().count()), (3, 0));
        assert_eq!(comparison.shown, [("wall_secs".to_string(), 6.0, 21.0)]);
    }

    #[test]
    fn a_step_of_the_heap_and_a_changed_score_are_seen() {
        let mut new = reference();
        new.runs[1].heap_peak_bytes = Some(38_389_000);
        new.runs[0].pa_mpjpe_mm = Some(45.02);
        new.runs[2].pa_mpjpe_mm = Some(46.0);
        let comparison = Comparison::of(&reference(), &new);
        let moved: Vec<(&str, usize, &str)> =
            comparison.columns.iter().map(|c| (c.column.as_str(), c.moved, c.worst.as_str())).collect();
        assert_eq!(
            moved,
            [("heap_peak_bytes", 1, "stream frames=240"), ("pa_mpjpe_mm", 2, "extract frames=60")]
        );
        assert!(!comparison.is_same());
    }

    #[test]
    fn a_value_that_got_lost_and_a_run_that_failed_are_seen() {
        let mut new = reference();
        new.runs[0].pa_mpjpe_mm = None;
        new.runs[1].outcome = "crashed".into();
        let comparison = Comparison::of_runs(&reference(), &new);
        let moved: Vec<&str> = comparison.columns.iter().map(|change| change.column.as_str()).collect();
        assert_eq!(moved, ["outcome", "pa_mpjpe_mm"]);
    }

    #[test]
    fn verdicts_are_compared_claim_by_claim() {
        let mut new = reference();
        new.claims = vec![claim("flat", "refuted", 1390.0), claim("new", "holds", 1.0)];
        let comparison = Comparison::of(&reference(), &new);
        let changed: Vec<&str> = comparison.changed_verdicts().map(|claim| claim.claim.as_str()).collect();
        assert_eq!(changed, ["flat", "new", "gone"]);
        assert!(comparison.claims[0].has_moved() && !comparison.is_same());

        new.claims = vec![claim("flat", "holds", 23.0), claim("gone", "holds", 18.0)];
        let comparison = Comparison::of(&reference(), &new);
        let moved: Vec<bool> = comparison.claims.iter().map(ClaimChange::has_moved).collect();
        assert_eq!(moved, [false, true], "a tenth of the bound is 16");
        new.claims[1].is_of_the_moment = true;
        assert!(Comparison::of(&reference(), &new).is_same());
    }

    #[test]
    fn a_point_that_only_one_has_is_named_and_a_searchs_try_is_not() {
        let mut new = reference();
        new.runs[2] = run("extract", 480);
        new.runs.push(RunRow { search_key: Some("video.loops".into()), ..run("extract", 999) });
        let comparison = Comparison::of_runs(&reference(), &new);
        assert_eq!(comparison.only_reference, ["extract frames=60"]);
        assert_eq!(comparison.only_new.len(), 1);
        assert!(comparison.only_new[0].contains("frames=480"), "{:?}", comparison.only_new);
    }

    #[test]
    fn a_reference_without_claims_has_none_to_compare() {
        let old = Tables { claims: Vec::new(), ..reference() };
        assert!(Comparison::of(&old, &reference()).is_same());
    }
}
