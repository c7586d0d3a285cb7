//! Errors of single cells of a report.

use super::figure::plot::PlotError;

/// Why a cell could not be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CellError {
    /// The query failed.
    #[error("cell {cell} ({kind}): {reason}")]
    Query {
        /// Position of the cell in the notebook, from 1.
        cell: usize,
        /// Kind and title of the cell.
        kind: String,
        /// Why it failed.
        reason: String,
    },
    /// The rows cannot be plotted.
    #[error("cell {cell} ({kind}): {source}")]
    Plot {
        /// Position of the cell in the notebook, from 1.
        cell: usize,
        /// Kind and title of the cell.
        kind: String,
        /// The underlying error.
        source: PlotError,
    },
    /// A column of a contact sheet is missing.
    #[error("cell {cell} ({kind}): its {role} `{column}` is not among the columns of its query")]
    Column {
        /// Position of the cell in the notebook, from 1.
        cell: usize,
        /// Kind and title of the cell.
        kind: String,
        /// The figure's key.
        role: &'static str,
        /// The column.
        column: String,
    },
}
