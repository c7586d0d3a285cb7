//! Tables of results: column types, row logs that survive a crash, Parquet and CSV files, and SQL over a folder of tables.
//!
//! A run's process appends rows to [`row_log`]s, one JSON line each, so that its memory stays constant and finished rows
//! survive if the process dies. Afterwards [`files`] converts the logs to Parquet in batches of bounded size, [`csv`]
//! writes and reads the tables that are committed to git, and [`query`] runs SQL over the tables of a report's folder.
//!
//! Does not depend on how rows are made or what queries are for.

pub mod column;
pub mod csv;
pub mod files;
pub mod grid;
pub mod image_rows;
pub mod metrics;
pub mod query;
pub mod row_log;
pub mod rows;
pub mod truth_table;

pub use column::{Column, ColumnType, TableRow};
pub use grid::{Grid, Value};
pub use image_rows::ImagePersonRow;
pub use query::ReportTables;
pub use row_log::{RowLog, read_row_log};
pub use rows::{ClaimRow, FrameRow, MemoryRow, PersonRow, RunRow};

use polars::error::PolarsError;
use std::path::{Path, PathBuf};

/// An error of reading, writing or querying a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file cannot be opened, read or written.
    #[error("cannot read or write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: std::io::Error,
    },
    /// A complete line of a row log is not a row of this version.
    #[error(
        "line {line} of {path} is not a row of this version: {source}; delete the run's folder to run it again"
    )]
    RowLogLine {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The underlying error.
        source: serde_json::Error,
    },
    /// Rows cannot be encoded as Parquet or CSV.
    #[error("cannot write the table {path}: {source}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: PolarsError,
    },
    /// A file is not valid Parquet or CSV.
    #[error("cannot read the table {path}: {source}; if it is damaged, delete its folder to run it again")]
    Decode {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: PolarsError,
    },
    /// The columns of a Parquet file are not those of this version.
    #[error(
        "the columns of the table {path} are not those of this version; delete its folder to run it again"
    )]
    Columns {
        /// The file.
        path: PathBuf,
    },
    /// A cell of a CSV file is not of its column's type.
    #[error("cannot read the table {path}: the column `{column}` ({column_type:?}) cannot hold `{cell}`")]
    Cell {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// Expected type of its cells.
        column_type: ColumnType,
        /// Text of the cell.
        cell: String,
    },
    /// A query is invalid.
    #[error("{message}, in the query `{sql}`")]
    Query {
        /// The query.
        sql: String,
        /// What is invalid.
        message: String,
    },
    /// A query for one number has another answer.
    #[error("the query `{sql}` gave {got}, where one number is needed")]
    NotANumber {
        /// The query.
        sql: String,
        /// Description of the answer.
        got: String,
    },
}

impl TableError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> TableError + '_ {
        |source| TableError::File { path: path.to_path_buf(), source }
    }

    fn encode(path: &Path) -> impl Fn(PolarsError) -> TableError + '_ {
        |source| TableError::Encode { path: path.to_path_buf(), source }
    }

    fn decode(path: &Path) -> impl Fn(PolarsError) -> TableError + '_ {
        |source| TableError::Decode { path: path.to_path_buf(), source }
    }
}
