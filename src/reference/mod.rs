//! References: the reports that git keeps, one of each experiment, and what the README says of them.
//!
//! A reference is a result: it can be made again, and a new report of the same experiment is held against it
//! ([`compare`]), takes its place when a person asks for it ([`keep`]), and gives the README its numbers
//! ([`answers`]). Must not know how an experiment is run.

pub mod answers;
pub mod compare;
pub mod keep;
mod points;
mod rules;
mod shown;

pub use compare::Comparison;

use crate::tables::{ClaimRow, RunRow, TableError, csv};
use std::path::{Path, PathBuf};

/// What went wrong with a reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("cannot read or write {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Answers { path: PathBuf, message: String },
}

impl ReferenceError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ReferenceError + '_ {
        |source| ReferenceError::File { path: path.to_path_buf(), source }
    }
}

/// What is compared of a report: a row per run, a row per claim.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tables {
    pub runs: Vec<RunRow>,
    /// Empty for a report of a version that did not write them down.
    pub claims: Vec<ClaimRow>,
}

impl Tables {
    /// Reads `runs.csv` and, where it is there, `claims.csv` of a report's folder.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub fn read(folder: &Path) -> Result<Tables, ReferenceError> {
        let runs = csv::rows::<RunRow>(folder)?;
        let has_claims = csv::csv_path::<ClaimRow>(folder).is_file();
        Ok(Tables { runs, claims: if has_claims { csv::rows(folder)? } else { Vec::new() } })
    }
}

/// The place of an experiment's reference: `REPORTS/NAME/reference`.
pub fn folder(reports: &Path, name: &str) -> PathBuf {
    reports.join(name).join("reference")
}

/// The names of the experiments that have a reference below `reports`, sorted.
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
