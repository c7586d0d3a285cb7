//! Pairs the runs of a new report with those of a reference.

use super::rules::{self, Rule};
use posebook_notebook::tables::{RunRow, TableRow};
use serde_json::{Map, Value};

/// A run as a map from column names to values.
pub type RowMap = Map<String, Value>;

/// The rows as maps. The threads' scratch memory is subtracted from heap sizes, because it depends on the number of threads
/// and the processor's cache.
pub fn to_maps(rows: &[RunRow]) -> Vec<RowMap> {
    let map = |row: &RunRow| {
        let mut row = row.clone();
        let host = &mut row.metrics.host;
        let scratch_bytes = host.heap_scratch_bytes.unwrap_or(0);
        for bytes in [&mut host.heap_setup_peak_bytes, &mut host.heap_base_bytes, &mut host.heap_peak_bytes] {
            *bytes = bytes.map(|bytes| bytes.saturating_sub(scratch_bytes));
        }
        row.cells()
    };
    rows.iter().map(map).collect()
}

/// Whether a value is unknown: null, or the empty text of a missing column.
pub fn is_unknown(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_str() == Some(""))
}

/// Indices of paired runs, and of runs in only one of both reports.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Pairs of an index in the reference and one in the new report.
    pub both: Vec<(usize, usize)>,
    /// Indices of unpaired runs of the reference.
    pub only_reference: Vec<usize>,
    /// Indices of unpaired runs of the new report.
    pub only_new: Vec<usize>,
}

/// Pairs runs of the same point, several such runs in their order. Runs that differ only in the encoding of a drawn clip
/// are paired after those that are equal.
pub fn pair_runs(reference: &[RowMap], new: &[RowMap]) -> Pairs {
    let mut pairs = Pairs::default();
    let mut free: Vec<usize> = (0..reference.len()).collect();
    let mut left: Vec<usize> = (0..new.len()).collect();
    for with_encoding in [true, false] {
        let columns = compared_columns(reference, new, with_encoding);
        left.retain(|&new_index| {
            let is_same = |&old: &usize| {
                columns.iter().all(|column| reference[old][*column] == new[new_index][*column])
            };
            let Some(position) = free.iter().position(is_same) else { return true };
            pairs.both.push((free.remove(position), new_index));
            false
        });
    }
    pairs.both.sort_unstable();
    (pairs.only_reference, pairs.only_new) = (free, left);
    pairs
}

/// The columns that identify points. Columns that one of the reports lacks, because it is of another version, are ignored.
fn compared_columns<'a>(reference: &'a [RowMap], new: &'a [RowMap], with_encoding: bool) -> Vec<&'a str> {
    let Some(first) = new.first() else { return Vec::new() };
    let is_known = |rows: &[RowMap], column: &str| rows.iter().any(|row| !is_unknown(row.get(column)));
    let columns = first.keys().map(String::as_str).filter(|column| match rules::rule_for(column) {
        Rule::Point => is_known(reference, column) == is_known(new, column) || !is_text(new, column),
        Rule::Encoding => with_encoding,
        _ => false,
    });
    columns.collect()
}

/// Whether a column holds text. Text of a missing column is read as empty, numbers as null.
fn is_text(rows: &[RowMap], column: &str) -> bool {
    rows.iter().any(|row| row.get(column).is_some_and(Value::is_string))
}

