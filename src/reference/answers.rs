//! Fills the tables of answers in the README and in `docs/RESULTS.md`: text from `reports/answers.toml`, numbers from the
//! references.
//!
//! The file has for every experiment a question, an answer of one line for the README, a full answer for `RESULTS.md`, and
//! SQL over the reference's table of runs for each placeholder of the two, such as `{low:1} mm`. In the documents, a table
//! is between two marker lines. `posebook references --readme` writes the tables, and a test checks them.

use super::{ReferenceError, folder};
use posebook_notebook::format;
use posebook_notebook::tables::{ReportTables, RunRow, TableError, csv};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const BEGIN: &str =
    "<!-- references: generated from reports/answers.toml by `./just references --readme` -->\n";
const END: &str = "<!-- references: end -->\n";

/// The answers of one experiment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    question: String,
    /// One line, for the README.
    summary: String,
    /// The full answer. Text with placeholders: `{name}` (three significant digits) or `{name:2}` (two decimals).
    answer: String,
    /// SQL over the table `runs`, by placeholder.
    #[serde(default)]
    numbers: BTreeMap<String, String>,
}

/// Why an answer cannot be filled in.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A `{` without `}`.
    #[error("a `{{` without its `}}`")]
    Unclosed,
    /// The part behind the colon is not a number of decimals.
    #[error("`{decimals}` in `{{{placeholder}}}` is not a number of decimals")]
    Decimals {
        /// The placeholder.
        placeholder: String,
        /// The part behind the colon.
        decimals: String,
    },
    /// A placeholder without SQL.
    #[error("no number is called `{name}`")]
    UnknownNumber {
        /// The name.
        name: String,
    },
    /// A query failed.
    #[error(transparent)]
    Query(#[from] TableError),
    /// A query gave no number.
    #[error("the query of `{name}` gave no number")]
    NoNumber {
        /// The name.
        name: String,
    },
    /// Numbers without a placeholder.
    #[error("the answer does not use {}", names.join(", "))]
    Unused {
        /// Their names.
        names: Vec<String>,
    },
}

/// The path of the file of answers in the folder of reports.
pub fn file(reports: &Path) -> PathBuf {
    reports.join("answers.toml")
}

/// A document with a table of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The README: a line per experiment.
    Readme,
    /// `docs/RESULTS.md`: question and full answer.
    Results,
}

impl Document {
    /// All documents with a table of answers.
    pub const ALL: [Document; 2] = [Document::Readme, Document::Results];

    /// Path relative to the project's root.
    pub fn path(self) -> &'static str {
        match self {
            Document::Readme => "README.md",
            Document::Results => "docs/RESULTS.md",
        }
    }

    fn header(self) -> &'static str {
        match self {
            Document::Readme => "| experiment | answer | commit |\n|---|---|---|\n",
            Document::Results => "| experiment | question | answer | commit |\n|---|---|---|---|\n",
        }
    }
}

/// The table of `document`, with one row per experiment of the file of answers.
///
/// # Errors
/// If the file or a reference cannot be read, a query gives no number, or placeholders and numbers do not match.
pub fn table(reports: &Path, document: Document) -> Result<String, ReferenceError> {
    let path = file(reports);
    let text = std::fs::read_to_string(&path).map_err(ReferenceError::file(&path))?;
    let invalid = |source| ReferenceError::AnswersToml { path: path.clone(), source: Box::new(source) };
    // a TOML table keeps the order of the file
    let answers: toml::Table = toml::from_str(&text).map_err(invalid)?;
    let mut table = document.header().to_string();
    for (experiment, answer) in answers {
        let answer: Answer = answer.try_into().map_err(|source| ReferenceError::AnswersEntry {
            path: path.clone(),
            experiment: experiment.clone(),
            source: Box::new(source),
        })?;
        let folder = folder(reports, &experiment);
        let [summary, full] = fill_in(&answer, &ReportTables::new(&folder)).map_err(|source| {
            ReferenceError::Answer { path: path.clone(), experiment: experiment.clone(), source }
        })?;
        let commits = commits(&csv::read_rows::<RunRow>(&folder)?);
        // writing to a string cannot fail
        let _ = match document {
            Document::Readme => {
                writeln!(
                    table,
                    "| [`{experiment}`](reports/{experiment}/reference/report.md) | {summary} | {commits} |"
                )
            }
            Document::Results => writeln!(
                table,
                "| [`{experiment}`](../reports/{experiment}/reference/report.md) | {} | {full} | {commits} |",
                answer.question
            ),
        };
    }
    Ok(table)
}

/// `text`, which is that of `document`, with `table` between its marker lines.
///
/// # Errors
/// If the marker lines are missing.
pub fn replace_table(document: Document, text: &str, table: &str) -> Result<String, ReferenceError> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(ReferenceError::NoMarkers {
            document: document.path(),
            begin: BEGIN.trim(),
            end: END.trim(),
        });
    };
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The distinct commits of a reference's runs.
fn commits(runs: &[RunRow]) -> String {
    let mut commits: Vec<&str> = runs.iter().filter_map(|run| run.git_hash.as_deref()).collect();
    commits.sort_unstable();
    commits.dedup();
    let short = |hash: &&str| format!("`{}`", hash.get(..7).unwrap_or(hash));
    commits.iter().map(short).collect::<Vec<_>>().join(", ")
}

