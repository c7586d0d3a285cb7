//! Reference reports: the reports committed to git, one per experiment.
//!
//! [`compare`] compares a new report with the reference, [`update`] replaces the reference by a new report, and
//! [`answers`] fills the documents' tables with the references' numbers. Does not depend on how experiments are run.

pub mod answers;
pub mod compare;
mod display;
mod pairing;
mod rules;
pub mod update;

pub use answers::AnswerError;
pub use compare::Comparison;

use posebook_notebook::tables::{ClaimRow, RunRow, TableError, csv};
use std::path::{Path, PathBuf};

/// An error of reading, comparing or updating references.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A table of a report cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: std::io::Error,
    },
    /// The file of answers is not valid TOML.
    #[error("{path}: {source}")]
    AnswersToml {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: Box<toml::de::Error>,
    },
    /// An entry of the file of answers has wrong keys or types.
    #[error("{path}: [{experiment}]: {source}")]
    AnswersEntry {
        /// The file.
        path: PathBuf,
        /// The experiment.
        experiment: String,
        /// The underlying error.
        source: Box<toml::de::Error>,
    },
    /// The placeholders of an answer do not match its numbers.
    #[error("{path}: [{experiment}]: {source}")]
    Answer {
        /// The file.
        path: PathBuf,
        /// The experiment.
        experiment: String,
        /// The underlying error.
        source: AnswerError,
    },
    /// A document lacks the markers of its table.
    #[error("{document} has no lines {begin} and {end}, which enclose the table of experiments")]
    NoMarkers {
        /// Path of the document.
        document: &'static str,
        /// The first marker line.
        begin: &'static str,
        /// The last marker line.
        end: &'static str,
    },
}

impl ReferenceError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ReferenceError + '_ {
        |source| ReferenceError::File { path: path.to_path_buf(), source }
    }
}

/// The compared tables of a report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComparedTables {
    /// One row per run.
    pub runs: Vec<RunRow>,
    /// One row per claim; empty for reports of versions without this table.
    pub claims: Vec<ClaimRow>,
}

impl ComparedTables {
    /// Loads `runs.csv` and, if it exists, `claims.csv` of a report's folder.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub fn load(folder: &Path) -> Result<ComparedTables, ReferenceError> {
        let runs = csv::read_rows::<RunRow>(folder)?;
        let has_claims = csv::csv_path::<ClaimRow>(folder).is_file();
        Ok(ComparedTables { runs, claims: if has_claims { csv::read_rows(folder)? } else { Vec::new() } })
    }
}

/// The folder of an experiment's reference: `REPORTS/NAME/reference`.
pub fn folder(reports: &Path, name: &str) -> PathBuf {
    reports.join(name).join("reference")
}

/// The names of the experiments with a reference in `reports`, sorted.
///
/// # Errors
/// If the folder cannot be read.
pub fn names(reports: &Path) -> Result<Vec<String>, ReferenceError> {
    let entries = std::fs::read_dir(reports).map_err(ReferenceError::file(reports))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| folder(reports, name).join("runs.csv").is_file()).collect();
    names.sort();
    Ok(names)
}
