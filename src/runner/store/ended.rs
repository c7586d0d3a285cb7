//! A run that has ended: its row, and where its tables are.

use posebook_notebook::tables::RunRow;
use std::path::PathBuf;

/// A run that has ended, successfully or not.
#[derive(Debug, Clone)]
pub struct EndedRun {
    /// The run's row of the table `runs`.
    pub row: RunRow,
    /// The folder with its other tables; `None` for a run that could not start.
    pub tables: Option<PathBuf>,
}
