//! Tables: columns and their units, spools that survive a crash, Parquet and CSV, SQL over a folder.
//!
//! A run's own process appends rows to [`spool`]s, one JSON line each, so that its memory stays flat
//! and nothing that was finished is lost when it dies. Afterwards [`files`] turns spools into Parquet
//! in batches of bounded size, [`csv`] writes and reads what git keeps of them, and [`query`] answers Polars' SQL over the tables of a report folder.
//!
//! Must not know who fills the rows nor what the answers are used for.

pub mod column;
pub mod csv;
pub mod files;
pub mod pictures;
pub mod query;
pub mod rows;
pub mod spool;

pub use column::{Column, Kind, Row};
pub use pictures::PicturePersonRow;
pub use query::Tables;
pub use rows::{ClaimRow, FrameRow, MemoryRow, PersonRow, RunRow};
pub use spool::{Spool, read_spool};

use std::path::{Path, PathBuf};

/// What went wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("cannot read or write {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "line {line} of {path} is no row of this version: {message}; delete the run's folder to run it again"
    )]
    Spool { path: PathBuf, line: usize, message: String },
    #[error(
        "the table {path} is damaged or of another version: {message}; delete its folder to run it again"
    )]
    Damaged { path: PathBuf, message: String },
    #[error("{message}, in the query `{sql}`")]
    Query { sql: String, message: String },
    #[error("the query `{sql}` gave {got}, where one number is needed")]
    NotANumber { sql: String, got: String },
}

impl TableError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> TableError + '_ {
        |source| TableError::File { path: path.to_path_buf(), source }
    }

    fn damaged(path: &Path) -> impl Fn(polars::error::PolarsError) -> TableError + '_ {
        |error| TableError::Damaged { path: path.to_path_buf(), message: error.to_string() }
    }
}
