//! Which run of a new report is the counterpart of which run of a reference.

use super::rules::{self, Rule};
use crate::tables::RunRow;
use serde_json::{Map, Value};

/// A run as a map from columns to values.
pub type Cells = Map<String, Value>;

/// The rows as maps, their heap without the threads' scratch: how many threads there are, and how large a processor's
/// cache is, differs from machine to machine.
pub fn cells(rows: &[RunRow]) -> Vec<Cells> {
    let map = |row: &RunRow| {
        let without = |bytes: Option<u64>| Some(bytes?.saturating_sub(row.heap_scratch_bytes.unwrap_or(0)));
        let row = RunRow {
            heap_setup_peak_bytes: without(row.heap_setup_peak_bytes),
            heap_base_bytes: without(row.heap_base_bytes),
            heap_peak_bytes: without(row.heap_peak_bytes),
            ..row.clone()
        };
        match serde_json::to_value(row) {
            Ok(Value::Object(cells)) => cells,
            _ => Cells::new(),
        }
    };
    rows.iter().map(map).collect()
}

/// Whether nothing is known: null, or the empty text that a missing column is read as.
pub fn is_unknown(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_str() == Some(""))
}

/// Pairs of positions in the reference and in the new report, and what is in one of them alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    pub both: Vec<(usize, usize)>,
    pub only_reference: Vec<usize>,
    pub only_new: Vec<usize>,
}

/// Pairs runs of the same point; of several such runs the first of one with the first of the other. Where only the
/// encoding of a drawn clip differs, runs are still paired.
pub fn pair(reference: &[Cells], new: &[Cells]) -> Pairs {
    let mut pairs = Pairs::default();
    let mut free: Vec<usize> = (0..reference.len()).collect();
    let mut left: Vec<usize> = (0..new.len()).collect();
    for with_encoding in [true, false] {
        let columns = compared_columns(reference, new, with_encoding);
        left.retain(|&at| {
            let is_same =
                |&old: &usize| columns.iter().all(|column| reference[old][*column] == new[at][*column]);
            let Some(place) = free.iter().position(is_same) else { return true };
            pairs.both.push((free.remove(place), at));
            false
        });
    }
    pairs.both.sort_unstable();
    (pairs.only_reference, pairs.only_new) = (free, left);
    pairs
}

/// The columns that tell points apart. A column that one of the reports does not have, being of another version,
/// cannot.
fn compared_columns<'a>(reference: &'a [Cells], new: &'a [Cells], with_encoding: bool) -> Vec<&'a str> {
    let Some(first) = new.first() else { return Vec::new() };
    let is_known = |rows: &[Cells], column: &str| rows.iter().any(|row| !is_unknown(row.get(column)));
    let columns = first.keys().map(String::as_str).filter(|column| match rules::of(column) {
        Rule::Point => is_known(reference, column) == is_known(new, column) || !is_text(new, column),
        Rule::Encoding => with_encoding,
        _ => false,
    });
    columns.collect()
}

/// Texts of a missing column are read as empty, where numbers are null in both.
fn is_text(rows: &[Cells], column: &str) -> bool {
    rows.iter().any(|row| row.get(column).is_some_and(Value::is_string))
}

/// A name for each run: those columns of its point that differ among `rows`.
pub fn labels(rows: &[Cells]) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let varies = |column: &&String| {
        matches!(rules::of(column), Rule::Point | Rule::Encoding)
            && rows.iter().any(|row| row.get(*column) != first.get(*column))
    };
    let columns: Vec<&String> = first.keys().filter(varies).collect();
    let label = |row: &Cells| {
        let known = columns.iter().filter(|column| !is_unknown(row.get(**column)));
        let parts: Vec<String> = known.map(|column| part(column, &row[*column])).collect();
        if parts.is_empty() { "the run".to_string() } else { parts.join(" ") }
    };
    rows.iter().map(label).collect()
}

fn part(column: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => format!("{column}={yes}"),
        Value::Number(number) => format!("{column}={number}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mode: &str, frames: u64, crf: Option<u64>) -> RunRow {
        let (mode, outcome, results) = (mode.into(), "ok".into(), "stream".into());
        RunRow { mode, outcome, results, frames: Some(frames), crf, ..RunRow::default() }
    }

    #[test]
    fn runs_of_the_same_point_are_pairs_in_any_order() {
        let reference = cells(&[run("a", 60, Some(20)), run("a", 120, Some(20)), run("b", 60, Some(20))]);
        let new = cells(&[run("b", 60, Some(20)), run("a", 240, Some(20)), run("a", 60, Some(20))]);
        let pairs = pair(&reference, &new);
        assert_eq!(pairs, Pairs { both: vec![(0, 2), (2, 0)], only_reference: vec![1], only_new: vec![1] });
        assert_eq!(labels(&reference)[1], "a frames=120");
    }

    #[test]
    fn another_encoding_is_paired_in_order_and_the_same_one_first() {
        let reference = cells(&[run("a", 60, Some(20)), run("a", 60, Some(35))]);
        let same = cells(&[run("a", 60, Some(35))]);
        assert_eq!(pair(&reference, &same).both, [(1, 0)]);
        let other = cells(&[run("a", 60, None), run("a", 60, Some(0))]);
        assert_eq!(pair(&reference, &other).both, [(0, 0), (1, 1)]);
    }

    #[test]
    fn the_heap_is_compared_without_the_scratch_of_threads() {
        let row = |peak, scratch| RunRow {
            heap_peak_bytes: Some(peak),
            heap_scratch_bytes: scratch,
            ..RunRow::default()
        };
        let cells = cells(&[row(23_000_000, Some(3 << 20)), row(23_000_000, None)]);
        assert_eq!(cells[0]["heap_peak_bytes"], 23_000_000 - (3 << 20));
        assert_eq!(cells[1]["heap_peak_bytes"], 23_000_000);
    }

    #[test]
    fn a_column_that_the_reference_lacks_tells_nothing_apart() {
        let old = RunRow { results: String::new(), ..run("a", 60, None) };
        assert_eq!(pair(&cells(&[old]), &cells(&[run("a", 60, None)])).both, [(0, 0)]);
    }
}