/// Summary and full answer with their placeholders replaced by numbers.
fn fill_in(answer: &Answer, tables: &ReportTables) -> Result<[String; 2], AnswerError> {
    let mut unused: BTreeSet<&str> = answer.numbers.keys().map(String::as_str).collect();
    let summary = fill_in_text(&answer.summary, answer, tables, &mut unused)?;
    let full = fill_in_text(&answer.answer, answer, tables, &mut unused)?;
    if unused.is_empty() {
        Ok([summary, full])
    } else {
        Err(AnswerError::Unused { names: unused.into_iter().map(str::to_string).collect() })
    }
}

/// `text` with its placeholders replaced by numbers; their names are removed from `unused`.
fn fill_in_text(
    text: &str,
    answer: &Answer,
    tables: &ReportTables,
    unused: &mut BTreeSet<&str>,
) -> Result<String, AnswerError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (placeholder, after) = after.split_once('}').ok_or(AnswerError::Unclosed)?;
        let (name, decimals) = match placeholder.split_once(':') {
            Some((name, decimals)) => {
                let invalid = |_| AnswerError::Decimals {
                    placeholder: placeholder.to_string(),
                    decimals: decimals.to_string(),
                };
                (name, Some(decimals.parse().map_err(invalid)?))
            }
            None => (placeholder, None),
        };
        let sql =
            answer.numbers.get(name).ok_or_else(|| AnswerError::UnknownNumber { name: name.to_string() })?;
        unused.remove(name);
        let number =
            tables.query_number(sql)?.ok_or_else(|| AnswerError::NoNumber { name: name.to_string() })?;
        filled += before;
        filled += &format_number(number, decimals);
        rest = after;
    }
    Ok(filled + rest)
}

/// `value` with this number of decimals, or three significant digits, and commas between thousands.
fn format_number(value: f64, decimals: Option<usize>) -> String {
    decimals.map_or_else(|| format::trimmed(value, 3), |places| format::decimals(value, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> tempfile::TempDir {
        let reports = tempfile::tempdir().unwrap();
        let run = |mode: &str, pa_mpjpe_mm: f64| {
            let mut row = RunRow {
                mode: mode.parse().ok(),
                frames: Some(18_000),
                git_hash: Some("0123456789abcdef".into()),
                ..RunRow::default()
            };
            row.metrics.pose.pa_mpjpe_mm = Some(pa_mpjpe_mm);
            row
        };
        let rows = [run("stream-sequential", 45.449), run("extract-jpeg", 47.6)];
        csv::write(&folder(reports.path(), "quickstart"), &rows).unwrap();
        reports
    }

    fn filled(reports: &Path, answer: &str) -> Result<String, String> {
        std::fs::write(
            file(reports),
            format!("[quickstart]\nquestion = \"Same?\"\nsummary = \"Yes\"\n{answer}\n"),
        )
        .unwrap();
        table(reports, Document::Results).map_err(|error| error.to_string())
    }

    const NUMBERS: &str = "numbers = { low = \"select min(pa_mpjpe_mm) from runs\", frames = \"select max(frames) from runs\", none = \"select avg(hota) from runs\" }";

    #[test]
    fn numbers_are_from_the_reference() {
        let reports = reports();
        let answer = NUMBERS.replace(", none = \"select avg(hota) from runs\"", "");
        let filled = filled(
            reports.path(),
            &format!("answer = \"{{low:0}}, {{low:2}}, {{low}} mm; {{frames}}\"\n{answer}"),
        );
        assert_eq!(
            filled.unwrap().lines().last().unwrap(),
            "| [`quickstart`](../reports/quickstart/reference/report.md) | Same? | 45, 45.45, 45.4 mm; 18,000 | `0123456` |"
        );
    }

    #[test]
    fn placeholders_and_numbers_have_to_match() {
        let reports = reports();
        for (answer, message) in [
            ("{low}", "does not use frames, none"),
            ("{high}", "no number is called `high`"),
            ("{none}", "the query of `none` gave no number"),
            ("{low:x}", "is not a number of decimals"),
            ("{low", "without its `}`"),
        ] {
            let error = filled(reports.path(), &format!("answer = \"{answer}\"\n{NUMBERS}")).unwrap_err();
            assert!(error.contains(message) && error.contains("[quickstart]"), "{error}");
        }
    }

    #[test]
    fn the_readme_has_the_summary() {
        let reports = reports();
        let text = "[quickstart]\nquestion = \"Same?\"\nsummary = \"Yes, {frames}\"\nanswer = \"Yes\"\n\
                    numbers = { frames = \"select max(frames) from runs\" }\n";
        std::fs::write(file(reports.path()), text).unwrap();
        assert_eq!(
            table(reports.path(), Document::Readme).unwrap().lines().last().unwrap(),
            "| [`quickstart`](reports/quickstart/reference/report.md) | Yes, 18,000 | `0123456` |"
        );
    }

    #[test]
    fn the_table_is_between_its_markers() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        let new = replace_table(Document::Readme, &readme, "| new |\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n| new |\n\n{END}after\n"));
        assert_eq!(replace_table(Document::Readme, &new, "| new |\n").unwrap(), new);
        assert!(replace_table(Document::Readme, "nothing", "| new |\n").is_err());
    }

    /// If this fails, run `./just references --readme`.
    #[test]
    fn the_documents_have_the_numbers_of_the_references() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for document in Document::ALL {
            let text = std::fs::read_to_string(root.join(document.path())).unwrap();
            let table = table(&root.join("reports"), document).unwrap();
            let expected = replace_table(document, &text, &table).unwrap();
            let differing = text.lines().zip(expected.lines()).find(|(actual, expected)| actual != expected);
            assert!(
                text == expected,
                "the table of {} differs from the references; run `./just references --readme`\n{differing:#?}",
                document.path()
            );
        }
    }
}
