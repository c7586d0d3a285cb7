//! The README's table of experiments: sentences by hand, numbers from the references.
//!
//! `reports/answers.toml` has for every experiment a question, an answer with places for numbers, such as
//! `{low:1} mm`, and for each number the SQL that gives it from the reference's table of runs. The table stands in the
//! README between two marks. A test holds the README to it; `posebook references --readme` writes it.

use super::{ReferenceError, folder};
use crate::report;
use crate::tables::{RunRow, Tables, csv};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- references: made of reports/answers.toml by `./just references --readme` -->\n";
const END: &str = "<!-- references: end -->\n";

/// What the README says of one experiment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    question: String,
    /// With `{name}` (three significant digits) or `{name:2}` (two decimals) in the place of each number.
    answer: String,
    /// SQL over the table `runs` by the name of the number that it gives.
    #[serde(default)]
    numbers: BTreeMap<String, String>,
}

/// The file with the answers, below the folder of the reports.
pub fn file(reports: &Path) -> PathBuf {
    reports.join("answers.toml")
}

/// The README's table: a row for every experiment of the answers' file, in its order.
///
/// # Errors
/// If the file or a reference cannot be read, a query gives no number, or text and numbers do not fit each other.
pub fn table(reports: &Path) -> Result<String, ReferenceError> {
    let path = file(reports);
    let text = std::fs::read_to_string(&path).map_err(ReferenceError::file(&path))?;
    let wrong = |message: String| ReferenceError::Answers { path: path.clone(), message };
    let answers: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut table = "| experiment | question | answer | commit |\n|---|---|---|---|\n".to_string();
    for (name, answer) in answers {
        let answer: Answer =
            answer.try_into().map_err(|error: toml::de::Error| wrong(format!("[{name}]: {error}")))?;
        let folder = folder(reports, &name);
        let said =
            fill_in(&answer, &Tables::of(&folder)).map_err(|error| wrong(format!("[{name}]: {error}")))?;
        let commits = commits(&csv::rows::<RunRow>(&folder)?);
        let place = format!("reports/{name}/reference/report.md");
        // writing into a string cannot fail
        let _ = writeln!(table, "| [`{name}`]({place}) | {} | {said} | {commits} |", answer.question);
    }
    Ok(table)
}

/// `readme` with `table` between its marks.
///
/// # Errors
/// If the marks are not there.
pub fn within(readme: &str, table: &str) -> Result<String, ReferenceError> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        let message =
            format!("has no lines {} and {}, between which the table stands", BEGIN.trim(), END.trim());
        return Err(ReferenceError::Answers { path: "README.md".into(), message });
    };
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The commits that a reference's runs were made with, each once.
fn commits(runs: &[RunRow]) -> String {
    let mut commits: Vec<&str> = runs.iter().filter_map(|run| run.git_hash.as_deref()).collect();
    commits.sort_unstable();
    commits.dedup();
    let short = |hash: &&str| format!("`{}`", hash.get(..7).unwrap_or(hash));
    commits.iter().map(short).collect::<Vec<_>>().join(", ")
}

/// The answer with its numbers.
fn fill_in(answer: &Answer, tables: &Tables) -> Result<String, String> {
    let mut unused: Vec<&str> = answer.numbers.keys().map(String::as_str).collect();
    let mut said = String::new();
    let mut rest = answer.answer.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or("a `{` without its `}`")?;
        let (name, decimals) = match place.split_once(':') {
            Some((name, decimals)) => (
                name,
                Some(
                    decimals
                        .parse()
                        .map_err(|_| format!("`{decimals}` in `{{{place}}}` is no number of decimals"))?,
                ),
            ),
            None => (place, None),
        };
        let sql = answer.numbers.get(name).ok_or_else(|| format!("no number is called `{name}`"))?;
        unused.retain(|other| *other != name);
        let number = tables.number(sql).map_err(|error| error.to_string())?;
        let number = number.ok_or_else(|| format!("the query of `{name}` gave no number"))?;
        said += before;
        said += &shown(number, decimals);
        rest = after;
    }
    match unused.as_slice() {
        [] => Ok(said + rest),
        names => Err(format!("the answer does not use {}", names.join(", "))),
    }
}

/// `value` with so many decimals, or with three significant digits; commas between thousands.
fn shown(value: f64, decimals: Option<usize>) -> String {
    decimals.map_or_else(|| report::trimmed(value, 3), |places| report::decimals(value, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> tempfile::TempDir {
        let reports = tempfile::tempdir().unwrap();
        let run = |mode: &str, pa_mpjpe_mm: f64| RunRow {
            mode: mode.into(),
            pa_mpjpe_mm: Some(pa_mpjpe_mm),
            frames: Some(18_000),
            git_hash: Some("0123456789abcdef".into()),
            ..RunRow::default()
        };
        let rows = [run("stream", 45.449), run("extract", 47.6)];
        csv::write(&folder(reports.path(), "quickstart"), &rows).unwrap();
        reports
    }

    fn said(reports: &Path, answer: &str) -> Result<String, String> {
        std::fs::write(file(reports), format!("[quickstart]\nquestion = \"Same?\"\n{answer}\n")).unwrap();
        table(reports).map_err(|error| error.to_string())
    }

    const NUMBERS: &str = "numbers = { low = \"select min(pa_mpjpe_mm) from runs\", frames = \"select max(frames) from runs\", none = \"select avg(hota) from runs\" }";

    #[test]
    fn numbers_come_from_the_reference() {
        let reports = reports();
        let answer = NUMBERS.replace(", none = \"select avg(hota) from runs\"", "");
        let said = said(
            reports.path(),
            &format!("answer = \"{{low:0}}, {{low:2}}, {{low}} mm; {{frames}}\"\n{answer}"),
        );
        assert_eq!(
            said.unwrap().lines().last().unwrap(),
            "| [`quickstart`](reports/quickstart/reference/report.md) | Same? | 45, 45.45, 45.4 mm; 18,000 | `0123456` |"
        );
    }

    #[test]
    fn text_and_numbers_have_to_fit() {
        let reports = reports();
        for (answer, wrong) in [
            ("{low}", "does not use frames, none"),
            ("{high}", "no number is called `high`"),
            ("{none}", "the query of `none` gave no number"),
            ("{low:x}", "no number of decimals"),
            ("{low", "without its `}`"),
        ] {
            let error = said(reports.path(), &format!("answer = \"{answer}\"\n{NUMBERS}")).unwrap_err();
            assert!(error.contains(wrong) && error.contains("[quickstart]"), "{error}");
        }
    }

    #[test]
    fn the_table_stands_between_its_marks() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        let new = within(&readme, "| new |\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n| new |\n\n{END}after\n"));
        assert_eq!(within(&new, "| new |\n").unwrap(), new);
        assert!(within("nothing", "| new |\n").is_err());
    }

    /// The README's numbers are the references': where this fails, `./just references --readme` puts it right.
    #[test]
    fn the_readme_says_what_the_references_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
        let right = within(&readme, &table(&root.join("reports")).unwrap()).unwrap();
        let differing = readme.lines().zip(right.lines()).find(|(is, ought)| is != ought);
        assert!(
            readme == right,
            "the README's table is not what the references say; put it right with `./just references --readme`\n{differing:#?}"
        );
    }
}
