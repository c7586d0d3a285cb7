//! Tables of results: row types, row logs that survive a crash, Parquet and CSV files, and SQL over a folder of tables.
//!
//! A run's process appends rows to a [`RowLog`], one JSON line each, so that its memory stays constant and finished rows
//! survive if the process dies. Afterwards [`files`] converts the logs to Parquet in batches of bounded size, [`csv`]
//! writes and reads the tables that are committed to git, and [`ReportTables`] runs SQL over the tables of a report's
//! folder. A query's answer is a [`Grid`] of plain values.
//!
//! This is the only module of the workspace that uses Polars, and no public item has a type of Polars. Does not depend on
//! how rows are made or what queries are for.

mod column;
pub mod csv;
pub mod files;
mod grid;
mod image_rows;
pub mod metrics;
mod parquet_columns;
mod query;
mod row_log;
mod rows;
mod truth_table;

pub use column::{Column, ColumnType, TableRow};
pub use grid::{Grid, Value};
pub use image_rows::ImagePersonRow;
pub use parquet_columns::ParquetColumns;
pub use query::{ReportTables, check_query, query_columns};
pub use row_log::{RowLog, read_row_log};
pub use rows::{ClaimRow, FrameRow, MemoryRow, PersonRow, RunRow};
pub use truth_table::TruthTableWriter;

use polars::error::PolarsError;
use std::path::{Path, PathBuf};

/// An error of the library that encodes and decodes tables.
pub type EncodingError = Box<dyn std::error::Error + Send + Sync>;

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
        source: EncodingError,
    },
    /// A file is not valid Parquet or CSV.
    #[error("cannot read the table {path}: {source}; if it is damaged, delete its folder to run it again")]
    Decode {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: EncodingError,
    },
    /// The columns of a Parquet file are not those of this version.
    #[error(
        "the columns of the table {path} are not those of this version; delete its folder to run it again"
    )]
    Columns {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file lacks columns that are to be read.
    #[error("the table {path} has no column {}", columns.join(", "))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The missing columns.
        columns: Vec<String>,
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
        |source| TableError::Encode { path: path.to_path_buf(), source: source.into() }
    }

    fn decode(path: &Path) -> impl Fn(PolarsError) -> TableError + '_ {
        |source| TableError::Decode { path: path.to_path_buf(), source: source.into() }
    }
}