/// A label for each run, made of the columns of its point that differ among `rows`.
pub fn labels(rows: &[RowMap]) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let varies = |column: &&String| {
        matches!(rules::rule_for(column), Rule::Point | Rule::Encoding)
            && rows.iter().any(|row| row.get(*column) != first.get(*column))
    };
    let columns: Vec<&String> = first.keys().filter(varies).collect();
    let label = |row: &RowMap| {
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
    use posebook_core::labels::Outcome;

    fn run(mode: &str, frames: u64, crf: Option<u64>) -> RunRow {
        let (mode, outcome, results) = (mode.parse().ok(), Outcome::Ok, "stream".into());
        RunRow { mode, outcome, results, frames: Some(frames), crf, ..RunRow::default() }
    }

    #[test]
    fn runs_of_the_same_point_are_paired_in_any_order() {
        let reference = to_maps(&[
            run("extract-jpeg", 60, Some(20)),
            run("extract-jpeg", 120, Some(20)),
            run("extract-png", 60, Some(20)),
        ]);
        let new = to_maps(&[
            run("extract-png", 60, Some(20)),
            run("extract-jpeg", 240, Some(20)),
            run("extract-jpeg", 60, Some(20)),
        ]);
        let pairs = pair_runs(&reference, &new);
        assert_eq!(pairs, Pairs { both: vec![(0, 2), (2, 0)], only_reference: vec![1], only_new: vec![1] });
        assert_eq!(labels(&reference)[1], "extract-jpeg frames=120");
    }

    #[test]
    fn runs_with_another_encoding_are_paired_after_equal_ones() {
        let reference = to_maps(&[run("extract-jpeg", 60, Some(20)), run("extract-jpeg", 60, Some(35))]);
        let same = to_maps(&[run("extract-jpeg", 60, Some(35))]);
        assert_eq!(pair_runs(&reference, &same).both, [(1, 0)]);
        let other = to_maps(&[run("extract-jpeg", 60, None), run("extract-jpeg", 60, Some(0))]);
        assert_eq!(pair_runs(&reference, &other).both, [(0, 0), (1, 1)]);
    }

    #[test]
    fn heap_sizes_are_compared_without_scratch_memory() {
        let row = |peak_bytes, scratch_bytes| {
            let mut row = RunRow::default();
            row.metrics.host.heap_peak_bytes = Some(peak_bytes);
            row.metrics.host.heap_scratch_bytes = scratch_bytes;
            row
        };
        let maps = to_maps(&[row(23_000_000, Some(3 << 20)), row(23_000_000, None)]);
        assert_eq!(maps[0]["heap_peak_bytes"], 23_000_000 - (3 << 20));
        assert_eq!(maps[1]["heap_peak_bytes"], 23_000_000);
    }

    #[test]
    fn committed_references_are_paired_with_runs_that_have_newer_columns() {
        use crate::reference::{ComparedTables, folder, names};
        let reports = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
        let names = names(&reports).unwrap();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let old = ComparedTables::load(&folder(&reports, &name)).unwrap().runs;
            let mut new = old.clone();
            for row in &mut new {
                row.detector.get_or_insert_with(|| "given".into());
                row.cues.get_or_insert_with(|| "location + pose".into());
            }
            let pairs = pair_runs(&to_maps(&old), &to_maps(&new));
            let all = (0..old.len()).map(|index| (index, index)).collect();
            assert_eq!(pairs, Pairs { both: all, ..Pairs::default() }, "{name}");
        }
    }

    #[test]
    fn runs_that_differ_by_cues_or_detector_are_paired_with_equal_ones() {
        let with = |detector: &str, cues: &str| RunRow {
            detector: Some(detector.into()),
            cues: Some(cues.into()),
            ..run("stream-sequential", 60, None)
        };
        let rows = [with("given", "pose"), with("given", "texture"), with("nanodet", "pose")];
        let [a, b, c] = rows.clone();
        let pairs = pair_runs(&to_maps(&rows), &to_maps(&[c, a, b]));
        assert_eq!(pairs.both, [(0, 1), (1, 2), (2, 0)]);
        assert_eq!(labels(&to_maps(&rows))[2], "nanodet pose");
    }

    #[test]
    fn columns_that_the_reference_lacks_are_ignored() {
        let old = RunRow { results: String::new(), ..run("extract-jpeg", 60, None) };
        assert_eq!(pair_runs(&to_maps(&[old]), &to_maps(&[run("extract-jpeg", 60, None)])).both, [(0, 0)]);
    }
}
